//! Reloads to addresses that overlap with the former ones: no client finds them closed.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lb_proxy::{Listener, Proxy, ProxyBuilder, Upstream, Workers};
use test_support::deadline::eventually;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, reload, round_robin};
use test_support::sockets::{assert_exclusive, reserved_port};
use test_support::streams::ask;
use tokio::net::TcpStream;

/// An address, and whether its socket is IPv6 only.
type Listen = (&'static str, bool);

fn described(port: u16, listens: &[Listen], several: bool, upstream: &Upstream) -> ProxyBuilder {
    let listens = listens.iter();
    let proxy = listens.fold(Proxy::builder(), |proxy, (ip, ipv6_only)| {
        let addr = SocketAddr::new(ip.parse().unwrap(), port);
        proxy.listener(Listener::new(addr, upstream).ipv6_only(*ipv6_only))
    });
    match several {
        true => proxy.workers(Workers::Threads(2)),
        false => proxy,
    }
}

/// Connects to `addr` until `over` is set. Returns the number of connections served.
async fn knock(addr: SocketAddr, over: Arc<AtomicBool>) -> u64 {
    let mut served = 0;
    while !over.load(Relaxed) {
        match ask(addr).await {
            Ok(answer) => assert_eq!(answer, "a"),
            // Made between the last accept of a socket and its close.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        served += 1;
    }
    served
}

async fn is_open(ip: &str, port: u16) -> bool {
    let addr = SocketAddr::new(ip.parse().unwrap(), port);
    TcpStream::connect(addr).await.is_ok()
}

/// Reloads from `old` to `new` and back while clients connect to `common`.
async fn assert_handover(old: &[Listen], new: &[Listen], common: &str, only_new: Option<&str>) {
    let upstream = round_robin("pool", named("a").await);
    for several in [false, true] {
        let to = |port, listens| described(port, listens, several, &upstream);
        let (_reserved, port) = reserved_port();
        let proxy = RunningProxy::run(to(port, old)).await;
        let common = SocketAddr::new(common.parse().unwrap(), port);
        let over = Arc::new(AtomicBool::new(false));
        let knocking = tokio::spawn(knock(common, Arc::clone(&over)));
        for _ in 0..5 {
            for (listens, is_new) in [(new, true), (old, false)] {
                let before = proxy.metrics().accepted;
                reload(&proxy, to(port, listens)).await.unwrap();
                for (ip, ipv6_only) in listens {
                    let addr = SocketAddr::new(ip.parse().unwrap(), port);
                    assert_exclusive(addr, *ipv6_only);
                }
                if let Some(ip) = only_new {
                    assert_eq!(is_open(ip, port).await, is_new, "{ip} with {listens:?}");
                }
                eventually("connections", || proxy.metrics().accepted > before + 3).await;
            }
        }
        over.store(true, Relaxed);
        assert!(knocking.await.unwrap() > 0);
        proxy.end().await;
    }
}

#[tokio::test]
async fn from_ipv6_only_to_both_families() {
    let (old, new) = ([("::", true)], [("::", false)]);
    assert_handover(&old, &new, "::1", Some("127.0.0.1")).await;
}

#[tokio::test]
async fn from_one_address_to_all_of_its_family() {
    let (old, new) = ([("127.0.0.1", false)], [("0.0.0.0", false)]);
    assert_handover(&old, &new, "127.0.0.1", Some("127.0.0.2")).await;
    let (old, new) = ([("::1", false)], [("::", true)]);
    assert_handover(&old, &new, "::1", None).await;
}

#[tokio::test]
async fn from_ipv4_to_both_families() {
    let (old, new) = ([("0.0.0.0", false)], [("::", false)]);
    assert_handover(&old, &new, "127.0.0.1", Some("::1")).await;
    let (old, new) = ([("127.0.0.1", false)], [("::", false)]);
    assert_handover(&old, &new, "127.0.0.1", Some("::1")).await;
}

#[tokio::test]
async fn from_one_socket_for_both_families_to_one_each() {
    let (old, new) = ([("::", false)], [("0.0.0.0", false), ("::", true)]);
    assert_handover(&old, &new, "127.0.0.1", None).await;
    assert_handover(&old, &new, "::1", None).await;
}

#[tokio::test]
async fn what_is_replaced_is_reported_and_a_reload_to_an_address_in_use_changes_nothing() {
    let upstream = round_robin("pool", named("a").await);
    for several in [false, true] {
        let to = |port, listens| described(port, listens, several, &upstream);
        let (_reserved, port) = reserved_port();
        let proxy = RunningProxy::run(to(port, &[("::", true)])).await;
        // A socket for both families fails while another program listens on one of them.
        let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let both = to(port, &[("::", false)]).bind_timeout(std::time::Duration::ZERO);
        let error = reload(&proxy, both).await.unwrap_err();
        assert!(
            error.to_string().contains("belong to another user"),
            "{error}"
        );
        assert_eq!(
            ask(([0_u16, 0, 0, 0, 0, 0, 0, 1], port).into())
                .await
                .unwrap(),
            "a"
        );
        assert!(tokio::net::TcpListener::bind(proxy.addr).await.is_err());
        drop(taken);
        let reloaded = reload(&proxy, to(port, &[("::", false)])).await.unwrap();
        assert_eq!(reloaded.listeners.changed, [proxy.addr]);
        assert!(reloaded.listeners.added.is_empty() && reloaded.listeners.removed.is_empty());
        assert_eq!(ask(([127, 0, 0, 1], port).into()).await.unwrap(), "a");
        proxy.end().await;
    }
}

/// The same as after a start as root that dropped its privileges.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_another_user_are_reported_and_stay_open() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: another user takes root");
        return;
    }
    let upstream = round_robin("pool", named("a").await);
    let (_reserved, port) = reserved_port();
    let to = |listens| described(port, listens, true, &upstream);
    let proxy = RunningProxy::run(to(&[("127.0.0.1", false)])).await;
    let wildcard = to(&[("0.0.0.0", false)]).bind_timeout(std::time::Duration::ZERO);
    let (wildcard, handle) = (wildcard.build().unwrap(), proxy.handle.clone());
    let runtime = tokio::runtime::Handle::current();
    let other_user = std::thread::spawn(move || {
        // Changes the user of this thread only.
        nix::unistd::setfsuid(65534.into());
        runtime.block_on(handle.reload(wildcard))
    });
    let error = tokio::task::spawn_blocking(|| other_user.join()).await;
    let error = error.unwrap().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("belong to another user"),
        "{error}"
    );
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    assert_eq!(proxy.handle.local_addrs(), [proxy.addr]);
    let reloaded = reload(&proxy, to(&[("0.0.0.0", false)])).await.unwrap();
    assert_eq!(reloaded.listeners.removed, [proxy.addr]);
    assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    proxy.end().await;
}
