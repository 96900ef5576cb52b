//! Multipath TCP: its clients get what clients of TCP get.

use std::net::SocketAddr;

use lb_core::Backend;
use lb_proxy::settings::Splice;
use lb_proxy::{Listener, Upstream};
use socket2::{Domain, Protocol, Socket, Type};
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::kernel::all_acknowledged;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, in_flight, upstream};
use test_support::sockets::loopback;
use test_support::streams::{ask, read_until_reset, reset, send_and_receive};
use tokio::net::{TcpListener, TcpStream};

/// A client of multipath TCP. `None`, with a notice, if the kernel has none.
async fn client(addr: SocketAddr) -> Option<TcpStream> {
    let Ok(socket) = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)) else {
        eprintln!("skipped: this kernel has no multipath TCP");
        return None;
    };
    socket.connect(&addr.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    Some(TcpStream::from_std(socket.into()).unwrap())
}

async fn start(splice: Splice) -> Option<(RunningProxy, Upstream, TcpListener)> {
    if Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).is_err() {
        eprintln!("skipped: this kernel has no multipath TCP");
        return None;
    }
    let backend = TcpListener::bind(loopback()).await.unwrap();
    let upstream = upstream([Backend::new(backend.local_addr().unwrap())]);
    let described = Listener::new(loopback(), &upstream).multipath(true);
    let proxy = RunningProxy::start(described.splice(splice), None).await;
    Some((proxy, upstream, backend))
}

#[tokio::test]
async fn clients_of_multipath_tcp_and_of_tcp_are_served() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let described = Listener::new(loopback(), &upstream).multipath(true);
    let Ok(server) = lb_proxy::Proxy::builder()
        .listener(described)
        .build()
        .unwrap()
        .bind()
        .await
    else {
        return eprintln!("skipped: this kernel has no multipath TCP");
    };
    let addr = server.local_addrs()[0];
    let handle = server.handle();
    let running = tokio::spawn(server.run(std::future::pending()));
    assert_eq!(ask(addr).await.unwrap(), "a");
    let client = client(addr).await.unwrap();
    assert_eq!(send_and_receive(client, Vec::new()).await.1, b"a");
    handle.shutdown();
    within("the end", running).await.unwrap();
}

#[tokio::test]
async fn a_transfer_both_ways_is_whole_and_half_closes() {
    for splice in [Splice::Auto, Splice::Off] {
        let Some((proxy, _, backend)) = start(splice).await else {
            return;
        };
        let client = client(proxy.addr).await.unwrap();
        let server = within("a connection", backend.accept()).await.unwrap().0;
        let (up, down) = (noise(1, 4 << 20), noise(2, 4 << 20));
        let upwards = tokio::spawn(send_and_receive(client, up.clone()));
        let (server, received) = send_and_receive(server, down.clone()).await;
        assert!(received == up);
        let (client, received) = upwards.await.unwrap();
        assert!(received == down);
        drop((client, server));
        proxy.end().await;
    }
}

#[tokio::test]
async fn acknowledged_bytes_arrive_before_a_reset() {
    let Some((proxy, upstream, backend)) = start(Splice::Auto).await else {
        return;
    };
    for round in 0..10 {
        let mut client = client(proxy.addr).await.unwrap();
        let mut server = within("a connection", backend.accept()).await.unwrap().0;
        let sent = noise(round, 1 << 20);
        tokio::io::AsyncWriteExt::write_all(&mut server, &sent)
            .await
            .unwrap();
        all_acknowledged(&server).await;
        reset(server);
        // The relay knows of the reset before the client reads anything.
        eventually("the end of the lease", || in_flight(&upstream) == 0).await;
        let received = read_until_reset(&mut client).await;
        assert!(
            received == sent,
            "{} of {} bytes",
            received.len(),
            sent.len()
        );
    }
    proxy.end().await;
}
