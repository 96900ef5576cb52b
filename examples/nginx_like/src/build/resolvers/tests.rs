use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Instant;

use test_support::dns::DnsServer;
use tokio::task::JoinSet;

use super::*;
use crate::config::handler::Handler;
use crate::config::main::Config;

/// The hosts of a server that sends clients to the names that they choose.
fn hosts(dns: &DnsServer, most_sessions: usize) -> Arc<HostCache> {
    let text = format!(
        "stream {{ server {{ listen 446; resolver {} ipv6=off; proxy_pass $remote_addr; }} }}",
        dns.addr()
    );
    let config = Config::parse(Path::new("conf"), text.as_bytes(), Path::new("")).unwrap();
    let server = config.stream.unwrap().servers.remove(0);
    let Handler::Proxy(_, names) = server.handler else {
        panic!("{:?}", server.handler);
    };
    let most_sessions = NonZeroUsize::new(most_sessions).unwrap();
    let mut resolvers = RunTimeResolvers::new(most_sessions, Some(60_000));
    resolvers.of(&names).unwrap().unwrap()
}

#[tokio::test]
async fn sessions_whose_names_have_no_answer_do_not_delay_another() {
    const SILENT: usize = 300;
    let dns = DnsServer::start();
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    dns.set("good.test", 60, &[ip]);
    dns.set_silent(true);
    let hosts = hosts(&dns, 512);
    let name = |n: usize| format!("silent{n}.test");
    let begin = Instant::now();
    let mut sessions = JoinSet::new();
    for n in 0..SILENT {
        let (hosts, name) = (Arc::clone(&hosts), name(n));
        sessions.spawn(async move { hosts.look_up(&name).await });
    }
    // With 32 questions at a time, the last would be asked after 18 s.
    for n in 0..SILENT {
        while dns.questions(&name(n)) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(8), "{n}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    dns.set_silent(false);
    assert_eq!(hosts.look_up("good.test").await, Ok(vec![ip]));
}

#[test]
fn questions_are_limited_by_sessions_and_by_open_files() {
    for (sessions, files, expected) in [
        (512, Some(60_000), 512),
        (512, Some(1200), 100),
        (1, Some(0), 32),
        (1_000_000, Some(u64::MAX), 4096),
    ] {
        let sessions = NonZeroUsize::new(sessions).unwrap();
        let resolvers = RunTimeResolvers::new(sessions, files);
        assert_eq!(resolvers.concurrent_questions, expected);
    }
}
