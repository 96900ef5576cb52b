//! PROXY protocol headers: believed and refused senders, and what backends and hooks see.

mod receive;
mod send;
mod upstreams;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use lb_core::Backend;
use lb_discovery::Static;
use lb_proxy::balancing::{HashKey, KeyPart};
use lb_proxy::events::Connection;
use lb_proxy::proxy_protocol::{
    Addresses, ProxyProtocol, Tlv, TrustedNetworks, write_v1, write_v2,
};
use lb_proxy::{Hooks, Listener, Upstream};
use test_support::deadline::{eventually, within};
use test_support::proxy::RunningProxy;
use test_support::sockets::loopback;
use test_support::streams::read_all;
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

/// A backend that the test plays, a proxy in front of it, and the connections that its hooks saw.
struct Scene {
    proxy: RunningProxy,
    backend: TcpListener,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    accepted: Mutex<Vec<Connection>>,
    hashed: Mutex<Vec<SocketAddr>>,
}

impl Hooks for Seen {
    fn accept(&self, connection: &Connection) -> lb_proxy::events::Admission {
        self.accepted.lock().unwrap().push(connection.clone());
        lb_proxy::events::Admission::Admit
    }
}

impl Scene {
    async fn with(settings: impl FnOnce(Listener) -> Listener) -> Self {
        let backend = TcpListener::bind(loopback()).await.unwrap();
        let seen = Arc::new(Seen::default());
        let key = {
            let seen = Arc::clone(&seen);
            KeyPart::custom("the client", move |connection| {
                seen.hashed.lock().unwrap().push(connection.client);
                HashKey::from_ip(connection.client.ip())
            })
        };
        let backends = [Backend::new(backend.local_addr().unwrap())];
        let upstream = Upstream::builder("test")
            .discovery(Static::new(backends.into_iter().collect()))
            .hash_key([key])
            .build()
            .unwrap();
        let listener = Listener::new(loopback(), &upstream).hooks(seen.clone());
        Self {
            proxy: RunningProxy::start(settings(listener), None).await,
            backend,
            seen,
        }
    }

    async fn receiving(protocol: ProxyProtocol) -> Self {
        Self::with(|listener| listener.preread(Arc::new(protocol))).await
    }

    /// Sends `bytes` and the end as a client. Returns the bytes that the backend received and the hooks' connection.
    async fn serve(&self, bytes: &[u8]) -> (Vec<u8>, Connection) {
        let mut client = self.proxy.connect().await;
        client.write_all(bytes).await.unwrap();
        let accepted = within("the connection", self.backend.accept()).await;
        let (mut server, _) = accepted.unwrap();
        // A client that ends earlier, after a header alone, counts as closed.
        client.shutdown().await.unwrap();
        let received = read_all(&mut server).await;
        drop(server);
        read_all(&mut client).await;
        let connection = self.seen.accepted.lock().unwrap().pop().unwrap();
        assert_eq!(connection.peer, client.local_addr().unwrap());
        (received, connection)
    }

    async fn refuses(&self, bytes: &[u8]) {
        let refused = self.proxy.metrics().preread_errors;
        // The reset may arrive before the write, or before connect returns.
        match TcpStream::connect(self.proxy.addr).await {
            Ok(mut client) => {
                let _ = client.write_all(bytes).await;
                assert_reset_soon(&mut client).await;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        eventually("the error", || {
            self.proxy.metrics().preread_errors == refused + 1
        })
        .await;
    }

    async fn end(self) {
        self.proxy.end().await;
    }
}

/// Like `assert_reset`, for a client that may already have failed to write because of the reset.
async fn assert_reset_soon(client: &mut TcpStream) {
    let mut bytes = Vec::new();
    match within("the reset", client.read_to_end(&mut bytes)).await {
        Ok(_) => assert!(bytes.is_empty(), "it was served: {bytes:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}
