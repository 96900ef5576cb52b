//! Sockets that one server hands over to another, and servers that pause.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use lb_core::{Backend, Endpoint};
use lb_proxy::reports::Phase;
use lb_proxy::settings::InheritableSockets;
use lb_proxy::{Listener, Proxy, ProxyBuilder, Upstream, Workers};
use socket2::{Domain, Socket, Type};
use test_support::log::Capture;
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::{assert_exclusive, loopback};
use test_support::streams::{ask, assert_reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::unix::{ask_unix, directory, named_unix, path};

fn workers(proxy: ProxyBuilder, count: usize) -> ProxyBuilder {
    proxy.workers(match count {
        1 => Workers::CurrentRuntime,
        several => Workers::Threads(several),
    })
}

/// The sockets of `proxy` as another process gets them: descriptors in any order.
fn handed_over(proxy: &RunningProxy) -> Vec<InheritableSockets> {
    let all = proxy.handle.listening_sockets().unwrap();
    let descriptors = all.iter().flat_map(InheritableSockets::descriptors);
    let mut descriptors: Vec<OwnedFd> = descriptors
        .map(|descriptor| descriptor.try_clone_to_owned().unwrap())
        .collect();
    descriptors.reverse();
    let (groups, rest) = InheritableSockets::from_descriptors(descriptors);
    assert!(rest.is_empty(), "{rest:?}");
    groups
}

/// A proxy with `count` workers on the sockets of `of`.
async fn heir(of: &RunningProxy, count: usize, upstream: &Upstream) -> RunningProxy {
    let mut proxy = Proxy::builder();
    for sockets in handed_over(of) {
        let listener = Listener::new(sockets.addr(), upstream);
        proxy = proxy.listener(listener.inherit(sockets).unwrap());
    }
    RunningProxy::run(workers(proxy, count)).await
}

async fn knock(addr: SocketAddr, over: Arc<AtomicBool>) -> u64 {
    let mut served = 0;
    while !over.load(Relaxed) {
        assert_eq!(ask(addr).await.unwrap(), "a");
        served += 1;
    }
    served
}

#[tokio::test]
async fn no_connection_is_lost_when_servers_with_other_numbers_of_workers_follow_each_other() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let proxy = Proxy::builder().listen(loopback(), &upstream);
    let mut proxy = RunningProxy::run(workers(proxy, 3)).await;
    let addr = proxy.addr;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| tokio::spawn(knock(addr, Arc::clone(&over))))
        .collect();
    for count in [1, 4, 2, 1, 3] {
        let next = heir(&proxy, count, &upstream).await;
        assert_eq!(next.addr, addr);
        proxy.end().await;
        // All sockets are served: clients on any of the queues are.
        for _ in 0..20 {
            assert_eq!(ask(addr).await.unwrap(), "a");
        }
        assert_eq!(next.handle.listening_sockets().unwrap()[0].len(), 3);
        assert_exclusive(addr, true);
        proxy = next;
    }
    over.store(true, Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    proxy.end().await;
}

#[tokio::test]
async fn connections_that_wait_in_the_queues_survive_the_server() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let first = Proxy::builder().listen(loopback(), &upstream);
    let first = RunningProxy::run(workers(first, 2)).await;
    let addr = first.addr;
    // Two queues, whose accept loops run on the thread of the test, and so have ended when a client has connected.
    let proxy = heir(&first, 1, &upstream).await;
    first.end().await;
    proxy.handle.reached(Phase::Serving).await;
    assert!(proxy.handle.pause());
    assert!(!proxy.handle.is_ready() && !proxy.handle.pause());
    let mut queued = Vec::new();
    for _ in 0..30 {
        queued.push(TcpStream::connect(addr).await.unwrap());
    }
    let mut held = handed_over(&proxy);
    assert_eq!(proxy.metrics().accepted, 0);
    proxy.end().await;
    let sockets = held.remove(0);
    assert_eq!(sockets.len(), 2);
    let listener = Listener::new(addr, &upstream).inherit(sockets).unwrap();
    let next = RunningProxy::run(Proxy::builder().listener(listener)).await;
    for client in &mut queued {
        assert_eq!(client.read_u8().await.unwrap(), b'a');
    }
    assert_eq!(next.metrics().accepted, 30);
    drop(queued);
    next.end().await;
}

#[tokio::test]
async fn a_pause_keeps_new_clients_waiting_and_ends_the_sessions_that_outlast_the_drain() {
    let upstream = upstream([Backend::new(listening("a").await)]);
    let listener = Listener::new(loopback(), &upstream);
    let proxy = RunningProxy::start(listener, Some(Duration::from_millis(200))).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    // A pause that ends in time costs no session.
    assert!(proxy.handle.pause());
    let mut waiting = proxy.connect().await;
    assert!(proxy.handle.resume() && !proxy.handle.resume() && proxy.handle.is_ready());
    assert_eq!(waiting.read_u8().await.unwrap(), b'a');
    assert!(proxy.handle.pause());
    assert_reset(&mut client).await;
    assert_reset(&mut waiting).await;
    assert!(proxy.handle.resume());
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn sessions_go_on_during_a_pause_without_a_drain_timeout() {
    let upstream = upstream([Backend::new(listening("a").await)]);
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    proxy.handle.pause();
    client.write_all(b"more").await.unwrap();
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(proxy.metrics().active, 0);
    proxy.end().await;
}

#[tokio::test]
async fn the_file_of_a_unix_socket_belongs_to_the_process_that_serves_it_last() {
    let dir = directory();
    let [front, back] = ["front", "back"].map(|name| path(&dir, name));
    let upstream = upstream([named_unix(&back, "a")]);
    let describe = || Listener::unix(front.as_path(), &upstream);
    let proxy = RunningProxy::run(Proxy::builder().listener(describe())).await;
    let inherit = |of: &RunningProxy| {
        let mut groups = handed_over(of);
        assert_eq!(groups.len(), 1);
        let group = groups.remove(0);
        assert_eq!(group.endpoint(), &Endpoint::Unix(front.as_path().into()));
        Proxy::builder().listener(describe().inherit(group).unwrap())
    };
    // The new one fails.
    let failed = RunningProxy::run(inherit(&proxy)).await;
    failed.end().await;
    assert_eq!(ask_unix(&front).await.unwrap(), "a");

    let log = Capture::install();
    let next = RunningProxy::run(inherit(&proxy)).await;
    proxy.handle.keep_socket_files(true);
    proxy.end().await;
    assert_eq!(ask_unix(&front).await.unwrap(), "a");
    let log = log.take();
    assert!(log.iter().all(|line| !line.contains("WARN")), "{log:?}");
    next.handle.keep_socket_files(false);
    next.end().await;
    assert!(!front.exists());
}

#[tokio::test]
async fn only_sockets_of_the_same_address_can_be_inherited() {
    let upstream = upstream([Backend::new(named("a").await)]);
    let socket = std::net::TcpListener::bind(loopback()).unwrap();
    let addr = socket.local_addr().unwrap();
    let udp = std::net::UdpSocket::bind(loopback()).unwrap();
    let connection = std::net::TcpStream::connect(addr).unwrap();
    let guard = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    guard.bind(&loopback().into()).unwrap();
    let all: [OwnedFd; 4] = [
        udp.into(),
        connection.into(),
        guard.into(),
        socket.as_fd().try_clone_to_owned().unwrap(),
    ];
    let (mut groups, rest) = InheritableSockets::from_descriptors(all);
    assert_eq!((groups.len(), rest.len()), (1, 3));
    let group = groups.remove(0);
    assert_eq!((group.addr(), group.len()), (addr, 1));
    let error = Listener::new(loopback(), &upstream)
        .inherit(group)
        .unwrap_err();
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}
