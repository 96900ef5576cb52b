//! Upstreams that are built for a session.

use std::net::SocketAddr;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, Snapshot};
use lb_proxy::{Listener, Upstream};
use test_support::deadline::eventually;
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, in_flight, round_robin};
use test_support::sockets::{loopback, refusing};
use test_support::streams::{ask, assert_refused};
use tokio::io::AsyncReadExt;

fn fixed(backends: impl IntoIterator<Item = Backend>) -> Upstream {
    Upstream::builder("fixed")
        .policy(WeightedRoundRobin::new())
        .fixed(&Snapshot::from_backends(backends))
        .unwrap()
}

async fn routed(choose: impl Fn() -> Upstream + Send + Sync + 'static) -> RunningProxy {
    let (_held, dead) = refusing();
    let unused = round_robin("unused", dead);
    let listener = Listener::new(loopback(), &unused).route(move |_| choose());
    RunningProxy::start(listener, None).await
}

#[tokio::test]
async fn a_session_tries_each_address_of_its_own_upstream_once() {
    let (_held, dead) = refusing();
    let alive = named("alive").await;
    let proxy = routed(move || fixed([dead, alive].map(Backend::new))).await;
    for _ in 0..4 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "alive");
    }
    // No session knows of the failures of another.
    assert_eq!(proxy.metrics().connect_failures, 4);
    proxy.end().await;
}

#[tokio::test]
async fn without_an_address_there_is_no_backend() {
    let proxy = routed(|| fixed([])).await;
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().no_backend == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn an_upstream_that_is_kept_counts_all_its_sessions() {
    let addr: SocketAddr = listening("held").await;
    let kept = fixed([Backend::new(addr).max_conns(1)]);
    let proxy = routed({
        let kept = kept.clone();
        move || kept.clone()
    })
    .await;
    let mut client = proxy.connect().await;
    client.read_exact(&mut [0; 4]).await.unwrap();
    assert_eq!(in_flight(&kept), 1);
    assert_refused(proxy.addr).await;
    drop(client);
    eventually("the end", || in_flight(&kept) == 0).await;
    proxy.end().await;
}
