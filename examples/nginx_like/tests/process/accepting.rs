//! Workers, limits, and sockets that were open before the process was.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::Command;

use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, ask_times};

fn balanced_over(node: &Reserved, server: &str) -> String {
    format!(
        "limit_conn_zone $binary_remote_addr zone=clients:1m;
         upstream u {{ server {}; }}
         server {{ listen LISTEN; proxy_pass u; {server} }}",
        node.addr
    )
}

#[tokio::test]
async fn several_workers_serve() {
    let node = Reserved::any();
    node.serve("a").await;
    let proxy = NginxLike::start("worker_processes 3;", &balanced_over(&node, "")).await;
    assert_eq!(ask_times(proxy.addr, 40).await, vec!["a"; 40]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", proxy.id())).unwrap();
    assert!(tasks.count() >= 4, "the main thread and three workers");
}

#[tokio::test]
async fn the_limits_of_a_configuration_hold() {
    let node = Reserved::any();
    node.serve("a").await;
    let server = "limit_conn clients 1; proxy_bind 127.0.0.9; proxy_socket_keepalive on;";
    let proxy = NginxLike::start("", &balanced_over(&node, server)).await;
    let mut first = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(first.say("hello").await.unwrap(), "a");
    assert!(ask(proxy.addr).await.is_err());
    drop(first);

    let proxy = NginxLike::start("", &balanced_over(&node, "deny 127.0.0.0/8;")).await;
    assert!(ask(proxy.addr).await.is_err());
    let rules = "allow 127.0.0.1; deny all;";
    let proxy = NginxLike::start("", &balanced_over(&node, rules)).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
}

#[tokio::test]
async fn the_descriptors_are_divided_at_the_start() {
    let node = Reserved::any();
    let main = "worker_rlimit_nofile 256;";
    let proxy = NginxLike::start(main, &balanced_over(&node, "")).await;
    proxy.logged("Descriptors divided").await;
    assert!(proxy.log().contains("limit=256"), "{}", proxy.log());
}

/// As systemd starts it: the socket is descriptor 3, and connections wait in it since before the start.
#[tokio::test]
async fn a_socket_that_systemd_passes_on_is_used() {
    let node = Reserved::any();
    node.serve("a").await;
    let reserved = Reserved::any();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&reserved.addr.into()).unwrap();
    socket.listen(16).unwrap();
    let early = TcpStream::connect(reserved.addr).await.unwrap();
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_nginx_like")])
        .stdin(Stdio::from(OwnedFd::from(TcpListener::from(socket))));
    let stream = balanced_over(&node, "");
    let proxy = NginxLike::start_by(command, reserved, "worker_processes 2;", &stream).await;
    let mut early = Conversation::over(early);
    assert_eq!(early.say("hello").await.unwrap(), "a");
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    drop(early);
}
