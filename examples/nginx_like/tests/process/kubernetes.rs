//! Membership from Kubernetes: followed, and kept while the API server fails.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask, ask_times, eventually, within};
use test_support::kubernetes::objects::{endpoint, inner_service, node, pod, service, slice};
use test_support::kubernetes::{ApiServer, Fault};

const HOSTS: [u8; 3] = [21, 22, 23];
const NAMES: [&str; 3] = ["node1", "node2", "node3"];

fn host(number: usize) -> String {
    Ipv4Addr::new(127, 0, 0, HOSTS[number]).to_string()
}

/// Three machines on which a pod runs each, and the API server that may know of them.
struct Cluster {
    port: u16,
    api: ApiServer,
    dir: TempDir,
    _machines: Vec<Reserved>,
    _pods: Vec<JoinHandle<()>>,
}

impl Cluster {
    async fn start() -> Self {
        let hosts = HOSTS.map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        let machines = Reserved::same_port(&hosts);
        let mut pods = Vec::new();
        for (machine, name) in machines.iter().zip(NAMES) {
            pods.push(machine.serve(name).await);
        }
        let api = ApiServer::start().await;
        api.put("services", inner_service());
        Self {
            port: machines[0].addr.port(),
            api,
            dir: tempfile::tempdir().unwrap(),
            _machines: machines,
            _pods: pods,
        }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.api.kubeconfig(self.dir.path(), "", "")
    }

    async fn proxy(&self, directive: &str) -> NginxLike {
        // At debug each failure is a line; above that some are only counted.
        NginxLike::start(
            "error_log stderr debug;",
            &stream(directive, &self.kubeconfig()),
        )
        .await
    }

    /// Tells the API server which pods there are.
    fn endpoints(&self, machines: &[usize]) {
        let endpoints: Vec<Value> = machines
            .iter()
            .map(|&machine| endpoint(&host(machine), NAMES[machine]))
            .collect();
        let mut slice = slice("echo-a", &endpoints);
        slice["ports"][0]["port"] = json!(self.port);
        self.api.put("endpointslices", slice);
    }
}

fn stream(directive: &str, kubeconfig: &Path) -> String {
    format!(
        "upstream nodes {{ {directive} kubeconfig={}; }}
        server {{ listen LISTEN; proxy_pass nodes; }}",
        kubeconfig.display()
    )
}

/// Waits until no client is served any more.
async fn until_refused(proxy: &NginxLike) {
    within("a refusal", async {
        while ask(proxy.addr).await.is_ok_and(|node| !node.is_empty()) {}
    })
    .await;
}

async fn until_served(proxy: &NginxLike) {
    within("an answer", async {
        while !ask(proxy.addr).await.is_ok_and(|node| !node.is_empty()) {}
    })
    .await;
}

async fn reload(proxy: &NginxLike, stream: &str) {
    let before = proxy.count("Configuration applied");
    proxy.configure("", stream);
    proxy.signal(Signal::HUP);
    eventually("the reload", || {
        proxy.count("Configuration applied") > before
    })
    .await;
}

/// Asks until the answers of a round are those of `nodes` and of no other.
async fn until(proxy: &NginxLike, nodes: &[&str]) {
    let begin = Instant::now();
    within(&format!("answers of {nodes:?}"), async {
        loop {
            let mut answers = ask_times(proxy.addr, 6).await;
            answers.sort();
            answers.dedup();
            if answers == nodes {
                break;
            }
        }
    })
    .await;
    eprintln!("{nodes:?} after {:?}", begin.elapsed());
}

#[tokio::test]
async fn pods_of_a_service_come_and_go() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let proxy = cluster.proxy("kubernetes default/echo port=echo").await;
    assert_eq!(
        ask_times(proxy.addr, 4).await,
        ["node1", "node2", "node1", "node2"]
    );
    cluster.endpoints(&[0, 1, 2]);
    until(&proxy, &["node1", "node2", "node3"]).await;
    cluster.endpoints(&[2]);
    until(&proxy, &["node3"]).await;
}

#[tokio::test]
async fn nodes_at_a_node_port() {
    let cluster = Cluster::start().await;
    let mut service = service("Cluster");
    service["spec"]["ports"][0]["nodePort"] = json!(cluster.port);
    cluster.api.put("services", service);
    cluster.api.put("nodes", node("node1", &host(0)));
    cluster.api.put("nodes", node("node2", &host(1)));
    let proxy = cluster
        .proxy("kubernetes default/echo port=80 address=node")
        .await;
    until(&proxy, &["node1", "node2"]).await;
    cluster.api.delete("nodes", "", "node1");
    until(&proxy, &["node2"]).await;
}

#[tokio::test]
async fn pods_by_label_on_their_nodes() {
    let cluster = Cluster::start().await;
    cluster.api.put("pods", pod("echo-a", "node1", &host(0)));
    cluster.api.put("pods", pod("echo-c", "node3", &host(2)));
    let directive = format!("kubernetes_pods default/app=echo port={}", cluster.port);
    let proxy = cluster.proxy(&directive).await;
    until(&proxy, &["node1", "node3"]).await;
    cluster.api.delete("pods", "default", "echo-c");
    until(&proxy, &["node1"]).await;
}

#[tokio::test]
async fn a_service_that_is_deleted_leaves_no_backends_and_an_error_that_says_why() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let proxy = cluster.proxy("kubernetes default/echo").await;
    until(&proxy, &["node1", "node2"]).await;
    // Its slices stay, as with --cascade=orphan.
    cluster.api.delete("services", "default", "echo");
    until_refused(&proxy).await;
    proxy.logged("Source has no backends").await;
    let log = proxy.log();
    let line = log
        .lines()
        .find(|line| line.contains("Source has no backends"));
    let line = line.unwrap();
    assert!(line.contains("ERROR") || line.contains("[error]"), "{line}");
    assert!(line.contains("no such Service"), "{line}");
    cluster.api.put("services", inner_service());
    until_served(&proxy).await;
    until(&proxy, &["node1", "node2"]).await;
}

#[tokio::test]
async fn slices_that_are_passed_over_are_in_the_log() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0]);
    let mut names = slice("by-hand", &[endpoint("echo.example.com", "x")]);
    names["addressType"] = json!("FQDN");
    cluster.api.put("endpointslices", names);
    let proxy = cluster.proxy("kubernetes default/echo").await;
    until(&proxy, &["node1"]).await;
    proxy.logged("EndpointSlice passed over").await;
    proxy.logged("its addresses are names").await;
    assert_eq!(proxy.count("EndpointSlice passed over"), 1);
}

#[tokio::test]
async fn a_cluster_that_was_restored_from_a_backup_is_followed_from_there() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0]);
    let backup = cluster.api.backup();
    for machines in [&[0, 1][..], &[1], &[1, 2]] {
        cluster.endpoints(machines);
    }
    let proxy = cluster.proxy("kubernetes default/echo").await;
    until(&proxy, &["node2", "node3"]).await;
    eventually("a watch", || cluster.api.watches("endpointslices") > 0).await;
    cluster.api.restore_under_watch(&backup);
    cluster.endpoints(&[0, 2]);
    until(&proxy, &["node1", "node3"]).await;
    proxy
        .logged("API server returned to an earlier version")
        .await;
}

#[tokio::test]
async fn a_reload_that_changes_the_cluster_does_not_go_on_with_the_old_one() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    // A cluster that does not answer, at first in another file of the same name.
    let mut other = ApiServer::start().await;
    other.kill().await;
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = other.kubeconfig(dir.path(), "", "");
    let here = cluster.kubeconfig();
    let directive = "kubernetes default/echo";
    let proxy = cluster.proxy(directive).await;
    until(&proxy, &["node1", "node2"]).await;
    reload(&proxy, &stream(directive, &elsewhere)).await;
    until_refused(&proxy).await;
    reload(&proxy, &stream(directive, &here)).await;
    until_served(&proxy).await;
    until(&proxy, &["node1", "node2"]).await;
    // Then by a proxy, which decides as well what the address leads to.
    let proxied = format!("proxy-url: \"{}\"", other.url());
    cluster.api.kubeconfig(cluster.dir.path(), &proxied, "");
    reload(&proxy, &stream(directive, &here)).await;
    until_refused(&proxy).await;
    cluster.kubeconfig();
    reload(&proxy, &stream(directive, &here)).await;
    until_served(&proxy).await;
    until(&proxy, &["node1", "node2"]).await;
    // Then in the same file.
    other.kubeconfig(cluster.dir.path(), "", "");
    reload(&proxy, &stream(directive, &here)).await;
    until_refused(&proxy).await;
}

#[tokio::test]
async fn a_reload_that_changes_the_port_does_not_go_on_with_the_old_one() {
    let mut cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let kubeconfig = cluster.kubeconfig();
    let proxy = cluster.proxy("kubernetes default/echo port=echo").await;
    until(&proxy, &["node1", "node2"]).await;
    cluster.api.kill().await;
    let admin = stream("kubernetes default/echo port=admin", &kubeconfig);
    reload(&proxy, &admin).await;
    until_refused(&proxy).await;
}

#[tokio::test]
async fn traffic_goes_on_whatever_the_api_server_does() {
    let mut cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let proxy = cluster.proxy("kubernetes default/echo").await;
    until(&proxy, &["node1", "node2"]).await;
    for (fault, logged) in [
        (Fault::Status(500), "500: told to fail"),
        (Fault::Status(401), "401 Unauthorized: told to fail"),
        (Fault::Status(403), "403 Forbidden: told to fail"),
        (Fault::Garbage, "the answer to a watch is no event: <html>"),
        (
            Fault::GarbageEvents,
            "the answer is not what a Kubernetes API says",
        ),
        (Fault::EmptyLists, "the list is empty, but had 1 before"),
    ] {
        cluster.api.compact();
        cluster.api.fault(fault);
        proxy.logged(logged).await;
        let answers = ask_times(proxy.addr, 4).await;
        assert_eq!(
            answers.iter().filter(|node| *node == "node1").count(),
            2,
            "{fault:?}"
        );
        cluster.api.fault(Fault::None);
        // The driver has seen the end of the fault before the next one begins.
        cluster.endpoints(&[0, 1, 2]);
        until(&proxy, &["node1", "node2", "node3"]).await;
        cluster.endpoints(&[0, 1]);
        until(&proxy, &["node1", "node2"]).await;
    }
    cluster.api.fault(Fault::Frozen);
    until(&proxy, &["node1", "node2"]).await;
    cluster.api.kill().await;
    proxy
        .logged("the API server cannot be reached: Connection refused")
        .await;
    until(&proxy, &["node1", "node2"]).await;
    cluster.api.fault(Fault::None);
    cluster.endpoints(&[1, 2]);
    cluster.api.restart().await;
    until(&proxy, &["node2", "node3"]).await;
}

#[tokio::test]
async fn a_kubeconfig_that_is_wrong_is_said_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let text = format!(
        "stream {{\n upstream u {{\n kubernetes default/echo kubeconfig={};\n }}\n \
         server {{ listen 127.0.0.1:1; proxy_pass u; }}\n}}",
        missing.display()
    );
    let conf = crate::proxy::write_conf(dir.path(), &text);
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_nginx_like"))
        .args(["-t", "-c"])
        .arg(&conf)
        .output()
        .await
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let what = format!("reading the kubeconfig {}: ", missing.display());
    assert!(stderr.contains(&what), "{stderr}");
    assert!(stderr.contains("No such file"), "{stderr}");
    assert!(
        stderr.contains(&format!(" in {}:3", conf.display())),
        "{stderr}"
    );
    assert!(!output.status.success());
}
