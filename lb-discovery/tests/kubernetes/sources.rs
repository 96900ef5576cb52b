//! The sources against the in-process API server only.

use std::sync::Arc;
use std::time::Duration;

use lb_core::{AdminState, Snapshot, Weight};
use lb_discovery::kubernetes::{Cluster, EndpointSlices, NodePort, Pods};
use lb_discovery::{DriverConfig, Source};
use serde_json::json;
use tempfile::TempDir;
use test_support::deadline::eventually;
use test_support::discovery::RunningDriver;
use test_support::kubernetes::ApiServer;
use test_support::kubernetes::objects::{deleting, endpoint, inner_service, node, service, slice};

/// A server, and the kubeconfig that leads to it.
pub(crate) struct Api {
    pub(crate) server: ApiServer,
    dir: TempDir,
}

impl Api {
    /// With the Service `echo`.
    pub(crate) async fn start() -> Self {
        let server = ApiServer::start().await;
        server.put("services", inner_service());
        Self {
            server,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn cluster(&self) -> Cluster {
        let path = self.server.kubeconfig(self.dir.path(), "", "");
        Cluster::kubeconfig(path).confirm_empty(Duration::from_secs(1))
    }

    /// Short time-outs, to detect a silent server soon. Not for tests in which no request may fail: the machine may be slow.
    pub(crate) fn hasty(&self) -> EndpointSlices {
        let cluster = self
            .cluster()
            .request_timeout(Duration::from_secs(2))
            .watch_timeout(Duration::from_secs(1));
        EndpointSlices::try_new(cluster, "default", "echo").unwrap()
    }

    pub(crate) fn slices(&self) -> EndpointSlices {
        EndpointSlices::try_new(self.cluster(), "default", "echo").unwrap()
    }

    pub(crate) fn node_port(&self) -> NodePort {
        NodePort::try_new(self.cluster(), "default", "echo").unwrap()
    }

    pub(crate) fn pods(&self) -> Pods {
        Pods::try_selected(self.cluster(), "default", "app=echo", "echo").unwrap()
    }
}

/// Follows one source, with short delays.
pub(crate) fn run(source: impl Source) -> RunningDriver {
    let config = DriverConfig::new()
        .initial_wait(Duration::from_secs(20))
        .backoff_base(Duration::from_millis(50))
        .backoff_max(Duration::from_millis(500))
        .seed(1);
    RunningDriver::start(vec![Arc::new(source)], config)
}

/// The backends as `10.0.0.1:80 x3`, with `(drain)` for a backend that drains.
pub(crate) fn shown(snapshot: &Snapshot) -> Vec<String> {
    let backends = snapshot.iter().map(|backend| {
        let mut text = backend.addr.to_string();
        if backend.weight != Weight::default() {
            text += &format!(" x{}", backend.weight.get());
        }
        if backend.admin == AdminState::Drain {
            text += " (drain)";
        }
        text
    });
    backends.collect()
}

/// Reads publications until one shows these backends.
pub(crate) async fn until<W>(running: &mut RunningDriver, wanted: &[W]) -> Snapshot
where
    String: PartialEq<W>,
{
    loop {
        let snapshot = running.next().await;
        if shown(&snapshot) == wanted {
            return snapshot;
        }
    }
}

/// Waits for the first source to have failed with this in its error.
pub(crate) async fn until_error(running: &RunningDriver, text: &str) {
    let last = || running.handle.status().sources[0].last_error.clone();
    eventually("the error", || {
        last().is_some_and(|error| error.contains(text))
    })
    .await;
}

#[tokio::test]
async fn nodes_excluded_from_load_balancers_are_left_out() {
    let api = Api::start().await;
    api.server.put("services", service("Cluster"));
    for (name, ip) in [
        ("node-1", "10.1.0.1"),
        ("node-2", "10.1.0.2"),
        ("node-3", "10.1.0.3"),
    ] {
        api.server.put("nodes", node(name, ip));
    }
    let mut running = run(api.node_port());
    until(
        &mut running,
        &["10.1.0.1:30080", "10.1.0.2:30080", "10.1.0.3:30080"],
    )
    .await;
    let mut excluded = node("node-1", "10.1.0.1");
    excluded["metadata"]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"] =
        json!("true");
    api.server.put("nodes", excluded);
    until(&mut running, &["10.1.0.2:30080", "10.1.0.3:30080"]).await;
    api.server
        .put("nodes", deleting(node("node-2", "10.1.0.2")));
    until(&mut running, &["10.1.0.3:30080"]).await;
}

#[tokio::test]
async fn clusters_make_one_pool() {
    let (one, two) = (Api::start().await, Api::start().await);
    one.server.put(
        "endpointslices",
        slice("echo-a", &[endpoint("10.0.0.1", "a")]),
    );
    two.server.put(
        "endpointslices",
        slice("echo-a", &[endpoint("10.0.1.1", "a")]),
    );
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(one.slices()), Arc::new(two.slices())];
    let mut running = RunningDriver::start(sources, DriverConfig::new());
    until(&mut running, &["10.0.0.1:8080", "10.0.1.1:8080"]).await;
    let mut two = two;
    two.server.kill().await;
    one.server.put(
        "endpointslices",
        slice("echo-a", &[endpoint("10.0.0.2", "b")]),
    );
    until(&mut running, &["10.0.0.2:8080", "10.0.1.1:8080"]).await;
}
