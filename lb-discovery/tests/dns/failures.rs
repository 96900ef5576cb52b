//! Failures of a lookup: against a real server on this machine.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::names::{NAME, at, dns, failure, ip, ips};
use lb_discovery::{DiscoveryError, Dns, Resolver};
use test_support::deadline::{eventually, within};
use test_support::discovery::addrs;
use test_support::dns::{DnsServer, RecordType, ResponseCode};

#[tokio::test]
async fn every_failure_has_its_error() {
    let server = DnsServer::start();
    server.set_negative_ttl(7);
    let valid = Some(Duration::from_secs(7));

    let error = failure(&server, NAME).await;
    assert_eq!(
        error.to_string(),
        "looking up node.test: no such name (NXDOMAIN)"
    );
    assert!(error.is_authoritative_empty());
    assert_eq!(error.valid_for(), valid);

    server.set(NAME, 60, &[]);
    let error = failure(&server, NAME).await;
    assert_eq!(
        error.to_string(),
        "looking up node.test: no records (NODATA)"
    );
    assert!(error.is_authoritative_empty());
    assert_eq!(error.valid_for(), valid);

    for (code, problem) in [
        (ResponseCode::Refused, "refused to answer (REFUSED)"),
        (ResponseCode::ServFail, "failed (SERVFAIL)"),
        (
            ResponseCode::FormErr,
            "did not understand the question (FORMERR)",
        ),
        (
            ResponseCode::NotImp,
            "does not answer such questions (NOTIMP)",
        ),
    ] {
        server.fail(NAME, code);
        let error = failure(&server, NAME).await;
        let expected = format!("looking up node.test: {} {problem}", server.addr());
        assert_eq!(error.to_string(), expected);
        assert!(!error.is_authoritative_empty());
        assert_eq!(error.valid_for(), None);
        let denied = matches!(error, DiscoveryError::Denied { .. });
        assert_eq!(denied, code == ResponseCode::Refused);
    }

    server.set(NAME, 60, &[]);
    server.refer(NAME);
    let error = failure(&server, NAME).await;
    assert!(
        error
            .to_string()
            .ends_with("only refers to other name servers")
    );
    assert!(matches!(error, DiscoveryError::Unavailable { .. }));

    server.set_silent(true);
    let error = failure(&server, NAME).await;
    let expected = format!(
        "looking up node.test: no answer from {} within 5s",
        server.addr()
    );
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, DiscoveryError::Timeout { .. }));
}

#[tokio::test]
async fn a_stopped_server_is_a_failure_in_time() {
    let server = DnsServer::start();
    let dns = dns(&[&server], NAME);
    drop(server);
    let error = within("the failure", dns.lookup()).await.unwrap_err();
    assert!(!error.is_authoritative_empty(), "{error}");
}

/// The kernel reports a closed port, so a lookup continues with the next server at once.
#[tokio::test]
async fn closed_ports_cost_no_time() {
    // A socket that is connected to another port keeps its own, and refuses datagrams of other senders.
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let refusing = sockets.each_ref().map(|socket| {
        socket.connect("127.0.0.1:9").unwrap();
        socket.local_addr().unwrap()
    });
    let server = DnsServer::start();
    server.set(NAME, 60, &[ip("10.0.0.1")]);
    let long = Duration::from_secs(30);
    let resolver = |addrs: &[SocketAddr]| {
        let builder = Resolver::builder().name_servers(addrs).timeout(long);
        builder.build().unwrap()
    };
    let asked = Instant::now();
    let next = resolver(&[refusing[0], refusing[1], server.addr()]);
    let found = Dns::try_new(next, NAME, 446)
        .unwrap()
        .lookup()
        .await
        .unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.1"]));
    let dns = Dns::try_new(resolver(&refusing), NAME, 446).unwrap();
    let error = dns.lookup().await.unwrap_err();
    assert!(
        matches!(error, DiscoveryError::Unavailable { .. }),
        "{error}"
    );
    assert!(error.to_string().ends_with("cannot be reached"), "{error}");
    assert!(asked.elapsed() < long, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_timeout_of_zero_means_the_default() {
    let server = DnsServer::start();
    server.set(NAME, 60, &[ip("10.0.0.1")]);
    let builder = Resolver::builder().name_servers(&[server.addr()]);
    let resolver = builder.timeout(Duration::ZERO).build().unwrap();
    let found = Dns::try_new(resolver, NAME, 446).unwrap().lookup().await;
    assert_eq!(found.unwrap().snapshot.len(), 1);
}

#[tokio::test]
async fn names_are_checked_before_anything_is_sent() {
    let resolver = Resolver::try_with_name_servers(&["127.0.0.1:53".parse().unwrap()]).unwrap();
    for name in ["", "a..b", "bad name", "node:446", "[::1]", "300.0.0.1"] {
        let error = Dns::try_new(resolver.clone(), name, 446).unwrap_err();
        assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
    }
    assert!(Resolver::try_with_name_servers(&[]).is_err());
    assert!(Resolver::builder().ipv4(false).ipv6(false).build().is_err());
}

#[tokio::test]
async fn half_an_answer_keeps_the_other_half() {
    let server = DnsServer::start();
    let dns = dns(&[&server], NAME);
    let lookup = async || dns.lookup().await;

    // The failing family has no earlier addresses: the set has those of the other one.
    server.set(NAME, 300, &[ip("10.0.0.1")]);
    server.fail_kind(NAME, RecordType::AAAA, ResponseCode::ServFail);
    let found = lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.1"]));
    assert_eq!(found.valid_for, Some(Duration::from_secs(10)));

    server.set(NAME, 300, &ips(&["10.0.0.1", "2001:db8::1"]));
    let both = at(446, &["10.0.0.1", "2001:db8::1"]);
    assert_eq!(addrs(&lookup().await.unwrap().snapshot), both);

    // The failing family keeps its addresses, the other one is followed.
    server.set(NAME, 300, &[ip("10.0.0.2")]);
    server.fail_kind(NAME, RecordType::AAAA, ResponseCode::ServFail);
    let found = lookup().await.unwrap();
    assert_eq!(
        addrs(&found.snapshot),
        at(446, &["10.0.0.2", "2001:db8::1"])
    );
    assert_eq!(found.valid_for, Some(Duration::from_secs(10)));

    // An authoritative answer ends that.
    server.set(NAME, 300, &[ip("10.0.0.2")]);
    let found = lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.2"]));
    server.fail_kind(NAME, RecordType::AAAA, ResponseCode::ServFail);
    let found = lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.2"]));

    // Without a positive answer, a failure takes precedence over an empty answer.
    server.set(NAME, 300, &[]);
    server.fail_kind(NAME, RecordType::A, ResponseCode::ServFail);
    assert!(!lookup().await.unwrap_err().is_authoritative_empty());
}

#[tokio::test]
async fn the_next_server_is_asked_after_a_failure() {
    let (one, two) = (DnsServer::start(), DnsServer::start());
    two.set(NAME, 60, &[ip("10.0.0.1")]);
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        one.fail(NAME, code);
        let found = dns(&[&one, &two], NAME).lookup().await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.1"]));
    }
    one.remove(NAME);
    let error = dns(&[&one, &two], NAME).lookup().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_asked_last_for_a_while() {
    let (one, two) = (DnsServer::start(), DnsServer::start());
    one.set_silent(true);
    two.set(NAME, 60, &[ip("10.0.0.1")]);
    let dns = dns(&[&one, &two], NAME);
    let found = dns.lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.1"]));
    let asked = one.questions(NAME);
    assert!(asked > 0);
    dns.lookup().await.unwrap();
    assert_eq!(one.questions(NAME), asked);
}

#[tokio::test]
async fn a_silent_server_is_asked_again() {
    let server = DnsServer::start();
    server.set_silent(true);
    server.set(NAME, 60, &[ip("10.0.0.1")]);
    let resolver = Resolver::builder()
        .name_servers(&[server.addr()])
        .timeout(Duration::from_millis(200))
        .attempts(50)
        .build()
        .unwrap();
    let dns = Dns::try_new(resolver, NAME, 446).unwrap();
    let (found, ()) = tokio::join!(dns.lookup(), async {
        eventually("the second question", || {
            server.questions_of(NAME, RecordType::A) >= 2
        })
        .await;
        server.set_silent(false);
    });
    assert_eq!(found.unwrap().snapshot.len(), 1);
}
