#[path = "../../../tests/support/dns_server.rs"]
mod dns_server;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::super::service::Service;
use super::*;
use dns_server::{DnsServer, RecordType, ResponseCode};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn conf(servers: &[SocketAddr], search: &[&str], ndots: usize) -> Arc<Conf> {
    let given = ResolvConf {
        servers: servers.to_vec(),
        search: search.iter().map(|domain| name(domain)).collect(),
        ndots,
        timeout: Duration::from_millis(300),
        attempts: 1,
    };
    Arc::new(Conf::new(given, &Options::default(), Arc::default()).unwrap())
}

// === resolv.conf ===

#[test]
fn reads_servers_search_domains_and_options() {
    let text = b"# ours\nsearch a.test b.test\nnameserver 10.0.0.1\nnameserver ::1\n\
                 options ndots:3 timeout:4 attempts:5\n";
    let read = ResolvConf::parse(text).unwrap();
    let servers: Vec<SocketAddr> = ["10.0.0.1:53", "[::1]:53"]
        .iter()
        .map(|addr| addr.parse().unwrap())
        .collect();
    assert_eq!(read.servers, servers);
    assert_eq!(read.search, [name("a.test"), name("b.test")]);
    assert_eq!((read.ndots, read.attempts), (3, 5));
    assert_eq!(read.timeout, Duration::from_secs(4));
}

#[test]
fn a_file_without_servers_means_this_machine() {
    for text in [&b""[..], b"search a.test", b"# nameserver 10.0.0.1\n"] {
        let read = ResolvConf::parse(text).unwrap();
        assert_eq!(read.servers, ["127.0.0.1:53".parse().unwrap()]);
    }
}

#[test]
fn garbage_is_an_error_or_skipped_but_no_panic() {
    for text in [
        &b"\xff\xfe\x00"[..],
        b"nameserver",
        b"nameserver not-an-address",
        b"options ndots:999999999999",
        b"search ..",
        b"\n\n\n",
    ] {
        drop(ResolvConf::parse(text));
        drop(parse_hosts(text));
    }
    assert!(ResolvConf::parse(b"nameserver not-an-address\n").is_err());
}

// === search domains ===

#[test]
fn candidates_follow_ndots() {
    let conf = conf(&[], &["a.test", "b.test"], 2);
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

/// Looks up `text` with search domains, and gives the addresses.
async fn search(conf: &Arc<Conf>, memory: &Mutex<Memory>) -> Result<Vec<String>, DiscoveryError> {
    let families = [Family::V4, Family::V6];
    let found = conf
        .lookup(&name("node"), &families, "node", memory)
        .await?;
    Ok(found.addrs.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn search_domains_are_tried_in_order_as_whole_names() {
    let server = DnsServer::start();
    let conf = conf(&[server.addr()], &["a.test", "b.test"], 1);
    let known = Mutex::default();

    // Both families of one name go together: none is mixed in from another.
    server.set("node.a.test", 60, &["10.0.0.1".parse().unwrap()]);
    server.set("node.b.test", 60, &["2001:db8::1".parse().unwrap()]);
    assert_eq!(search(&conf, &known).await.unwrap(), ["10.0.0.1"]);
    assert_eq!(server.questions("node.b.test"), 0);

    // The name in use cannot be asked: no other takes its place.
    server.fail("node.a.test", ResponseCode::ServFail);
    assert!(search(&conf, &known).await.is_err());
    assert_eq!(server.questions("node.b.test"), 0);
    // Whoever has not used it takes the next, as the system does.
    let fresh = Mutex::default();
    assert_eq!(search(&conf, &fresh).await.unwrap(), ["2001:db8::1"]);

    // It is gone: the next one follows.
    server.remove("node.a.test");
    assert_eq!(search(&conf, &known).await.unwrap(), ["2001:db8::1"]);

    // A failure on the way is not taken for "there is no such name".
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
        servers: vec![server.addr()],
        search: vec![name("a.test"), name("b.test")],
        ndots: 1,
        timeout: Duration::from_secs(20),
        attempts: 1,
    };
    let conf = Arc::new(Conf::new(given, &Options::default(), Arc::default()).unwrap());
    let memory = Mutex::default();
    server.set("node.b.test", 60, &["10.0.0.1".parse().unwrap()]);
    server.set_silent_kind(RecordType::AAAA, true);
    for _ in 0..2 {
        let started = Instant::now();
        assert_eq!(search(&conf, &memory).await.unwrap(), ["10.0.0.1"]);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    // It does not count as a failure on the way either: the last name's is a clear answer.
    drop(memory); // and with it the question that is out, which a new one would share
    let memory = Mutex::default();
    server.set_silent_kind(RecordType::AAAA, false);
    assert_eq!(search(&conf, &memory).await.unwrap(), ["10.0.0.1"]);
    server.remove("node.b.test");
    server.set("node", 60, &[]);
    server.set_late_kind(RecordType::AAAA, Duration::from_millis(700));
    let error = search(&conf, &memory).await.unwrap_err();
    assert!(error.is_authoritative_empty(), "{error}");

    // The other way round the name may well exist: servers that deny it for AAAA are known.
    server.set("node.a.test", 60, &["10.0.0.2".parse().unwrap()]);
    server.fail_kind("node.a.test", RecordType::AAAA, ResponseCode::NXDomain);
    server.set_late_kind(RecordType::AAAA, Duration::ZERO);
    server.set_late_kind(RecordType::A, Duration::from_millis(700));
    assert_eq!(
        search(&conf, &Mutex::default()).await.unwrap(),
        ["10.0.0.2"]
    );
}

// === changes of the files ===

/// A path of its own for each test.
fn temp_path() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = format!("lb-discovery-{}-{number}", std::process::id());
    std::env::temp_dir().join(file)
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_read_again_at_most_once_a_second() {
    let path = temp_path();
    std::fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
    let options = Options {
        resolv_conf: Some(path.clone()),
        hosts: Some(temp_path()), // does not exist
        ..Options::default()
    };
    let (mut files, conf) = Files::read(&options).unwrap();
    let mut conf = Arc::new(conf);
    let mut follow = async |wait: u64| {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        files.follow(&options, &mut conf);
        format!("{:?}", conf.servers)
    };
    assert_eq!(follow(2000).await, "[10.0.0.1:53]");

    std::fs::write(&path, "nameserver 10.0.0.10\n").unwrap();
    assert_eq!(follow(500).await, "[10.0.0.1:53]");
    assert_eq!(follow(500).await, "[10.0.0.10:53]");

    // Broken, empty and missing files keep what was known.
    std::fs::write(&path, "nameserver nonsense-is-not-an-address\n").unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.10:53]");
    std::fs::write(&path, "").unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.10:53]");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.10:53]");
    std::fs::create_dir(&path).unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.10:53]");
    std::fs::remove_dir(&path).unwrap();

    std::fs::write(&path, "nameserver 10.0.0.100\nnameserver ::1\n").unwrap();
    assert_eq!(follow(1000).await, "[10.0.0.100:53, [::1]:53]");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_at_the_start_is_an_error() {
    let options = Options {
        resolv_conf: Some(std::env::temp_dir()), // a directory
        ..Options::default()
    };
    let error = Files::read(&options).err().unwrap();
    assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
    assert!(error.to_string().starts_with("reading "), "{error}");
}

#[tokio::test]
async fn search_domains_complete_the_name_of_a_service() {
    let server = DnsServer::start();
    let conf = conf(&[server.addr()], &["a.test", "b.test"], 5);
    let service = Service::new(name("_echo._tcp"), "_echo._tcp".into(), 1);
    let targets = async || {
        let answer = service.records(&conf).await?;
        let targets = answer.records.iter().map(|r| r.target.to_string());
        Ok::<_, DiscoveryError>(targets.collect::<Vec<_>>())
    };
    server.set_service("_echo._tcp.b.test", 60, &[(1, 1, 446, "host.test")]);
    assert_eq!(targets().await.unwrap(), ["host.test."]);
    // The name that the records came from cannot be asked: the others do not take its place.
    server.fail("_echo._tcp.b.test", ResponseCode::ServFail);
    assert!(!targets().await.unwrap_err().is_authoritative_empty());
    server.set_service("_echo._tcp.a.test", 60, &[(1, 1, 446, "other.test")]);
    assert_eq!(targets().await.unwrap(), ["other.test."]);
}
