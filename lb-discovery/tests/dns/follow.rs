//! DNS as a source that is followed: against a real server on this machine, in real time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::names::{NAME, at, dns, ip, ips};
use lb_discovery::{Dns, DriverConfig, OnEmpty, Resolver, Source};
use test_support::deadline::eventually;
use test_support::discovery::{RunningDriver, addrs};
use test_support::dns::{DnsServer, ResponseCode};

fn follow(dns: Dns, on_empty: OnEmpty) -> RunningDriver {
    let config = DriverConfig::new().on_empty(on_empty);
    RunningDriver::start(vec![Arc::new(dns)], config)
}

/// The exact times are those of every polled source, and tested there.
#[tokio::test]
async fn a_change_is_followed_once_the_ttl_is_over() {
    let server = DnsServer::start();
    server.set(NAME, 1, &[ip("10.0.0.1")]);
    let mut run = follow(dns(&[&server], NAME), OnEmpty::KeepLast);
    let first = run.next().await;
    assert_eq!(addrs(&first), at(446, &["10.0.0.1"]));
    assert_eq!(
        first.iter().next().unwrap().source.as_deref(),
        Some("dns:node.test")
    );
    for addr in ["10.0.0.2", "10.0.0.3", "10.0.0.4"] {
        server.set(NAME, 1, &[ip(addr)]);
        run.until_addrs(&at(446, &[addr])).await;
    }
    run.stop().await;
}

#[tokio::test]
async fn a_hint_finds_a_change_before_the_ttl_is_over() {
    let server = DnsServer::start();
    server.set(NAME, 3600, &[ip("10.0.0.1")]);
    let mut run = follow(dns(&[&server], NAME), OnEmpty::KeepLast);
    run.next().await;
    server.set(NAME, 3600, &[ip("10.0.0.2")]);
    run.handle.refresh();
    run.until_addrs(&at(446, &["10.0.0.2"])).await;
}

#[tokio::test]
async fn failures_keep_the_set_and_a_recovery_is_followed() {
    let server = DnsServer::start();
    server.set(NAME, 1, &[ip("10.0.0.1")]);
    let mut run = follow(dns(&[&server], NAME), OnEmpty::Apply);
    run.next().await;
    let failures = |run: &RunningDriver| run.handle.status().sources[0].failures;
    for (n, code) in [ResponseCode::ServFail, ResponseCode::Refused]
        .into_iter()
        .enumerate()
    {
        server.fail(NAME, code);
        let before = failures(&run);
        eventually("the error", || failures(&run) > before).await;
        let status = &run.handle.status().sources[0];
        assert_eq!(status.backends, 1, "{n}");
    }
    server.set_silent(true);
    let silent = |run: &RunningDriver| {
        let error = run.handle.status().sources[0].last_error.clone();
        error.is_some_and(|error| error.contains("no answer"))
    };
    run.handle.refresh();
    eventually("the silence", || silent(&run)).await;
    assert_eq!(run.handle.status().sources[0].backends, 1);
    server.set_silent(false);
    server.set(NAME, 1, &[ip("10.0.0.2")]);
    run.handle.refresh();
    // The first publication since: nothing was published in between.
    assert_eq!(addrs(&run.next().await), at(446, &["10.0.0.2"]));
    assert_eq!(run.handle.status().sources[0].stale_for, None);
}

#[tokio::test]
async fn a_deleted_name_empties_the_set_only_if_wanted() {
    let server = DnsServer::start();
    server.set(NAME, 1, &[ip("10.0.0.1")]);
    let mut kept = follow(dns(&[&server], NAME), OnEmpty::KeepLast);
    let mut applied = follow(dns(&[&server], NAME), OnEmpty::Apply);
    kept.next().await;
    applied.next().await;
    server.remove(NAME);
    assert!(applied.next().await.is_empty());
    eventually("the error", || kept.handle.status().sources[0].failures > 0).await;
    assert_eq!(kept.handle.status().sources[0].backends, 1);
    // The negative answer holds for a second, so the return of the name is detected as soon as a change.
    server.set(NAME, 1, &[ip("10.0.0.1")]);
    assert_eq!(addrs(&applied.next().await), at(446, &["10.0.0.1"]));
    eventually("the end of staleness", || {
        kept.handle.status().sources[0].stale_for.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_stopped_server_keeps_the_set() {
    let server = DnsServer::start();
    server.set(NAME, 1, &[ip("10.0.0.1")]);
    let mut run = follow(dns(&[&server], NAME), OnEmpty::Apply);
    run.next().await;
    drop(server);
    eventually("the error", || run.handle.status().sources[0].failures > 1).await;
    assert_eq!(run.handle.status().sources[0].backends, 1);
    assert!(run.quiet_for(Duration::from_millis(200)).await);
}

// === the hosts file ===

/// A file of its own for each test.
fn file(name: &str, text: &str) -> PathBuf {
    let name = format!("{name}-{}", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn the_hosts_file_takes_precedence_and_is_followed() {
    let server = DnsServer::start();
    server.set("listed.test", 60, &ips(&["10.0.0.1", "2001:db8::1"]));
    server.set(NAME, 60, &[ip("10.0.0.1")]);
    let hosts = file("hosts-followed", "10.9.9.9 listed.test # a comment\n");
    let resolver = Resolver::builder()
        .name_servers(&[server.addr()])
        .hosts(&hosts)
        .build()
        .unwrap();
    let listed = Dns::try_new(resolver.clone(), "Listed.test", 446).unwrap();
    let listed = listed.interval(Duration::from_millis(500));
    // An entry for one family is the whole answer.
    let found = listed.lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["10.9.9.9"]));
    assert_eq!(found.valid_for, None);
    assert_eq!(server.questions("listed.test"), 0);
    let other = Dns::try_new(resolver, NAME, 446).unwrap();
    let found = other.lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &["10.0.0.1"]));

    let mut run = follow(listed, OnEmpty::KeepLast);
    run.next().await;
    std::fs::write(&hosts, "10.9.9.10 listed.test\n2001:db8::9 listed.test\n").unwrap();
    run.until_addrs(&at(446, &["10.9.9.10", "2001:db8::9"]))
        .await;
    // A file that is temporarily missing changes nothing; after a new one without the name, DNS is asked.
    std::fs::remove_file(&hosts).unwrap();
    assert!(run.quiet_for(Duration::from_millis(1500)).await);
    std::fs::write(&hosts, "\n").unwrap();
    run.until_addrs(&at(446, &["10.0.0.1", "2001:db8::1"]))
        .await;
    std::fs::remove_file(&hosts).unwrap();
}

#[tokio::test]
async fn dropping_a_watch_ends_its_questions() {
    let server = DnsServer::start();
    server.set(NAME, 1, &[ip("10.0.0.1")]);
    let dns = dns(&[&server], NAME)
        .min_ttl(Duration::from_millis(20))
        .max_ttl(Duration::from_millis(20));
    let mut sets = dns.watch().await.unwrap();
    futures::StreamExt::next(&mut sets).await.unwrap().unwrap();
    drop(sets);
    let asked = server.questions(NAME);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.questions(NAME), asked);
}
