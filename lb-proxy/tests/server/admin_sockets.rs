//! The sockets of admin servers: those that follow one another, and processes that race for one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;

use lb_core::Endpoint;
use lb_proxy::Proxy;
use lb_proxy::admin::{Admin, AdminListener, AdminServer, AdminSettings, LogLevels};
use lb_proxy::settings::UnixSocketOpener;
use socket2::{Domain, Socket, Type};
use test_support::deadline::within;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, round_robin};
use test_support::sockets::{loopback, reserved_port};
use tokio::task::spawn_blocking;

use crate::admin::{tcp, unix};

fn at(addr: SocketAddr) -> AdminSettings {
    AdminSettings::tcp(addr).allow("127.0.0.0/8".parse().unwrap())
}

async fn livez(server: &AdminServer) -> u16 {
    let port = server.endpoint().key().port();
    let addr = ([127, 0, 0, 1], port).into();
    tcp(addr, "GET", "/livez", "host: localhost\r\n")
        .await
        .status
}

/// The address that a socket of another program which shares what it can cannot have.
fn is_closed(addr: SocketAddr) -> bool {
    let other = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
    other.set_reuse_address(true).unwrap();
    other.set_reuse_port(true).unwrap();
    other.bind(&addr.into()).is_err()
}

#[tokio::test]
async fn a_server_moves_to_an_address_that_overlaps() {
    let upstream = round_robin("u", listening("u").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let admin = Admin::builder(proxy.handle.clone()).build();
    // Free on every address: a client of another test may have a port of one of them.
    let (_reserved, port) = reserved_port();
    let first = at(([127, 0, 0, 1], port).into());
    let mut server = admin.serve(AdminListener::open(&first).unwrap());
    for ip in [[0, 0, 0, 0], [127, 0, 0, 1], [0, 0, 0, 0]] {
        let settings = at((ip, port).into());
        let running = server.listening();
        assert!(!running.is_at(settings.endpoint()));
        // A listener that is not served in the end leaves the running server alone.
        drop(AdminListener::open_beside(&settings, Some(&running)).unwrap());
        assert_eq!(livez(&server).await, 200);
        let next = AdminListener::open_beside(&settings, Some(&running)).unwrap();
        let before = std::mem::replace(&mut server, admin.serve(next));
        before.stop().await;
        assert_eq!(livez(&server).await, 200);
        assert!(server.listening().is_at(settings.endpoint()));
        assert!(is_closed((ip, port).into()), "{ip:?}");
    }
    // Without the running server, or at an address of another program, it is in use.
    let other = at(([127, 0, 0, 1], port).into());
    AdminListener::open(&other).unwrap_err();
    let foreign = std::net::TcpListener::bind(loopback()).unwrap();
    let foreign = at(foreign.local_addr().unwrap());
    AdminListener::open_beside(&foreign, Some(&server.listening())).unwrap_err();
    server.stop().await;
    proxy.end().await;
}

/// A client that has connected and sent nothing. The test's runtime does not run meanwhile.
fn connect(server: &AdminServer) -> TcpStream {
    let addr = SocketAddr::from(([127, 0, 0, 1], server.endpoint().key().port()));
    TcpStream::connect(addr).unwrap()
}

/// Sends a request on a connection that may stay open. Returns all that comes until the server closes it, or has sent `body`.
async fn request(mut client: TcpStream, body: &'static str) -> (TcpStream, String) {
    let exchange = move || {
        client
            .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        let (mut answer, mut bytes) = (String::new(), [0; 1024]);
        while !answer.ends_with(body) {
            let read = client.read(&mut bytes).unwrap();
            assert_ne!(read, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        (client, answer)
    };
    spawn_blocking(exchange).await.unwrap()
}

#[tokio::test]
async fn clients_that_have_connected_are_answered_by_a_server_that_closes() {
    let upstream = round_robin("u", listening("u").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let admin = Admin::builder(proxy.handle.clone()).build();
    for round in 0..20 {
        let server = admin.serve(AdminListener::open(&at(loopback())).unwrap());
        let (listening, endpoint) = (server.listening(), server.endpoint().clone());
        let mut kept = None;
        if round % 2 == 0 {
            // Otherwise no thread runs.
            kept = Some(request(connect(&server), "ok\n").await.0);
        }
        let waiting = [connect(&server), connect(&server)];
        server.close().await;
        assert!(!listening.is_at(&endpoint), "the socket is closed");
        for client in waiting {
            let (mut client, answer) = request(client, "ok\n").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
        if let Some(mut kept) = kept {
            assert_eq!(kept.read(&mut [0]).unwrap(), 0);
        }
    }
    proxy.end().await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_holds_a_server_up_for_a_second() {
    let upstream = round_robin("u", listening("u").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let admin = Admin::builder(proxy.handle.clone()).build();
    let server = admin.serve(AdminListener::open(&at(loopback())).unwrap());
    let mut silent = connect(&server);
    within("the end", server.stop()).await;
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    proxy.end().await;
}

#[tokio::test]
async fn a_server_is_known_by_every_name_of_its_file() {
    let upstream = round_robin("u", listening("u").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("run"), dir.path().join("var"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let path = real.join("lb.sock");
    let listener = AdminListener::open(&AdminSettings::unix(path.as_path())).unwrap();
    let server = Admin::builder(proxy.handle.clone()).build().serve(listener);
    let is_at = |path: std::path::PathBuf| {
        let endpoint = Endpoint::Unix(path.into());
        server.listening().is_at(&endpoint)
    };
    assert!(is_at(path.clone()) && is_at(link.join("lb.sock")));
    assert!(!is_at(real.join("other.sock")));
    std::fs::remove_file(&path).unwrap();
    assert!(!is_at(path.clone()));
    let replaced = UnixListener::bind(&path).unwrap();
    assert!(!is_at(path.clone()));
    server.stop().await;
    assert!(path.exists(), "the file of another program is left");
    drop(replaced);
    proxy.end().await;
}

/// Of processes that find the file of one that died, one gets the name, and no other takes it away again.
#[test]
fn one_of_several_processes_replaces_an_abandoned_socket() {
    const RACERS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    for _ in 0..100 {
        let _ = std::fs::remove_file(&path);
        drop(UnixListener::bind(&path).unwrap());
        let start = Barrier::new(RACERS);
        let race = || {
            start.wait();
            AdminListener::open(&AdminSettings::unix(path.as_path()))
        };
        let opened = thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(race)).collect();
            let opened = racers.into_iter().map(|racer| racer.join().unwrap());
            opened.filter_map(Result::ok).collect::<Vec<_>>()
        });
        assert_eq!(opened.len(), 1);
        UnixStream::connect(&path).unwrap();
    }
}

/// The log level and the socket of a program.
#[derive(Debug)]
struct OneLevel;

impl LogLevels for OneLevel {
    fn level(&self) -> String {
        "info".to_owned()
    }

    fn check_level(&self, _: &str) -> Result<(), String> {
        Err("it cannot be set".to_owned())
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        self.check_level(level)
    }
}

impl UnixSocketOpener for OneLevel {
    fn open(&self, path: &Path, _: u32) -> io::Result<UnixListener> {
        UnixListener::bind(path)
    }

    fn remove(&self, path: &Path) {
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn log_levels_and_openers_are_values_or_shared() {
    let upstream = round_robin("u", listening("u").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let builder = || Admin::builder(proxy.handle.clone());
    let levels: Arc<dyn LogLevels> = Arc::new(OneLevel);
    let opener: Arc<dyn UnixSocketOpener> = Arc::new(OneLevel);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lb.sock");
    let settings = || AdminSettings::unix(path.as_path());
    for (admin, settings) in [
        (builder().log_levels(OneLevel), settings().opener(OneLevel)),
        (
            builder().log_levels(Arc::new(OneLevel)),
            settings().opener(Arc::new(OneLevel)),
        ),
        (builder().log_levels(levels), settings().opener(opener)),
    ] {
        let server = admin.build().serve(AdminListener::open(&settings).unwrap());
        let answer = unix(&path, "GET", "/log_level").await;
        assert_eq!(answer.status, 200);
        server.stop().await;
        assert!(!path.exists());
    }
    proxy.end().await;
}
