use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::*;
use crate::sources::dns::config::lookup_config::ResolverOptions;
use crate::sources::dns::config::resolv_conf::ResolvConf;
use crate::sources::dns::lookup::srv::SrvLookup;
use test_support::dns::{DnsServer, RecordType, ResponseCode};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn config(servers: &[SocketAddr], search: &[&str], ndots: usize) -> Arc<LookupConfig> {
    let given = ResolvConf {
        search: search.iter().map(|domain| name(domain)).collect(),
        ndots,
        timeout: Duration::from_millis(300),
        attempts: 1,
        ..ResolvConf::of(servers)
    };
    Arc::new(LookupConfig::new(given, &ResolverOptions::default(), Arc::default()).unwrap())
}

#[test]
fn candidates_follow_ndots() {
    let conf = config(&[], &["a.test", "b.test"], 2);
    let shown = |text: &str| -> Vec<String> {
        let names = conf.candidates(&name(text));
        assert!(names.iter().all(Name::is_fqdn));
        names.iter().map(ToString::to_string).collect()
    };
    assert_eq!(shown("x"), ["x.a.test.", "x.b.test.", "x."]);
    assert_eq!(shown("x.y"), ["x.y.a.test.", "x.y.b.test.", "x.y."]);
    assert_eq!(shown("x.y.z"), ["x.y.z.", "x.y.z.a.test.", "x.y.z.b.test."]);
    assert_eq!(shown("x."), ["x."]);
    assert_eq!(shown("localhost")[0], "localhost.");
}

/// Looks up `text` with search domains, and returns the addresses.
async fn search(
    conf: &Arc<LookupConfig>,
    state: &Mutex<LookupState>,
) -> Result<Vec<String>, DiscoveryError> {
    let families = [IpFamily::V4, IpFamily::V6];
    let found = conf.lookup(&name("node"), &families, "node", state).await?;
    Ok(found.addrs.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn search_domains_are_tried_in_order_as_whole_names() {
    let server = DnsServer::start();
    let conf = config(&[server.addr()], &["a.test", "b.test"], 1);
    let known = Mutex::default();

    // Both families come from one candidate: none is mixed in from another one.
    server.set("node.a.test", 60, &["10.0.0.1".parse().unwrap()]);
    server.set("node.b.test", 60, &["2001:db8::1".parse().unwrap()]);
    assert_eq!(search(&conf, &known).await.unwrap(), ["10.0.0.1"]);
    assert_eq!(server.questions("node.b.test"), 0);

    // The candidate in use does not answer: another one does not replace it.
    server.fail("node.a.test", ResponseCode::ServFail);
    assert!(search(&conf, &known).await.is_err());
    assert_eq!(server.questions("node.b.test"), 0);
    // A lookup that has not used it continues with the next one, as the system's resolver does.
    let fresh = Mutex::default();
    assert_eq!(search(&conf, &fresh).await.unwrap(), ["2001:db8::1"]);

    // It no longer exists: the next candidate is used.
    server.remove("node.a.test");
    assert_eq!(search(&conf, &known).await.unwrap(), ["2001:db8::1"]);

    // A failure on the way is not reported as "there is no such name".
    server.remove("node.b.test");
    server.fail("node.a.test", ResponseCode::ServFail);
    let error = search(&conf, &known).await.unwrap_err();
    assert!(!error.is_authoritative_empty(), "{error}");
    server.remove("node.a.test");
    let error = search(&conf, &known).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "looking up node: no such name (NXDOMAIN)"
    );
}

#[tokio::test]
async fn a_silent_family_does_not_hold_up_the_next_name() {
    let server = DnsServer::start();
    let given = ResolvConf {
        search: vec![name("a.test"), name("b.test")],
        timeout: Duration::from_secs(20),
        attempts: 1,
        ..ResolvConf::of(&[server.addr()])
    };
    let conf =
        Arc::new(LookupConfig::new(given, &ResolverOptions::default(), Arc::default()).unwrap());
    let state = Mutex::default();
    server.set("node.b.test", 60, &["10.0.0.1".parse().unwrap()]);
    server.set_silent_kind(RecordType::AAAA, true);
    for _ in 0..2 {
        let started = Instant::now();
        assert_eq!(search(&conf, &state).await.unwrap(), ["10.0.0.1"]);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    // It does not count as a failure on the way either: the answer for the last name is definite.
    drop(state); // and with it the question that is out, which a new one would share
    let state = Mutex::default();
    server.set_silent_kind(RecordType::AAAA, false);
    assert_eq!(search(&conf, &state).await.unwrap(), ["10.0.0.1"]);
    server.remove("node.b.test");
    server.set("node", 60, &[]);
    server.set_late_kind(RecordType::AAAA, Duration::from_millis(700));
    let error = search(&conf, &state).await.unwrap_err();
    assert!(error.is_authoritative_empty(), "{error}");

    // In the opposite case the name may exist: some servers answer NXDOMAIN for AAAA.
    server.set("node.a.test", 60, &["10.0.0.2".parse().unwrap()]);
    server.fail_kind("node.a.test", RecordType::AAAA, ResponseCode::NXDomain);
    server.set_late_kind(RecordType::AAAA, Duration::ZERO);
    server.set_late_kind(RecordType::A, Duration::from_millis(700));
    assert_eq!(
        search(&conf, &Mutex::default()).await.unwrap(),
        ["10.0.0.2"]
    );
}

#[tokio::test]
async fn search_domains_complete_the_name_of_a_service() {
    let server = DnsServer::start();
    let conf = config(&[server.addr()], &["a.test", "b.test"], 5);
    let service = SrvLookup::new(name("_echo._tcp"), "_echo._tcp".into(), 1);
    let targets = async || {
        let answer = service.records(&conf).await?;
        let targets = answer.records.iter().map(|r| r.target.to_string());
        Ok::<_, DiscoveryError>(targets.collect::<Vec<_>>())
    };
    server.set_service("_echo._tcp.b.test", 60, &[(1, 1, 446, "host.test")]);
    assert_eq!(targets().await.unwrap(), ["host.test."]);
    // The candidate that the records came from does not answer: another one does not replace it.
    server.fail("_echo._tcp.b.test", ResponseCode::ServFail);
    assert!(!targets().await.unwrap_err().is_authoritative_empty());
    server.set_service("_echo._tcp.a.test", 60, &[(1, 1, 446, "other.test")]);
    assert_eq!(targets().await.unwrap(), ["other.test."]);
}
