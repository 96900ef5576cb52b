//! One family without an answer, or with a late one, while the other is answered: against a real server, in real
//! time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::names::{NAME, at, ip, ips};
use lb_discovery::{DiscoveryError, Dns, DriverConfig, Resolver};
use test_support::discovery::{RunningDriver, addrs};
use test_support::dns::{DnsServer, RecordType, ResponseCode};

/// How long a question without an answer is pending.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Well before the time-out of a question, and long enough for a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Later than a lookup waits for the second family.
const LATE: Duration = Duration::from_millis(700);

const V4: &str = "10.0.0.1";
const V6: &str = "2001:db8::1";

fn patient(servers: &[&DnsServer], timeout: Duration) -> Resolver {
    let addrs: Vec<_> = servers.iter().map(|server| server.addr()).collect();
    let builder = Resolver::builder().name_servers(&addrs);
    builder.timeout(timeout).attempts(1).build().unwrap()
}

fn dns(servers: &[&DnsServer], timeout: Duration) -> Dns {
    Dns::try_new(patient(servers, timeout), NAME, 446).unwrap()
}

/// Repeats the lookup until it has these addresses, and returns the number of lookups.
async fn until(dns: &Dns, wanted: &[&str]) -> usize {
    let started = Instant::now();
    for count in 1.. {
        let found = dns.lookup().await.unwrap();
        if addrs(&found.snapshot) == at(446, wanted) {
            return count;
        }
        assert!(started.elapsed() < SOON, "{:?}", addrs(&found.snapshot));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("the loop ends by itself")
}

fn assert_soon(started: Instant) {
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_family_without_an_answer_does_not_delay_the_first_set() {
    for (silent, wanted) in [(RecordType::AAAA, V4), (RecordType::A, V6)] {
        let server = DnsServer::start();
        server.set(NAME, 1, &ips(&[V4, V6]));
        server.set_silent_kind(silent, true);
        let config = DriverConfig::new().initial_wait(TIMEOUT);
        let source = Arc::new(dns(&[&server], TIMEOUT));
        let started = Instant::now();
        let mut run = RunningDriver::start(vec![source], config);
        assert_eq!(addrs(&run.next().await), at(446, &[wanted]));
        assert_soon(started);
        run.stop().await;
    }
}

#[tokio::test]
async fn a_change_is_followed_while_a_family_has_no_answer() {
    let server = DnsServer::start();
    server.set(NAME, 1, &[ip(V4)]);
    server.set_silent_kind(RecordType::AAAA, true);
    let source = Arc::new(dns(&[&server], TIMEOUT));
    let mut run = RunningDriver::start(vec![source], DriverConfig::new().initial_wait(TIMEOUT));
    assert_eq!(addrs(&run.next().await), at(446, &[V4]));
    for addr in ["10.0.0.2", "10.0.0.3"] {
        server.set(NAME, 1, &[ip(addr)]);
        let changed = Instant::now();
        run.until_addrs(&at(446, &[addr])).await;
        assert_soon(changed);
    }
    // A missing answer of one family is no failure of the lookup.
    assert_eq!(run.handle.status().sources[0].failures, 0);
    run.stop().await;
}

#[tokio::test]
async fn a_family_without_an_answer_keeps_its_addresses() {
    let server = DnsServer::start();
    server.set(NAME, 300, &ips(&[V4, V6]));
    let dns = dns(&[&server], TIMEOUT);
    until(&dns, &[V4, V6]).await;

    server.set_silent_kind(RecordType::AAAA, true);
    server.set(NAME, 300, &[ip("10.0.0.2")]);
    // The answer may still arrive: after the first time, the next lookup is soon.
    for (lookup, valid_for) in [(1, 10), (2, 300), (3, 300)] {
        let started = Instant::now();
        let found = dns.lookup().await.unwrap();
        assert_soon(started);
        let kept = at(446, &["10.0.0.2", V6]);
        assert_eq!(addrs(&found.snapshot), kept, "{lookup}");
        let valid_for = Duration::from_secs(valid_for);
        assert_eq!(found.valid_for, Some(valid_for), "{lookup}");
    }
}

#[tokio::test]
async fn a_configured_validity_does_not_delay_the_second_lookup() {
    let server = DnsServer::start();
    server.set(NAME, 300, &ips(&[V4, V6]));
    server.set_silent_kind(RecordType::AAAA, true);
    let builder = Resolver::builder().name_servers(&[server.addr()]);
    let builder = builder.timeout(TIMEOUT).attempts(1);
    let resolver = builder.valid(Duration::from_secs(60)).build().unwrap();
    let dns = Dns::try_new(resolver, NAME, 446).unwrap();
    for valid_for in [10, 60] {
        let found = dns.lookup().await.unwrap();
        assert_eq!(found.valid_for, Some(Duration::from_secs(valid_for)));
    }
}

#[tokio::test]
async fn a_late_answer_is_joined_at_the_next_lookup() {
    for (late, first) in [(RecordType::AAAA, V4), (RecordType::A, V6)] {
        let server = DnsServer::start();
        server.set(NAME, 300, &ips(&[V4, V6]));
        server.set_late_kind(late, LATE);
        let dns = dns(&[&server], TIMEOUT);
        let found = dns.lookup().await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &[first]));

        // Between lookups, so that the next one has it at once although the server is still late.
        tokio::time::sleep(2 * LATE).await;
        let found = dns.lookup().await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &[V4, V6]));

        // The same for a change, and for a removal.
        server.set(NAME, 300, &ips(&["10.0.0.2", "2001:db8::2"]));
        until(&dns, &["10.0.0.2", "2001:db8::2"]).await;
        server.set(NAME, 300, &[ip(first)]);
        until(&dns, &[first]).await;
    }
}

#[tokio::test]
async fn a_late_failure_removes_nothing() {
    let server = DnsServer::start();
    server.set(NAME, 300, &ips(&[V4, V6]));
    let dns = dns(&[&server], TIMEOUT);
    until(&dns, &[V4, V6]).await;
    server.set_late_kind(RecordType::AAAA, LATE);
    server.fail_kind(NAME, RecordType::AAAA, ResponseCode::ServFail);
    for _ in 0..3 {
        let found = dns.lookup().await.unwrap();
        assert_eq!(addrs(&found.snapshot), at(446, &[V4, V6]));
        tokio::time::sleep(LATE).await;
    }
}

#[tokio::test]
async fn unanswered_questions_do_not_pile_up() {
    let server = DnsServer::start();
    server.set(NAME, 1, &[ip(V4)]);
    server.set_silent_kind(RecordType::AAAA, true);
    let dns = dns(&[&server], TIMEOUT);
    for _ in 0..12 {
        dns.lookup().await.unwrap();
    }
    assert_eq!(server.questions_of(NAME, RecordType::A), 12);
    // One question, and the datagrams that are sent again in case it was lost.
    let asked = server.questions_of(NAME, RecordType::AAAA);
    assert!((1..=3).contains(&asked), "{asked}");

    // The question ends with the source.
    let silent = DnsServer::start();
    silent.set(NAME, 1, &[ip(V4)]);
    silent.set_silent_kind(RecordType::AAAA, true);
    let dns = self::dns(&[&silent], TIMEOUT);
    dns.lookup().await.unwrap();
    drop(dns);
    let asked = silent.questions(NAME);
    tokio::time::sleep(LATE).await;
    assert_eq!(silent.questions(NAME), asked);
}

#[tokio::test]
async fn an_answer_without_addresses_waits_for_the_other_family() {
    let server = DnsServer::start();
    server.set(NAME, 60, &[ip(V6)]);
    server.set_late_kind(RecordType::AAAA, LATE);
    let found = dns(&[&server], TIMEOUT).lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &[V6]));

    let silent = DnsServer::start();
    silent.set(NAME, 60, &[ip(V6)]);
    silent.set_silent_kind(RecordType::AAAA, true);
    let dns = dns(&[&silent], Duration::from_secs(1));
    let error = dns.lookup().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Timeout { .. }), "{error}");
    assert!(error.to_string().ends_with("within 1s"), "{error}");
}

#[tokio::test]
async fn the_next_server_is_asked_for_the_missing_family() {
    let (one, two) = (DnsServer::start(), DnsServer::start());
    for server in [&one, &two] {
        server.set(NAME, 60, &ips(&[V4, V6]));
    }
    one.set_silent_kind(RecordType::AAAA, true);
    let dns = dns(&[&one, &two], Duration::from_secs(1));
    let found = dns.lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &[V4]));
    assert!(until(&dns, &[V4, V6]).await > 1);
}

#[tokio::test]
async fn a_family_without_an_answer_does_not_delay_a_start_with_many_names() {
    let server = DnsServer::start();
    server.set_silent_kind(RecordType::AAAA, true);
    let resolver = patient(&[&server], TIMEOUT);
    let lookups = (0..300).map(|n| {
        let name = format!("node{n}.test");
        server.set(&name, 60, &[ip(V4)]);
        let dns = Dns::try_new(resolver.clone(), &name, 446).unwrap();
        async move { dns.lookup().await.unwrap().snapshot.len() }
    });
    let started = Instant::now();
    futures::future::join_all(lookups).await;
    assert_soon(started);
}

/// Where clients choose the names, any number may have a silent server.
#[tokio::test]
async fn names_without_an_answer_do_not_delay_another_below_the_limit_of_questions() {
    const SILENT: usize = 300;
    let server = DnsServer::start();
    server.set(NAME, 60, &[ip(V4)]);
    server.set_silent(true);
    let builder = Resolver::builder().name_servers(&[server.addr()]);
    let builder = builder.timeout(TIMEOUT).attempts(1).ipv6(false);
    let resolver = builder.concurrent_questions(2 * SILENT).build().unwrap();
    let name = |n: usize| format!("silent{n}.test");
    let mut lookups = tokio::task::JoinSet::new();
    for n in 0..SILENT {
        let dns = Dns::try_new(resolver.clone(), &name(n), 446).unwrap();
        lookups.spawn(async move { dns.lookup().await });
    }
    let started = Instant::now();
    for n in 0..SILENT {
        while server.questions(&name(n)) == 0 {
            assert_soon(started);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    server.set_silent(false);
    let dns = Dns::try_new(resolver, NAME, 446).unwrap();
    let started = Instant::now();
    let found = dns.lookup().await.unwrap();
    assert_soon(started);
    assert_eq!(addrs(&found.snapshot), at(446, &[V4]));
}

#[tokio::test]
async fn a_name_without_an_answer_lets_others_ask_between_its_attempts() {
    let silent = "silent.test";
    let server = DnsServer::start();
    server.set(NAME, 60, &[ip(V4)]);
    server.set_silent(true);
    let builder = Resolver::builder().name_servers(&[server.addr()]);
    let builder = builder.timeout(Duration::from_millis(500)).ipv6(false);
    let resolver = builder.attempts(40).concurrent_questions(1);
    let resolver = resolver.build().unwrap();
    let dns = Dns::try_new(resolver.clone(), silent, 446).unwrap();
    let lookup = tokio::spawn(async move { dns.lookup().await });
    let started = Instant::now();
    while server.questions(silent) == 0 {
        assert_soon(started);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let waiting = Dns::try_new(resolver, NAME, 446).unwrap();
    let waiting = tokio::spawn(async move { waiting.lookup().await });
    while server.questions(NAME) == 0 {
        assert_soon(started);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lookup.abort();
    waiting.abort();
}
