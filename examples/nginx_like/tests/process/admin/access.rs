//! Clients without the token, and hostile ones.

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{over_tcp, with_token};
use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved};

/// Every request that changes state is refused without the token, and leaves no trace but the log's.
#[tokio::test]
async fn without_the_token_no_request_changes_state() {
    let (one, admin) = (Reserved::any(), Reserved::any());
    let _one = one.serve("one").await;
    let addr = admin.addr;
    let dir = tempfile::tempdir().unwrap();
    let server = format!("server {{ listen LISTEN; proxy_pass {}; }}", one.addr);
    let stream = format!("{} {server}", with_token(dir.path(), addr));
    let proxy = NginxLike::start("", &stream).await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    open.say("x").await.unwrap();
    let state = async || {
        let (_, status) = over_tcp(addr, "GET", "/status.json").await;
        let status: Value = serde_json::from_str(&status).unwrap();
        let server = &status["server"];
        let backend = &status["upstreams"][0]["backends"][0];
        [
            &server["log_level"],
            &status["overrides"],
            &backend["verdict"],
            &backend["weight"],
        ]
        .map(Value::to_string)
    };
    let before = state().await;
    let (_, requests) = over_tcp(addr, "GET", "/requests").await;
    let paths = requests
        .lines()
        .filter_map(|line| line.strip_prefix("POST "));
    let paths: Vec<_> = paths.map(|line| line.split('?').next().unwrap()).collect();
    let asked = [
        ("/close", format!("backend={}", one.addr)),
        ("/drain", format!("backend={}", one.addr)),
        ("/log_level", "level=debug".to_owned()),
        ("/max_conns", format!("backend={}&max_conns=1", one.addr)),
        ("/ready", format!("backend={}", one.addr)),
        ("/undrain", format!("backend={}", one.addr)),
        ("/weight", format!("backend={}&weight=7", one.addr)),
    ];
    assert_eq!(
        paths,
        asked.each_ref().map(|(path, _)| *path),
        "all that change state"
    );
    for (path, query) in &asked {
        let (status, body) = over_tcp(addr, "POST", &format!("{path}?{query}")).await;
        assert_eq!(status, "401", "{path} {body}");
    }
    assert_eq!(state().await, before);
    open.say("y").await.unwrap();
    proxy.logged("Admin requests refused").await;
    assert!(
        proxy.count("Admin requests refused") <= 4,
        "{}",
        proxy.log()
    );
}

/// Slow, huge and many requests cost no session anything, not even when the sessions have all other descriptors.
#[tokio::test]
async fn hostile_clients_and_spent_descriptors_cost_neither_sessions_nor_the_operator() {
    let (one, admin) = (Reserved::any(), Reserved::any());
    let _one = one.serve("one").await;
    let addr = admin.addr;
    let dir = tempfile::tempdir().unwrap();
    let server = format!("server {{ listen LISTEN; proxy_pass {}; }}", one.addr);
    let stream = format!("{} {server}", with_token(dir.path(), addr));
    let proxy = NginxLike::start("worker_rlimit_nofile 128;", &stream).await;
    let (_, status) = over_tcp(addr, "GET", "/status.json").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let room = status["server"]["descriptors"]["sessions"]
        .as_u64()
        .unwrap();
    let mut sessions = Vec::new();
    for _ in 0..room {
        let mut session = Conversation::open(proxy.addr).await.unwrap();
        session.say("x").await.unwrap();
        sessions.push(session);
    }
    // Further clients wait in the kernel's queue.
    let mut waits = Conversation::open(proxy.addr).await.unwrap();
    let mut hostile = Vec::new();
    for i in 0..64 {
        // The kernel's queue may be full.
        let connect = timeout(Duration::from_millis(100), TcpStream::connect(addr));
        let Ok(Ok(mut client)) = connect.await else {
            break;
        };
        let begin = b"GET /status.json HTTP/1.1\r\nx: ";
        match i % 2 {
            0 => client.write_all(begin).await.unwrap(),
            // The server closes the connection amid it.
            _ => drop(client.write_all(&[b'x'; 64 * 1024]).await),
        }
        hostile.push(client);
    }
    assert!(hostile.len() > 16);
    for session in &mut sessions {
        assert_eq!(session.say("y").await.unwrap(), "one");
    }
    assert_eq!(over_tcp(addr, "GET", "/readyz").await.0, "200");
    let (status, _) = over_tcp(addr, "GET", "/metrics").await;
    assert_eq!(status, "200");
    drop(hostile);
    sessions.truncate(1);
    assert_eq!(waits.say("z").await.unwrap(), "one");
}
