//! Overrides, explanations and the configuration.

use lb_proxy::admin::AdminSettings;
use lb_proxy::admin::status::Status;

use lb_proxy::reports::{SessionFilter, SessionPhase};
use serde_json::json;
use test_support::deadline::eventually;
use tokio::io::AsyncReadExt;

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
    let parsed: Status = serde_json::from_value(status).unwrap();
    assert_eq!(parsed.listeners.len(), 1);

    let undrained = ask("POST", "/undrain?backend=one&upstream=pool".into()).await;
    assert_eq!(undrained.json()["backends"][0]["changed"], true);
    let heavy = ask("POST", format!("/weight?backend={b}&weight=300%25")).await;
    assert_eq!(heavy.json()["backends"][0]["now"]["weight"], 3);
    let eight = scene.backends_of(8).await;
    assert_eq!(eight.matches('b').count(), 6, "{eight}");

    let status = ask("GET", "/status.json".into()).await.json();
    let status: Status = serde_json::from_value(status).unwrap();
    let done = status.actions.iter().map(|action| {
        assert!(action.by.starts_with("uid "), "{action:?}");
        let backend = action.backend.clone().unwrap();
        let value = action.value.clone().unwrap_or_default();
        (&*action.action, backend, value, action.changed)
    });
    let expected = [
        ("drain", a, "", Some(1)),
        ("undrain", a, "", Some(1)),
        ("weight", b, "300%", Some(1)),
    ];
    let expected = expected
        .map(|(name, addr, value, changed)| (name, addr.to_string(), value.to_owned(), changed));
    assert_eq!(done.collect::<Vec<_>>(), expected);

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

/// Every request that changes state is listed with its numbers; one that is refused is not. A reload keeps the list, which has a bound.
#[tokio::test]
async fn what_operators_did_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let scene = AdminScene::new(AdminSettings::unix(path.as_path())).await;
    let ask = async |target: String| unix(&path, "POST", &target).await;
    let actions = async || {
        let status = unix(&path, "GET", "/status.json").await.json();
        status["actions"].as_array().unwrap().clone()
    };
    assert!(actions().await.is_empty());
    let [a, _] = scene.backends;
    let mut client = scene.proxy.connect().await;
    let backend = scene.backends[usize::from(client.read_u8().await.unwrap() == b'b')];
    eventually("a session that relays", || {
        let relaying = SessionFilter::new().phase(SessionPhase::Relaying);
        scene.proxy.handle.sessions(&relaying).matched == 1
    })
    .await;
    for (target, status) in [
        ("/drain?backend=192.0.2.1:1".to_owned(), 404),
        (format!("/weight?backend={a}&weight=x"), 400),
        ("/log_level?level=debug".to_owned(), 404),
        ("/close?id=999".to_owned(), 404),
        (format!("/ready?backend={a}&upstream=pool"), 200),
        (format!("/max_conns?backend={a}&max_conns=7"), 200),
        (format!("/max_conns?backend={a}&max_conns=7"), 200),
        (
            format!("/close?backend={backend}&upstream=pool&force=1"),
            200,
        ),
    ] {
        assert_eq!(ask(target.clone()).await.status, status, "{target}");
    }
    let listed = actions().await;
    let of = |i: usize| {
        let mut action = listed[i].clone();
        let fields = action.as_object_mut().unwrap();
        assert!(fields.remove("time_ms").unwrap().as_u64() > Some(1_600_000_000_000));
        let by = fields.remove("by").unwrap();
        assert!(by.as_str().unwrap().starts_with("uid "), "{by}");
        action
    };
    assert_eq!(listed.len(), 4, "{listed:?}");
    let [a, backend] = [a, backend].map(|addr| addr.to_string());
    assert_eq!(
        of(0),
        json!({ "action": "ready", "upstream": "pool", "backend": a, "changed": 1 })
    );
    let limit =
        |changed| json!({ "action": "max_conns", "backend": a, "value": "7", "changed": changed });
    assert_eq!((of(1), of(2)), (limit(1), limit(0)));
    assert_eq!(
        of(3),
        json!({ "action": "close", "upstream": "pool", "backend": backend, "closed": 1, "reset": 1, "closing": 0 })
    );
    for _ in 0..70 {
        ask(format!("/undrain?backend={a}")).await;
    }
    let listed = actions().await;
    assert_eq!(listed.len(), 64);
    assert!(listed.iter().all(|action| action["action"] == "undrain"));
    drop(client);
    scene.end().await;
}
