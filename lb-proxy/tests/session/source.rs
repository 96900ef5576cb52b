//! The source address of connections to backends, computed for each session.

use std::net::{SocketAddr, TcpListener, TcpStream};

use lb_core::Backend;
use lb_proxy::Listener;
use lb_proxy::settings::BindSource;
use test_support::namespaces::Namespaces;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::loopback;
use tokio::task::spawn_blocking;

/// An address that no machine has.
const FOREIGN: &str = "198.51.100.7";

/// Connects from `from` through a proxy with this source to `backend`, and returns the peer that the backend sees.
async fn seen_by_backend(source: BindSource, from: &str, backend: TcpListener) -> SocketAddr {
    let to = backend.local_addr().unwrap();
    let described = Listener::new(loopback(), &upstream([Backend::new(to)]));
    let proxy = RunningProxy::start(described.bind_source(source), None).await;
    let addr = proxy.addr;
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    let client = connect(from, addr);
    let accepted = spawn_blocking(move || backend.accept().unwrap());
    let (accepted, peer) = test_support::deadline::within("the backend", accepted)
        .await
        .unwrap();
    drop((client, accepted));
    proxy.end().await;
    peer
}

fn connect(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[tokio::test]
async fn the_source_may_be_the_client_of_the_session() {
    let backend = || TcpListener::bind(loopback()).unwrap();
    let client = || BindSource::computed(|connection| Some((connection.client.ip(), 0).into()));
    for from in ["127.0.0.8", "127.0.0.9"] {
        let peer = seen_by_backend(client(), from, backend()).await;
        assert_eq!(peer.ip().to_string(), from);
    }
    let none = BindSource::computed(|_| None);
    let peer = seen_by_backend(none, "127.0.0.8", backend()).await;
    assert_eq!(peer.ip().to_string(), "127.0.0.1");
}

#[test]
fn a_transparent_source_is_the_address_of_another_machine() {
    let namespaces = match Namespaces::create().and_then(|namespaces| {
        namespaces.route_to_first(FOREIGN)?;
        Ok(namespaces)
    }) {
        Ok(namespaces) => namespaces,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let backend = || {
        let addr: SocketAddr = "192.0.2.2:0".parse().unwrap();
        namespaces.inside(1, || TcpListener::bind(addr).unwrap())
    };
    let foreign: SocketAddr = format!("{FOREIGN}:5446").parse().unwrap();
    let source = |transparent| {
        let computed = BindSource::computed(move |_| Some(foreign));
        computed.transparent(transparent)
    };
    let (first, second) = (backend(), backend());
    namespaces.inside(0, || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let peer = seen_by_backend(source(true), "127.0.0.1", first).await;
            assert_eq!(peer, foreign);
            // Without it the kernel refuses the address.
            let to = second.local_addr().unwrap();
            let described = Listener::new(loopback(), &upstream([Backend::new(to)]));
            let described = described.bind_source(source(false));
            let proxy = RunningProxy::start(described, None).await;
            test_support::streams::assert_refused(proxy.addr).await;
            assert_eq!(proxy.metrics().no_backend, 1);
            proxy.end().await;
        });
    });
}
