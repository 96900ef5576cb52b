//! Upstreams of a Kubernetes cluster, with an API server in the test.

mod kubeconfig;
mod membership;
mod reload;
mod state;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::kubernetes::ApiServer;
use test_support::kubernetes::objects::{endpoint, inner_service, slice};
use tokio::task::JoinHandle;

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask, ask_times, eventually, within};

const HOSTS: [u8; 3] = [21, 22, 23];
const NAMES: [&str; 3] = ["node1", "node2", "node3"];

pub(crate) fn host(number: usize) -> String {
    Ipv4Addr::new(127, 0, 0, HOSTS[number]).to_string()
}

/// Three machines with a pod each, and the API server that lists some of them.
pub(crate) struct Cluster {
    pub(crate) port: u16,
    pub(crate) api: ApiServer,
    pub(crate) dir: TempDir,
    _machines: Vec<Reserved>,
    _pods: Vec<JoinHandle<()>>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
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

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.api.kubeconfig(self.dir.path(), "", "")
    }

    pub(crate) async fn proxy(&self, directive: &str) -> NginxLike {
        // At debug each failure is a line; at other levels some are only counted.
        let stream = stream(directive, &self.kubeconfig());
        let proxy = NginxLike::start("error_log stderr debug;", &stream).await;
        has_backends(&proxy).await;
        proxy
    }

    /// Sets the pods that the API server lists.
    pub(crate) fn endpoints(&self, machines: &[usize]) {
        let endpoints: Vec<Value> = machines
            .iter()
            .map(|&machine| endpoint(&host(machine), NAMES[machine]))
            .collect();
        let mut slice = slice("echo-a", &endpoints);
        slice["ports"][0]["port"] = json!(self.port);
        self.api.put("endpointslices", slice);
    }
}

pub(crate) fn stream(directive: &str, kubeconfig: &Path) -> String {
    format!(
        "upstream nodes {{ {directive} kubeconfig={}; }}
        server {{ listen LISTEN; proxy_pass nodes; }}",
        kubeconfig.display()
    )
}

/// Waits for the first backends. Clients that come a second after the start are refused without.
pub(crate) async fn has_backends(proxy: &NginxLike) {
    let is_one = |line: &str| line.contains("Membership changed") && !line.contains("backends=0");
    let are_known = || proxy.log().lines().any(is_one);
    eventually("the first backends", are_known).await;
}

/// Waits until clients are refused.
pub(crate) async fn until_refused(proxy: &NginxLike) {
    within("a refusal", async {
        while ask(proxy.addr).await.is_ok_and(|node| !node.is_empty()) {}
    })
    .await;
}

pub(crate) async fn until_served(proxy: &NginxLike) {
    within("an answer", async {
        while !ask(proxy.addr).await.is_ok_and(|node| !node.is_empty()) {}
    })
    .await;
}

/// Connects in rounds until exactly `nodes` answer.
pub(crate) async fn until(proxy: &NginxLike, nodes: &[&str]) {
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
