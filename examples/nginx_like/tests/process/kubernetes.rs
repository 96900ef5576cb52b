//! Membership from Kubernetes: followed, and kept while the API server fails.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::api_server::{ApiServer, Fault};
use crate::objects::{endpoint, node, pod, service, slice};
use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask_times, within};

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
        Self {
            port: machines[0].addr.port(),
            api: ApiServer::start().await,
            dir: tempfile::tempdir().unwrap(),
            _machines: machines,
            _pods: pods,
        }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.api.kubeconfig(self.dir.path(), "", "")
    }

    async fn proxy(&self, directive: &str) -> NginxLike {
        let kubeconfig = self.kubeconfig();
        let stream = format!(
            "upstream nodes {{ {directive} kubeconfig={}; }}
            server {{ listen LISTEN; proxy_pass nodes; }}",
            kubeconfig.display()
        );
        // At debug each failure is a line; above that some are only counted.
        NginxLike::start("error_log stderr debug;", &stream).await
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
