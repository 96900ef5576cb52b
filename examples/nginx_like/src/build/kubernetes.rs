//! The sources of `kubernetes` and `kubernetes_pods`.

use lb_discovery::Source;
#[cfg(feature = "kubernetes")]
use lb_discovery::{
    DiscoveryError,
    kubernetes::{Cluster, EndpointSlices, NodePort, Pods, Port},
};

use super::error::BuildError;
use crate::config::upstream::kubernetes::Kubernetes;
#[cfg(feature = "kubernetes")]
use crate::config::upstream::kubernetes::{KubernetesBackends, KubernetesPort};

/// The source that a `kubernetes` or `kubernetes_pods` line describes. Reads its kubeconfig, but connects to nothing.
#[cfg(feature = "kubernetes")]
pub(super) fn source(line: &Kubernetes) -> Result<Box<dyn Source>, BuildError> {
    build(line).map_err(|source| BuildError::Discovery {
        source,
        span: line.span.clone(),
    })
}

#[cfg(not(feature = "kubernetes"))]
pub(super) fn source(line: &Kubernetes) -> Result<Box<dyn Source>, BuildError> {
    Err(BuildError::BuiltWithoutKubernetes {
        span: line.span.clone(),
    })
}

#[cfg(feature = "kubernetes")]
fn build(line: &Kubernetes) -> Result<Box<dyn Source>, DiscoveryError> {
    let mut cluster = match &line.kubeconfig {
        Some(file) => Cluster::kubeconfig(file),
        None => Cluster::inferred(),
    };
    if let Some(context) = &line.context {
        cluster = cluster.context(context.as_str());
    }
    cluster.check()?;
    let namespace = &line.namespace;
    Ok(match &line.backends {
        KubernetesBackends::Nodes { service, port } => {
            let nodes = NodePort::try_new(cluster, namespace, service)?;
            match port {
                Some(port) => Box::new(nodes.port(named(port))),
                None => Box::new(nodes),
            }
        }
        KubernetesBackends::Pods { selector, port } => Box::new(Pods::try_selected(
            cluster,
            namespace,
            selector,
            named(port),
        )?),
        KubernetesBackends::Service { service, port } => {
            let slices = EndpointSlices::try_new(cluster, namespace, service)?;
            match port {
                Some(port) => Box::new(slices.port(named(port))),
                None => Box::new(slices),
            }
        }
    })
}

#[cfg(feature = "kubernetes")]
fn named(port: &KubernetesPort) -> Port {
    match port {
        KubernetesPort::Name(name) => name.as_str().into(),
        KubernetesPort::Number(number) => (*number).into(),
    }
}
