//! Lookups of names: by `resolver`, or as the system does.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use tokio::process::Command;

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask, until};
use test_support::dns::DnsServer;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A command with these files as `/etc/hosts` and `/etc/resolv.conf`, in a mount namespace of its own. `None` if the
/// test lacks the rights.
fn with_files(hosts: &Path, resolv_conf: &Path) -> Option<Command> {
    let binds = format!(
        "mount --make-rprivate / && mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf",
        hosts.display(),
        resolv_conf.display()
    );
    let unshare = |script: String| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]);
        command
    };
    let mut trial = unshare(binds.clone()).into_std();
    let works = trial.output().is_ok_and(|output| output.status.success());
    let binary = env!("CARGO_BIN_EXE_nginx_like");
    works.then(|| unshare(format!("{binds} && exec {binary} \"$@\"")))
}

#[tokio::test]
async fn the_resolver_looks_up_names_with_resolve_and_the_system_all_other_names() {
    let dir = tempfile::tempdir().unwrap();
    let [hosts, resolv_conf] = ["hosts", "resolv.conf"].map(|name| dir.path().join(name));
    fs::write(&hosts, "127.0.0.1 localhost plain.test under_score\n").unwrap();
    // Nothing answers there, and nothing is asked there. The search domain is no name.
    fs::write(&resolv_conf, "search .local\nnameserver 127.0.0.1\n").unwrap();
    let Some(command) = with_files(&hosts, &resolv_conf) else {
        eprintln!("skipped: needs root");
        return;
    };
    let dns = DnsServer::start();
    dns.set("looked-up.test", 60, &[LOCAL]);
    let nodes = [Reserved::any(), Reserved::any(), Reserved::any()];
    let [plain, score, looked_up] = [0, 1, 2].map(|node| nodes[node].addr.port());
    let mut serving = Vec::new();
    for (node, name) in nodes.iter().zip(["plain", "score", "looked up"]) {
        serving.push(node.serve(name).await);
    }
    let stream = format!(
        "resolver {};
        upstream u {{
            server plain.test:{plain}; server under_score:{score};
            server looked-up.test:{looked_up} resolve;
        }}
        server {{ listen LISTEN; proxy_pass u; }}",
        dns.addr()
    );
    let proxy = NginxLike::start_by(command, Reserved::any(), "", &stream).await;
    until(&proxy, "all three serve", |answers| {
        let all = ["plain", "score", "looked up"];
        all.iter().all(|name| answers.iter().any(|a| a == name))
    })
    .await;
    assert_eq!(dns.questions("plain.test"), 0);
    assert_eq!(dns.questions("under_score"), 0);
    let warning = "search domain \".local\" is no name";
    proxy.logged(warning).await;
    assert_eq!(proxy.count(warning), 1);
}

#[tokio::test]
async fn a_resolver_timeout_of_zero_sets_no_limit() {
    let node = Reserved::any();
    let _node = node.serve("node").await;
    let dns = DnsServer::start();
    dns.set("node.test", 60, &[LOCAL]);
    let stream = format!(
        "resolver {}; resolver_timeout 0;
        upstream u {{ server node.test:{} resolve; }}
        server {{ listen LISTEN; proxy_pass u; }}",
        dns.addr(),
        node.addr.port()
    );
    let proxy = NginxLike::start("", &stream).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}
