//! `drain`, `undrain`, `ready`, `weight`, `max-conns`, `close`.

use std::path::Path;

use serde_json::Value;

use super::{Administered, cells};
use crate::sockets::{Conversation, Reserved, ask, ask_times, eventually, within};

#[tokio::test]
async fn a_backend_is_drained_weighted_limited_and_restored() {
    let (one, two) = (Reserved::any(), Reserved::any());
    let (_one, _two) = (one.serve("one").await, two.serve("two").await);
    let stream = format!(
        "upstream u {{ server {}; server {}; }} server {{ listen LISTEN; proxy_pass u; }}",
        one.addr, two.addr
    );
    let server = Administered::start(&stream).await;
    let backend = one.addr.to_string();
    let change = |name: &str, value: &[&str]| {
        let printed = server
            .ask(&[&[name, "u", &backend], value].concat())
            .stdout(0);
        cells(&printed, &backend).join(" ")
    };
    assert_eq!(
        change("drain", &[]),
        format!("u {backend} yes drain 1 none")
    );
    assert_eq!(change("drain", &[]), format!("u {backend} no drain 1 none"));
    assert_eq!(ask_times(server.proxy.addr, 4).await, ["two"; 4]);
    let status = server.ask(&["status"]).stdout(0);
    assert_eq!(
        cells(&status, &format!("  {backend}"))[1..],
        ["draining", "1", "0", "source says ready"]
    );
    let set = status
        .split("set of single backends")
        .nth(1)
        .expect("overrides");
    assert_eq!(cells(set, &backend)[2..4], ["admin", "drain"]);
    assert!(set.contains("operator uid "), "{set}");
    assert_eq!(
        change("undrain", &[]),
        format!("u {backend} yes ready 1 none")
    );
    assert_eq!(
        change("ready", &[]),
        format!("u {backend} yes ready 1 none")
    );

    assert_eq!(
        change("weight", &["3"]),
        format!("u {backend} yes ready 3 none")
    );
    let answers = ask_times(server.proxy.addr, 8).await;
    assert_eq!(answers.iter().filter(|answer| *answer == "one").count(), 6);
    assert_eq!(
        change("weight", &["default"]),
        format!("u {backend} yes ready 1 none")
    );
    assert_eq!(
        change("max-conns", &["7"]),
        format!("u {backend} yes ready 1 7")
    );
    assert_eq!(
        change("max-conns", &["unlimited", "--json"]),
        format!(
            "{{\"backends\":[{{\"upstream\":\"u\",\"backend\":\"{backend}\",\"changed\":true,\
         \"now\":{{\"admin\":\"ready\",\"weight\":1,\"max_conns\":null}}}}]}}"
        )
    );
    let wrong = server.ask(&["weight", "u", &backend, "heavy"]).stderr(2);
    assert!(
        wrong.contains("parameter \"weight\" is \"heavy\", not a number"),
        "{wrong}"
    );
    for (upstream, backend, missing) in [
        ("v", &*backend, "upstream \"v\""),
        ("u", "x", "backend \"x\""),
    ] {
        let unknown = server.ask(&["drain", upstream, backend]).stderr(1);
        assert_eq!(unknown, format!("nginx_like: there is no {missing}\n"));
    }
}

#[tokio::test]
async fn a_session_has_one_number_in_all_logs_and_commands() {
    let backend = Reserved::any();
    let _backend = backend.serve("one").await;
    let logs = tempfile::tempdir().unwrap();
    let [json, own] = ["json", "own"].map(|name| logs.path().join(name));
    let stream = format!(
        "error_log stderr info; log_format own '$connection'; server {{ listen LISTEN; proxy_pass {}; \
         access_log {} lb_json; access_log {} own; }}",
        backend.addr,
        json.display(),
        own.display()
    );
    let server = Administered::start(&stream).await;
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let mut conversation = Conversation::open(server.proxy.addr).await.unwrap();
        conversation.say("hello").await.unwrap();
        let listed = server.json(&["sessions"]);
        let id = listed["sessions"][0]["id"].as_u64().unwrap();
        server
            .proxy
            .logged(&format!(": *{id} client 127.0.0.1:"))
            .await;
        let closed = server.ask(&["close", "--id", &id.to_string()]);
        assert_eq!(closed.stdout(0), "1 session closed\n");
        numbers.push(id);
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        eventually("the lines", || {
            [&json, &own].map(|path| lines(path).lines().count()) == [numbers.len(); 2]
        })
        .await;
        assert_eq!(lines(&own).lines().last(), Some(&*id.to_string()));
        let all = lines(&json);
        let event: Value = serde_json::from_str(all.lines().last().unwrap()).unwrap();
        assert_eq!(event["session"], id);
    }
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test]
async fn sessions_are_closed_by_backend_or_by_number() {
    let backend = Reserved::any();
    let _backend = backend.serve("one").await;
    let stream = format!(
        "upstream u {{ server {}; }} server {{ listen LISTEN; proxy_pass u; }}",
        backend.addr
    );
    let server = Administered::start(&stream).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut conversation = Conversation::open(server.proxy.addr).await.unwrap();
        conversation.say("hello").await.unwrap();
        open.push(conversation);
    }
    let listed = server.json(&["sessions", "--limit", "1"]);
    let id = listed["sessions"][0]["id"].to_string();
    assert_eq!(
        server.ask(&["close", "--id", &id]).stdout(0),
        "1 session closed\n"
    );
    let first = within("the end of the session", open.remove(0).say("more")).await;
    assert!(first.is_err());
    assert_eq!(open[0].say("more").await.unwrap(), "one");
    let closed = server
        .ask(&["close", "--force", "u", &backend.addr.to_string()])
        .stdout(0);
    assert_eq!(closed, "2 sessions closed, 2 of them reset\n");
    for mut conversation in open {
        assert!(
            within("the end of a session", conversation.say("more"))
                .await
                .is_err()
        );
    }
    assert_eq!(ask(server.proxy.addr).await.unwrap(), "one");
    assert_eq!(
        server.json(&["close", "u", &backend.addr.to_string()])["closed"],
        0
    );
    let unknown = server.ask(&["close", "--id", "999999"]).stderr(1);
    assert!(
        unknown.contains("there is no such session 999999"),
        "{unknown}"
    );
    server.ask(&["close"]).stderr(2);
    server.ask(&["close", "u"]).stderr(2);
}
