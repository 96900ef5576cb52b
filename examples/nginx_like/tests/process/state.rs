//! `lb_state`: a process that starts while name servers are dead serves from the file of the one before.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use test_support::dns::DnsServer;

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask, eventually, within};

const NAME: &str = "node.test";

/// A node with a name, and the place of a state file.
struct Setting {
    dns: DnsServer,
    node: Reserved,
    _dir: TempDir,
    path: PathBuf,
}

impl Setting {
    async fn new() -> Self {
        let dns = DnsServer::start();
        let host = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 41));
        let node = Reserved::at((host, 0).into()).unwrap();
        drop(node.serve("node").await); // detached: it lives as long as the test's runtime
        dns.set(NAME, 1, &[host]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        Self {
            dns,
            node,
            _dir: dir,
            path,
        }
    }

    fn main(&self) -> String {
        format!("lb_state {} interval=100ms;", self.path.display())
    }

    fn stream(&self, server: &str) -> String {
        let (dns, port) = (self.dns.addr(), self.node.addr.port());
        format!(
            "resolver {dns} ipv6=off; resolver_timeout 200ms;
            upstream u {{ zone u 64k; server {NAME}:{port} resolve; {server} }}
            server {{ listen LISTEN; proxy_pass u; }}"
        )
    }

    async fn start(&self) -> NginxLike {
        NginxLike::start(&self.main(), &self.stream("")).await
    }

    /// Lets a process learn the node, and ends it.
    async fn learned(&self, end: Signal) {
        let proxy = self.start().await;
        within("an answer", async {
            while ask(proxy.addr).await.ok().as_deref() != Some("node") {}
        })
        .await;
        proxy.signal(end);
        assert!(proxy.exit().await.success());
        assert!(fs::metadata(&self.path).unwrap().len() > 0);
    }
}

#[tokio::test]
async fn a_start_without_name_servers_serves_from_the_file_and_the_first_answer_replaces_it() {
    for end in [Signal::QUIT, Signal::TERM] {
        let setting = Setting::new().await;
        setting.learned(end).await;
        setting.dns.set_silent(true);
        let proxy = setting.start().await;
        proxy.logged("State file restored").await;
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
        proxy.logged("keeping the last set").await;
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
        // Another node has the name now.
        let host = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 42));
        let other = Reserved::at((host, setting.node.addr.port()).into()).unwrap();
        drop(other.serve("other").await);
        setting.dns.set(NAME, 1, &[host]);
        setting.dns.set_silent(false);
        within("the new node", async {
            while ask(proxy.addr).await.unwrap() != "other" {}
        })
        .await;
    }
}

#[tokio::test]
async fn the_file_is_written_while_the_process_runs_and_a_killed_one_leaves_it() {
    let setting = Setting::new().await;
    let mut proxy = setting.start().await;
    eventually("the file", || setting.path.exists()).await;
    proxy.signal(Signal::KILL);
    proxy.ended().await;
    setting.dns.set_silent(true);
    let proxy = setting.start().await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}

/// Replaces the file, and returns the line of the next process about it.
async fn ignored(setting: &Setting, spoil: impl Fn(&Path)) -> String {
    spoil(&setting.path);
    let proxy = setting.start().await;
    proxy.logged("State file ignored").await;
    let log = proxy.log();
    // It serves as soon as the name server answers.
    within("an answer", async {
        while ask(proxy.addr).await.ok().as_deref() != Some("node") {}
    })
    .await;
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    let mut lines = log.lines().filter(|line| line.contains("ignored"));
    lines.next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_ignored_with_a_warning() {
    let setting = Setting::new().await;
    setting.learned(Signal::TERM).await;
    let good = fs::read_to_string(&setting.path).unwrap();
    let saved = good.split("\"saved_ms\":").nth(1).unwrap();
    let saved = saved.split(',').next().unwrap();
    let spoiled = [
        (good[..good.len() / 2].to_owned(), "malformed"),
        (
            good.replace("\"version\":1", "\"version\":99"),
            "version 99",
        ),
        (good.replace(saved, "99999999999999"), "from the future"),
        (good.replace(saved, "1000"), "too old"),
        (String::new(), "malformed"),
        ("0\n".to_owned(), "malformed"),
    ];
    for (content, reason) in spoiled {
        let line = ignored(&setting, |path| fs::write(path, &content).unwrap()).await;
        assert!(
            line.contains("[warn]") && line.contains(reason),
            "{reason}: {line}"
        );
    }
    let line = ignored(&setting, |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    })
    .await;
    assert!(line.contains("no regular file"), "{line}");
}

#[tokio::test]
async fn a_server_that_changed_takes_nothing_and_the_others_do() {
    let setting = Setting::new().await;
    setting.learned(Signal::TERM).await;
    setting.dns.set_silent(true);
    let stream = setting
        .stream("server gone.test:1 resolve;")
        .replace(NAME, "other.test");
    let proxy = NginxLike::start(&setting.main(), &stream).await;
    proxy.logged("State file restored").await;
    proxy.logged("not_taken=[\"dns:node.test").await;
    assert!(proxy.log().contains("upstreams=0"), "{}", proxy.log());
}
