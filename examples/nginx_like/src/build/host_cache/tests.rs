use std::net::Ipv4Addr;

use test_support::dns::{DnsServer, RecordType};
use tokio::task::JoinSet;

use super::*;

fn over(dns: &DnsServer) -> Arc<HostCache> {
    let resolver = Resolver::builder().name_servers(&[dns.addr()]);
    Arc::new(HostCache::new(resolver.build().unwrap(), None))
}

/// The results of 40 sessions that ask for `name` at the same time.
async fn at_once(
    hosts: &Arc<HostCache>,
    name: &'static str,
) -> Vec<Result<Vec<IpAddr>, LookupFailure>> {
    let mut sessions = JoinSet::new();
    for _ in 0..40 {
        let hosts = Arc::clone(hosts);
        sessions.spawn(async move { hosts.look_up(name).await });
    }
    sessions.join_all().await
}

#[tokio::test]
async fn sessions_begin_with_the_addresses_in_turn() {
    let dns = DnsServer::start();
    let ips = [11, 12, 13].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    dns.set("three.test", 60, &ips);
    let hosts = over(&dns);
    let [a, b, c] = ips;
    for expected in [[a, b, c], [b, c, a], [c, a, b], [a, b, c]] {
        assert_eq!(hosts.look_up("three.test").await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_name_is_one_name_whatever_its_case() {
    let dns = DnsServer::start();
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
    dns.set("one.test", 60, &[ip]);
    let hosts = over(&dns);
    for name in ["one.test", "One.Test", "ONE.TEST"] {
        assert_eq!(hosts.look_up(name).await.unwrap(), [ip]);
    }
    assert_eq!(hosts.names.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn sessions_that_wait_for_a_lookup_share_its_failure_and_later_ones_ask_anew() {
    let dns = DnsServer::start();
    let hosts = over(&dns);
    dns.set_late_kind(RecordType::A, Duration::from_millis(200));
    for lookups in 1..=2 {
        for outcome in at_once(&hosts, "none.test").await {
            assert_eq!(outcome, Err(LookupFailure::NotFound));
        }
        assert_eq!(dns.questions_of("none.test", RecordType::A), lookups);
    }
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    dns.set("none.test", 60, &[ip]);
    assert_eq!(hosts.look_up("none.test").await, Ok(vec![ip]));
}
