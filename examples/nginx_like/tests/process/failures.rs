//! Clients that are not served: their lines in a log of the default level, and how their connections end.

use std::fs;
use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Reserved, ask, eventually, within};

/// Reads until a connection ends, by an end or a reset. Returns whether it ended without a byte.
async fn is_ended_without_a_byte(stream: std::io::Result<TcpStream>, say: &[u8]) -> bool {
    let Ok(mut stream) = stream else {
        return true;
    };
    // The other side may close first.
    let _ = stream.write_all(say).await;
    let mut answer = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut answer)).await;
    answer.is_empty()
}

/// Starts a proxy with a log at the default level, and returns the log after a client was refused.
async fn error_log_of(stream: &str, say: &[u8], wanted: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let main = format!("error_log {};", path.display());
    let proxy = NginxLike::start(&main, stream).await;
    assert!(is_ended_without_a_byte(TcpStream::connect(proxy.addr).await, say).await);
    let log = || fs::read_to_string(&path).unwrap();
    eventually(&format!("{wanted:?} in the error log"), || {
        log().contains(wanted)
    })
    .await;
    log()
}

#[tokio::test]
async fn every_refusal_is_in_an_error_log_of_the_default_level() {
    let (node, dead) = (Reserved::any(), Reserved::any());
    node.serve("a").await;
    for (upstream, server, wanted) in [
        (
            format!("server {};", dead.addr),
            "",
            "connect() failed (111: Connection refused) while connecting to upstream",
        ),
        (
            format!("server {} down;", node.addr),
            "",
            "no live upstreams while connecting to upstream",
        ),
        (
            format!("server {};", node.addr),
            "deny all;",
            "access forbidden by rule while initializing session",
        ),
        (
            format!("server {};", node.addr),
            "proxy_bind 192.0.2.1;",
            "bind(192.0.2.1) failed (99: Cannot assign requested address) while connecting",
        ),
        (
            format!("server {};", node.addr),
            "proxy_connect_timeout 0;",
            "upstream timed out (110: Connection timed out) while connecting to upstream",
        ),
    ] {
        let stream = format!(
            "upstream u {{ {upstream} }} server {{ listen LISTEN; proxy_pass u; {server} }}"
        );
        let log = error_log_of(&stream, b"", wanted).await;
        let is_severe = |line: &str| line.contains(" [error] ") || line.contains(" [crit] ");
        assert!(log.lines().all(is_severe), "{log}");
        assert!(
            log.contains(": *1 ") && log.contains(", client: 127.0.0.1, server: "),
            "{log}"
        );
    }
    let stream = format!(
        "server {{ listen LISTEN proxy_protocol; proxy_pass {}; }}",
        node.addr
    );
    let wanted =
        "broken header: \"GET / HTTP/1.0\" while reading PROXY protocol, client: 127.0.0.1";
    error_log_of(&stream, b"GET / HTTP/1.0\r\n\r\n", wanted).await;
}

#[tokio::test]
async fn a_full_server_logs_it() {
    let node = Reserved::any();
    node.serve("a").await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let main = format!("error_log {};", path.display());
    let stream = format!(
        "limit_conn_zone $binary_remote_addr zone=clients:64k;
         server {{ listen LISTEN; proxy_pass {}; limit_conn clients 1; }}",
        node.addr
    );
    let proxy = NginxLike::start(&main, &stream).await;
    let held = TcpStream::connect(proxy.addr).await.unwrap();
    let log = || fs::read_to_string(&path).unwrap();
    within("the refusal", async {
        while !log().contains("limiting connections by zone \"clients\"") {
            is_ended_without_a_byte(TcpStream::connect(proxy.addr).await, b"").await;
        }
    })
    .await;
    drop(held);
}

/// nginx's timers fire at the first check: no byte is relayed, whatever the backend does.
#[tokio::test]
async fn time_outs_of_0_are_over_at_once() {
    let node = Reserved::any();
    node.serve("a").await;
    for (listen, server) in [
        ("", "proxy_timeout 0;"),
        ("", "proxy_connect_timeout 0;"),
        ("", "ssl_preread on; preread_timeout 0;"),
        ("proxy_protocol", "proxy_protocol_timeout 0;"),
    ] {
        let stream = format!(
            "server {{ listen LISTEN {listen}; proxy_pass {}; {server} }}",
            node.addr
        );
        let proxy = NginxLike::start("", &stream).await;
        let client = TcpStream::connect(proxy.addr).await;
        assert!(is_ended_without_a_byte(client, b"").await, "{server}");
        assert!(
            proxy.log().contains("ends at once and is not off"),
            "{server}"
        );
    }
}

#[tokio::test]
async fn a_server_that_leads_back_is_served_beside_others() {
    let (node, other) = (Reserved::any(), Reserved::any());
    node.serve("a").await;
    let stream = format!(
        "server {{ listen LISTEN; proxy_pass LISTEN; }}
         server {{ listen {}; proxy_pass {}; }}",
        other.addr, node.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    proxy.logged("leads back to").await;
    for _ in 0..4 {
        let client = TcpStream::connect(proxy.addr).await;
        assert!(is_ended_without_a_byte(client, b"x").await);
        assert_eq!(ask(other.addr).await.unwrap(), "a");
    }
    proxy
        .logged("back to a listener of this proxy) while connecting")
        .await;
    drop(other);
}

/// A connection from the address `client` to a server that does not run. The kernel completes it sooner or later.
fn connect_from(addr: SocketAddr, client: [u8; 4]) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
            panic!("{error}")
        }
        _ => socket,
    }
}

#[tokio::test]
async fn a_storm_of_one_client_hides_no_line_about_another() {
    /// More than are written at once and, on a busy machine, while they are refused.
    const STORM: usize = 3000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let main = format!("error_log {};", path.display());
    let stream = "server { listen LISTEN backlog=4000; deny all; return a; }";
    let proxy = NginxLike::start(&main, stream).await;
    // All are there at once: how fast clients connect on this machine does not matter.
    proxy.signal(Signal::STOP);
    let connect = |client| connect_from(proxy.addr, client);
    let mut clients: Vec<_> = (0..STORM).map(|_| connect([127, 0, 0, 2])).collect();
    clients.push(connect([127, 0, 0, 3]));
    proxy.signal(Signal::CONT);
    let log = || fs::read_to_string(&path).unwrap();
    for wanted in [
        "access forbidden by rule while initializing session, client: 127.0.0.3, server: ",
        " more lines \"access forbidden by rule\" not written, client: 127.0.0.2",
    ] {
        eventually(wanted, || log().contains(wanted)).await;
    }
}

#[tokio::test]
async fn values_that_clients_influence_are_errors_in_the_log_of_their_session_alone() {
    let node = Reserved::any();
    node.serve("a").await;
    let dir = tempfile::tempdir().unwrap();
    let [main, own] = ["main", "own"].map(|name| dir.path().join(name));
    let stream = format!(
        "map $remote_addr $bad {{ default nothing; }}
         server {{
             listen LISTEN; proxy_pass {}; error_log {};
             proxy_bind $bad; proxy_upload_rate $bad;
         }}",
        node.addr,
        own.display()
    );
    let proxy = NginxLike::start(&format!("error_log {};", main.display()), &stream).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    for wanted in [
        "[error] ",
        ": *1 invalid local address \"nothing\", client: 127.0.0.1, server: ",
        ": *1 invalid size \"nothing\", client: 127.0.0.1, server: ",
    ] {
        let log = || fs::read_to_string(&own).unwrap();
        eventually(wanted, || log().contains(wanted)).await;
    }
    assert!(!fs::read_to_string(&main).unwrap().contains("nothing"));
}

#[tokio::test]
async fn a_configuration_that_is_not_applied_is_an_emergency_in_the_log() {
    let proxy = NginxLike::start("", "server { listen LISTEN; return a; }").await;
    proxy.configure("", "nonsense;");
    proxy.signal(Signal::HUP);
    proxy.logged("nothing changed").await;
    let log = proxy.log();
    let is_line = |line: &str| {
        line.contains(" [emerg] ") && line.contains(": unknown directive \"nonsense\" in /")
    };
    assert!(log.lines().any(is_line), "{log}");
}

#[tokio::test]
async fn the_error_of_a_start_is_in_every_error_log_once() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let text = format!(
        "error_log {}; error_log stderr; events {{}} stream {{ server {{ listen {taken}; return a; }} }}",
        path.display()
    );
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let command = command.arg("-c").arg(write_conf(dir.path(), &text));
    let output = within("the end", command.output()).await.unwrap();
    assert!(!output.status.success());
    let expected = format!("bind() to {taken} failed (98: Address already in use)");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    for log in [fs::read_to_string(&path).unwrap(), stderr] {
        assert_eq!(log.matches(&expected).count(), 1, "{log}");
        assert!(log.contains("[emerg] "), "{log}");
    }
}
