//! The wait queue of an upstream, and the end without a backend.

use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, FailLimit, Health, Snapshot};
use lb_discovery::Manual;
use lb_proxy::balancing::{Queue, WaitFor};
use lb_proxy::settings::OnRefusal;
use lb_proxy::{Listener, Retry, Timeouts, Upstream};
use test_support::deadline::{eventually, within};
use test_support::nodes::{named, serve};
use test_support::proxy::{RunningProxy, eager, in_flight};
use test_support::sockets::{BlackHole, loopback, refusing};
use test_support::streams::{ask, assert_refused, assert_reset, read_all, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn queue(capacity: usize) -> Queue {
    Queue::new(capacity)
}

fn upstream(source: Manual, queue: Queue) -> Upstream {
    Upstream::builder("test")
        .discovery(source)
        .policy(WeightedRoundRobin::new())
        .discovery_config(eager())
        .queue(Some(queue))
        .build()
        .unwrap()
}

/// A proxy over one backend with `max_conns` of one.
async fn narrow(queue: Queue) -> (RunningProxy, Upstream) {
    let backend = Backend::new(named("a").await).max_conns(1);
    let (source, _handle) = Manual::new(Snapshot::from_backends([backend]));
    let upstream = upstream(source, queue);
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    (proxy, upstream)
}

#[tokio::test]
async fn queued_sessions_are_served_in_their_order() {
    let (proxy, upstream) = narrow(queue(100)).await;
    let mut first = proxy.connect().await;
    assert_eq!(first.read_u8().await.unwrap(), b'a');
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = proxy.connect().await;
        eventually("the queued session", || upstream.queued() == number + 1).await;
        let order = order.clone();
        clients.push(tokio::spawn(async move {
            assert_eq!(client.read_u8().await.unwrap(), b'a');
            order.lock().unwrap().push(number);
        }));
    }
    drop(first);
    for client in clients {
        within("the turn", client).await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!(upstream.queued(), 0);
    proxy.end().await;
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_session_of_a_crowd_is_served() {
    let backends = [named("a").await, named("b").await];
    let backends = backends.map(|addr| Backend::new(addr).max_conns(3));
    let (source, _handle) = Manual::new(Snapshot::from_backends(backends));
    let upstream = upstream(source, queue(1000));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let addr = proxy.addr;
    let crowd: Vec<_> = (0..400).map(|_| tokio::spawn(ask(addr))).collect();
    for client in crowd {
        within("an answer", client).await.unwrap().unwrap();
    }
    assert_eq!(proxy.metrics().accepted, 400);
    proxy.end().await;
    assert_eq!((in_flight(&upstream), upstream.queued()), (0, 0));
}

#[tokio::test]
async fn the_queue_is_bounded_in_length_and_time() {
    let (proxy, upstream) = narrow(queue(1)).await;
    let mut first = proxy.connect().await;
    first.read_u8().await.unwrap();
    let second = proxy.connect().await;
    eventually("the queued session", || upstream.queued() == 1).await;
    assert_refused(proxy.addr).await;
    assert_eq!(proxy.metrics().queue_full, 1);
    drop((first, second));
    proxy.end().await;

    let (proxy, _upstream) = narrow(queue(1).timeout(Duration::from_millis(200))).await;
    let mut first = proxy.connect().await;
    first.read_u8().await.unwrap();
    let mut second = proxy.connect().await;
    assert_reset(&mut second).await;
    assert_eq!(proxy.metrics().queue_timeouts, 1);
    drop(first);
    proxy.end().await;
}

#[tokio::test]
async fn a_client_that_closes_leaves_the_queue() {
    let (proxy, upstream) = narrow(queue(10)).await;
    let mut first = proxy.connect().await;
    first.read_u8().await.unwrap();
    let resets = proxy.connect().await;
    eventually("a queued session", || upstream.queued() == 1).await;
    let ends_silently = proxy.connect().await;
    eventually("a queued session", || upstream.queued() == 2).await;
    let mut ends_its_request = proxy.connect().await;
    ends_its_request.write_all(b"hello").await.unwrap();
    ends_its_request.shutdown().await.unwrap();
    eventually("a queued session", || upstream.queued() == 3).await;
    reset(resets);
    drop(ends_silently);
    eventually("the closed clients", || proxy.metrics().clients_gone == 2).await;
    assert_eq!(upstream.queued(), 1);
    drop(first);
    assert_eq!(read_all(&mut ends_its_request).await, b"a");
    drop(ends_its_request);
    proxy.end().await;
}

#[tokio::test]
async fn a_client_that_closes_while_connecting_frees_the_attempt() {
    let hole = BlackHole::open();
    let upstream = test_support::proxy::upstream([Backend::new(hole.addr)]);
    let timeouts = Timeouts::default().connect(Duration::from_secs(3600));
    let listener = Listener::new(loopback(), &upstream).timeouts(timeouts);
    let listener = listener.retry(Retry::default().deadline(None));
    let proxy = RunningProxy::start(listener, None).await;
    let resets = proxy.connect().await;
    let ends = proxy.connect().await;
    eventually("two attempts", || in_flight(&upstream) == 2).await;
    reset(resets);
    eventually("one attempt", || in_flight(&upstream) == 1).await;
    drop(ends);
    eventually("no attempt", || in_flight(&upstream) == 0).await;
    let metrics = proxy.metrics();
    assert_eq!((metrics.clients_gone, metrics.ejections), (2, 0));
    proxy.end().await;
}

#[tokio::test]
async fn a_half_closed_client_can_be_served_all_the_same() {
    let (source, handle) = Manual::new(Snapshot::default());
    let upstream = upstream(source, queue(1).wait_for(WaitFor::Anything));
    let listener = Listener::new(loopback(), &upstream).abandon_silent(false);
    let proxy = RunningProxy::start(listener, None).await;
    let mut client = proxy.connect().await;
    client.shutdown().await.unwrap();
    eventually("a queued session", || upstream.queued() == 1).await;
    handle.add(Backend::new(named("a").await));
    assert_eq!(read_all(&mut client).await, b"a");
    proxy.end().await;
}

#[tokio::test]
async fn a_queue_for_capacity_does_not_wait_for_ejected_backends() {
    let (_held, dead) = refusing();
    let (source, _handle) = Manual::new(Snapshot::from_backends([Backend::new(dead)]));
    let upstream = upstream(source, queue(10));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    assert_refused(proxy.addr).await;
    assert_eq!(proxy.metrics().no_backend, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_queue_for_capacity_does_not_wait_for_unhealthy_backends() {
    let (proxy, upstream) = narrow(queue(10)).await;
    let mut first = proxy.connect().await;
    first.read_u8().await.unwrap();
    let backends = upstream.backends();
    let addr = backends.snapshot().iter().next().unwrap().addr;
    assert!(upstream.set_health(addr, Health::Unhealthy));
    assert_refused(proxy.addr).await;
    assert_eq!(proxy.metrics().no_backend, 1);
    drop(first);
    proxy.end().await;
}

#[tokio::test]
async fn a_queue_for_any_backend_waits_for_a_recovery() {
    let (held, addr) = refusing();
    let (_held_too, dead) = refusing();
    let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_millis(100));
    let backends = [addr, dead].map(|addr| Backend::new(addr).fail_limit(Some(limit)));
    let (source, _handle) = Manual::new(Snapshot::from_backends(backends));
    let upstream = upstream(source, queue(10).wait_for(WaitFor::Anything));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let mut client = proxy.connect().await;
    eventually("the queued session", || upstream.queued() == 1).await;
    held.listen(16).unwrap();
    held.set_nonblocking(true).unwrap();
    serve("a", TcpListener::from_std(held.into()).unwrap());
    assert_eq!(
        within("the recovery", client.read_u8()).await.unwrap(),
        b'a'
    );
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn a_session_that_waits_for_any_backend_tries_dead_ones_twice_a_second() {
    let dead = [refusing(), refusing()];
    let backends = [dead[0].1, dead[1].1].map(|addr| Backend::new(addr).fail_limit(None));
    let (source, _handle) = Manual::new(Snapshot::from_backends(backends));
    let upstream = upstream(source, queue(10).wait_for(WaitFor::Anything));
    let proxy = RunningProxy::start(Listener::new(loopback(), &upstream), None).await;
    let begin = std::time::Instant::now();
    let client = proxy.connect().await;
    eventually("the third lap", || proxy.metrics().connect_attempts >= 6).await;
    let attempts = proxy.metrics().connect_attempts;
    let laps = 1 + begin.elapsed().as_millis() / 500;
    assert!(u128::from(attempts) <= 2 * laps, "{attempts} in {laps}");
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn without_a_backend_the_client_can_be_closed_cleanly() {
    let upstream = test_support::proxy::upstream([]);
    let listener = Listener::new(loopback(), &upstream).on_refusal(OnRefusal::Close);
    let proxy = RunningProxy::start(listener, None).await;
    let mut client = proxy.connect().await;
    assert_eq!(read_all(&mut client).await, b"");
    assert_eq!(proxy.metrics().no_backend, 1);
    proxy.end().await;
}
