//! Numbers that would allow nothing are refused by `build`, which names them.

use std::time::Duration;

use lb_core::Snapshot;
use lb_discovery::Static;
use lb_proxy::access::{ClientZone, Rate};
use lb_proxy::balancing::Queue;
use lb_proxy::errors::BuildError;
use lb_proxy::{Limits, Listener, Proxy, ProxyBuilder, Retry, Upstream, Workers};
use test_support::proxy::upstream;
use test_support::sockets::loopback;

fn refused(proxy: ProxyBuilder) -> String {
    let error = proxy.build().unwrap_err();
    assert!(matches!(error, BuildError::Zero { .. }), "{error}");
    error.to_string()
}

#[test]
fn build_refuses_a_zero_and_names_the_setting() {
    let upstream = upstream([]);
    let listener = || Listener::new(loopback(), &upstream);
    let of_proxy = || Proxy::builder().listener(listener());
    let of_listener = |listener: Listener| Proxy::builder().listener(listener);
    let zone = ClientZone::builder().build();
    let narrow = ClientZone::builder().capacity(0).build();
    let never = Rate::new(0, Duration::from_secs(1));
    let slow = ClientZone::builder().rate(never).build();
    let no_burst = Limits::default().rate(Rate::per_second(5).burst(0));
    for (proxy, setting, of) in [
        (
            of_proxy().workers(Workers::Threads(0)),
            "worker threads",
            "the proxy",
        ),
        (
            of_proxy().limits(Limits::default().sessions(0)),
            "the limit on sessions",
            "the proxy",
        ),
        (
            of_proxy().limits(Limits::default().rate(never)),
            "connections of the rate",
            "the proxy",
        ),
        (
            of_listener(listener().limits(no_burst)),
            "the burst of the rate",
            "the listener on",
        ),
        (
            of_listener(listener().retry(Retry::default().tries(0))),
            "tries",
            "the listener on",
        ),
        (
            of_listener(listener().limit_clients(&zone, 0)),
            "sessions of each client",
            "127.0.0.1",
        ),
        (
            of_listener(listener().limit_keys(&narrow, [], 1)),
            "a client zone",
            "127.0.0.1",
        ),
        (
            of_listener(listener().limit_clients(&slow, 1)),
            "connections of the rate",
            "127.0.0.1",
        ),
    ] {
        let error = refused(proxy);
        assert!(error.contains(setting) && error.contains(of), "{error}");
    }
    of_proxy().build().unwrap();
    let queued = Upstream::builder("narrow").discovery(Static::new(Snapshot::default()));
    let error = queued.queue(Queue::new(0)).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the capacity of the queue of upstream \"narrow\" is zero: leave it out or give it at least 1"
    );
}
