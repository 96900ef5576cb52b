//! Host names by the system's resolver, in real time. They are in the hosts file: no server is asked.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lb_core::Snapshot;
use lb_discovery::{DiscoveryError, Source, SystemDns};
use test_support::deadline::within;

fn source(name: &str) -> SystemDns {
    SystemDns::try_new(name, 446).unwrap()
}

/// The backends, and that all have the name `name`.
fn shown(set: &Snapshot, name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for backend in set.iter() {
        assert_eq!(backend.name.as_deref(), Some(name));
        all.push(backend.addr.to_string());
    }
    all
}

#[tokio::test]
async fn a_name_of_the_hosts_file_has_its_addresses() {
    let found = source("localhost").lookup().await.unwrap();
    let addrs = shown(&found.snapshot, "localhost");
    assert!(addrs.contains(&"127.0.0.1:446".to_owned()), "{addrs:?}");
    assert_eq!(found.valid_for, None, "no time to live");
    assert_eq!(&*source("localhost").label(), "system-dns:localhost");
}

#[tokio::test]
async fn an_address_is_used_as_it_is() {
    for (text, addr) in [
        ("192.0.2.1", "192.0.2.1:446"),
        ("2001:db8::1", "[2001:db8::1]:446"),
    ] {
        let found = source(text).lookup().await.unwrap();
        assert_eq!(shown(&found.snapshot, text), [addr]);
        assert!(found.valid_for.is_some());
    }
}

#[tokio::test]
async fn a_watch_looks_up_again_after_the_interval_and_after_a_hint() {
    let often = source("localhost")
        .interval(Duration::ZERO)
        .jitter(Duration::ZERO);
    let mut sets = often.watch().await.unwrap();
    let first = within("the first set", sets.next()).await.unwrap().unwrap();
    let next = within("the next set", sets.next()).await.unwrap().unwrap();
    assert_eq!(first, next);
    let seldom = source("localhost").interval(Duration::from_secs(3600));
    let mut sets = seldom.watch().await.unwrap();
    within("the first set", sets.next()).await.unwrap().unwrap();
    seldom.refresh();
    let hinted = within("the set after the hint", sets.next()).await;
    assert_eq!(hinted.unwrap().unwrap(), first);
}

#[test]
fn what_is_no_host_is_refused() {
    for name in ["", "a b", "localhost:446", "[::1]", "10.0.0", "a..b"] {
        let error = SystemDns::try_new(name, 446).unwrap_err();
        assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
        assert!(error.to_string().starts_with("host \""), "{error}");
    }
}

#[test]
fn it_is_identified_by_name_and_port() {
    let (one, same) = (
        source("a.test"),
        source("a.test").timeout(Duration::from_secs(1)),
    );
    assert_eq!(one.identity(), same.identity());
    let port: Arc<dyn Source> = Arc::new(SystemDns::try_new("a.test", 447).unwrap());
    assert_ne!(one.identity(), port.identity());
    assert_ne!(one.identity(), source("b.test").identity());
}
