//! The level of the logs, set by an operator.

use super::json;
use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask};

#[tokio::test]
async fn an_operator_sets_the_log_level_of_messages_and_sessions() {
    let one = Reserved::any();
    let _one = one.serve("one").await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("lb.sock");
    let stream = format!(
        "lb_admin unix:{};\nerror_log stderr warn;\nserver {{ listen LISTEN; proxy_pass {}; }}",
        socket.display(),
        one.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    let set = async |level: &str| json(&socket, "POST", &format!("/log_level?level={level}")).await;
    let now = async || json(&socket, "GET", "/log_level").await;
    // The main level's log of the tests.
    assert_eq!(
        now().await,
        serde_json::json!({ "level": "info", "by": null })
    );
    ask(proxy.addr).await.unwrap();
    assert_eq!(
        proxy.count(" connected to "),
        0,
        "the server's own log is above info"
    );

    let answer = set("debug").await;
    assert_eq!(
        (&answer["before"], &answer["level"]),
        (&"info".into(), &"debug".into())
    );
    ask(proxy.addr).await.unwrap();
    proxy.logged(" connected to ").await;
    proxy.logged("Log level set by=uid ").await;
    let status = json(&socket, "GET", "/status.json").await;
    assert_eq!(status["server"]["log_level"], "debug");
    assert!(
        status["server"]["log_level_by"]
            .as_str()
            .unwrap()
            .starts_with("uid ")
    );

    // A reload keeps it, as it keeps overrides of backends.
    proxy.reload("", &stream).await;
    assert_eq!(now().await["level"], "debug");

    set("emerg").await;
    // No level keeps what operators change out of the log.
    proxy.logged("level=emerg").await;
    let changed = format!("backend={}", one.addr);
    let drained = json(&socket, "POST", &format!("/drain?{changed}")).await;
    assert_eq!(drained["backends"][0]["changed"], true);
    proxy.logged("Override set ").await;
    json(
        &socket,
        "POST",
        &format!("/max_conns?{changed}&max_conns=1"),
    )
    .await;
    json(
        &socket,
        "POST",
        &format!("/max_conns?{changed}&max_conns=default"),
    )
    .await;
    proxy.logged(" setting=max_conns 1").await;
    proxy.logged("Override cleared ").await;
    assert_eq!(proxy.count(" setting=max_conns"), 2);
    json(&socket, "POST", &format!("/undrain?{changed}")).await;
    json(&socket, "POST", &format!("/close?{changed}")).await;
    proxy.logged("Sessions closed by an operator").await;
    let before = proxy.count(" connected to ");
    ask(proxy.addr).await.unwrap();
    let wrong = set("loud").await;
    assert!(
        wrong["error"].as_str().unwrap().contains("notice"),
        "{wrong}"
    );
    set("default").await;
    proxy.logged("level=default").await;
    assert_eq!(
        now().await,
        serde_json::json!({ "level": "info", "by": null })
    );
    assert_eq!(proxy.count(" connected to "), before);
}
