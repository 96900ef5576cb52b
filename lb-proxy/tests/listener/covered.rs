//! Listeners on one port of a wildcard: without a socket of their own, and with one.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use lb_core::Endpoint;
use lb_proxy::errors::{BindError, BuildError};
use lb_proxy::settings::SocketOptions;
use lb_proxy::{Listener, Proxy, ProxyBuilder, Upstream, Workers};
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, reload, round_robin};
use test_support::sockets::{assert_exclusive, reserved_port};
use test_support::streams::ask;

/// An upstream for each listener, whose backend answers with a name.
async fn upstream(name: &'static str) -> Upstream {
    round_robin(name, named(name).await)
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port)
}

async fn answers(port: u16, expected: &[(&str, &str)]) {
    for (ip, name) in expected {
        assert_eq!(ask(at(ip, port)).await.unwrap(), *name, "{ip}");
    }
}

fn with_workers(proxy: ProxyBuilder, count: usize) -> ProxyBuilder {
    match count {
        0 | 1 => proxy,
        several => proxy.workers(Workers::Threads(several)),
    }
}

#[tokio::test]
async fn a_wildcard_accepts_for_listeners_without_a_socket() {
    let [any, one, four] = [
        upstream("any").await,
        upstream("one").await,
        upstream("four").await,
    ];
    for workers in [1, 2] {
        let (_reserved, port) = reserved_port();
        let unbound = |ip, upstream| Listener::new(at(ip, port), upstream).bind_to_port(false);
        let proxy = with_workers(Proxy::builder(), workers)
            .listener(unbound("127.0.0.1", &one))
            .listener(Listener::new(at("::", port), &any))
            .listener(unbound("0.0.0.0", &four))
            .listener(unbound("::1", &one));
        let proxy = RunningProxy::run(proxy).await;
        let expected = [("127.0.0.1", "one"), ("127.0.0.2", "four"), ("::1", "one")];
        answers(port, &expected).await;
        assert_exclusive(at("::", port), false);
        let kept = Proxy::builder().listener(Listener::new(at("::", port), &any));
        let report = reload(&proxy, with_workers(kept, workers)).await.unwrap();
        assert_eq!(report.listeners.kept, [at("::", port)]);
        assert_eq!(report.listeners.removed.len(), 3);
        answers(port, &[("127.0.0.1", "any"), ("::1", "any")]).await;
        proxy.end().await;
    }
}

#[tokio::test]
async fn a_reload_adds_and_removes_them_without_opening_a_socket() {
    let [any, one] = [upstream("any").await, upstream("one").await];
    let (_reserved, port) = reserved_port();
    let wildcard = || Proxy::builder().listener(Listener::new(at("0.0.0.0", port), &any));
    let unbound = || Listener::new(at("127.0.0.1", port), &one).bind_to_port(false);
    let both =
        || wildcard().listener(unbound().client_options(SocketOptions::default().nodelay(false)));
    let proxy = RunningProxy::run(wildcard()).await;
    // In the queue of the socket, which a reload that opened another one would reset.
    for (described, expected) in [(both(), "one"), (wildcard(), "any"), (both(), "one")] {
        let report = reload(&proxy, described).await.unwrap();
        assert_eq!(report.listeners.kept[0], at("0.0.0.0", port));
        assert!(report.listeners.changed.is_empty());
        answers(port, &[("127.0.0.1", expected), ("127.0.0.2", "any")]).await;
    }
    // To a socket of its own beside the wildcard's, and back.
    let own = wildcard().listener(Listener::new(at("127.0.0.1", port), &one));
    for described in [own, both()] {
        let report = reload(&proxy, described).await.unwrap();
        assert_eq!(report.listeners.changed, [at("127.0.0.1", port)]);
        answers(port, &[("127.0.0.1", "one"), ("127.0.0.2", "any")]).await;
        assert_exclusive(at("0.0.0.0", port), false);
    }
    // Alone, when the wildcard leaves.
    let alone = Proxy::builder().listener(Listener::new(at("127.0.0.1", port), &one));
    let report = reload(&proxy, alone).await.unwrap();
    assert_eq!(report.listeners.removed, [at("0.0.0.0", port)]);
    answers(port, &[("127.0.0.1", "one")]).await;
    assert_eq!(
        ask(at("127.0.0.2", port)).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    proxy.end().await;
}

#[tokio::test]
async fn sockets_of_a_wildcard_and_of_addresses_may_be_open_beside_each_other() {
    let [any, one, two] = [
        upstream("any").await,
        upstream("one").await,
        upstream("two").await,
    ];
    for workers in [1, 2] {
        let (_reserved, port) = reserved_port();
        let described = |two: Option<&Upstream>| {
            let proxy = with_workers(Proxy::builder(), workers)
                .listener(Listener::new(at("127.0.0.1", port), &one))
                .listener(Listener::new(at("::", port), &any));
            two.into_iter().fold(proxy, |proxy, two| {
                proxy.listener(Listener::new(at("127.0.0.2", port), two))
            })
        };
        let proxy = RunningProxy::run(described(None)).await;
        let before = [("127.0.0.1", "one"), ("127.0.0.2", "any"), ("::1", "any")];
        let after = [("127.0.0.1", "one"), ("127.0.0.2", "two"), ("::1", "any")];
        answers(port, &before).await;
        let report = reload(&proxy, described(Some(&two))).await.unwrap();
        assert_eq!(report.listeners.added, [at("127.0.0.2", port)]);
        answers(port, &after).await;
        for (ip, _) in after {
            assert_exclusive(at(ip, port), false);
        }
        reload(&proxy, described(None)).await.unwrap();
        answers(port, &before).await;
        proxy.end().await;
    }
}

#[tokio::test]
async fn two_sockets_of_one_address_and_an_address_without_a_wildcard_are_errors() {
    let one = upstream("one").await;
    let (_reserved, port) = reserved_port();
    let addr = at("127.0.0.1", port);
    let listener = || Listener::new(addr, &one);
    let twice = Proxy::builder().listener(listener()).listener(listener());
    let twice = twice.bind_timeout(std::time::Duration::ZERO);
    let error = twice.build().unwrap().bind().await.unwrap_err();
    assert!(
        matches!(&error, BindError::Listen { addr: of, .. } if *of == addr),
        "{error}"
    );
    let path: &std::path::Path = "/nowhere.sock".as_ref();
    let any = |ip, port| Listener::new(at(ip, port), &one);
    for (unbound, beside) in [
        (listener(), any("0.0.0.0", port - 1)),
        (listener(), any("127.0.0.2", port)),
        (listener(), any("::", port).ipv6_only(true)),
        (any("0.0.0.0", 0), any("::", 0)),
        (
            any("0.0.0.0", port),
            any("0.0.0.0", port).bind_to_port(false),
        ),
        (Listener::unix(path, &one), any("0.0.0.0", port)),
    ] {
        let unbound = unbound.bind_to_port(false);
        let proxy = Proxy::builder().listener(unbound).listener(beside);
        let error = proxy.build().unwrap_err();
        assert!(matches!(error, BuildError::NoWildcard { .. }), "{error}");
    }
    let error = BuildError::NoWildcard {
        addr: Endpoint::Tcp(addr),
    };
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}
