//! Services by their SRV records: against a real server on this machine, in real time.

use std::sync::Arc;
use std::time::Duration;

use super::names::{SERVICE, at, ip, ips, service};
use lb_core::Snapshot;
use lb_discovery::{DiscoveryError, Dns, DriverConfig, OnEmpty, Resolver};
use test_support::deadline::eventually;
use test_support::discovery::{RunningDriver, addrs};
use test_support::dns::{DnsServer, RecordType, ResponseCode};

const A: &str = "a.test";
const B: &str = "b.test";

/// A server with the service on two hosts, the second as backup.
fn two_hosts(ttl: u32) -> DnsServer {
    let server = DnsServer::start();
    server.set_service(SERVICE, ttl, &[(10, 5, 446, A), (20, 0, 447, B)]);
    server.set(A, ttl, &[ip("10.0.0.1")]);
    server.set(B, ttl, &[ip("10.0.0.2")]);
    server
}

/// Name, address, weight and tier of each backend.
fn shown(snapshot: &Snapshot) -> Vec<(String, String, u16, u8)> {
    let show = |b: &lb_core::Backend| {
        let name = b.name.as_deref().unwrap().to_owned();
        let (weight, tier) = (b.weight.get(), b.priority.get());
        (name, b.addr.to_string(), weight, tier)
    };
    snapshot.iter().map(show).collect()
}

fn running(server: &DnsServer, on_empty: OnEmpty) -> RunningDriver {
    let config = DriverConfig::new().on_empty(on_empty);
    RunningDriver::start(vec![Arc::new(service(&[server]))], config)
}

#[tokio::test]
async fn records_and_their_targets_make_backends() {
    let server = two_hosts(60);
    server.set(B, 30, &ips(&["10.0.0.2", "2001:db8::2"]));
    let found = service(&[&server]).lookup().await.unwrap();
    let expected = [
        (A, "10.0.0.1:446", 5, 0),
        (B, "10.0.0.2:447", 1, 1),
        (B, "[2001:db8::2]:447", 1, 1),
    ]
    .map(|(name, addr, weight, tier)| (name.to_owned(), addr.to_owned(), weight, tier));
    assert_eq!(shown(&found.snapshot), expected);
    assert_eq!(found.valid_for, Some(Duration::from_secs(30)));

    // The same records in another order and another case are the same set.
    let (a, b) = ((10, 5, 446, "A.Test"), (20, 0, 447, B));
    server.set_service(SERVICE, 60, &[b, a, b]);
    assert_eq!(service(&[&server]).lookup().await.unwrap(), found);
}

#[tokio::test]
async fn each_answer_is_followed_within_its_own_time() {
    let server = two_hosts(300);
    server.set(B, 1, &[ip("10.0.0.2")]);
    let mut run = running(&server, OnEmpty::KeepLast);
    run.until_addrs(&[at(446, &["10.0.0.1"]), at(447, &["10.0.0.2"])].concat())
        .await;
    server.set(B, 1, &[ip("10.0.0.3")]);
    run.until_addrs(&[at(446, &["10.0.0.1"]), at(447, &["10.0.0.3"])].concat())
        .await;

    server.set_service(SERVICE, 1, &[(1, 1, 448, A)]);
    run.until_addrs(&at(448, &["10.0.0.1"])).await;
    let source = run.handle.status().sources[0].label.clone();
    assert_eq!(&*source, "dns:_echo._tcp.test");
    run.stop().await;
}

#[tokio::test]
async fn a_removed_target_removes_only_its_own_backends() {
    let server = two_hosts(1);
    let mut run = running(&server, OnEmpty::Apply);
    run.next().await;
    server.remove(A);
    run.until_addrs(&at(447, &["10.0.0.2"])).await;
    assert_eq!(run.handle.status().sources[0].failures, 0);
    server.set(B, 1, &[]);
    assert!(run.next().await.is_empty());
    let status = &run.handle.status().sources[0];
    let error = status.last_error.as_deref().unwrap();
    assert!(error.starts_with("looking up "), "{error}");
    assert!(error.contains(" of _echo._tcp.test: no "), "{error}");
    server.set(A, 1, &[ip("10.0.0.1")]);
    run.until_addrs(&at(446, &["10.0.0.1"])).await;
}

#[tokio::test]
async fn a_target_without_an_answer_keeps_its_addresses() {
    let server = two_hosts(300);
    let service = service(&[&server]);
    let before = service.lookup().await.unwrap();
    server.fail(B, ResponseCode::ServFail);
    let after = service.lookup().await.unwrap();
    assert_eq!(after.snapshot, before.snapshot);
    assert_eq!(after.valid_for, Some(Duration::from_secs(10)));
    // The other targets are followed meanwhile.
    server.set(A, 300, &[ip("10.0.0.9")]);
    let found = service.lookup().await.unwrap();
    let expected = [at(446, &["10.0.0.9"]), at(447, &["10.0.0.2"])].concat();
    assert_eq!(addrs(&found.snapshot), expected);
    // If no target has an answer, the lookup fails, so that the driver keeps the last set.
    server.fail(A, ResponseCode::ServFail);
    let error = service.lookup().await.unwrap_err();
    assert!(
        matches!(error, DiscoveryError::Unavailable { .. }),
        "{error}"
    );
    // A target that is authoritatively gone does not make the lookup an answer.
    server.remove(A);
    assert!(!service.lookup().await.unwrap_err().is_authoritative_empty());
}

#[tokio::test]
async fn every_failure_of_the_records_has_its_error() {
    let server = two_hosts(60);
    let service = service(&[&server]);
    server.set_negative_ttl(7);
    let valid = Some(Duration::from_secs(7));

    server.remove(SERVICE);
    let error = service.lookup().await.unwrap_err();
    let expected = "looking up _echo._tcp.test: no such name (NXDOMAIN)";
    assert_eq!(
        (error.to_string().as_str(), error.valid_for()),
        (expected, valid)
    );
    server.set(SERVICE, 60, &[ip("10.0.0.1")]);
    let error = service.lookup().await.unwrap_err();
    let expected = "looking up _echo._tcp.test: no records (NODATA)";
    assert_eq!(
        (error.to_string().as_str(), error.valid_for()),
        (expected, valid)
    );

    server.set_service(SERVICE, 9, &[(0, 0, 0, ".")]);
    let error = service.lookup().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::NoService { .. }), "{error}");
    assert!(error.is_authoritative_empty());
    assert_eq!(error.valid_for(), Some(Duration::from_secs(9)));

    for (code, word) in [
        (ResponseCode::Refused, "REFUSED"),
        (ResponseCode::ServFail, "SERVFAIL"),
    ] {
        server.fail(SERVICE, code);
        let error = service.lookup().await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(!error.is_authoritative_empty());
    }
    server.set_silent(true);
    let error = service.lookup().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn aliases_of_services_are_followed() {
    let server = two_hosts(60);
    server.alias("_alias._tcp.test", 20, "_other._tcp.test");
    server.alias("_other._tcp.test", 40, SERVICE);
    let resolver = super::names::resolver(&[&server]);
    let dns = Dns::try_service(resolver, "_alias._tcp.test").unwrap();
    let expected = [at(446, &["10.0.0.1"]), at(447, &["10.0.0.2"])].concat();
    let found = dns.lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), expected);
    assert_eq!(found.valid_for, Some(Duration::from_secs(20)));
    server.bare_aliases();
    assert_eq!(addrs(&dns.lookup().await.unwrap().snapshot), expected);
    // A target may also be an alias, although the RFC forbids that.
    server.alias(B, 60, "c.test");
    server.set("c.test", 60, &[ip("10.0.0.3")]);
    let expected = [at(446, &["10.0.0.1"]), at(447, &["10.0.0.3"])].concat();
    assert_eq!(addrs(&dns.lookup().await.unwrap().snapshot), expected);
}

#[tokio::test]
async fn a_loop_of_service_aliases_ends() {
    let server = DnsServer::start();
    server.bare_aliases();
    server.alias(SERVICE, 60, "_other._tcp.test");
    server.alias("_other._tcp.test", 60, SERVICE);
    let error = service(&[&server]).lookup().await.unwrap_err();
    assert!(!error.is_authoritative_empty(), "{error}");
    assert!(server.questions(SERVICE) < 100);
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp() {
    let server = DnsServer::start();
    let hosts: Vec<String> = (0..60).map(|n| format!("host{n}.example.test")).collect();
    let records: Vec<_> = hosts.iter().map(|host| (1, 1, 446, &**host)).collect();
    server.set_service(SERVICE, 60, &records);
    for (n, host) in (0..).zip(&hosts) {
        server.set(host, 60, &[[10, 0, 0, n].into()]);
    }
    let found = service(&[&server]).lookup().await.unwrap();
    assert_eq!(found.snapshot.len(), 60);
    assert_eq!(server.tcp_questions(SERVICE), 1);
}

#[tokio::test]
async fn the_number_of_targets_and_addresses_is_limited() {
    let server = DnsServer::start();
    let hosts: Vec<String> = (0..300).map(|n| format!("h{n:03}.test")).collect();
    let records: Vec<_> = (0..).zip(&hosts).map(|(n, h)| (n, 1, 446, &**h)).collect();
    server.set_service(SERVICE, 60, &records);
    for (n, host) in (0..).zip(&hosts) {
        let addrs: Vec<_> = (0..5)
            .map(|k| [10, k, (n >> 8) as u8, n as u8].into())
            .collect();
        server.set(host, 60, &addrs);
    }
    let found = service(&[&server]).lookup().await.unwrap();
    assert_eq!(found.snapshot.len(), Dns::MAX_ADDRESSES);
    // The preferred records are kept.
    assert_eq!(
        found.snapshot.iter().next().unwrap().name.as_deref(),
        Some("h000.test")
    );
    assert!(server.questions(&hosts[Dns::MAX_TARGETS - 1]) > 0);
    assert_eq!(server.questions(&hosts[Dns::MAX_TARGETS]), 0);
}

#[tokio::test]
async fn records_of_other_names_are_ignored() {
    let server = two_hosts(60);
    server.lie(
        SERVICE,
        &[(A, ip("192.0.2.66")), ("victim.test", ip("192.0.2.66"))],
    );
    server.lie(A, &[(B, ip("192.0.2.66")), (SERVICE, ip("192.0.2.66"))]);
    let found = service(&[&server]).lookup().await.unwrap();
    let expected = [at(446, &["10.0.0.1"]), at(447, &["10.0.0.2"])].concat();
    assert_eq!(addrs(&found.snapshot), expected);
    assert_eq!(found.valid_for, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn a_silent_server_keeps_a_service_and_a_recovery_is_followed() {
    let server = two_hosts(1);
    let mut run = running(&server, OnEmpty::Apply);
    run.next().await;
    server.set_silent(true);
    let failed = |run: &RunningDriver| run.handle.status().sources[0].last_error.is_some();
    run.handle.refresh();
    eventually("the error", || failed(&run)).await;
    assert_eq!(run.handle.status().sources[0].backends, 2);
    server.set_silent(false);
    server.set(A, 1, &[ip("10.0.0.7")]);
    run.handle.refresh();
    // The first publication since: nothing was published in between.
    let expected = [at(446, &["10.0.0.7"]), at(447, &["10.0.0.2"])].concat();
    assert_eq!(addrs(&run.next().await), expected);
    assert!(server.questions_of(SERVICE, RecordType::SRV) > 2);
}

#[tokio::test]
async fn names_of_services_are_checked_before_anything_is_sent() {
    let resolver = Resolver::try_with_name_servers(&["127.0.0.1:53".parse().unwrap()]).unwrap();
    for name in ["", "10.0.0.1", "_echo._tcp.bad name", "_a..b"] {
        let error = Dns::try_service(resolver.clone(), name).unwrap_err();
        assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
    }
}
