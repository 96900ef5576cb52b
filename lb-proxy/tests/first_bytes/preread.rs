//! Reading the first bytes before a backend is picked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::access::{Access, ClientZone};
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::first_bytes::{Preread, PrereadContext, PrereadError, PrereadStatus};
use lb_proxy::{Listener, Proxy, Upstream};
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;
use test_support::streams::{assert_reset, read_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Consumes a line that names the client.
#[derive(Debug)]
struct ClientLine;

impl Preread for ClientLine {
    fn read(
        &self,
        bytes: &[u8],
        context: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError> {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return Ok(PrereadStatus::More);
        };
        let line = std::str::from_utf8(&bytes[..end]).map_err(PrereadError::new)?;
        context.set_client(line.parse().map_err(|_| PrereadError::new("no address"))?);
        Ok(PrereadStatus::Done { consumed: end + 1 })
    }

    fn limit(&self) -> usize {
        64
    }

    fn names_client(&self) -> bool {
        true
    }
}

/// Looks at the first byte and leaves it: `2` goes to another upstream.
#[derive(Debug)]
struct FirstByte(Upstream);

impl Preread for FirstByte {
    fn read(
        &self,
        bytes: &[u8],
        context: &mut PrereadContext<'_>,
    ) -> Result<PrereadStatus, PrereadError> {
        match bytes.first() {
            None => return Ok(PrereadStatus::More),
            Some(b'2') => context.set_upstream(&self.0),
            Some(_) => {}
        }
        Ok(PrereadStatus::Done { consumed: 0 })
    }
}

/// A listening backend and a proxy in front of it that reads a line first.
async fn lined(settings: impl FnOnce(Listener) -> Listener) -> (RunningProxy, TcpListener) {
    let backend = TcpListener::bind(loopback()).await.unwrap();
    let upstream = upstream([Backend::new(backend.local_addr().unwrap())]);
    let listener = Listener::new(loopback(), &upstream).preread(Arc::new(ClientLine));
    (RunningProxy::start(settings(listener), None).await, backend)
}

/// A client that has sent `bytes`.
async fn said(proxy: &RunningProxy, bytes: &[u8]) -> TcpStream {
    let mut client = proxy.connect().await;
    client.write_all(bytes).await.unwrap();
    client
}

#[tokio::test]
async fn what_is_consumed_is_gone_and_the_rest_comes_first() {
    let (proxy, backend) = lined(|listener| listener).await;
    let mut client = proxy.connect().await;
    client.write_all(b"10.0.").await.unwrap();
    client.write_all(b"0.1:5\nfirst ").await.unwrap();
    let (mut server, _) = within("the connection", backend.accept()).await.unwrap();
    let mut first = [0; 6];
    server.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"first ");
    let rest = noise(7, 300_000);
    let (sent, received) = tokio::join!(
        async {
            client.write_all(&rest).await.unwrap();
            client.shutdown().await.unwrap();
        },
        read_all(&mut server),
    );
    let () = sent;
    assert!(received == rest);
    assert_eq!(proxy.metrics().bytes_to_backends, 300_006);
    drop(server);
    read_all(&mut client).await;
    proxy.end().await;
}

#[tokio::test]
async fn rules_and_limits_go_by_the_client_that_was_named() {
    let access = Access::new().deny("10.0.0.9".parse::<std::net::IpAddr>().unwrap());
    let zone = ClientZone::builder().build();
    let (proxy, backend) = lined(|listener| listener.access(access).limit_clients(&zone, 1)).await;
    let say = async |line: &[u8]| said(&proxy, line).await;
    assert_reset(&mut say(b"10.0.0.9:1\n").await).await;
    let first = say(b"10.0.0.1:1\n").await;
    within("the first", backend.accept()).await.unwrap();
    assert_reset(&mut say(b"10.0.0.1:2\n").await).await;
    let second = say(b"10.0.0.2:1\n").await;
    within("the second", backend.accept()).await.unwrap();
    let metrics = proxy.metrics();
    assert_eq!((metrics.access_denied, metrics.client_sessions), (1, 1));
    drop((first, second));
    proxy.end().await;
}

/// The prereads behind the one that names the client wait for bytes of admitted clients alone.
#[tokio::test]
async fn a_named_client_is_refused_before_the_next_preread_reads() {
    let access = Access::new().deny("10.0.0.9".parse::<std::net::IpAddr>().unwrap());
    let zone = ClientZone::builder().build();
    let forever = ClientHelloReader::new().timeout(Duration::MAX);
    let (proxy, _backend) = lined(|listener| {
        listener
            .preread(Arc::new(forever))
            .access(access)
            .limit_clients(&zone, 1)
    })
    .await;
    let say = async |line: &[u8]| said(&proxy, line).await;
    // No client sends a ClientHello.
    assert_reset(&mut say(b"10.0.0.9:1\n").await).await;
    let first = say(b"10.0.0.1:1\n").await;
    eventually("the first client's place", || zone.len() == 1).await;
    assert_reset(&mut say(b"10.0.0.1:2\n").await).await;
    let metrics = proxy.metrics();
    assert_eq!((metrics.access_denied, metrics.client_sessions), (1, 1));
    assert_eq!((metrics.preread_errors, metrics.connect_attempts), (0, 0));
    drop(first);
    eventually("the first client's end", || {
        proxy.metrics().preread_errors == 1
    })
    .await;
    proxy.end().await;
}

#[tokio::test]
async fn wrong_long_and_missing_first_bytes_are_reset() {
    let quick = Duration::from_millis(200);
    let (proxy, _backend) = lined(|listener| listener.preread_timeout(quick)).await;
    for line in [&b"nonsense\n"[..], &[b'x'; 65]] {
        let mut client = proxy.connect().await;
        client.write_all(line).await.unwrap();
        assert_reset(&mut client).await;
    }
    let mut ends = proxy.connect().await;
    ends.shutdown().await.unwrap();
    assert_reset(&mut ends).await;
    eventually("the errors", || proxy.metrics().preread_errors == 3).await;
    let mut silent = proxy.connect().await;
    assert_reset(&mut silent).await;
    let metrics = proxy.metrics();
    assert_eq!((metrics.preread_timeouts, metrics.connect_attempts), (1, 0));
    proxy.end().await;
}

#[tokio::test]
async fn the_first_bytes_choose_the_upstream_one_preread_after_another() {
    let one = upstream([Backend::new(named("1").await)]);
    let two = upstream([Backend::new(named("2").await)]);
    let listener = Listener::new(loopback(), &one)
        .preread(Arc::new(ClientLine))
        .preread(Arc::new(FirstByte(two.clone())));
    let proxy = Proxy::builder().listener(listener).upstream(&two);
    let proxy = RunningProxy::run(proxy).await;
    let ask = async |line: &[u8], addr: SocketAddr| {
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(line).await.unwrap();
        client.shutdown().await.unwrap();
        read_all(&mut client).await
    };
    assert_eq!(ask(b"10.0.0.1:1\n1 please", proxy.addr).await, b"1");
    assert_eq!(ask(b"10.0.0.1:1\n2 please", proxy.addr).await, b"2");
    proxy.end().await;
}

#[tokio::test]
async fn a_client_that_ends_behind_its_first_line_is_noticed() {
    // Nothing is known, so that the session waits.
    let (source, _handle) = lb_discovery::Manual::new(lb_core::Snapshot::default());
    let upstream = Upstream::builder("test")
        .discovery(source)
        .queue(Some(
            lb_proxy::balancing::Queue::new(1).wait_for(lb_proxy::balancing::WaitFor::Anything),
        ))
        .build()
        .unwrap();
    let listener = Listener::new(loopback(), &upstream).preread(Arc::new(ClientLine));
    let proxy = RunningProxy::start(listener, None).await;
    let mut client = proxy.connect().await;
    client.write_all(b"10.0.0.1:1\n").await.unwrap();
    eventually("the queued session", || upstream.queued() == 1).await;
    drop(client);
    eventually("the end", || proxy.metrics().clients_gone == 1).await;
    assert_eq!(upstream.queued(), 0);
    proxy.end().await;
}
