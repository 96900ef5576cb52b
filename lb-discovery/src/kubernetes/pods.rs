//! Pods on ports of their nodes.

mod map;
mod workload;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};

use self::map::Pod;
use self::workload::selector_of;
use super::cluster::Cluster;
use super::families::Families;
use super::follow::{Outcome, View, follow};
use super::objects::{Memory, Objects};
use super::port::Port;
use super::session::{Selection, Session};
use super::{failure, name};
use crate::discovery::{Discovery, SnapshotStream};
use crate::error::DiscoveryError;

/// Follows pods that listen on ports of their nodes, by `hostNetwork` or by `hostPort`: a DaemonSet, a Deployment, or
/// whatever a label selector means.
///
/// - The address is the node's (`status.hostIPs`), the port the container's or, where there is one, its `hostPort`.
///   A port that is bound to one address of the host (`hostIP`) has that address.
/// - A pod takes connections while its condition `Ready` is true. One that is being deleted drains; only if no other
///   pod takes connections does it go on taking them, as long as it is ready. A pod that is not ready, or that has
///   ended, is no backend.
/// - A backend is called after its [`node`](lb_core::Backend::node), which keeps its place in a hash ring when the
///   pod there is replaced; the pod's UID is the [`instance`](lb_core::Backend::instance). Backends are sorted by
///   address. The [`zone`](lb_core::Backend::zone) is known where the cluster labels its pods with it.
///
/// No pod at all is an empty set. A DaemonSet or Deployment that does not exist is [`DiscoveryError::NotFound`].
///
/// Needs `list` and `watch` on `pods` of the namespace, and `list` on the one DaemonSet or Deployment.
///
/// ```
/// use lb_discovery::kubernetes::{Cluster, Pods};
///
/// let cluster = Cluster::kubeconfig("/etc/lb/kubeconfig");
/// let echo = Pods::of_daemon_set(cluster, "default", "tcp-echo", 446)?;
/// # drop(echo);
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct Pods {
    cluster: Cluster,
    namespace: Box<str>,
    which: Which,
    port: Port,
    families: Families,
    workloads: Arc<Memory>,
    pods: Arc<Memory>,
}

#[derive(Debug)]
enum Which {
    DaemonSet(Box<str>),
    Deployment(Box<str>),
    Selected(Box<str>),
}

impl Pods {
    /// Follows the pods of the DaemonSet `name`. `port` is a name, or the number of the container's or the node's
    /// port; in the node's network it need not be declared. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `namespace` or `name` is not a name that Kubernetes allows.
    pub fn of_daemon_set(
        cluster: Cluster,
        namespace: &str,
        name: &str,
        port: impl Into<Port>,
    ) -> Result<Self, DiscoveryError> {
        let which = Which::DaemonSet(name::subdomain("DaemonSet", name)?);
        Self::new(cluster, namespace, which, port.into())
    }

    /// Follows the pods of the Deployment `name`; the rest as in [`of_daemon_set`](Self::of_daemon_set).
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `namespace` or `name` is not a name that Kubernetes allows.
    pub fn of_deployment(
        cluster: Cluster,
        namespace: &str,
        name: &str,
        port: impl Into<Port>,
    ) -> Result<Self, DiscoveryError> {
        let which = Which::Deployment(name::subdomain("Deployment", name)?);
        Self::new(cluster, namespace, which, port.into())
    }

    /// Follows the pods that a label selector means, such as `app=echo,tier in (a, b)`; the rest as in
    /// [`of_daemon_set`](Self::of_daemon_set). The API server judges the selector.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `namespace` is not a name that Kubernetes allows, or if `selector` is empty: it
    /// would mean every pod of the namespace.
    pub fn selected(
        cluster: Cluster,
        namespace: &str,
        selector: &str,
        port: impl Into<Port>,
    ) -> Result<Self, DiscoveryError> {
        if selector.trim().is_empty() {
            let problem = "it is empty, which means every pod of the namespace";
            return Err(failure::config("the label selector", problem));
        }
        Self::new(
            cluster,
            namespace,
            Which::Selected(selector.into()),
            port.into(),
        )
    }

    fn new(
        cluster: Cluster,
        namespace: &str,
        which: Which,
        port: Port,
    ) -> Result<Self, DiscoveryError> {
        let memory = || Memory::new(cluster.confirm_empty);
        Ok(Self {
            namespace: name::label("namespace", namespace)?,
            which,
            port,
            families: Families::default(),
            workloads: memory(),
            pods: memory(),
            cluster,
        })
    }

    /// Chooses between addresses of both families. Default: [`Families::PreferIpv4`].
    #[must_use]
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    async fn selector(&self, session: &Session) -> Result<String, DiscoveryError> {
        let (namespace, memory) = (&self.namespace, &self.workloads);
        match &self.which {
            Which::DaemonSet(name) => {
                selector_of::<DaemonSet>(session, namespace, name, memory).await
            }
            Which::Deployment(name) => {
                selector_of::<Deployment>(session, namespace, name, memory).await
            }
            Which::Selected(selector) => Ok(selector.to_string()),
        }
    }
}

#[async_trait]
impl Discovery for Pods {
    fn source(&self) -> Arc<str> {
        let which = match &self.which {
            Which::DaemonSet(name) => format!("daemonset/{name}"),
            Which::Deployment(name) => format!("deployment/{name}"),
            Which::Selected(selector) => selector.to_string(),
        };
        let Self {
            namespace, cluster, ..
        } = self;
        format!("kubernetes-pods:{namespace}/{which}{}", cluster.label()).into()
    }

    fn identity(&self) -> Arc<str> {
        let Self {
            cluster,
            namespace,
            which,
            port,
            families,
            workloads: _,
            pods,
        } = self;
        let cluster = cluster.identity(pods.url());
        format!("pods {namespace} {which:?} {port:?} {families:?} in {cluster}").into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let session = self.cluster.open().await?;
        let selector = self.selector(&session).await?;
        let of = format!("{}/{selector}", self.namespace);
        let selection = Selection::Labelled(&selector);
        let query = session.query::<Pod>(Some(&self.namespace), selection, &of);
        let what = query.what.clone();
        let selected = Selected {
            pods: Objects::follow(&session, query, &self.pods),
            port: self.port.clone(),
            families: self.families,
        };
        Ok(follow(what, selected))
    }
}

struct Selected {
    pods: Objects<Pod>,
    port: Port,
    families: Families,
}

impl View for Selected {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        self.pods.changed().await
    }

    fn outcome(&mut self) -> Outcome {
        let Some(pods) = self.pods.get() else {
            return Outcome::Pending;
        };
        Outcome::of(map::snapshot(pods.values(), &self.port, self.families))
    }
}
