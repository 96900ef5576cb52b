//! A namespace of some cluster: of our API server, or of a real one.

use std::io::{self, Write};
use std::sync::Once;

use lb_discovery::kubernetes::{Cluster, EndpointSlices, NodePort, Pods};
use serde_json::Value;

use crate::real::Real;
use crate::sources::{Api, run};
use test_support::discovery::RunningDriver;
use test_support::kubernetes::objects::{deleting, inner_service, node};

pub(crate) enum Place {
    Ours(Api),
    Real(Real),
}

impl Place {
    /// With three nodes and the Service `echo`.
    pub(crate) async fn ours() -> Self {
        let api = Api::start().await;
        for number in 1..=3 {
            let node = node(&format!("node-{number}"), &format!("10.1.0.{number}"));
            api.server.put("nodes", node);
        }
        Self::Ours(api)
    }

    /// In the cluster that `LB_TEST_KUBECONFIG` leads to, with the Service `echo`. Without it there is none, and a notice that the harness does
    /// not capture.
    pub(crate) async fn real() -> Option<Self> {
        static NOTICE: Once = Once::new();
        let Some(kubeconfig) = std::env::var_os("LB_TEST_KUBECONFIG") else {
            NOTICE.call_once(|| {
                let notice = "real clusters skipped: LB_TEST_KUBECONFIG names no kubeconfig";
                drop(writeln!(io::stderr(), "{notice}"));
            });
            return None;
        };
        let real = Real::open(kubeconfig.into()).await;
        real.put("services", inner_service()).await;
        Some(Self::Real(real))
    }

    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::Ours(_) => "default",
            Self::Real(real) => real.namespace(),
        }
    }

    pub(crate) fn cluster(&self) -> Cluster {
        match self {
            Self::Ours(api) => api.cluster(),
            Self::Real(real) => real.cluster(),
        }
    }

    pub(crate) fn slices(&self) -> EndpointSlices {
        EndpointSlices::try_new(self.cluster(), self.namespace(), "echo").unwrap()
    }

    pub(crate) fn node_port(&self) -> NodePort {
        NodePort::try_new(self.cluster(), self.namespace(), "echo").unwrap()
    }

    pub(crate) fn pods(&self) -> Pods {
        Pods::try_selected(self.cluster(), self.namespace(), "app=echo", "echo").unwrap()
    }

    pub(crate) fn follow_slices(&self) -> RunningDriver {
        run(self.slices())
    }

    /// Creates or replaces an object of the namespace. `resource` is the plural, as in URLs.
    pub(crate) async fn put(&self, resource: &str, object: Value) {
        match self {
            Self::Ours(api) => api.server.put(resource, object),
            Self::Real(real) => real.put(resource, object).await,
        }
    }

    pub(crate) async fn get(&self, resource: &str, name: &str) -> Value {
        match self {
            Self::Ours(api) => api.server.get(resource, "default", name),
            Self::Real(real) => real.get(resource, name).await,
        }
    }

    pub(crate) async fn delete(&self, resource: &str, name: &str) {
        match self {
            Self::Ours(api) => api.server.delete(resource, "default", name),
            Self::Real(real) => real.delete(resource, name).await,
        }
    }

    /// Begins to delete a pod, which stays until [`delete`](Self::delete) is called as well.
    pub(crate) async fn begin_to_delete(&self, pod: &str) {
        match self {
            Self::Ours(api) => {
                let ending = deleting(api.server.get("pods", "default", pod));
                api.server.put("pods", ending);
            }
            Self::Real(real) => real.begin_to_delete("pods", pod).await,
        }
    }

    /// The nodes that the cluster has.
    pub(crate) async fn nodes(&self) -> Vec<Value> {
        match self {
            Self::Ours(api) => {
                let names = ["node-1", "node-2", "node-3"];
                names.map(|name| api.server.get("nodes", "", name)).into()
            }
            Self::Real(real) => real.nodes().await,
        }
    }
}
