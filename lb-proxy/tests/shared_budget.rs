//! The budget of descriptors, which the proxies of a process share. A test binary of its own: the limit belongs to the process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use lb_core::Backend;
use lb_proxy::Proxy;
use test_support::deadline::{eventually, within};
use test_support::descriptors;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, in_flight, reload, upstream};
use test_support::sockets::loopback;
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn the_budget_follows_the_listeners_and_limits_all_proxies_together() {
    let backends = upstream([Backend::new(listening("a").await)]);
    let with = |listeners: usize| {
        let listens = std::iter::repeat_n(loopback(), listeners);
        listens.fold(Proxy::builder(), |proxy, addr| {
            proxy.listen(addr, &backends)
        })
    };
    let before = descriptors::limit();
    descriptors::set_limit(descriptors::open() + 120);
    let one = RunningProxy::run(with(1)).await;
    let alone = one.handle.descriptors();
    reload(&one, with(11)).await.unwrap();
    let many = one.handle.descriptors();
    assert_eq!(many.in_use, alone.in_use + 10);
    assert!(many.sessions < alone.sessions, "{many:?}");
    reload(&one, with(1)).await.unwrap();
    assert_eq!(one.handle.descriptors(), alone);

    let other = upstream([Backend::new(listening("b").await)]);
    let two = RunningProxy::run(Proxy::builder().listen(loopback(), &other)).await;
    let both = two.handle.descriptors();
    assert_eq!(one.handle.descriptors(), both);
    assert!(both.in_use > alone.in_use, "{both:?} {alone:?}");
    // The clients and the backends of the test need descriptors as well.
    descriptors::set_limit(before);

    let mut clients = Vec::new();
    for _ in 0..both.sessions {
        let mut client = one.connect().await;
        assert_eq!(within("a name", client.read_u8()).await.unwrap(), b'a');
        clients.push(client);
    }
    let mut late = two.connect().await;
    eventually("the late client", || two.metrics().accepted == 1).await;
    assert_eq!(in_flight(&other), 0, "no room for it");
    clients.clear();
    assert_eq!(within("room", late.read_u8()).await.unwrap(), b'b');
    drop(late);

    two.end().await;
    assert_eq!(one.handle.descriptors().in_use, both.in_use - 1);
    one.end().await;
}
