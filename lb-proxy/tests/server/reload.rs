//! Changes at run time: what is kept, what is new, and that nobody notices who is not concerned.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{Backend, BalancerConfig, Snapshot, ZonePreference};
use lb_discovery::Static;
use lb_proxy::{Limits, Listener, Proxy, ReloadError, Upstream, Workers};
use test_support::deadline::{eventually, within};
use test_support::nodes::{listening, named};
use test_support::proxy::{RunningProxy, in_flight, pool, reload, round_robin};
use test_support::sockets::loopback;
use test_support::streams::{ask, assert_refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Waits until connections are answered by `name`.
async fn answered_by(addr: SocketAddr, name: &str) {
    within(name, async { while ask(addr).await.unwrap() != name {} }).await;
}

#[tokio::test]
async fn listeners_come_stay_and_go() {
    let (a, b) = (round_robin("a", named("a").await), named("b").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &a)).await;
    let first = proxy.addr;
    let to = Proxy::builder()
        .listen(loopback(), &a)
        .listen(loopback(), &a);
    let reloaded = reload(&proxy, to).await.unwrap();
    let second = reloaded.listeners.added[0];
    assert_eq!(reloaded.listeners.kept, [first]);
    assert_eq!(proxy.handle.local_addrs(), [first, second]);
    assert_eq!(ask(second).await.unwrap(), "a");

    let b = round_robin("b", b);
    let reloaded = reload(&proxy, Proxy::builder().listen(second, &b))
        .await
        .unwrap();
    assert_eq!(
        (reloaded.listeners.kept, reloaded.listeners.removed),
        (vec![second], vec![first])
    );
    assert_eq!(ask(second).await.unwrap(), "b");
    within("the refusal", async {
        while TcpStream::connect(first).await.is_ok() {}
    })
    .await;
    proxy.end().await;
}

#[tokio::test]
async fn a_listener_that_goes_serves_everybody_whom_it_accepted() {
    for workers in [
        Workers::CurrentRuntime,
        Workers::Threads(NonZeroUsize::new(2).unwrap()),
    ] {
        let upstream = round_robin("pool", named("a").await);
        let with = |listens: &[SocketAddr]| {
            let proxy = Proxy::builder().workers(workers);
            let listens = listens.iter();
            listens.fold(proxy, |proxy, addr| proxy.listen(*addr, &upstream))
        };
        let proxy = RunningProxy::run(with(&[loopback(), loopback()])).await;
        let [stays, goes] = proxy.handle.local_addrs()[..] else {
            panic!("two listeners");
        };
        let mut knocking = JoinSet::new();
        for _ in 0..20 {
            knocking.spawn(async move {
                let mut served = 0;
                loop {
                    match ask(goes).await {
                        Ok(answer) => assert_eq!(answer, "a"),
                        Err(error) => break (served, error.kind()),
                    }
                    served += 1;
                }
            });
        }
        eventually("the load", || proxy.metrics().accepted > 200).await;
        reload(&proxy, with(&[stays])).await.unwrap();
        let mut all = 0;
        while let Some(ended) = within("the end", knocking.join_next()).await {
            let (served, error) = ended.unwrap();
            // Who came between the last look and the close is reset by the kernel.
            assert!(
                [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset].contains(&error),
                "{error}"
            );
            all += served;
        }
        assert_eq!(proxy.metrics().accepted, all);
        assert_eq!(ask(stays).await.unwrap(), "a");
        proxy.end().await;
    }
}

#[tokio::test]
async fn a_session_outlives_its_listener_and_its_upstream() {
    let old = round_robin("old", listening("o").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &old)).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'o');
    let new = round_robin("new", named("new").await);
    reload(&proxy, Proxy::builder().listen(loopback(), &new))
        .await
        .unwrap();
    client.write_all(b"still there").await.unwrap();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    eventually("its end", || in_flight(&old) == 0).await;
    assert_eq!(proxy.end().await.aborted, 0);
}

#[tokio::test]
async fn an_address_that_is_taken_changes_nothing() {
    let a = round_robin("a", named("a").await);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &a)).await;
    let taken = TcpListener::bind(loopback()).await.unwrap();
    let taken = taken.local_addr().map(|addr| (addr, taken)).unwrap();
    let b = round_robin("a", named("b").await);
    let to = Proxy::builder()
        .listen(loopback(), &b)
        .listen(taken.0, &b)
        .bind_timeout(Duration::ZERO);
    let error = reload(&proxy, to).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", taken.0));
    assert_eq!(proxy.handle.local_addrs(), [proxy.addr]);
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    // What was refused is whole still.
    reload(&proxy, Proxy::builder().listen(proxy.addr, &b))
        .await
        .unwrap();
    answered_by(proxy.addr, "b").await;
    let handle = proxy.handle.clone();
    proxy.end().await;
    let again = Proxy::builder().listen(loopback(), &a).build().unwrap();
    assert!(matches!(
        handle.reload(again).await,
        Err(ReloadError::Ended)
    ));
}

#[tokio::test]
async fn an_upstream_keeps_what_it_knows_under_new_settings() {
    let (stays, comes) = (listening("s").await, listening("c").await);
    let old = round_robin("pool", stays);
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &old)).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        assert_eq!(client.read_u8().await.unwrap(), b's');
        held.push(client);
    }
    let new = pool("pool", PolicyKind::LeastConn, [(stays, 1), (comes, 1)]);
    reload(&proxy, Proxy::builder().listen(proxy.addr, &new))
        .await
        .unwrap();
    eventually("the newcomer", || old.backends().snapshot().len() == 2).await;
    // Both handles mean one pool, and it counts those who came before: the newcomer gets five to be even.
    assert_eq!((in_flight(&new), in_flight(&old)), (5, 5));
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        assert_eq!(client.read_u8().await.unwrap(), b'c');
        held.push(client);
    }
    assert_eq!(in_flight(&new), 10);
    drop(held);
    proxy.end().await;
    assert_eq!(in_flight(&old), 0);
}

#[tokio::test]
async fn what_is_done_around_the_policy_changes_too() {
    let (near, far) = (named("n").await, named("f").await);
    let in_zones = |config| {
        let backends = [(near, "a"), (far, "b")];
        let backends = backends.map(|(addr, zone)| Backend::new(addr).with_zone(zone));
        Upstream::builder("pool")
            .discovery(Static::new(Snapshot::from_backends(backends)))
            .policy(PolicyKind::WeightedRoundRobin.build())
            .balancer_config(config)
            .build()
            .unwrap()
    };
    let zone = BalancerConfig::default().with_zone(ZonePreference::new("b"));
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &in_zones(zone))).await;
    for _ in 0..4 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "f");
    }
    let anywhere = in_zones(BalancerConfig::default());
    reload(&proxy, Proxy::builder().listen(proxy.addr, &anywhere))
        .await
        .unwrap();
    answered_by(proxy.addr, "n").await;
    proxy.end().await;
}

#[tokio::test]
async fn limits_that_change_count_the_sessions_that_there_are() {
    let upstream = round_robin("pool", listening("a").await);
    let limited = |n| {
        let limits = Limits::default().sessions(NonZeroUsize::new(n));
        let limits = limits.excess(lb_proxy::Excess::Refuse);
        Listener::new(loopback(), &upstream).limits(limits)
    };
    let proxy = RunningProxy::run(Proxy::builder().listener(limited(2))).await;
    let join = async || {
        let mut client = proxy.connect().await;
        client.read_u8().await.unwrap();
        client
    };
    let _two = (join().await, join().await);
    assert_refused(proxy.addr).await;
    reload(&proxy, Proxy::builder().listener(limited(3)))
        .await
        .unwrap();
    let _third = join().await;
    assert_refused(proxy.addr).await;
    reload(&proxy, Proxy::builder().listener(limited(1)))
        .await
        .unwrap();
    assert_refused(proxy.addr).await;
    assert_eq!(proxy.metrics().active, 3);
    proxy.handle.abort();
    proxy.end().await;
}

#[tokio::test]
async fn the_budget_of_descriptors_follows_the_listeners() {
    let upstream = round_robin("pool", named("a").await);
    let with = |listeners: usize| {
        let listens = std::iter::repeat_n(loopback(), listeners);
        listens.fold(Proxy::builder(), |proxy, addr| {
            proxy.listen(addr, &upstream)
        })
    };
    let proxy = RunningProxy::run(with(1)).await;
    let one = proxy.handle.descriptors();
    reload(&proxy, with(41)).await.unwrap();
    let many = proxy.handle.descriptors();
    assert_eq!(many.in_use, one.in_use + 40);
    assert!(many.sessions < one.sessions, "{many:?}");
    reload(&proxy, with(1)).await.unwrap();
    assert_eq!(proxy.handle.descriptors(), one);
    proxy.end().await;
}

#[tokio::test]
async fn who_waits_for_room_gets_in_when_there_is_more() {
    let upstream = round_robin("pool", listening("a").await);
    let limited = |n| {
        let limits = Limits::default().sessions(NonZeroUsize::new(n));
        Proxy::builder()
            .listen(loopback(), &upstream)
            .limits(limits)
    };
    let proxy = RunningProxy::run(limited(1)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(proxy.connect().await);
    }
    assert_eq!(clients[0].read_u8().await.unwrap(), b'a');
    reload(&proxy, limited(10)).await.unwrap();
    for client in &mut clients[1..] {
        assert_eq!(within("room", client.read_u8()).await.unwrap(), b'a');
    }
    drop(clients);
    proxy.end().await;
}
