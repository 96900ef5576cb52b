//! Addresses in use by other programs or by sockets that are about to close.

use std::net::SocketAddr;
use std::time::Duration;

use lb_proxy::errors::{BindError, ReloadError};
use lb_proxy::{Listener, Proxy, ProxyBuilder, Upstream, Workers};
use test_support::deadline::{eventually, within};
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, reload, round_robin};
use test_support::sockets::{assert_exclusive, join, loopback, reserved_port};
use test_support::streams::ask;
use tokio::net::TcpListener;

fn threads(proxy: ProxyBuilder) -> ProxyBuilder {
    proxy.workers(Workers::Threads(2))
}

fn listener(ip: &str, port: u16, ipv6_only: bool, upstream: &Upstream) -> Listener {
    let addr = SocketAddr::new(ip.parse().unwrap(), port);
    Listener::new(addr, upstream).ipv6_only(ipv6_only)
}

#[tokio::test]
async fn no_other_program_can_bind_an_address_of_several_workers() {
    let upstream = round_robin("pool", named("a").await);
    for (ip, ipv6_only) in [
        ("127.0.0.1", false),
        ("0.0.0.0", false),
        ("::1", false),
        ("::", true),
        ("::", false),
    ] {
        let (_reserved, port) = reserved_port();
        let described = listener(ip, port, ipv6_only, &upstream);
        let proxy = RunningProxy::run(threads(Proxy::builder().listener(described))).await;
        assert_exclusive(proxy.addr, ipv6_only);
        // A socket on one address would take connections away from the wildcard.
        if proxy.addr.ip().is_unspecified() {
            let parts = [("127.0.0.1", !ipv6_only), ("::1", proxy.addr.is_ipv6())];
            for (part, _) in parts.iter().filter(|(_, is_part)| *is_part) {
                assert_exclusive(SocketAddr::new(part.parse().unwrap(), port), true);
            }
        }
        proxy.end().await;
    }
}

#[tokio::test]
async fn no_other_program_can_bind_a_port_of_both_families() {
    let upstream = round_robin("pool", named("a").await);
    let (_reserved, port) = reserved_port();
    let four = SocketAddr::from(([0, 0, 0, 0], port));
    let proxy = RunningProxy::run(threads(Proxy::builder().listen(four, &upstream))).await;
    let six = SocketAddr::new("::".parse().unwrap(), port);
    let both = || {
        Proxy::builder()
            .listen(proxy.addr, &upstream)
            .listener(Listener::new(six, &upstream).ipv6_only(true))
    };
    reload(&proxy, both()).await.unwrap();
    assert_exclusive(proxy.addr, false);
    assert_exclusive(six, true);
    assert_exclusive(six, false);
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_allows_and_forbids_sharing_of_an_address() {
    let upstream = round_robin("pool", named("a").await);
    for several in [false, true] {
        let of = |addr, shared| {
            let proxy =
                Proxy::builder().listener(Listener::new(addr, &upstream).reuse_port(shared));
            if several { threads(proxy) } else { proxy }
        };
        let proxy = RunningProxy::run(of(loopback(), false)).await;
        assert_exclusive(proxy.addr, false);
        for _ in 0..2 {
            let reloaded = reload(&proxy, of(proxy.addr, true)).await.unwrap();
            assert_eq!(reloaded.listeners.kept, [proxy.addr]);
            drop(join(proxy.addr, false).expect("an address that is shared"));
            reload(&proxy, of(proxy.addr, false)).await.unwrap();
            assert_exclusive(proxy.addr, false);
        }
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
        proxy.end().await;
    }
}

#[tokio::test]
async fn start_and_reload_wait_for_an_address_to_become_free() {
    let upstream = round_robin("pool", named("a").await);
    for several in [false, true] {
        let at = |addr| {
            let proxy = Proxy::builder().listen(addr, &upstream);
            let proxy = proxy.bind_timeout(Duration::from_secs(20));
            if several { threads(proxy) } else { proxy }
        };
        // At the start.
        let taken = TcpListener::bind(loopback()).await.unwrap();
        let addr = taken.local_addr().unwrap();
        let starting = tokio::spawn(RunningProxy::run(at(addr)));
        tokio::task::yield_now().await;
        drop(taken);
        let proxy = within("the start", starting).await.unwrap();
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
        // At a reload.
        let taken = TcpListener::bind(loopback()).await.unwrap();
        let addr = taken.local_addr().unwrap();
        let to = at(addr).listen(proxy.addr, &upstream).build().unwrap();
        let reloading = tokio::spawn({
            let handle = proxy.handle.clone();
            async move { handle.reload(to).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
        drop(taken);
        let reloaded = within("the reload", reloading).await.unwrap().unwrap();
        assert_eq!(reloaded.listeners.added, [addr]);
        assert_eq!(ask(addr).await.unwrap(), "a");
        proxy.end().await;
    }
}

#[tokio::test]
async fn an_address_that_stays_in_use_is_an_error_in_time() {
    let upstream = round_robin("pool", named("a").await);
    let taken = TcpListener::bind(loopback()).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let at = || {
        let proxy = Proxy::builder().listen(addr, &upstream);
        proxy.bind_timeout(Duration::from_millis(250))
    };
    let bound = within("the error", at().build().unwrap().bind()).await;
    assert!(matches!(bound, Err(BindError::Listen { addr: a, .. }) if a == addr));
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let error = reload(&proxy, at()).await.unwrap_err();
    assert!(matches!(error, ReloadError::Bind(_)), "{error}");
    // The reload that gave up has changed nothing, and another reload can run.
    drop(taken);
    reload(&proxy, at()).await.unwrap();
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_that_is_dropped_while_it_waits_changes_nothing() {
    let upstream = round_robin("pool", named("a").await);
    let taken = TcpListener::bind(loopback()).await.unwrap();
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let to = Proxy::builder().listen(taken.local_addr().unwrap(), &upstream);
    let to = to.bind_timeout(Duration::from_secs(600)).build().unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(20), proxy.handle.reload(to));
    assert!(waiting.await.is_err());
    assert_eq!(proxy.handle.local_addrs(), [proxy.addr]);
    let same = Proxy::builder().listen(proxy.addr, &upstream);
    assert_eq!(
        reload(&proxy, same).await.unwrap().listeners.kept,
        [proxy.addr]
    );
    proxy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_removed_can_be_added_at_once() {
    let upstream = round_robin("pool", named("a").await);
    let with = |listens: &[SocketAddr]| {
        let listens = listens.iter();
        let proxy = listens.fold(Proxy::builder(), |proxy, addr| {
            proxy.listen(*addr, &upstream)
        });
        // No attempt may find the address in use.
        threads(proxy).bind_timeout(Duration::ZERO)
    };
    let proxy = RunningProxy::run(with(&[loopback(), loopback()])).await;
    let [stays, goes] = proxy.handle.local_addrs()[..] else {
        panic!("two listeners");
    };
    let knocking = tokio::spawn(async move {
        loop {
            let _ = ask(goes).await;
        }
    });
    eventually("the load", || proxy.metrics().accepted > 50).await;
    for _ in 0..60 {
        let reloaded = reload(&proxy, with(&[stays])).await.unwrap();
        assert_eq!(reloaded.listeners.removed, [goes]);
        // A listener that is reported as removed is closed.
        drop(std::net::TcpListener::bind(goes).expect("an address that is free"));
        let reloaded = reload(&proxy, with(&[stays, goes])).await.unwrap();
        assert_eq!(reloaded.listeners.added, [goes]);
    }
    knocking.abort();
    let _ = knocking.await;
    proxy.end().await;
}
