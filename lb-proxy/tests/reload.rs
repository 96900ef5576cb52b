//! Changes at run time: what is kept, what is new, and that nobody notices who is not concerned.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use lb_core::policy::PolicyKind;
use lb_core::{Backend, BalancerConfig, Snapshot, Weight, ZonePreference};
use lb_discovery::{DriverConfig, Static};
use lb_proxy::{
    Limits, Listener, Proxy, ProxyBuilder, ReloadError, Reloaded, Timeouts, Upstream, Workers,
};
use support::{Running, ask, assert_refused, in_flight, listening, loopback, named, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn pool(
    name: &str,
    policy: PolicyKind,
    backends: impl IntoIterator<Item = (SocketAddr, u16)>,
) -> Upstream {
    let backends = backends
        .into_iter()
        .map(|(addr, weight)| Backend::new(addr).with_weight(Weight::new(weight)));
    Upstream::builder(name)
        .discovery(Static::new(Snapshot::from_backends(backends)))
        .policy(policy.build())
        .discovery_config(DriverConfig::default().debounce(Duration::from_millis(1)))
        .build()
        .unwrap()
}

fn round_robin(name: &str, backend: SocketAddr) -> Upstream {
    pool(name, PolicyKind::WeightedRoundRobin, [(backend, 1)])
}

fn reload(proxy: &Running, to: ProxyBuilder) -> Result<Reloaded, ReloadError> {
    proxy.handle.reload(to.build().unwrap())
}

/// Waits until connections are answered by `name`.
async fn answered_by(addr: SocketAddr, name: &str) {
    within(name, async { while ask(addr).await.unwrap() != name {} }).await;
}

#[tokio::test]
async fn listeners_come_stay_and_go() {
    let (a, b) = (round_robin("a", named("a").await), named("b").await);
    let proxy = Running::run(Proxy::builder().listen(loopback(), &a)).await;
    let first = proxy.addr;
    let to = Proxy::builder()
        .listen(loopback(), &a)
        .listen(loopback(), &a);
    let reloaded = reload(&proxy, to).unwrap();
    let second = reloaded.added[0];
    assert_eq!(reloaded.kept, [first]);
    assert_eq!(proxy.handle.local_addrs(), [first, second]);
    assert_eq!(ask(second).await.unwrap(), "a");

    let b = round_robin("b", b);
    let reloaded = reload(&proxy, Proxy::builder().listen(second, &b)).unwrap();
    assert_eq!(
        (reloaded.kept, reloaded.removed),
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
async fn a_session_outlives_its_listener_and_its_upstream() {
    let old = round_robin("old", listening("o").await);
    let proxy = Running::run(Proxy::builder().listen(loopback(), &old)).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'o');
    let new = round_robin("new", named("new").await);
    reload(&proxy, Proxy::builder().listen(loopback(), &new)).unwrap();
    client.write_all(b"still there").await.unwrap();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    until("its end", || in_flight(&old) == 0).await;
    assert_eq!(proxy.end().await.aborted, 0);
}

#[tokio::test]
async fn an_address_that_is_taken_changes_nothing() {
    let a = round_robin("a", named("a").await);
    let proxy = Running::run(Proxy::builder().listen(loopback(), &a)).await;
    let taken = TcpListener::bind(loopback()).await.unwrap();
    let taken = taken.local_addr().map(|addr| (addr, taken)).unwrap();
    let b = round_robin("a", named("b").await);
    let to = Proxy::builder().listen(loopback(), &b).listen(taken.0, &b);
    let error = reload(&proxy, to).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", taken.0));
    assert_eq!(proxy.handle.local_addrs(), [proxy.addr]);
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    // What was refused is whole still.
    reload(&proxy, Proxy::builder().listen(proxy.addr, &b)).unwrap();
    answered_by(proxy.addr, "b").await;
    let handle = proxy.handle.clone();
    proxy.end().await;
    let again = Proxy::builder().listen(loopback(), &a).build().unwrap();
    assert!(matches!(handle.reload(again), Err(ReloadError::Ended)));
}

#[tokio::test]
async fn an_upstream_keeps_what_it_knows_under_new_settings() {
    let (stays, comes) = (listening("s").await, listening("c").await);
    let old = round_robin("pool", stays);
    let proxy = Running::run(Proxy::builder().listen(loopback(), &old)).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        assert_eq!(client.read_u8().await.unwrap(), b's');
        held.push(client);
    }
    let new = pool("pool", PolicyKind::LeastConn, [(stays, 1), (comes, 1)]);
    reload(&proxy, Proxy::builder().listen(proxy.addr, &new)).unwrap();
    until("the newcomer", || old.backends().snapshot().len() == 2).await;
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
    let proxy = Running::run(Proxy::builder().listen(loopback(), &in_zones(zone))).await;
    for _ in 0..4 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "f");
    }
    let anywhere = in_zones(BalancerConfig::default());
    reload(&proxy, Proxy::builder().listen(proxy.addr, &anywhere)).unwrap();
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
    let proxy = Running::run(Proxy::builder().listener(limited(2))).await;
    let join = async || {
        let mut client = proxy.connect().await;
        client.read_u8().await.unwrap();
        client
    };
    let _two = (join().await, join().await);
    assert_refused(proxy.addr).await;
    reload(&proxy, Proxy::builder().listener(limited(3))).unwrap();
    let _third = join().await;
    assert_refused(proxy.addr).await;
    reload(&proxy, Proxy::builder().listener(limited(1))).unwrap();
    assert_refused(proxy.addr).await;
    assert_eq!(proxy.metrics().active, 3);
    proxy.handle.abort();
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
    let proxy = Running::run(limited(1)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(proxy.connect().await);
    }
    assert_eq!(clients[0].read_u8().await.unwrap(), b'a');
    reload(&proxy, limited(10)).unwrap();
    for client in &mut clients[1..] {
        assert_eq!(within("room", client.read_u8()).await.unwrap(), b'a');
    }
    drop(clients);
    proxy.end().await;
}

/// How much goes through while everything around it changes. All of a gibibyte where the code is optimised.
const TRANSFER: usize = if cfg!(debug_assertions) {
    128 << 20
} else {
    1 << 30
};

/// Changes that add, change and remove listeners, upstreams, weights and policies.
async fn hundred_changes(workers: Workers) {
    let sink = TcpListener::bind(loopback()).await.unwrap();
    let bulk = round_robin("bulk", sink.local_addr().unwrap());
    let (one, two) = (listening("1").await, listening("2").await);
    let idle = |round: u16| {
        let policy = [
            PolicyKind::LeastConn,
            PolicyKind::WeightedRoundRobin,
            PolicyKind::Maglev,
        ][usize::from(round % 3)];
        let other = (!round.is_multiple_of(4)).then_some((two, 1 + round % 7));
        pool(
            "idle",
            policy,
            [(one, 1 + round % 5)].into_iter().chain(other),
        )
    };
    let first = idle(1);
    let begin = Proxy::builder()
        .workers(workers)
        .listen(loopback(), &bulk)
        .listen(loopback(), &first);
    let proxy = Running::run(begin).await;
    let (bulk_addr, idle_addr) = (proxy.addr, proxy.handle.local_addrs()[1]);

    let mut sleepers = Vec::new();
    for _ in 0..200 {
        let mut client = TcpStream::connect(idle_addr).await.unwrap();
        client.read_u8().await.unwrap();
        sleepers.push(client);
    }
    let sending = tokio::spawn(async move {
        let mut client = TcpStream::connect(bulk_addr).await.unwrap();
        let block = vec![7; 1 << 16];
        for _ in 0..TRANSFER / block.len() {
            client.write_all(&block).await.unwrap();
        }
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let (mut receiver, _) = sink.accept().await.unwrap();
    let half = Arc::new(tokio::sync::Notify::new());
    let go_on = Arc::clone(&half);
    let receiving = tokio::spawn(async move {
        let mut block = vec![0; 1 << 16];
        let (mut received, mut waited) = (0, false);
        loop {
            match receiver.read(&mut block).await.unwrap() {
                0 => return received,
                n => received += n,
            }
            // The rest goes through after the last change, so that the changes are in its midst.
            if received > TRANSFER / 2 && !waited {
                waited = true;
                go_on.notified().await;
            }
        }
    });
    let over = Arc::new(AtomicBool::new(false));
    let knocking = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut knocks = 0;
            while !over.load(SeqCst) {
                // Refused or reset, it would be an error.
                let mut client = TcpStream::connect(idle_addr).await.unwrap();
                client.read_u8().await.unwrap();
                client.shutdown().await.unwrap();
                client.read_to_end(&mut Vec::new()).await.unwrap();
                knocks += 1;
            }
            knocks
        }
    });

    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut extra = Vec::new();
    for round in 0..100 {
        let timeouts = Timeouts::default().idle(Some(Duration::from_secs(60 + round)));
        let round = round as u16;
        let idle = idle(round);
        let mut to = Proxy::builder()
            .workers(workers)
            .listen(bulk_addr, &bulk)
            .listener(Listener::new(idle_addr, &idle).timeouts(timeouts));
        let passing = round_robin(&format!("passing {}", round % 6), one);
        for _ in 0..round % 4 {
            to = to.listen(loopback(), &passing);
        }
        let reloaded = reload(&proxy, to).unwrap();
        assert!(reloaded.kept.starts_with(&[bulk_addr, idle_addr]));
        extra = reloaded.added;
        for addr in &extra {
            let mut client = TcpStream::connect(addr).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'1');
        }
    }
    drop(extra);
    half.notify_one();
    assert_eq!(within("the transfer", receiving).await.unwrap(), TRANSFER);
    within("its end", sending).await.unwrap();
    over.store(true, SeqCst);
    assert!(within("the knocks", knocking).await.unwrap() > 0);

    // Back to the beginning: nothing is left of all that was in between.
    let begin = || {
        Proxy::builder()
            .workers(workers)
            .listen(bulk_addr, &bulk)
            .listen(idle_addr, &first)
    };
    reload(&proxy, begin()).unwrap();
    until("the knocks' ends", || proxy.metrics().active == 200).await;
    until("the counts", || in_flight(&first) == 200).await;
    assert_eq!(in_flight(&bulk), 0);
    for client in &mut sleepers {
        client.write_all(b"awake").await.unwrap();
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
    drop(sleepers);
    until("the end of all", || proxy.metrics().active == 0).await;
    let before = files();
    for _ in 0..20 {
        let to = begin().listen(loopback(), &bulk);
        reload(&proxy, to).unwrap();
        reload(&proxy, begin()).unwrap();
    }
    until("the descriptors' return", || files() <= before).await;
    let report = proxy.end().await;
    assert_eq!((report.aborted, in_flight(&first)), (0, 0));
}

#[tokio::test]
async fn a_hundred_changes_lose_nothing() {
    hundred_changes(Workers::Here).await;
}

#[tokio::test]
async fn a_hundred_changes_lose_nothing_on_threads() {
    hundred_changes(Workers::Threads(NonZeroUsize::new(2).unwrap())).await;
}
