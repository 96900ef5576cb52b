//! A peer of a cut session still reads everything that the proxy's kernel had acknowledged to the other side.
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::settings::HalfClose;
use lb_proxy::{Listener, Proxy, Relay, Timeouts};
use socket2::{Domain, SockRef, Socket, Type};
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::kernel::all_acknowledged;
use test_support::proxy::{RunningProxy, in_flight, removable, upstream};
use test_support::sockets::{Pair, loopback, pair_on_loopback};
use test_support::streams::{read_all, read_until_reset, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes that the kernels on the way acknowledge before anything is read.
const ACKNOWLEDGED: usize = 150_000;

/// Connects with a small window, so that most of an answer stays on the way.
async fn connect_narrowly(proxy: &RunningProxy) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(20_000).unwrap();
    socket.connect(proxy.addr).await.unwrap()
}

/// The same as [`connect_narrowly`] without a proxy.
fn narrow_pair() -> Pair {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(20_000).unwrap();
    socket
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    (socket.into(), listener.accept().unwrap().0)
}

/// A session with an answer that was acknowledged to the server and that the client has not read.
async fn unread(
    to_upstream: impl FnOnce(Listener) -> Listener,
    to_proxy: impl FnOnce(lb_proxy::ProxyBuilder) -> lb_proxy::ProxyBuilder,
) -> (
    RunningProxy,
    lb_discovery::ManualHandle,
    Backend,
    TcpStream,
    TcpStream,
) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let (upstream, sources, backend) = removable(listener.local_addr().unwrap());
    let listens = to_upstream(Listener::new(loopback(), &upstream));
    let proxy = RunningProxy::run(to_proxy(Proxy::builder().listener(listens))).await;
    let client = connect_narrowly(&proxy).await;
    let (mut server, _) = within("a connection", listener.accept()).await.unwrap();
    server.write_all(&noise(1, ACKNOWLEDGED)).await.unwrap();
    all_acknowledged(&server).await;
    (proxy, sources, backend, client, server)
}

/// The client reads everything before its reset, and so does the server.
async fn assert_delivered(mut client: TcpStream, mut server: TcpStream) {
    assert!(read_until_reset(&mut client).await == noise(1, ACKNOWLEDGED));
    assert!(read_until_reset(&mut server).await.is_empty());
}

#[tokio::test]
async fn a_removed_backend_has_its_answer_delivered_before_the_reset() {
    let (proxy, sources, backend, client, server) = unread(|l| l, |p| p).await;
    sources.remove(backend.addr);
    assert_delivered(client, server).await;
    assert_eq!(proxy.metrics().backends_removed, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_session_of_the_maximum_age_delivers_before_the_reset() {
    let timeouts = Timeouts::default().max_age(Some(Duration::from_secs(3)));
    let (proxy, _sources, _, mut client, mut server) =
        unread(|l| l.timeouts(timeouts), |p| p).await;
    // The server has everything, and is reset when the session reaches its maximum age.
    assert!(read_until_reset(&mut server).await.is_empty());
    assert!(read_until_reset(&mut client).await == noise(1, ACKNOWLEDGED));
    eventually("the end", || proxy.metrics().max_age_reached == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_drain_that_closes_over_time_delivers_before_the_resets() {
    let (proxy, _sources, _, client, server) = unread(
        |l| l,
        |p| {
            p.drain_timeout(Some(Duration::from_millis(1)))
                .close_spread(Duration::from_secs(10))
        },
    )
    .await;
    proxy.handle.shutdown();
    assert_delivered(client, server).await;
    let report = proxy.end().await;
    assert_eq!((report.aborted, report.completed), (1, 0));
}

/// An abort does not wait for the client: the kernel delivers its send queue and then a clean end.
#[tokio::test]
async fn after_an_abort_the_kernel_delivers_its_send_queue() {
    let (proxy, _sources, _, mut client, mut server) = unread(|l| l, |p| p).await;
    proxy.handle.abort();
    let report = proxy.end().await;
    assert_eq!(report.aborted, 1);
    assert!(read_all(&mut client).await == noise(1, ACKNOWLEDGED));
    assert!(read_until_reset(&mut server).await.is_empty());
}

/// The client goes on sending during its download. The kernel would reset a connection if its socket were closed with
/// bytes unread, and discard the rest of the download.
#[tokio::test]
async fn without_half_close_a_download_completes_although_the_client_still_sends() {
    const LEN: usize = 600_000;
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let upstream = upstream([Backend::new(listener.local_addr().unwrap())]);
    let listens = Listener::new(loopback(), &upstream).half_close(HalfClose::End);
    let proxy = RunningProxy::start(listens, None).await;
    let client = connect_narrowly(&proxy).await;
    let (server, _) = within("a connection", listener.accept()).await.unwrap();
    let (mut from_proxy, mut to_proxy) = client.into_split();
    let sending = tokio::spawn(async move {
        while to_proxy.write_all(&[1; 1000]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let (mut from_client, mut to_client) = server.into_split();
    let receiving = tokio::spawn(async move {
        let mut block = vec![0; 1 << 16];
        while from_client.read(&mut block).await.is_ok_and(|n| n > 0) {}
    });
    let download = noise(2, LEN);
    let expected = download.clone();
    let answering = tokio::spawn(async move {
        to_client.write_all(&download).await.unwrap();
        to_client.shutdown().await.unwrap();
    });
    let mut received: Vec<u8> = Vec::new();
    let mut block = vec![0; 1 << 15];
    loop {
        let n = within("a piece", from_proxy.read(&mut block))
            .await
            .unwrap();
        if n == 0 {
            break;
        }
        received.extend(&block[..n]);
        tokio::task::yield_now().await;
    }
    assert!(received == expected, "{} of {LEN} bytes", received.len());
    answering.await.unwrap();
    sending.await.unwrap();
    receiving.await.unwrap();
    proxy.end().await;
}

/// The client's kernel advertises window space only when about half of its buffer is free: for longer than the idle
/// time-out no byte leaves the proxy's kernel, although the client reads.
#[tokio::test]
async fn a_trickling_reader_receives_everything_before_the_reset() {
    let idle = Timeouts::default().idle(Some(Duration::from_secs(2)));
    let (proxy, _sources, _, mut client, server) = unread(|l| l.timeouts(idle), |p| p).await;
    reset(server);
    let mut received: Vec<u8> = Vec::new();
    let mut piece = [0; 500];
    for _ in 0..60 {
        let n = within("a piece", client.read(&mut piece)).await.unwrap();
        received.extend(&piece[..n]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    received.extend(read_until_reset(&mut client).await);
    assert!(
        received == noise(1, ACKNOWLEDGED),
        "{} bytes",
        received.len()
    );
    eventually("the end", || proxy.metrics().backend_resets == 1).await;
    proxy.end().await;
}

/// The kernel has the whole answer and its end.
#[tokio::test]
async fn a_drain_does_not_wait_for_bytes_that_the_kernel_delivers_alone() {
    let (proxy, _sources, _, mut client, server) =
        unread(|l| l.half_close(HalfClose::End), |p| p).await;
    drop(server);
    let report = proxy.end().await;
    assert_eq!(report.aborted, 0);
    // The wait for the client would take five seconds.
    assert!(report.elapsed < Duration::from_secs(4), "{report:?}");
    assert!(read_all(&mut client).await == noise(1, ACKNOWLEDGED));
}

/// The backend has closed: a client that has not read the whole answer holds no lease.
async fn the_lease_ends_before_the_client_has_read(leave: impl FnOnce(TcpStream)) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let backend = Backend::new(listener.local_addr().unwrap());
    let upstream = upstream([backend.max_conns(1)]);
    let listens = Listener::new(loopback(), &upstream).half_close(HalfClose::End);
    let proxy = RunningProxy::start(listens, None).await;
    let mut client = connect_narrowly(&proxy).await;
    let (mut server, _) = within("a connection", listener.accept()).await.unwrap();
    assert_eq!(in_flight(&upstream), 1);
    server.write_all(&noise(1, ACKNOWLEDGED)).await.unwrap();
    all_acknowledged(&server).await;
    leave(server);
    eventually("the end of the lease", || in_flight(&upstream) == 0).await;
    let second = proxy.connect().await;
    let _ = within("a second one", listener.accept()).await.unwrap();
    let mut received: Vec<u8> = Vec::new();
    let mut piece = [0; 1 << 14];
    while let Ok(n @ 1..) = within("a piece", client.read(&mut piece)).await {
        received.extend(&piece[..n]);
    }
    assert!(
        received == noise(1, ACKNOWLEDGED),
        "{} bytes",
        received.len()
    );
    drop((client, second));
    proxy.end().await;
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test]
async fn the_lease_of_a_backend_that_closed_ends_before_its_client_has_read() {
    the_lease_ends_before_the_client_has_read(drop).await;
}

#[tokio::test]
async fn the_lease_of_a_backend_that_reset_ends_before_its_client_has_read() {
    the_lease_ends_before_the_client_has_read(reset).await;
}

/// The kernel reports room for more only when a third of its send buffer is free. A slow reader makes progress earlier.
#[tokio::test]
async fn a_slow_reader_does_not_run_into_the_idle_timeout() {
    let (clients, servers) = (narrow_pair(), pair_on_loopback());
    SockRef::from(&clients.1)
        .set_send_buffer_size(200_000)
        .unwrap();
    let tokio = |stream: std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    };
    let (mut client, near) = (tokio(clients.0), tokio(clients.1));
    let (far, mut server) = (tokio(servers.0), tokio(servers.1));
    let idle = Timeouts::default().idle(Some(Duration::from_secs(4)));
    let relaying = tokio::spawn(async move { Relay::new().timeouts(idle).run(near, far).await });
    let sent = noise(3, 800_000);
    let expected = sent.clone();
    let sending = tokio::spawn(async move {
        server.write_all(&sent).await.unwrap();
        server.shutdown().await.unwrap();
        server
    });
    let mut received: Vec<u8> = Vec::new();
    let mut piece = vec![0; 2000];
    // Paced by the clock, so that a slow machine catches up.
    let begin = tokio::time::Instant::now();
    while begin.elapsed() < Duration::from_secs(8) {
        while (received.len() as f64) < begin.elapsed().as_secs_f64() * 20_000.0 {
            let n = within("a piece", client.read(&mut piece)).await.unwrap();
            received.extend(&piece[..n]);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    within("the rest", client.read_to_end(&mut received))
        .await
        .unwrap();
    assert!(received == expected, "{} bytes", received.len());
    drop((client, sending.await.unwrap()));
    within("the end", relaying).await.unwrap();
}
