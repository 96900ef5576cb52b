//! PROXY protocol headers on listeners: who is believed, who is refused, and what backends and hooks get to see.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::proxy_protocol::{
    Addresses, Command, DEFAULT_LIMIT, ProxyHeader, ProxyProtocol, SendProxy, Tlv, TrustedNetworks,
    Untrusted, Version, write_v1, write_v2,
};
use lb_proxy::{
    Access, BuildError, Connection, HashKey, Hooks, Listener, Progress, Proxy, Upstream,
};
use support::{Running, assert_reset, loopback, named, read_all, until, upstream, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn ends(source: &str, destination: &str) -> Addresses {
    Addresses::new(source.parse().unwrap(), destination.parse().unwrap())
}

fn claimed() -> Addresses {
    ends("192.0.2.1:56324", "198.51.100.1:443")
}

fn v1(addresses: Option<Addresses>) -> Vec<u8> {
    let mut header = Vec::new();
    write_v1(addresses, &mut header);
    header
}

fn v2(addresses: Option<Addresses>, tlvs: &[Tlv<'_>]) -> Vec<u8> {
    let mut header = Vec::new();
    write_v2(addresses, tlvs.iter().copied(), true, &mut header).unwrap();
    header
}

fn here() -> TrustedNetworks {
    TrustedNetworks::try_new(["127.0.0.1"]).unwrap()
}

fn elsewhere() -> TrustedNetworks {
    TrustedNetworks::try_new(["10.0.0.0/8"]).unwrap()
}

/// A backend that the test plays, a proxy in front of it, and what its hooks were shown.
struct Scene {
    proxy: Running,
    backend: TcpListener,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    accepted: Mutex<Vec<Connection>>,
    hashed: Mutex<Vec<SocketAddr>>,
}

impl Hooks for Seen {
    fn accept(&self, connection: &Connection) -> lb_proxy::Verdict {
        self.accepted.lock().unwrap().push(connection.clone());
        lb_proxy::Verdict::Serve
    }

    fn hash_key(&self, connection: &Connection) -> HashKey {
        self.hashed.lock().unwrap().push(connection.client);
        HashKey::from_ip(connection.client.ip())
    }
}

impl Scene {
    async fn with(settings: impl FnOnce(Listener) -> Listener) -> Self {
        let backend = TcpListener::bind(loopback()).await.unwrap();
        let upstream = upstream([Backend::new(backend.local_addr().unwrap())]);
        let seen = Arc::new(Seen::default());
        let listener = Listener::new(loopback(), &upstream).hooks(seen.clone());
        Self {
            proxy: Running::start(settings(listener), None).await,
            backend,
            seen,
        }
    }

    async fn receiving(protocol: ProxyProtocol) -> Self {
        Self::with(|listener| listener.prelude(Arc::new(protocol))).await
    }

    /// What the backend receives of a client that sends `bytes` and ends, and what the hooks were told about it.
    async fn serve(&self, bytes: &[u8]) -> (Vec<u8>, Connection) {
        let mut client = self.proxy.connect().await;
        client.write_all(bytes).await.unwrap();
        let accepted = within("the connection", self.backend.accept()).await;
        let (mut server, _) = accepted.unwrap();
        // Whoever had ended before, with nothing but a header said, would have gone.
        client.shutdown().await.unwrap();
        let received = read_all(&mut server).await;
        drop(server);
        read_all(&mut client).await;
        let connection = self.seen.accepted.lock().unwrap().pop().unwrap();
        assert_eq!(connection.peer, client.local_addr().unwrap());
        (received, connection)
    }

    async fn refuses(&self, bytes: &[u8]) {
        let refused = self.proxy.metrics().prelude_errors;
        // It may be reset before it has written, or before it knows that it is connected.
        match TcpStream::connect(self.proxy.addr).await {
            Ok(mut client) => {
                let _ = client.write_all(bytes).await;
                assert_reset_soon(&mut client).await;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        until("the error", || {
            self.proxy.metrics().prelude_errors == refused + 1
        })
        .await;
    }

    async fn end(self) {
        self.proxy.end().await;
    }
}

/// Like `assert_reset`, for a client whose write may have met the reset already.
async fn assert_reset_soon(client: &mut TcpStream) {
    let mut bytes = Vec::new();
    match within("the reset", client.read_to_end(&mut bytes)).await {
        Ok(_) => assert!(bytes.is_empty(), "it was served: {bytes:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn a_trusted_header_tells_who_the_client_is() {
    let scene = Scene::receiving(ProxyProtocol::required(here())).await;
    let tlvs = [
        Tlv::new(Tlv::AUTHORITY, b"example.com"),
        Tlv::new(0xe0, b"own"),
    ];
    for (header, tlv) in [
        (v1(Some(claimed())), None),
        (v2(Some(claimed()), &tlvs), Some(&b"own"[..])),
    ] {
        let (received, connection) = scene.serve(&[&header, &b"payload"[..]].concat()).await;
        assert_eq!(received, b"payload");
        assert_eq!(connection.client, claimed().source);
        assert_eq!(connection.destination(), claimed().destination);
        assert_eq!(connection.local, scene.proxy.addr);
        let kept = connection.proxy_header().unwrap();
        assert_eq!(kept.addresses, Some(claimed()));
        assert_eq!(kept.tlv(0xe0), tlv);
        assert_eq!(kept.authority(), tlv.map(|_| "example.com"));
        assert_eq!(
            scene.seen.hashed.lock().unwrap().pop(),
            Some(claimed().source)
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn a_header_without_addresses_keeps_the_peer() {
    let scene = Scene::receiving(ProxyProtocol::required(here())).await;
    for header in [v1(None), v2(None, &[])] {
        let (received, connection) = scene.serve(&[&header, &b"x"[..]].concat()).await;
        assert_eq!(received, b"x");
        assert_eq!(connection.client, connection.peer);
        assert_eq!(connection.destination(), scene.proxy.addr);
    }
    let (_, connection) = scene.serve(&v2(None, &[])).await;
    let command = connection.proxy_header().unwrap().command;
    assert_eq!(command, Command::Local);
    scene.end().await;
}

#[tokio::test]
async fn rules_go_by_the_client_of_the_header() {
    let denied: IpAddr = claimed().source.ip();
    let scene = Scene::with(|listener| {
        listener
            .prelude(Arc::new(ProxyProtocol::required(here())))
            .access(Access::new().deny(denied))
    })
    .await;
    let mut client = scene.proxy.connect().await;
    client.write_all(&v1(Some(claimed()))).await.unwrap();
    assert_reset(&mut client).await;
    assert_eq!(scene.proxy.metrics().access_denied, 1);
    let other = ends("192.0.2.2:1", "198.51.100.1:443");
    let (received, _) = scene.serve(&v1(Some(other))).await;
    assert_eq!(received, b"");
    scene.end().await;
}

#[tokio::test]
async fn nobody_is_believed_by_default_and_strangers_are_refused() {
    for trusted in [TrustedNetworks::default(), elsewhere()] {
        let scene = Scene::receiving(ProxyProtocol::required(trusted.clone())).await;
        for bytes in [v1(Some(claimed())), v2(Some(claimed()), &[]), b"GET".into()] {
            scene.refuses(&bytes).await;
        }
        assert_eq!(*scene.seen.accepted.lock().unwrap(), []);
        scene.end().await;

        // Where the header is optional, one that is not believed must not reach the backend, which might believe it.
        let scene = Scene::receiving(ProxyProtocol::optional(trusted)).await;
        for header in [v1(Some(claimed())), v2(Some(claimed()), &[]), v2(None, &[])] {
            scene.refuses(&[&header, &b"payload"[..]].concat()).await;
        }
        let (received, connection) = scene.serve(b"PLAIN").await;
        assert_eq!(received, b"PLAIN");
        assert_eq!(connection.client, connection.peer);
        scene.end().await;
    }
}

#[tokio::test]
async fn an_optional_header_may_be_missing_but_not_wrong() {
    let scene = Scene::receiving(ProxyProtocol::optional(here())).await;
    for bytes in [&b"P"[..], b"\r"] {
        let bytes = [bytes, b"LAIN"].concat();
        let (received, connection) = scene.serve(&bytes).await;
        assert_eq!(received, bytes);
        assert_eq!(connection.client, connection.peer);
    }
    let (received, connection) = scene.serve(&v2(Some(claimed()), &[])).await;
    assert_eq!(received, b"");
    assert_eq!(connection.client, claimed().source);
    let mut broken = v2(Some(claimed()), &[]);
    *broken.last_mut().unwrap() ^= 1;
    scene.refuses(&broken).await;
    scene.refuses(b"PROXY TCP4 nonsense\r\n").await;
    scene.end().await;
}

#[tokio::test]
async fn a_header_can_be_taken_away_unbelieved() {
    let protocol = ProxyProtocol::required(elsewhere()).untrusted(Untrusted::Disbelieve);
    let scene = Scene::receiving(protocol).await;
    let bytes = [&v2(Some(claimed()), &[])[..], b"payload"].concat();
    let (received, connection) = scene.serve(&bytes).await;
    assert_eq!(received, b"payload");
    assert_eq!(connection.client, connection.peer);
    assert_eq!(connection.proxy_header(), None);
    scene.refuses(b"no header").await;
    scene.end().await;
}

#[tokio::test]
async fn a_header_is_split_at_every_byte() {
    let scene = Scene::receiving(ProxyProtocol::required(here())).await;
    let tlvs = [Tlv::new(Tlv::UNIQUE_ID, b"42")];
    for header in [v1(Some(claimed())), v2(Some(claimed()), &tlvs)] {
        let stream = [&header[..], b"payload"].concat();
        let in_two = (1..stream.len()).map(|at| vec![&stream[..at], &stream[at..]]);
        for pieces in in_two.chain([stream.chunks(1).collect()]) {
            let mut client = scene.proxy.connect().await;
            client.set_nodelay(true).unwrap();
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            let accepted = within("the connection", scene.backend.accept()).await;
            let mut payload = [0; 7];
            accepted.unwrap().0.read_exact(&mut payload).await.unwrap();
            assert_eq!(&payload, b"payload");
            let connection = scene.seen.accepted.lock().unwrap().pop().unwrap();
            assert_eq!(connection.client, claimed().source);
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn a_header_that_is_never_finished_ends_by_its_deadline() {
    let quick = Duration::from_millis(100);
    let scene = Scene::receiving(ProxyProtocol::required(here()).timeout(quick)).await;
    for start in [&b""[..], b"PROXY TCP4 192.0.2.1 "] {
        let mut client = scene.proxy.connect().await;
        client.write_all(start).await.unwrap();
        assert_reset(&mut client).await;
    }
    let metrics = scene.proxy.metrics();
    assert_eq!((metrics.prelude_timeouts, metrics.connect_attempts), (2, 0));
    scene.end().await;
}

/// Reads the header and what follows from one stream, as a backend does.
async fn read_header(server: &mut TcpStream, check: impl FnOnce(ProxyHeader<'_>)) {
    let mut bytes = Vec::new();
    loop {
        match ProxyHeader::parse(&bytes, DEFAULT_LIMIT).unwrap() {
            Progress::Complete(header) => return check(header),
            Progress::Incomplete { at_least } => {
                let have = bytes.len();
                bytes.resize(have + at_least, 0);
                let read = server.read_exact(&mut bytes[have..]);
                within("the header", read).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn backends_are_told_who_the_client_is() {
    for (send, version) in [
        (SendProxy::v1(), Version::V1),
        (SendProxy::v2(), Version::V2),
    ] {
        let scene = Scene::with(|listener| listener.send_proxy(send)).await;
        let mut client = scene.proxy.connect().await;
        let client_addr = client.local_addr().unwrap();
        // The header does not wait for the client.
        let (mut server, _) = within("the connection", scene.backend.accept())
            .await
            .unwrap();
        read_header(&mut server, |header| {
            let expected = Addresses::new(client_addr, scene.proxy.addr);
            assert_eq!(header.addresses, Some(expected));
            assert_eq!((header.version, header.tlvs().count()), (version, 0));
        })
        .await;
        client.write_all(b"payload").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut server).await, b"payload");
        drop(server);
        read_all(&mut client).await;
        // The header is not the client's.
        assert_eq!(scene.proxy.metrics().bytes_to_backends, 7);
        scene.end().await;
    }
}

#[tokio::test]
async fn what_a_proxy_in_front_has_told_is_passed_on_in_one_write() {
    let send = SendProxy::v2()
        .tlv(0xe1, b"ours")
        .tlv(0xe2, b"new")
        .pass_tlvs(true)
        .checksum(true);
    let scene = Scene::with(|listener| {
        listener
            .prelude(Arc::new(ProxyProtocol::required(here())))
            .send_proxy(send)
    })
    .await;
    let tlvs = [Tlv::new(0xe0, b"theirs"), Tlv::new(0xe1, b"theirs")];
    let bytes = [&v2(Some(claimed()), &tlvs)[..], b"payload"].concat();
    let (received, _) = scene.serve(&bytes).await;
    let parsed = ProxyHeader::parse(&received, DEFAULT_LIMIT).unwrap();
    let header = parsed.complete().unwrap();
    assert_eq!(header.addresses, Some(claimed()));
    let tlvs: Vec<_> = header.tlvs().map(|tlv| (tlv.kind, tlv.value)).collect();
    assert_eq!(
        tlvs[..3],
        [(0xe1, &b"ours"[..]), (0xe2, b"new"), (0xe0, b"theirs")]
    );
    assert_eq!(tlvs[3].0, Tlv::CRC32C);
    assert_eq!(&received[header.len..], b"payload");
    scene.end().await;
}

#[tokio::test]
async fn one_write_has_the_header_and_what_the_client_sent() {
    let scene = Scene::with(|listener| {
        listener
            .prelude(Arc::new(ProxyProtocol::required(here())))
            .send_proxy(SendProxy::v1().local_destination(true))
    })
    .await;
    let expected = Addresses::new(claimed().source, scene.proxy.addr);
    let mut client = scene.proxy.connect().await;
    let sent = [&v1(Some(claimed()))[..], b"payload"].concat();
    client.write_all(&sent).await.unwrap();
    let (mut server, _) = within("the connection", scene.backend.accept())
        .await
        .unwrap();
    let mut first = [0; 1024];
    let n = within("the first segment", server.read(&mut first))
        .await
        .unwrap();
    assert_eq!(first[..n], [&v1(Some(expected))[..], b"payload"].concat());
    drop((client, server));
    scene.end().await;
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_found_before_the_start() {
    let upstream: Upstream = upstream([Backend::new(named("a").await)]);
    for send in [
        SendProxy::v2().tlv(Tlv::UNIQUE_ID, &[0; 129]),
        SendProxy::v2().tlv(0xe0, &[0; 65536]),
    ] {
        let listener = Listener::new(loopback(), &upstream).send_proxy(send);
        let error = Proxy::builder().listener(listener).build().unwrap_err();
        assert!(matches!(error, BuildError::SendProxy { .. }), "{error}");
    }
    let protocol = ProxyProtocol::required(here()).timeout(Duration::ZERO);
    let listener = Listener::new(loopback(), &upstream).prelude(Arc::new(protocol));
    let error = Proxy::builder().listener(listener).build().unwrap_err();
    assert!(matches!(error, BuildError::ZeroTimeout { .. }), "{error}");
}
