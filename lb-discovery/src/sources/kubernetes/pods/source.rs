//! Pods on ports of their nodes.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};

use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream};
use crate::sources::kubernetes::api::requests::Session;
use crate::sources::kubernetes::cluster::Cluster;
use crate::sources::kubernetes::error;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::name;
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::workload::{Selectors, Workload};
use crate::sources::kubernetes::pods::view::{Selected, pods_of};
use crate::sources::kubernetes::watch::follow::follow;
use crate::sources::kubernetes::watch::object_store::Memory;

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
/// No pod at all is an empty set. A DaemonSet or Deployment that does not exist, and pods that do not offer the port on
/// their nodes, are [`DiscoveryError::NoBackends`]. A DaemonSet or Deployment that is made anew with another selector has
/// the pods of that one.
///
/// Needs `list` and `watch` on `pods` of the namespace, and on the one DaemonSet or Deployment.
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
            return Err(error::config("the label selector", problem));
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

    /// The sets of the pods that `selectors` mean.
    fn follow<W: Workload>(
        &self,
        session: Session,
        what: Box<str>,
        selectors: Selectors<W>,
    ) -> SnapshotStream {
        let memory = Arc::clone(&self.pods);
        let (namespace, port) = (self.namespace.clone(), self.port.clone());
        let families = self.families;
        let view = Selected::new(session, namespace, selectors, memory, port, families);
        follow(what, view, &self.pods)
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
        let cluster = cluster.identity(pods);
        format!("pods {namespace} {which:?} {port:?} {families:?} in {cluster}").into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let session = self.cluster.open().await?;
        let (namespace, memory) = (&self.namespace, &self.workloads);
        Ok(match &self.which {
            Which::DaemonSet(name) => {
                let (what, set) = Selectors::<DaemonSet>::of(&session, namespace, name, memory);
                self.follow(session, what, set)
            }
            Which::Deployment(name) => {
                let (what, set) = Selectors::<Deployment>::of(&session, namespace, name, memory);
                self.follow(session, what, set)
            }
            Which::Selected(selector) => {
                let what = pods_of(&session, namespace, selector).what;
                let given = Selectors::<DaemonSet>::Given(selector.clone());
                self.follow(session, what, given)
            }
        })
    }
}
