//! SIGHUP: the changes it applies, and the state it keeps.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncReadExt;

use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, eventually, within};
use test_support::dns::{DnsServer, ResponseCode};

/// Longer than any test, so that no answer expires.
const TTL: u32 = 3600;

const NAME: &str = "node.test";

#[tokio::test]
async fn an_unchanged_upstream_is_not_looked_up_again() {
    let node = Reserved::any();
    let _node = node.serve("node").await;
    let dns = DnsServer::start();
    dns.set(NAME, TTL, &[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let (resolver, port) = (dns.addr(), node.addr.port());
    let stream = |before: &str, weight: u16| {
        format!(
            "{before} resolver {resolver};
            upstream u {{ server {NAME}:{port} weight={weight} resolve; }}
            server {{ listen LISTEN; proxy_pass u; }}"
        )
    };
    let proxy = NginxLike::start("", &stream("", 1)).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    let asked = dns.questions(NAME);
    for _ in 0..5 {
        // It may move to other lines, and the text around it may change.
        proxy.reload("", &stream("\n\nproxy_timeout 5m;", 1)).await;
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    }
    assert_eq!(dns.questions(NAME), asked);
    proxy.reload("", &stream("", 2)).await;
    eventually("new questions", || dns.questions(NAME) > asked).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}

#[tokio::test]
async fn worker_shutdown_timeout_ends_the_sessions_of_a_removed_listener() {
    let (node, other) = (Reserved::any(), Reserved::any());
    let _node = node.serve("node").await;
    let stays = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
    let goes = format!(
        "server {{ listen {}; proxy_pass {}; }}",
        other.addr, node.addr
    );
    let main = "worker_shutdown_timeout 50ms;";
    let proxy = NginxLike::start(main, &format!("{stays} {goes}")).await;
    let mut kept = Conversation::open(proxy.addr).await.unwrap();
    let mut removed = Conversation::open(other.addr).await.unwrap();
    for conversation in [&mut kept, &mut removed] {
        assert_eq!(conversation.say("hello").await.unwrap(), "node");
    }
    proxy.reload(main, &stays).await;
    let mut removed = removed.into_stream();
    let end = within("the end of the session", removed.read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert_eq!(kept.say("still here").await.unwrap(), "node");
}

#[tokio::test]
async fn an_upstream_that_no_server_names_for_a_while_keeps_its_state() {
    let (blue, green) = (Reserved::any(), Reserved::any());
    let (_blue, _green) = (blue.serve("blue").await, green.serve("green").await);
    let dns = DnsServer::start();
    dns.set(NAME, TTL, &[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let stream = |named: &str| {
        format!(
            "resolver {};
            upstream blue {{ server {NAME}:{} resolve; }}
            upstream green {{ server {}; }}
            server {{ listen LISTEN; proxy_pass {named}; }}",
            dns.addr(),
            blue.addr.port(),
            green.addr
        )
    };
    let proxy = NginxLike::start("", &stream("blue")).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "blue");
    let asked = dns.questions(NAME);
    for named in ["green", "blue", "green", "blue"] {
        proxy.reload("", &stream(named)).await;
        assert_eq!(ask(proxy.addr).await.unwrap(), named);
    }
    assert_eq!(dns.questions(NAME), asked);
}

#[tokio::test]
async fn an_upstream_with_a_failing_source_is_looked_up_at_once() {
    let node = Reserved::any();
    let _node = node.serve("node").await;
    let dns = DnsServer::start();
    // A negative answer that is cached for half a minute, the limit for negative answers.
    dns.set_negative_ttl(TTL);
    dns.fail(NAME, ResponseCode::NXDomain);
    let (resolver, port) = (dns.addr(), node.addr.port());
    let stream = format!(
        "resolver {resolver};
        upstream u {{ server {NAME}:{port} resolve; }}
        server {{ listen LISTEN; proxy_pass u; }}"
    );
    let proxy = NginxLike::start("", &stream).await;
    proxy.logged("Source has no backends").await;
    dns.set(NAME, TTL, &[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let asked = dns.questions(NAME);
    proxy.reload("", &stream).await;
    eventually("new questions", || dns.questions(NAME) > asked).await;
    within("the node", async {
        while ask(proxy.addr).await.ok().as_deref() != Some("node") {}
    })
    .await;
}

#[tokio::test]
async fn logs_change_with_the_configuration() {
    let stream = "server { listen LISTEN; proxy_pass 127.0.0.1:1; }";
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first.log", "second.log"].map(|name| dir.path().join(name));
    let read = |path: &std::path::Path| fs::read_to_string(path).unwrap();
    let proxy = NginxLike::start(&format!("error_log {} info;", first.display()), stream).await;
    // Each log has its own thread.
    let says = async |path: &std::path::Path, text: &str| {
        eventually(&format!("{text:?} in a log"), || read(path).contains(text)).await;
    };
    says(&first, "Listening").await;

    let main = format!("error_log {} debug;", second.display());
    proxy.reload(&main, stream).await;
    says(&second, "Configuration applied").await;
    assert!(!read(&first).contains("Configuration applied"));
    ask(proxy.addr).await.unwrap_err();
    eventually("a message at debug", || {
        read(&second).contains("Session ended")
    })
    .await;
    // The other log keeps its level.
    assert!(!proxy.log().contains("Session ended"));

    // A log that cannot be opened: nothing changes.
    let nowhere = dir.path().join("no/such/dir.log");
    proxy.configure(&format!("error_log {};", nowhere.display()), stream);
    proxy.signal(Signal::HUP);
    let refused = format!("open() \"{}\" failed", nowhere.display());
    proxy.logged(&refused).await;
    says(&second, &refused).await;

    let main = format!("error_log {} crit;", second.display());
    proxy.reload(&main, stream).await;
    let before = read(&second).len();
    proxy.signal(Signal::USR1);
    proxy.logged("Log reopened").await;
    assert_eq!(read(&second).len(), before);
}

#[tokio::test]
async fn a_storm_of_reloads_with_broken_files_disturbs_no_client() {
    let (node, extra) = (Reserved::any(), Reserved::any());
    let _node = node.serve("node").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let server = |listen: &str| format!("server {{ {listen} proxy_pass {}; }}", node.addr);
    let (one, two) = (
        server("listen LISTEN;"),
        server(&format!("listen LISTEN; listen {};", extra.addr)),
    );
    let broken = [
        "nonsense;".to_owned(),
        "server { listen LISTEN;".to_owned(),
        "server { listen LISTEN; proxy_pass nowhere; }".to_owned(),
        "\u{0}\u{1}\u{fffd}".to_owned(),
        server("listen LISTEN; proxy_timeout never;"),
        server(&format!("listen LISTEN; listen {};", taken.0)),
        server("listen LISTEN; error_log /no/such/dir/error.log;"),
    ];
    let proxy = NginxLike::start("", &one).await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(open.say("hello").await.unwrap(), "node");
    let files = || {
        let files = fs::read_dir(format!("/proc/{}/fd", proxy.id())).unwrap();
        files.count()
    };
    let before = files();
    let (addr, over) = (proxy.addr, Arc::new(AtomicBool::new(false)));
    let knocking = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut knocks = 0;
            while !over.load(Relaxed) {
                assert_eq!(ask(addr).await.unwrap(), "node");
                knocks += 1;
            }
            knocks
        }
    });
    for round in 0..10 {
        let refused = proxy.count("nothing changed");
        for stream in &broken {
            proxy.configure("", stream);
            for _ in 0..=round % 3 {
                proxy.signal(Signal::HUP);
            }
        }
        // One reload may answer all signals, but the last comes after the last file.
        eventually("a refused reload", || {
            proxy.count("nothing changed") > refused
        })
        .await;
        proxy
            .reload("", if round % 2 == 0 { &two } else { &one })
            .await;
        // The reload that was logged may be that of an earlier signal, so the last signal may be pending.
        within("the change of the listener", async {
            while ask(extra.addr).await.is_ok() != (round % 2 == 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    over.store(true, Relaxed);
    assert!(knocking.await.unwrap() > 0);
    // A missing file is broken, too.
    fs::remove_file(proxy.dir().join("test.conf")).unwrap();
    proxy.signal(Signal::HUP);
    proxy.logged("No such file or directory").await;
    assert!(proxy.count("nothing changed") >= 10);
    assert_eq!(open.say("still there?").await.unwrap(), "node");
    eventually("the descriptors' return", || files() == before).await;
}

#[tokio::test]
async fn the_number_of_workers_does_not_change() {
    let node = Reserved::any();
    let _node = node.serve("node").await;
    let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
    let proxy = NginxLike::start("worker_processes 2;", &stream).await;
    let workers = || {
        let threads = fs::read_dir(format!("/proc/{}/task", proxy.id())).unwrap();
        // Threads of other names come and go with their work.
        let names =
            threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("lb-worker")).count()
    };
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    assert_eq!(workers(), 2);
    for other in ["worker_processes 4;", "worker_processes 1;", ""] {
        proxy.reload(other, &stream).await;
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    }
    assert_eq!(proxy.count("\"worker_processes\" changed"), 3);
    proxy.reload("worker_processes 2;", &stream).await;
    assert_eq!(proxy.count("\"worker_processes\" changed"), 3);
    assert_eq!(workers(), 2);
}

#[tokio::test]
async fn thousands_of_upstreams_are_compared_quickly() {
    let node = Reserved::any();
    let _node = node.serve("node").await;
    let mut stream = String::new();
    for number in 0..3000 {
        stream += &format!("upstream u{number} {{ server {}; }}\n", node.addr);
    }
    stream += "server { listen LISTEN; proxy_pass u2999; }";
    let proxy = NginxLike::start("", &stream).await;
    // A comparison of each pair would take minutes.
    proxy.reload("", &stream).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}

/// An upstream of 20000 servers, of which only that at `port` is not down. The others have addresses in the network `10.net`.
fn many_servers(port: u16, net: u8) -> String {
    let mut stream = format!("upstream many {{ server 127.0.0.1:{port};\n");
    for [.., high, low] in (1..20_000_u32).map(u32::to_be_bytes) {
        stream += &format!("server 10.{net}.{high}.{low}:80 down;\n");
    }
    stream + "} server { listen LISTEN; proxy_pass many; }"
}

#[tokio::test]
async fn sessions_go_on_while_many_servers_are_replaced() {
    let node = Reserved::any();
    let _node = node.serve("node").await;
    let port = node.addr.port();
    let proxy = NginxLike::start("", &many_servers(port, 1)).await;
    let (answers, over): (Arc<[AtomicUsize; 4]>, Arc<AtomicBool>) = Default::default();
    let mut talks = Vec::new();
    for number in 0..answers.len() {
        let (answers, over) = (Arc::clone(&answers), Arc::clone(&over));
        let mut talk = Conversation::open(proxy.addr).await.unwrap();
        talks.push(tokio::spawn(async move {
            while !over.load(Relaxed) {
                assert_eq!(talk.say("hello").await.unwrap(), "node");
                answers[number].fetch_add(1, Relaxed);
            }
        }));
    }
    let all = || answers.each_ref().map(|count| count.load(Relaxed));
    eventually("the first answers", || all().iter().all(|count| *count > 0)).await;
    let before = all();
    proxy.reload("", &many_servers(port, 2)).await;
    // Reading so many servers takes longer than many round trips, if not those of each session on a busy machine.
    let after = all();
    assert!(
        after.iter().sum::<usize>() > before.iter().sum(),
        "{before:?} answers before, {after:?} after"
    );
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    over.store(true, Relaxed);
    for talk in talks {
        talk.await.unwrap();
    }
}
