//! PROXY protocol headers that upstreams send, each with its own settings.

use std::sync::Arc;

use lb_core::{Backend, Snapshot};
use lb_discovery::Static;
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::errors::BuildError;
use lb_proxy::first_bytes::ParseStatus;
use lb_proxy::proxy_protocol::{
    Addresses, DEFAULT_LIMIT, HeaderError, ProxyHeader, ProxyProtocol, SendProxy, Tlv,
    TrustedNetworks, Version, write_v2,
};
use lb_proxy::server_names::ServerNames;
use lb_proxy::{Listener, Proxy, Upstream};
use test_support::deadline::within;
use test_support::proxy::RunningProxy;
use test_support::sockets::loopback;
use test_support::streams::read_all;
use test_support::tls::client_hello;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// The header setting of an upstream; `None` if it has none.
type Setting = Option<Option<SendProxy>>;

/// An upstream with one backend that the test plays.
struct Pool {
    backend: TcpListener,
    upstream: Upstream,
}

impl Pool {
    async fn new(name: &str, setting: Setting) -> Self {
        let backend = TcpListener::bind(loopback()).await.unwrap();
        let upstream = described(name, &backend, setting).unwrap();
        Self { backend, upstream }
    }

    /// Sends `bytes` and the end as a client. Returns the bytes that the backend received.
    async fn receives(&self, proxy: &RunningProxy, bytes: &[u8]) -> Vec<u8> {
        let mut client = proxy.connect().await;
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let accepted = within("the connection", self.backend.accept()).await;
        let (mut server, _) = accepted.unwrap();
        let received = read_all(&mut server).await;
        drop(server);
        read_all(&mut client).await;
        received
    }
}

fn described(name: &str, backend: &TcpListener, setting: Setting) -> Result<Upstream, BuildError> {
    let backend = Backend::new(backend.local_addr().unwrap());
    let mut upstream =
        Upstream::builder(name).discovery(Static::new(Snapshot::from_backends([backend])));
    if let Some(send) = setting {
        upstream = upstream.send_proxy(send);
    }
    upstream.build()
}

/// Splits received bytes into the version of the header, the types of its TLVs, and the rest.
fn parse(received: &[u8]) -> (Option<Version>, Vec<u8>, &[u8]) {
    match ProxyHeader::parse(received, DEFAULT_LIMIT) {
        Ok(ParseStatus::Complete(header)) => {
            assert_eq!(header.addresses.unwrap(), claimed());
            let tlvs = header.tlvs().map(|tlv| tlv.kind).collect();
            (Some(header.version), tlvs, &received[header.len..])
        }
        Err(HeaderError { .. }) => (None, Vec::new(), received),
        incomplete => panic!("{incomplete:?}"),
    }
}

/// The addresses that the clients claim.
fn claimed() -> Addresses {
    let [source, destination] = ["192.0.2.1:56324", "198.51.100.1:443"];
    Addresses::new(source.parse().unwrap(), destination.parse().unwrap())
}

/// A header with a TLV.
fn header() -> Vec<u8> {
    let mut header = Vec::new();
    write_v2(
        Some(claimed()),
        [Tlv::new(0xe0, b"theirs")],
        false,
        &mut header,
    )
    .unwrap();
    header
}

fn receiving(listener: Listener) -> Listener {
    let trusted = TrustedNetworks::try_new(["127.0.0.1"]).unwrap();
    listener.preread(Arc::new(ProxyProtocol::required(trusted)))
}

#[tokio::test]
async fn each_upstream_chosen_by_name_sends_its_own_header() {
    let v2 = SendProxy::v2().tlv(0xe1, b"ours").pass_tlvs(true);
    let (v1, v2, none, silent) = (
        Pool::new("v1", Some(Some(SendProxy::v1()))).await,
        Pool::new("v2", Some(Some(v2))).await,
        Pool::new("none", Some(None)).await,
        Pool::new("silent", None).await,
    );
    let mut names = ServerNames::new();
    for pool in [&v1, &v2, &none] {
        let name = format!("{}.example.com", pool.upstream.name());
        names.insert(&name, pool.upstream.clone()).unwrap();
    }
    let listener = receiving(Listener::new(loopback(), &silent.upstream));
    let listener = listener
        .preread(Arc::new(ClientHelloReader::new()))
        .server_names(names);
    let checked = SendProxy::v2().checksum(true);
    let proxy = RunningProxy::run(Proxy::builder().listener(listener.send_proxy(checked))).await;
    let passed = vec![0xe1, 0xe0];
    for (pool, name, version, tlvs) in [
        (&v1, "v1.example.com", Some(Version::V1), vec![]),
        (&v2, "v2.example.com", Some(Version::V2), passed),
        (&none, "none.example.com", None, vec![]),
        (&silent, "other.test", Some(Version::V2), vec![Tlv::CRC32C]),
    ] {
        let hello = client_hello(name);
        let received = pool
            .receives(&proxy, &[header(), hello.clone()].concat())
            .await;
        assert_eq!(parse(&received), (version, tlvs, &hello[..]), "{name}");
    }
    proxy.end().await;
}

#[tokio::test]
async fn the_upstream_that_a_route_chooses_sends_its_own_header() {
    let of_listener = Pool::new("listener's", Some(Some(SendProxy::v1()))).await;
    let chosen = Pool::new("chosen", Some(Some(SendProxy::v2().pass_tlvs(true)))).await;
    let trusted = TrustedNetworks::try_new(["127.0.0.1"]).unwrap();
    let listener = Listener::new(loopback(), &of_listener.upstream)
        .preread(Arc::new(ProxyProtocol::optional(trusted)))
        .route({
            let chosen = chosen.upstream.clone();
            move |connection| connection.proxy_header().map(|_| chosen.clone())
        });
    let proxy = Proxy::builder()
        .listener(listener)
        .upstream(&chosen.upstream);
    let proxy = RunningProxy::run(proxy).await;
    let received = chosen
        .receives(&proxy, &[&header(), &b"x"[..]].concat())
        .await;
    assert_eq!(parse(&received), (Some(Version::V2), vec![0xe0], &b"x"[..]));
    let received = of_listener.receives(&proxy, b"plain").await;
    let line = String::from_utf8(received).unwrap();
    assert!(line.starts_with("PROXY TCP4 127.0.0.1 ") && line.ends_with("\r\nplain"));
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_changes_what_an_upstream_sends() {
    let pool = Pool::new("pool", None).await;
    let listener = |addr, upstream: &Upstream| {
        let listener = receiving(Listener::new(addr, upstream));
        Proxy::builder().listener(listener.send_proxy(SendProxy::v1()))
    };
    let proxy = RunningProxy::run(listener(loopback(), &pool.upstream)).await;
    let sent = [&header(), &b"x"[..]].concat();
    let v1 = (Some(Version::V1), vec![]);
    let v2 = (Some(Version::V2), vec![0xe0]);
    let passing = SendProxy::v2().pass_tlvs(true);
    for (setting, (version, tlvs)) in [
        (None, v1.clone()),
        (Some(Some(passing)), v2),
        (Some(None), (None, vec![])),
        (None, v1),
    ] {
        let new = described("pool", &pool.backend, setting).unwrap();
        let to = listener(proxy.addr, &new).build().unwrap();
        proxy.handle.reload(to).await.unwrap();
        let received = pool.receives(&proxy, &sent).await;
        assert_eq!(parse(&received), (version, tlvs, &b"x"[..]));
    }
    proxy.end().await;
}

#[tokio::test]
async fn build_refuses_a_header_that_an_upstream_cannot_send() {
    let backend = TcpListener::bind(loopback()).await.unwrap();
    let long = SendProxy::v2().tlv(0xe0, &[0; 65536]);
    let error = described("pool", &backend, Some(Some(long))).unwrap_err();
    assert!(matches!(error, BuildError::SendProxy { .. }), "{error}");
    assert!(error.to_string().contains("upstream \"pool\""), "{error}");
}
