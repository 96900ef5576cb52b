//! Results of lookups, against a real server on this machine.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::names::{NAME, TIMEOUT, at, dns, failure, ip, ips, lookup};
use lb_discovery::{DiscoveryError, Dns, Resolver};
use test_support::discovery::addrs;
use test_support::dns::{DnsServer, RecordType, ResponseCode};

#[tokio::test]
async fn joins_and_sorts_the_addresses_of_both_families() {
    let server = DnsServer::start();
    let shuffled = ["10.0.0.9", "2001:db8::2", "10.0.0.10", "2001:db8::1"];
    server.set(NAME, 60, &ips(&shuffled));
    let found = lookup(&server, NAME).await.unwrap();
    let sorted = ["10.0.0.9", "10.0.0.10", "2001:db8::1", "2001:db8::2"];
    assert_eq!(addrs(&found.snapshot), at(446, &sorted));
    assert_eq!(found.valid_for, Some(Duration::from_secs(60)));
    let names = found.snapshot.iter().map(|b| b.name.as_deref());
    assert!(names.into_iter().all(|name| name == Some(NAME)));

    let mut rotated = ips(&shuffled);
    rotated.rotate_left(1);
    server.set(NAME, 60, &rotated);
    assert_eq!(lookup(&server, NAME).await.unwrap(), found);
}

#[tokio::test]
async fn a_family_can_be_left_out() {
    let server = DnsServer::start();
    server.set(NAME, 60, &ips(&["10.0.0.1", "2001:db8::1"]));
    let builder = Resolver::builder().name_servers(&[server.addr()]);
    for (resolver, expected) in [
        (builder.clone().ipv6(false), "10.0.0.1"),
        (builder.ipv4(false), "2001:db8::1"),
    ] {
        let dns = Dns::try_new(resolver.build().unwrap(), NAME, 446).unwrap();
        let found = dns.lookup().await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &[expected]));
    }
    assert_eq!(server.questions(NAME), 2);
}

#[tokio::test]
async fn one_family_is_enough() {
    let server = DnsServer::start();
    for addr in ["10.0.0.1", "2001:db8::1"] {
        server.set(NAME, 60, &[ip(addr)]);
        let found = lookup(&server, NAME).await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &[addr]));
        assert_eq!(found.valid_for, Some(Duration::from_secs(60)));
    }
}

#[tokio::test]
async fn addresses_need_no_server() {
    let server = DnsServer::start();
    for (name, expected) in [
        ("10.0.0.1", vec!["10.0.0.1"]),
        ("2001:db8::1", vec!["2001:db8::1"]),
    ] {
        let found = lookup(&server, name).await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &expected));
        assert_eq!(server.questions(name), 0);
    }
}

/// Where clients choose the names, an answer of our own would let them reach this machine.
#[tokio::test]
async fn given_name_servers_answer_reserved_names() {
    let server = DnsServer::start();
    for name in [
        "localhost",
        "a.localhost",
        "localhost.",
        "a.invalid",
        "a.onion",
    ] {
        let error = lookup(&server, name).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NotFound { .. }), "{error}");
        let absolute = name.trim_end_matches('.');
        server.set(absolute, 60, &[ip("10.0.0.1")]);
        let found = lookup(&server, name).await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.1"]));
        server.remove(absolute);
    }
}

#[tokio::test]
async fn the_system_resolver_resolves_localhost() {
    let dns = Dns::try_new(Resolver::try_system().unwrap(), "localhost", 446).unwrap();
    let found = dns.lookup().await.unwrap();
    assert!(found.snapshot.iter().all(|b| b.addr.ip().is_loopback()));
    assert!(!found.snapshot.is_empty());
}

#[tokio::test]
async fn follows_aliases_and_holds_for_the_shortest_ttl() {
    let server = DnsServer::start();
    server.alias(NAME, 30, "a.test");
    server.alias("a.test", 10, "b.test");
    server.set("b.test", 60, &ips(&["10.0.0.1", "2001:db8::1"]));
    let expected = at(446, &["10.0.0.1", "2001:db8::1"]);
    let found = lookup(&server, NAME).await.unwrap();
    assert_eq!(addrs(&found.snapshot), expected);
    assert_eq!(found.valid_for, Some(Duration::from_secs(10)));

    server.bare_aliases();
    let found = lookup(&server, NAME).await.unwrap();
    assert_eq!(addrs(&found.snapshot), expected);
    assert_eq!(found.valid_for, Some(Duration::from_secs(10)));
    assert_eq!(server.questions("b.test"), 2);

    server.remove("b.test");
    let error = failure(&server, NAME).await;
    assert!(matches!(error, DiscoveryError::NotFound { .. }), "{error}");
}

/// A chain that is not followed to its end must not empty a set, because the records at its end are unknown.
#[tokio::test]
async fn a_loop_of_aliases_is_a_failure() {
    let server = DnsServer::start();
    server.alias(NAME, 30, "other.test");
    server.alias("other.test", 30, NAME);
    for round in 0..2 {
        let error = failure(&server, NAME).await;
        assert!(
            matches!(error, DiscoveryError::Unavailable { .. }),
            "{error}"
        );
        assert!(error.to_string().ends_with("lead in a circle"), "{error}");
        assert!(server.questions(NAME) < 20, "{round}");
        server.bare_aliases();
    }
}

#[tokio::test]
async fn a_chain_of_aliases_is_followed_or_a_failure() {
    let server = DnsServer::start();
    let host = |number: usize| format!("host{number}.test");
    for number in 0..20 {
        server.alias(&host(number), 30, &host(number + 1));
    }
    server.set(&host(20), 60, &[ip("10.0.0.1")]);
    for round in 0..2 {
        // The chain from host 4 has sixteen aliases, the one from host 3 has one more.
        let found = lookup(&server, &host(4)).await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.1"]), "{round}");
        assert_eq!(found.valid_for, Some(Duration::from_secs(30)));
        let error = failure(&server, &host(3)).await;
        assert!(
            matches!(error, DiscoveryError::Unavailable { .. }),
            "{error}"
        );
        let expected = format!(
            "looking up host3.test: {} gave more than 16 aliases in a row",
            server.addr()
        );
        assert_eq!(error.to_string(), expected);
        // The answer at the end of a chain counts.
        server.bare_aliases();
    }
    server.set(&host(20), 60, &[]);
    assert!(failure(&server, &host(4)).await.is_authoritative_empty());
    server.fail(&host(20), ResponseCode::ServFail);
    assert!(!failure(&server, &host(4)).await.is_authoritative_empty());
}

#[tokio::test]
async fn the_ttl_of_an_alias_limits_a_negative_answer() {
    let server = DnsServer::start();
    server.bare_aliases();
    server.set_negative_ttl(60);
    server.alias(NAME, 5, "gone.test");
    let error = failure(&server, NAME).await;
    assert!(matches!(error, DiscoveryError::NotFound { .. }), "{error}");
    assert_eq!(error.valid_for(), Some(Duration::from_secs(5)));
}

/// Nothing answers at the name server of the file, so a question would fail otherwise.
#[tokio::test]
async fn the_system_resolver_asks_for_no_reserved_name() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"nameserver 127.99.98.97\n").unwrap();
    let builder = Resolver::builder().resolv_conf(file.path());
    let resolver = builder.build().unwrap();
    for name in ["host.invalid.", "host.onion."] {
        let dns = Dns::try_new(resolver.clone(), name, 446).unwrap();
        let error = dns.lookup().await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NotFound { .. }), "{error}");
    }
    let dns = Dns::try_new(resolver, "a.localhost.", 446).unwrap();
    let found = dns.lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["127.0.0.1", "::1"]));
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp() {
    let server = DnsServer::start();
    let many: Vec<IpAddr> = (0..400_u32)
        .map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + n).into())
        .collect();
    server.set(NAME, 60, &many);
    let found = lookup(&server, NAME).await.unwrap();
    assert_eq!(found.snapshot.len(), 400);
    assert_eq!(server.tcp_questions(NAME), 1);
    assert_eq!(server.questions_of(NAME, RecordType::A), 2);
}

#[tokio::test]
async fn the_number_of_addresses_is_limited() {
    let server = DnsServer::start();
    let many: Vec<IpAddr> = (0..1500_u32)
        .map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + n).into())
        .collect();
    server.set(NAME, 60, &many);
    let found = lookup(&server, NAME).await.unwrap();
    assert_eq!(found.snapshot.len(), Dns::MAX_ADDRESSES);
    let last = found.snapshot.iter().last().unwrap();
    assert_eq!(last.addr.ip(), many[Dns::MAX_ADDRESSES - 1]);
}

#[tokio::test]
async fn unusable_addresses_are_left_out() {
    let server = DnsServer::start();
    server.set(NAME, 60, &ips(&["0.0.0.0", "::", "224.0.0.1", "10.0.0.1"]));
    let found = lookup(&server, NAME).await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.1"]));
    server.set(NAME, 60, &ips(&["0.0.0.0", "::"]));
    assert!(failure(&server, NAME).await.is_authoritative_empty());
}

#[tokio::test]
async fn nothing_is_cached() {
    let server = DnsServer::start();
    let dns = dns(&[&server], NAME);
    for addr in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        server.set(NAME, 3600, &[ip(addr)]);
        let found = dns.lookup().await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &[addr]));
    }
}

#[tokio::test]
async fn a_configured_validity_replaces_the_ttl() {
    let server = DnsServer::start();
    server.set(NAME, 3600, &[ip("10.0.0.1")]);
    let resolver = Resolver::builder()
        .name_servers(&[server.addr()])
        .valid(Duration::from_secs(7))
        .build()
        .unwrap();
    let dns = Dns::try_new(resolver, NAME, 446).unwrap();
    let found = dns.lookup().await.unwrap();
    assert_eq!(found.valid_for, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn many_lookups_at_once_all_succeed() {
    let server = DnsServer::start();
    let resolver = Resolver::try_with_name_servers(&[server.addr()]).unwrap();
    let many: Vec<IpAddr> = (0..100).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let lookups = (0..300).map(|n| {
        let name = format!("node{n}.test");
        server.set(&name, 60, &many); // too long for UDP
        let dns = Dns::try_new(resolver.clone(), &name, 446).unwrap();
        async move { dns.lookup().await.unwrap().snapshot.len() }
    });
    let found = futures::future::join_all(lookups).await;
    assert!(found.iter().all(|addresses| *addresses == 100));
}

#[tokio::test]
async fn a_dead_server_does_not_delay_a_start_with_many_names() {
    let (dead, server) = (DnsServer::start(), DnsServer::start());
    dead.set_silent(true);
    let resolver = Resolver::builder()
        .name_servers(&[dead.addr(), server.addr()])
        .timeout(TIMEOUT)
        .build()
        .unwrap();
    let lookups = (0..300).map(|n| {
        let name = format!("node{n}.test");
        server.set(&name, 60, &[ip("10.0.0.1")]);
        let dns = Dns::try_new(resolver.clone(), &name, 446).unwrap();
        async move { dns.lookup().await.unwrap().snapshot.len() }
    });
    futures::future::join_all(lookups).await;
    // Only the first questions wait for the dead server, concurrently.
    let names = (0..300).filter(|n| dead.questions(&format!("node{n}.test")) > 0);
    assert!((1..=64).contains(&names.count()));
}
