//! Overrides, explanations and the configuration.

use lb_proxy::admin::AdminSettings;

use super::{AdminScene, MARKUP, unix};

#[tokio::test]
async fn an_operator_controls_backends_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let scene = AdminScene::new(AdminSettings::unix(path.as_path())).await;
    let ask = async |method: &str, target: String| unix(&path, method, &target).await;
    let [a, b] = scene.backends;

    assert_eq!(ask("POST", format!("/drain?backend={a}")).await.status, 200);
    assert_eq!(scene.backends_of(4).await, "bbbb");
    let status = ask("GET", "/status.json".into()).await.json();
    assert_eq!(status["version"], 1);
    assert_eq!(status["server"]["program_version"], "1.2.3");
    assert_eq!(status["server"]["ready"], true);
    let pool = &status["upstreams"][0];
    assert_eq!(pool["backends"][0]["verdict"], "draining");
    assert_eq!(pool["backends"][0]["source_admin"], "ready");
    assert_eq!(pool["backends"][1]["name"], MARKUP);
    assert_eq!(pool["tiers"][0]["eligible"], 1);
    let set = &status["overrides"][0];
    assert_eq!(
        (&set["backend"], &set["value"]),
        (&a.to_string().into(), &"drain".into())
    );
    assert!(set["by"].as_str().unwrap().starts_with("uid "));
    let parsed: lb_proxy::admin::status::Status = serde_json::from_value(status).unwrap();
    assert_eq!(parsed.listeners.len(), 1);

    let undrained = ask("POST", "/undrain?backend=one&upstream=pool".into()).await;
    assert_eq!(undrained.json()["backends"][0]["changed"], true);
    let heavy = ask("POST", format!("/weight?backend={b}&weight=300%25")).await;
    assert_eq!(heavy.json()["backends"][0]["now"]["weight"], 3);
    let eight = scene.backends_of(8).await;
    assert_eq!(eight.matches('b').count(), 6, "{eight}");

    let explained = ask("GET", "/explain?upstream=pool&client=10.0.0.1".into())
        .await
        .json();
    let chosen = explained["chosen"].as_str().unwrap().to_owned();
    let next = if chosen == a.to_string() { "a" } else { "b" };
    assert_eq!(scene.backends_of(1).await, next);
    let config = ask("GET", "/config".into()).await.json();
    assert_eq!(config["lines"][0]["text"], "stream {");
    scene.end().await;
    assert!(!path.exists());
}
