//! Listeners and backends on unix sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lb_core::{Backend, Endpoint, FailLimit};
use lb_proxy::access::{Access, ClientZone};
use lb_proxy::events::{CloseReason, Connection, Summary};
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, TrustedNetworks};
use lb_proxy::routing::RouteAction;
use lb_proxy::settings::{HalfClose, SocketOptions, Splice};
use lb_proxy::{Hooks, Listener, Proxy, Upstream};
use tempfile::TempDir;
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::log::Capture;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, reload, upstream};
use test_support::sockets::loopback;
use test_support::streams::{read_all, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// A path in a directory of the test.
fn path(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A backend on a unix socket, and its listening socket.
fn backend(path: &Path) -> (Backend, UnixListener) {
    (Backend::unix(path), UnixListener::bind(path).unwrap())
}

/// A backend on a unix socket that answers each connection with `name`, and closes.
fn named_unix(path: &Path, name: &'static str) -> Backend {
    let (backend, listener) = backend(path);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            // The client may have left.
            let _ = client.write_all(name.as_bytes()).await;
        }
    });
    backend
}

async fn ask_unix(path: &Path) -> std::io::Result<String> {
    let mut client = UnixStream::connect(path).await?;
    let mut answer = String::new();
    within("an answer", client.read_to_string(&mut answer)).await?;
    Ok(answer)
}

async fn accepted(listener: &UnixListener) -> UnixStream {
    within("a connection", listener.accept()).await.unwrap().0
}

#[derive(Debug, Default)]
struct Observer(Mutex<Vec<(Connection, CloseReason, Option<Endpoint>)>>);

impl Hooks for Observer {
    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        let backend = summary.backend.map(Backend::endpoint);
        let closed = (connection.clone(), summary.reason, backend);
        self.0.lock().unwrap().push(closed);
    }
}

#[tokio::test]
async fn clients_and_backends_may_be_on_unix_sockets() {
    let dir = directory();
    let [front, back] = ["front", "back"].map(|name| path(&dir, name));
    let upstream = upstream([named_unix(&back, "a")]);
    let seen = Arc::new(Observer::default());
    let proxy = Proxy::builder()
        .listen(loopback(), &upstream)
        .listener(Listener::unix(&*front, &upstream).hooks(Arc::clone(&seen) as _));
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(test_support::streams::ask(proxy.addr).await.unwrap(), "a");
    assert_eq!(ask_unix(&front).await.unwrap(), "a");
    eventually("the hook", || !seen.0.lock().unwrap().is_empty()).await;
    let (connection, reason, backend) = seen.0.lock().unwrap()[0].clone();
    assert_eq!(reason, CloseReason::Finished);
    assert_eq!(backend, Some(Endpoint::Unix(back.as_path().into())));
    assert_eq!(connection.client_endpoint().to_string(), "unix:");
    assert_eq!(connection.peer_endpoint(), Endpoint::unnamed());
    let shown = format!("unix:{}", front.display());
    assert_eq!(connection.local_endpoint().to_string(), shown);
    let explained = upstream.explain(b"").unwrap();
    let line = format!("unix:{}", back.display());
    assert!(explained.to_string().contains(&line), "{explained}");
    let keys = [&front, &back].map(|path| Endpoint::unix_key(path));
    assert_eq!(proxy.handle.local_addrs(), [proxy.addr, keys[0]]);
    proxy.end().await;
}

/// Megabytes both ways at once, through pipes and through buffers, with half-close in both orders.
#[tokio::test]
async fn a_relay_between_unix_sockets_delivers_everything_and_half_closes() {
    for splice in [Splice::Auto, Splice::Off] {
        let dir = directory();
        let (backend, listener) = backend(&path(&dir, "back"));
        let front = path(&dir, "front");
        let described = Listener::unix(&*front, &upstream([backend])).splice(splice);
        let proxy = RunningProxy::start(described, None).await;
        for client_first in [true, false] {
            let mut client = UnixStream::connect(&front).await.unwrap();
            let mut server = accepted(&listener).await;
            let (up, down) = (noise(1, 8 << 20), noise(2, 8 << 20));
            let (first, second) = match client_first {
                true => (&mut client, &mut server),
                false => (&mut server, &mut client),
            };
            let mut received = Vec::new();
            let transfer = async {
                let send = async {
                    first.write_all(&up).await.unwrap();
                    first.shutdown().await.unwrap();
                };
                tokio::join!(send, second.read_to_end(&mut received))
                    .1
                    .unwrap();
                assert!(received == up);
                // The other direction goes on after the first has ended.
                received.clear();
                let send = async {
                    second.write_all(&down).await.unwrap();
                    second.shutdown().await.unwrap();
                };
                tokio::join!(send, first.read_to_end(&mut received))
                    .1
                    .unwrap();
                assert!(received == down);
            };
            within("the transfer", transfer).await;
        }
        proxy.end().await;
    }
}

/// A unix socket is closed with everything in the queue of its peer, which reads it later.
#[tokio::test]
async fn a_slow_reader_on_a_unix_socket_gets_all_after_its_peer_has_closed() {
    let dir = directory();
    let (backend, listener) = backend(&path(&dir, "back"));
    let front = path(&dir, "front");
    let upstream = upstream([backend]);
    let described = Listener::unix(&*front, &upstream).half_close(HalfClose::End);
    let proxy = RunningProxy::start(described, None).await;
    let mut client = UnixStream::connect(&front).await.unwrap();
    let mut server = accepted(&listener).await;
    let sent = noise(3, 100 << 10);
    server.write_all(&sent).await.unwrap();
    drop(server);
    eventually("the end of the session", || proxy.metrics().active == 0).await;
    let mut received = vec![0; sent.len()];
    within("the bytes", client.read_exact(&mut received))
        .await
        .unwrap();
    assert!(received == sent);
    assert_eq!(within("the end", client.read(&mut [0])).await.unwrap(), 0);
    proxy.end().await;
}

/// A reset of the one side ends the other at once. A unix socket has no reset, so its peer reads an end.
#[tokio::test]
async fn a_reset_of_a_client_ends_the_backends_unix_socket() {
    let dir = directory();
    let (backend, listener) = backend(&path(&dir, "back"));
    let described = Listener::new(loopback(), &upstream([backend]));
    let proxy = RunningProxy::start(described, None).await;
    let mut client = proxy.connect().await;
    let mut server = accepted(&listener).await;
    client.write_all(b"hello").await.unwrap();
    let mut received = [0; 5];
    server.read_exact(&mut received).await.unwrap();
    reset(client);
    assert_eq!(within("the end", server.read(&mut [0])).await.unwrap(), 0);
    eventually("the count", || proxy.metrics().client_resets == 1).await;
    proxy.end().await;
}

/// A backend that closes with bytes unread resets the session, as with TCP.
#[tokio::test]
async fn a_unix_backend_that_closes_with_bytes_unread_resets_the_client() {
    let dir = directory();
    let (backend, listener) = backend(&path(&dir, "back"));
    let described = Listener::new(loopback(), &upstream([backend]));
    let proxy = RunningProxy::start(described, None).await;
    let mut client = proxy.connect().await;
    let mut server = accepted(&listener).await;
    client.write_all(b"hello").await.unwrap();
    let arrived = || rustix::io::ioctl_fionread(&server).unwrap() == 5;
    eventually("the bytes", arrived).await;
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let received = test_support::streams::read_until_reset(&mut client).await;
    assert_eq!(received, b"answer");
    proxy.end().await;
}

#[tokio::test]
async fn a_unix_backend_that_does_not_listen_is_ejected_and_another_one_serves() {
    let dir = directory();
    let missing = path(&dir, "missing");
    let alive = named_unix(&path(&dir, "alive"), "alive");
    let upstream = upstream([Backend::unix(&*missing), alive]);
    let log = Capture::install();
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    for _ in 0..4 {
        let answer = test_support::streams::ask(proxy.addr).await.unwrap();
        assert_eq!(answer, "alive");
    }
    assert_eq!(proxy.metrics().connect_failures, 1);
    let lines = log.take().join("\n");
    let shown = format!("backend.addr=unix:{}", missing.display());
    assert!(lines.contains(&shown), "{lines}");
    assert!(lines.contains("No such file or directory"), "{lines}");
    proxy.end().await;
}

/// Linux answers EAGAIN, which is no reason to wait.
#[tokio::test]
async fn a_unix_backend_with_a_full_queue_counts_as_failed() {
    let dir = directory();
    let full = path(&dir, "full");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let addr = socket2::SockAddr::unix(&full).unwrap();
    socket.bind(&addr).unwrap();
    socket.listen(0).unwrap();
    let mut queued = Vec::new();
    loop {
        let client =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&addr) {
            Ok(()) => queued.push(client),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let alive = named("alive").await;
    let backends = [Backend::unix(&*full), Backend::new(alive)];
    let fail_limit = Some(FailLimit::default());
    let upstream = upstream(backends.map(|backend| backend.with_fail_limit(fail_limit)));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    for _ in 0..3 {
        let answer = test_support::streams::ask(proxy.addr).await.unwrap();
        assert_eq!(answer, "alive");
    }
    assert_eq!(proxy.metrics().connect_failures, 1);
    proxy.end().await;
}

#[tokio::test]
async fn the_file_of_a_listener_is_made_kept_by_a_reload_and_removed() {
    let dir = directory();
    let [one, two] = ["one", "two"].map(|name| path(&dir, name));
    let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
    let describe = |paths: &[&PathBuf]| {
        let mut proxy = Proxy::builder();
        for path in paths {
            // What only TCP has is no error.
            let described = Listener::unix(path.as_path(), &upstream).fast_open(Some(5));
            proxy = proxy.listener(described.multipath(true).ipv6_only(true));
        }
        proxy
    };
    let log = Capture::install();
    let proxy = RunningProxy::run(describe(&[&one, &two])).await;
    let mode = std::fs::metadata(&one).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let inode =
        |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(&one);
    let held = UnixStream::connect(&one).await.unwrap();

    let reloaded = reload(&proxy, describe(&[&one])).await.unwrap();
    let endpoint = |path: &Path| Endpoint::Unix(path.into());
    assert_eq!(reloaded.listeners.kept, [endpoint(&one)]);
    assert_eq!(reloaded.listeners.removed, [endpoint(&two)]);
    assert_eq!(inode(&one), before);
    let lines = log.take().join("\n");
    assert!(!lines.contains("not applied"), "{lines}");
    assert!(!two.exists());
    assert_eq!(ask_unix(&one).await.unwrap(), "a");
    drop(held);

    let reloaded = reload(&proxy, describe(&[&one, &two])).await.unwrap();
    assert_eq!(reloaded.listeners.added, [endpoint(&two)]);
    assert_eq!(ask_unix(&two).await.unwrap(), "a");
    proxy.end().await;
    assert!(!one.exists() && !two.exists());
}

#[tokio::test]
async fn a_file_in_the_way_of_a_listener_is_an_error_and_stays() {
    let dir = directory();
    let stale = path(&dir, "stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let upstream = upstream([Backend::new(named("a").await)]);
    let proxy = Proxy::builder()
        .listener(Listener::unix(&*stale, &upstream))
        .bind_timeout(std::time::Duration::ZERO);
    let error = proxy.build().unwrap().bind().await.unwrap_err();
    let shown = format!("cannot listen on unix:{}", stale.display());
    assert_eq!(error.to_string(), shown);
    assert!(stale.exists());
}

#[tokio::test]
async fn a_socket_that_the_embedder_opened_is_served_and_its_file_stays() {
    let dir = directory();
    let front = path(&dir, "front");
    let upstream = upstream([Backend::new(named("a").await)]);
    let socket = std::os::unix::net::UnixListener::bind(&front).unwrap();
    let described = Listener::from_unix(socket, &*front, &upstream).unwrap();
    let proxy = RunningProxy::start(described, None).await;
    assert_eq!(ask_unix(&front).await.unwrap(), "a");
    let kept = Proxy::builder().listener(Listener::unix(&*front, &upstream));
    let kept = reload(&proxy, kept).await.unwrap();
    assert_eq!(
        kept.listeners.kept,
        [Endpoint::Unix(front.as_path().into())]
    );
    assert_eq!(ask_unix(&front).await.unwrap(), "a");
    proxy.end().await;
    assert!(front.exists());
}

#[tokio::test]
async fn rules_and_limits_know_clients_on_unix_sockets() {
    let dir = directory();
    let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
    let everything =
        || Access::new().deny("0.0.0.0/0".parse::<lb_proxy::access::Network>().unwrap());
    let ipv6 = || "::/0".parse::<lb_proxy::access::Network>().unwrap();
    let [denied, allowed, networks] =
        ["denied", "allowed", "networks"].map(|name| path(&dir, name));
    let proxy = Proxy::builder()
        .listener(Listener::unix(&*denied, &upstream).access(Access::new().deny_unix()))
        .listener(
            Listener::unix(&*allowed, &upstream).access(Access::new().allow_unix().deny_unix()),
        )
        .listener(Listener::unix(&*networks, &upstream).access(everything().deny(ipv6())));
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(ask_unix(&denied).await.unwrap(), "");
    assert_eq!(ask_unix(&allowed).await.unwrap(), "a");
    assert_eq!(ask_unix(&networks).await.unwrap(), "a");
    assert_eq!(proxy.metrics().access_denied, 1);
    proxy.end().await;
}

/// All clients on unix sockets are one client, as in nginx.
#[tokio::test]
async fn clients_on_unix_sockets_share_one_entry_of_a_zone() {
    let dir = directory();
    let (backend, listener) = backend(&path(&dir, "back"));
    let front = path(&dir, "front");
    let zone = ClientZone::builder().build();
    let described = Listener::unix(&*front, &upstream([backend]));
    let described = described.limit_clients(&zone, std::num::NonZeroU32::MIN);
    let proxy = RunningProxy::start(described, None).await;
    let _first = UnixStream::connect(&front).await.unwrap();
    let _server = accepted(&listener).await;
    assert_eq!(ask_unix(&front).await.unwrap(), "");
    assert_eq!((proxy.metrics().client_sessions, zone.len()), (1, 1));
    drop(_first);
    drop(_server);
    proxy.end().await;
}

#[tokio::test]
async fn a_header_of_a_client_on_a_unix_socket_has_no_addresses() {
    for (send, expected) in [
        (SendProxy::v1(), &b"PROXY UNKNOWN\r\n"[..]),
        (
            SendProxy::v2().checksum(true),
            b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x07\x03\x00\x04\xa9\xb8\x7e\x8f",
        ),
    ] {
        let dir = directory();
        let (backend, listener) = backend(&path(&dir, "back"));
        let front = path(&dir, "front");
        let described = Listener::unix(&*front, &upstream([backend])).send_proxy(send);
        let proxy = RunningProxy::start(described, None).await;
        let client = UnixStream::connect(&front).await.unwrap();
        let mut server = accepted(&listener).await;
        let mut header = vec![0; expected.len()];
        server.read_exact(&mut header).await.unwrap();
        assert_eq!(header, expected);
        drop(client);
        drop(server);
        proxy.end().await;
    }
}

#[tokio::test]
async fn headers_are_believed_from_unix_sockets_only_if_these_are_trusted() {
    let trusted = TrustedNetworks::none().with_unix();
    for (trusted, client) in [
        (trusted, "192.0.2.1:1234"),
        (TrustedNetworks::none(), "unix:"),
    ] {
        let dir = directory();
        let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
        let front = path(&dir, "front");
        let seen = Arc::new(Observer::default());
        let protocol = ProxyProtocol::required(trusted)
            .untrusted(lb_proxy::proxy_protocol::Untrusted::Disbelieve);
        let described = Listener::unix(&*front, &upstream)
            .preread(Arc::new(protocol))
            .hooks(Arc::clone(&seen) as _);
        let proxy = RunningProxy::start(described, None).await;
        let mut stream = UnixStream::connect(&front).await.unwrap();
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 446\r\n";
        stream.write_all(header).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "a");
        drop(stream);
        eventually("the hook", || !seen.0.lock().unwrap().is_empty()).await;
        let connection = seen.0.lock().unwrap()[0].0.clone();
        assert_eq!(connection.client_endpoint().to_string(), client);
        assert_eq!(connection.peer_endpoint().to_string(), "unix:");
        proxy.end().await;
    }
}

#[tokio::test]
async fn a_loop_over_unix_sockets_ends() {
    let dir = directory();
    let front = path(&dir, "front");
    let upstream: Upstream = upstream([Backend::unix(&*front)]);
    let described = Listener::unix(&*front, &upstream).half_close(HalfClose::End);
    let proxy = RunningProxy::start(described, None).await;
    assert_eq!(ask_unix(&front).await.unwrap_or_default(), "");
    eventually("the end of all", || proxy.metrics().active == 0).await;
    assert_eq!(proxy.metrics().accepted, 17);
    proxy.end().await;
}

/// nginx's `pass unix:PATH`.
#[tokio::test]
async fn a_connection_can_be_passed_to_a_listener_on_a_unix_socket() {
    let dir = directory();
    let front = path(&dir, "front");
    let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
    let seen = Arc::new(Observer::default());
    let key = Endpoint::unix_key(&front);
    let passing = Listener::new(loopback(), &upstream).route(move |_| RouteAction::Pass(key));
    let proxy = Proxy::builder()
        .listener(passing)
        .listener(Listener::unix(&*front, &upstream).hooks(Arc::clone(&seen) as _));
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(test_support::streams::ask(proxy.addr).await.unwrap(), "a");
    eventually("the hook", || !seen.0.lock().unwrap().is_empty()).await;
    let connection = seen.0.lock().unwrap()[0].0.clone();
    let shown = format!("unix:{}", front.display());
    assert_eq!(connection.local_endpoint().to_string(), shown);
    assert!(matches!(connection.client_endpoint(), Endpoint::Tcp(_)));
    proxy.end().await;
}

#[tokio::test]
async fn buffers_of_unix_sockets_have_the_sizes_that_are_set() {
    let dir = directory();
    let (backend, listener) = backend(&path(&dir, "back"));
    let front = path(&dir, "front");
    let options = SocketOptions::default().send_buffer(Some(8192));
    let described = Listener::unix(&*front, &upstream([backend])).backend_options(options);
    let proxy = RunningProxy::start(described, None).await;
    let client = UnixStream::connect(&front).await.unwrap();
    let server = accepted(&listener).await;
    // The proxy's send buffer is full long before the default of some 200 KB.
    let mut sent = 0;
    let sending = async {
        loop {
            client.writable().await.unwrap();
            sent += client.try_write(&[0; 4096]).unwrap_or(0);
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_millis(300), sending).await;
    assert!(sent > 0);
    let queued = rustix::io::ioctl_fionread(&server).unwrap();
    assert!(queued <= 16384, "{queued} of {sent} bytes");
    drop((client, server));
    proxy.end().await;
}

/// What the tests of other modules show for TCP, between a client on TCP and a backend on a unix socket.
#[tokio::test]
async fn a_transfer_from_tcp_to_a_unix_socket_is_whole() {
    let dir = directory();
    let back = path(&dir, "back");
    let listener = std::os::unix::net::UnixListener::bind(&back).unwrap();
    let echo = std::thread::spawn(move || {
        let (mut server, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        server.read_to_end(&mut bytes).unwrap();
        server.write_all(&bytes).unwrap();
    });
    let described = Listener::new(loopback(), &upstream([Backend::unix(&*back)]));
    let proxy = RunningProxy::start(described, None).await;
    let mut client: TcpStream = proxy.connect().await;
    let sent = noise(4, 4 << 20);
    client.write_all(&sent).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(read_all(&mut client).await == sent);
    echo.join().unwrap();
    let _: SocketAddr = proxy.addr;
    drop(client);
    proxy.end().await;
}
