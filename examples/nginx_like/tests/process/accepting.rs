//! Workers, limits, and listening sockets that systemd passes on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::proxy::{NginxLike, tested, write_conf};
use crate::sockets::{Conversation, Reserved, ask, ask_times, eventually, within};

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
async fn the_limits_of_a_configuration_apply() {
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
    proxy.logged("Descriptor budget computed").await;
    assert!(proxy.log().contains("limit=256"), "{}", proxy.log());
}

#[tokio::test]
async fn listening_sockets_are_part_of_what_is_in_use() {
    let node = Reserved::any();
    let others: Vec<Reserved> = (0..50).map(|_| Reserved::any()).collect();
    let listens = others.iter().map(|other| format!("listen {};", other.addr));
    let listens: String = listens.collect();
    let main = "worker_rlimit_nofile 256;";
    let in_use = |proxy: &NginxLike| -> u64 {
        let log = proxy.log();
        let (_, last) = log.rsplit_once("in_use=").unwrap();
        last.split_whitespace().next().unwrap().parse().unwrap()
    };
    let one = NginxLike::start(main, &balanced_over(&node, "")).await;
    let all = NginxLike::start(main, &balanced_over(&node, &listens)).await;
    assert_eq!(in_use(&all), in_use(&one) + 50);
    // A reload divides the descriptors again.
    all.configure(main, &balanced_over(&node, ""));
    all.signal(Signal::HUP);
    all.logged("Configuration applied").await;
    assert_eq!(in_use(&all), in_use(&one));
}

/// A socket as systemd passes it on.
fn passed_on(addr: SocketAddr) -> TcpListener {
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    if addr.is_ipv6() {
        socket.set_only_v6(false).unwrap();
    }
    socket.bind(&addr.into()).unwrap();
    socket.listen(16).unwrap();
    socket.into()
}

/// The command that systemd runs: the socket is descriptor 3.
fn started_with(socket: TcpListener) -> Command {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_nginx_like")])
        .stdin(Stdio::from(OwnedFd::from(socket)));
    command
}

/// Connections wait in the socket before the server starts.
#[tokio::test]
async fn a_socket_that_systemd_passes_on_is_used() {
    let node = Reserved::any();
    node.serve("a").await;
    let reserved = Reserved::any();
    let socket = passed_on(reserved.addr);
    let early = TcpStream::connect(reserved.addr).await.unwrap();
    let stream = balanced_over(&node, "");
    let command = started_with(socket);
    let proxy = NginxLike::start_by(command, reserved, "worker_processes 2;", &stream).await;
    let mut early = Conversation::over(early);
    assert_eq!(early.say("hello").await.unwrap(), "a");
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    drop(early);
}

/// `ListenStream=446` is one socket for both families.
#[tokio::test]
async fn a_dual_stack_socket_that_systemd_passes_on_serves_the_listen_of_its_port() {
    let node = Reserved::any();
    node.serve("a").await;
    for (listens, all) in [
        ("listen PORT;", false),
        ("listen [::]:PORT;", false),
        ("listen [::]:PORT ipv6only=off;", false),
        ("listen PORT; listen [::]:PORT;", true),
        ("listen [::]:PORT; listen PORT;", true),
    ] {
        let reserved = Reserved::at((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = reserved.addr.port();
        let socket = passed_on(reserved.addr);
        let listens = listens.replace("PORT", &port.to_string());
        let stream = format!("server {{ {listens} proxy_pass {}; }}", node.addr);
        let command = started_with(socket);
        let proxy = NginxLike::start_by(command, reserved, "worker_processes 2;", &stream).await;
        let asks_for_ipv6_alone = listens == format!("listen [::]:{port};");
        let warned = proxy.log().contains("takes IPv4 too");
        assert_eq!(warned, asks_for_ipv6_alone, "{listens}: {}", proxy.log());
        let ipv4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        assert_eq!(ask(ipv4).await.unwrap(), "a");
        assert_eq!(ask(ipv6).await.unwrap(), "a");
        // The reload finds the socket by the address of its `listen`.
        proxy.signal(Signal::HUP);
        proxy.logged("Configuration applied").await;
        assert!(
            proxy.log().contains("listeners.added=[] "),
            "{}",
            proxy.log()
        );
        assert!(proxy.log().contains("removed=[]"), "{}", proxy.log());
        assert_eq!(ask(ipv4).await.unwrap(), "a");
        if all {
            // If two servers need one family each, nothing says which of them gets the socket.
            let two = format!(
                "server {{ listen {port}; proxy_pass {0}; }} server {{ listen [::]:{port}; proxy_pass {0}; }}",
                node.addr
            );
            proxy.configure("worker_processes 2;", &two);
            proxy.signal(Signal::HUP);
            proxy.logged("set BindIPv6Only=ipv6-only").await;
            assert_eq!(ask(ipv6).await.unwrap(), "a");
        }
    }
}

/// The address is of no interface, so that only systemd's `FreeBind=` binds it.
#[tokio::test]
async fn a_test_does_not_bind_the_address_of_a_socket_that_systemd_passes_on() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_freebind_v4(true).unwrap();
    let addr = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 77), 0));
    socket.bind(&addr.into()).unwrap();
    socket.listen(1).unwrap();
    let socket: TcpListener = socket.into();
    let addr = socket.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = format!("stream {{ server {{ listen {addr}; proxy_pass 127.0.0.1:1; }} }}");
    let conf = write_conf(dir.path(), &text);
    let warning = format!("bind() to {addr} failed (99: Cannot assign requested address)");
    let alone = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    for (command, is_warned_of) in [(started_with(socket), false), (alone, true)] {
        let (output, stderr) = tested(command, &conf).await;
        assert!(output.status.success(), "{stderr}");
        assert_eq!(stderr.contains(&warning), is_warned_of, "{stderr}");
    }
}

/// The sockets are wrong, whatever `user` says.
#[tokio::test]
async fn two_servers_that_ask_for_one_socket_are_an_error_of_the_sockets() {
    for user in ["", "user root root;", "user daemon;"] {
        let reserved = Reserved::at((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = reserved.addr.port();
        let text = format!(
            "{user} stream {{ server {{ listen {port}; proxy_pass 127.0.0.1:1; }}
            server {{ listen [::]:{port}; proxy_pass 127.0.0.1:1; }} }}"
        );
        let dir = tempfile::tempdir().unwrap();
        let conf = write_conf(dir.path(), &text);
        let mut command = started_with(passed_on(reserved.addr));
        let output = command.arg("-c").arg(conf).kill_on_drop(true).output();
        let output = within("the refusal", output).await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("set BindIPv6Only=ipv6-only"), "{stderr}");
        assert!(!stderr.contains("this is read as"), "{stderr}");
    }
}

#[tokio::test]
async fn a_start_waits_for_the_address_of_a_process_that_ends() {
    let node = Reserved::any();
    node.serve("a").await;
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = held.local_addr().unwrap();
    let stream = format!("server {{ listen {addr}; proxy_pass {}; }}", node.addr);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let text = format!(
        "error_log {} info; events {{}} stream {{ {stream} }}",
        log.display()
    );
    let conf = write_conf(dir.path(), &text);
    let mut starting = Command::new(env!("CARGO_BIN_EXE_nginx_like"))
        .arg("-c")
        .arg(conf)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let said = |text| std::fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    eventually("the first attempt", || said("Address in use, trying again")).await;
    drop(held);
    eventually("the start", || said("Listening")).await;
    assert_eq!(ask(addr).await.unwrap(), "a");
    starting.kill().await.unwrap();
}

/// The second server asks to share the address, the first does not.
#[tokio::test]
async fn an_address_is_not_shared_unless_both_servers_ask_for_it() {
    let node = Reserved::any();
    node.serve("a").await;
    let first = NginxLike::start("worker_processes 2;", &balanced_over(&node, "")).await;
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "worker_processes 2; events {{}} stream {{ server {{ listen {} reuseport; proxy_pass {}; }} }}",
        first.addr, node.addr
    );
    let conf = write_conf(dir.path(), &text);
    let mut second = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let output = second.arg("-c").arg(conf).kill_on_drop(true).output();
    let output = within("the second server", output).await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("Address already in use"), "{error}");
    assert_eq!(ask_times(first.addr, 10).await, vec!["a"; 10]);
}

#[tokio::test]
async fn a_reload_changes_the_family_of_a_wildcard() {
    let node = Reserved::any();
    node.serve("a").await;
    for workers in ["worker_processes 1;", "worker_processes 2;"] {
        let reserved = Reserved::at((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = reserved.addr.port();
        let stream = |ipv6only: &str| {
            format!(
                "server {{ listen [::]:{port} ipv6only={ipv6only}; proxy_pass {}; }}
                 server {{ listen LISTEN; proxy_pass {}; }}",
                node.addr, node.addr
            )
        };
        let proxy = NginxLike::start(workers, &stream("on")).await;
        let ipv4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert!(ask(ipv4).await.is_err());
        proxy.configure(workers, &stream("off"));
        proxy.signal(Signal::HUP);
        proxy
            .logged(&format!("listeners.changed=[[::]:{port}]"))
            .await;
        assert_eq!(ask(ipv4).await.unwrap(), "a");
        proxy.configure(workers, &stream("on"));
        proxy.signal(Signal::HUP);
        eventually("the second reload", || {
            proxy.count("Configuration applied") == 2
        })
        .await;
        assert!(ask(ipv4).await.is_err());
    }
}
