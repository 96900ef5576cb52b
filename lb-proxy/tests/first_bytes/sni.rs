//! Routing by the server name of a real TLS client, and connections that are not TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lb_core::Backend;
use lb_core::policy::Maglev;
use lb_discovery::Static;
use lb_proxy::balancing::KeyPart;
use lb_proxy::client_hello::{ClientHelloReader, TlsVersion};
use lb_proxy::server_names::ServerNames;
use lb_proxy::{Listener, Proxy, Upstream};
use rustls::client::Resumption;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, Stream,
};
use test_support::deadline::eventually;
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;
use test_support::streams::{assert_refused, assert_reset, read_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DEADLINE: Duration = Duration::from_secs(20);

/// The settings of both sides of TLS, with a certificate for every name of the tests.
struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    fn new() -> Self {
        let names = ["a.example.com", "b.example.com", "other.test"];
        let made = rcgen::generate_simple_self_signed(names.map(String::from)).unwrap();
        let cert = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let mut server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .unwrap();
        server.alpn_protocols = vec![b"echo/1".to_vec()];
        let mut client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"echo/2".to_vec(), b"echo/1".to_vec()];
        client.resumption = Resumption::disabled();
        Self {
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }

    /// Starts a TLS server that sends `name` to each client that completes a handshake.
    fn serve(&self, name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let config = Arc::clone(&self.server);
        thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                socket.set_nodelay(true).unwrap();
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = Stream::new(&mut tls, &mut socket);
                // Some tests do not finish their ClientHello.
                if stream.write_all(name.as_bytes()).is_ok() {
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                    let _ = socket.read(&mut [0]);
                }
            }
        });
        addr
    }

    /// A client that requests `name`, and its ClientHello.
    fn hello(&self, name: &'static str) -> (ClientConnection, Vec<u8>) {
        let name = ServerName::try_from(name).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        (tls, hello)
    }

    /// Connects, lets `say` send the ClientHello, completes the handshake, and returns the server's answer.
    fn ask(
        &self,
        addr: SocketAddr,
        name: &'static str,
        say: impl FnOnce(&mut TcpStream, &[u8]),
    ) -> String {
        let (mut tls, hello) = self.hello(name);
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        say(&mut socket, &hello);
        let mut answer = String::new();
        Stream::new(&mut tls, &mut socket)
            .read_to_string(&mut answer)
            .unwrap();
        assert_eq!(tls.alpn_protocol(), Some(&b"echo/1"[..]));
        answer
    }
}

fn whole(socket: &mut TcpStream, hello: &[u8]) {
    socket.write_all(hello).unwrap();
}

fn to(addr: SocketAddr) -> Upstream {
    upstream([Backend::new(addr)])
}

/// A proxy that knows `a.example.com` and `*.example.com`, and sends everything else to `default`.
async fn routed(tls: &Tls, reader: ClientHelloReader, default: &Upstream) -> RunningProxy {
    let (exact, wildcard) = (to(tls.serve("exact")), to(tls.serve("wildcard")));
    let mut names = ServerNames::new();
    names.insert("a.example.com", exact).unwrap();
    names.insert("*.example.com", wildcard).unwrap();
    let listener = Listener::new(loopback(), default)
        .preread(Arc::new(reader))
        .server_names(names);
    RunningProxy::run(Proxy::builder().listener(listener)).await
}

/// Runs a client that blocks.
async fn blocking<T: Send>(client: impl FnOnce() -> T + Send) -> T {
    tokio::task::block_in_place(client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_chooses_the_upstream() {
    let tls = Tls::new();
    let default = to(tls.serve("default"));
    let proxy = routed(&tls, ClientHelloReader::new(), &default).await;
    blocking(|| {
        for (name, expected) in [
            ("a.example.com", "exact"),
            ("b.example.com", "wildcard"),
            ("other.test", "default"),
        ] {
            assert_eq!(tls.ask(proxy.addr, name, whole), expected);
        }
    })
    .await;
    proxy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_split_at_every_byte_is_routed() {
    let tls = Tls::new();
    let default = to(tls.serve("default"));
    let proxy = routed(&tls, ClientHelloReader::new(), &default).await;
    blocking(|| {
        let len = tls.hello("a.example.com").1.len();
        for at in 1..len {
            let answer = tls.ask(proxy.addr, "a.example.com", |socket, hello| {
                let (first, second) = hello.split_at(at);
                socket.write_all(first).unwrap();
                thread::yield_now();
                socket.write_all(second).unwrap();
            });
            assert_eq!(answer, "exact", "split at {at}");
        }
        let answer = tls.ask(proxy.addr, "a.example.com", |socket, hello| {
            for byte in hello {
                socket.write_all(&[*byte]).unwrap();
            }
        });
        assert_eq!(answer, "exact");
    })
    .await;
    proxy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_in_several_records_is_routed() {
    let tls = Tls::new();
    let default = to(tls.serve("default"));
    let proxy = routed(&tls, ClientHelloReader::new(), &default).await;
    blocking(|| {
        for size in [1, 7, 100] {
            let answer = tls.ask(proxy.addr, "b.example.com", |socket, hello| {
                let (header, message) = hello.split_at(5);
                for fragment in message.chunks(size) {
                    let len = u16::try_from(fragment.len()).unwrap().to_be_bytes();
                    let record = [&header[..3], &len, fragment].concat();
                    socket.write_all(&record).unwrap();
                }
            });
            assert_eq!(answer, "wildcard", "records of {size} bytes");
        }
    })
    .await;
    proxy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_is_never_finished_or_too_long_is_reset() {
    let tls = Tls::new();
    let default = to(tls.serve("default"));
    let reader = ClientHelloReader::new().timeout(Duration::from_millis(100));
    let proxy = routed(&tls, reader.limit(4096), &default).await;
    let (_, hello) = tls.hello("a.example.com");
    for len in [1, 5, hello.len() - 1] {
        let mut client = proxy.connect().await;
        client.write_all(&hello[..len]).await.unwrap();
        assert_reset(&mut client).await;
    }
    let metrics = proxy.metrics();
    assert_eq!((metrics.preread_timeouts, metrics.connect_attempts), (3, 0));
    let mut client = proxy.connect().await;
    client.write_all(&hello[..hello.len() - 1]).await.unwrap();
    client.shutdown().await.unwrap();
    assert_reset(&mut client).await;
    // A message of 16000 bytes.
    let mut client = proxy.connect().await;
    let long = [0x16, 3, 1, 0x3e, 0x84, 1, 0, 0x3e, 0x80];
    client.write_all(&long).await.unwrap();
    assert_reset(&mut client).await;
    eventually("the errors", || proxy.metrics().preread_errors == 2).await;
    assert_eq!(proxy.metrics().connect_attempts, 0);
    proxy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_not_tls_go_to_the_default_at_once() {
    let tls = Tls::new();
    let default = to(named("plain").await);
    let proxy = routed(&tls, ClientHelloReader::new(), &default).await;
    // The last one is a ClientHello without a random.
    for bytes in [&b"G"[..], b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03"] {
        let mut client = proxy.connect().await;
        client.write_all(bytes).await.unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"plain");
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut client).await, b"");
    }
    proxy.end().await;
}

#[tokio::test]
async fn a_server_that_speaks_first_is_not_delayed_without_a_reader() {
    let backend = to(listening("220 ready").await);
    let proxy = RunningProxy::start(Listener::new(loopback(), &backend), None).await;
    let mut client = proxy.connect().await;
    let mut banner = [0; 9];
    client.read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"220 ready");
    drop(client);
    proxy.end().await;

    // With a reader the server is never connected.
    let reader = ClientHelloReader::new().timeout(Duration::from_millis(100));
    let listener = Listener::new(loopback(), &backend).preread(Arc::new(reader));
    let proxy = RunningProxy::start(listener, None).await;
    assert_refused(proxy.addr).await;
    assert_eq!(proxy.metrics().connect_attempts, 0);
    proxy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_function_sees_the_name_and_the_protocols() {
    let tls = Tls::new();
    let (default, chosen) = (to(tls.serve("default")), to(tls.serve("chosen")));
    let listener = Listener::new(loopback(), &default)
        .preread(Arc::new(ClientHelloReader::new()))
        .route({
            let chosen = chosen.clone();
            move |connection| {
                let offers = connection.alpn().any(|protocol| protocol == b"echo/2");
                let version = connection.tls_version();
                (offers
                    && version == Some(TlsVersion::TLS1_3)
                    && connection.server_name() == Some("other.test"))
                .then(|| chosen.clone())
            }
        });
    let proxy = Proxy::builder().listener(listener).upstream(&chosen);
    let proxy = RunningProxy::run(proxy).await;
    blocking(|| {
        for (name, expected) in [("other.test", "chosen"), ("a.example.com", "default")] {
            assert_eq!(tls.ask(proxy.addr, name, whole), expected);
        }
        let mut plain = TcpStream::connect(proxy.addr).unwrap();
        plain.set_read_timeout(Some(DEADLINE)).unwrap();
        plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        // The TLS server answers with an alert or a reset.
        if let Err(error) = plain.read(&mut [0; 64]) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    })
    .await;
    proxy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_is_the_hash_key() {
    let tls = Tls::new();
    let names = [
        "one", "two", "three", "four", "five", "six", "seven", "eight",
    ];
    let backends = names.map(|name| Backend::new(tls.serve(name)).name(name));
    let upstream = Upstream::builder("hashed")
        .discovery(Static::new(backends.into_iter().collect()))
        .policy(Maglev::new())
        .hash_key([KeyPart::ServerName])
        .build()
        .unwrap();
    let listener = Listener::new(loopback(), &upstream).preread(Arc::new(ClientHelloReader::new()));
    let proxy = RunningProxy::run(Proxy::builder().listener(listener)).await;
    eventually("the membership", || upstream.explain(b"").is_ok()).await;
    blocking(|| {
        for name in ["a.example.com", "b.example.com", "other.test"] {
            let backend = upstream.explain(name.as_bytes()).unwrap().chosen.unwrap();
            let index = upstream
                .backends()
                .snapshot()
                .iter()
                .position(|b| b.addr == backend);
            assert_eq!(tls.ask(proxy.addr, name, whole), names[index.unwrap()]);
        }
    })
    .await;
    proxy.end().await;
}
