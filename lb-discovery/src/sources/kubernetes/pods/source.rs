//! The source of pods on ports of their nodes.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};

use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};
use crate::sources::kubernetes::api::api_client::ApiClient;
use crate::sources::kubernetes::cluster::Cluster;
use crate::sources::kubernetes::error;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::name;
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::workload::{SelectorSource, Workload};
use crate::sources::kubernetes::pods::view::{PodView, pods_of};
use crate::sources::kubernetes::watch::history::WatchHistory;
use crate::sources::kubernetes::watch::view_follower::follow;

/// Follows pods that listen on ports of their nodes, by `hostNetwork` or by `hostPort`.
///
/// The pods are those of a DaemonSet, of a Deployment, or those that a label selector matches.
///
/// - The address is the node's (`status.hostIPs`), the port the container's or, where there is one, its `hostPort`.
///   A port that is bound to one address of the host (`hostIP`) has that address.
/// - A pod takes connections while its condition `Ready` is true. A pod that is being deleted drains; it continues to take
///   connections only if no other pod does, and as long as it is ready. A pod that is not ready, or that has ended, is no
///   backend.
/// - A backend has the name of its [`node`](field@lb_core::Backend::node), so that it keeps its place in a hash ring when the
///   pod there is replaced; the pod's UID is the [`instance`](field@lb_core::Backend::instance). Backends are sorted by
///   address. The [`zone`](field@lb_core::Backend::zone) is set where the cluster labels its pods with it.
///
/// No pods are an empty set. A DaemonSet or Deployment that does not exist, and pods that do not offer the port on their
/// nodes, are [`DiscoveryError::NoBackends`]. After a DaemonSet or Deployment is recreated with another selector, the
/// source follows the pods of the new selector.
///
/// Needs `list` and `watch` on `pods` of the namespace, and on the one DaemonSet or Deployment.
///
/// ```
/// use lb_discovery::kubernetes::{Cluster, Pods};
///
/// let cluster = Cluster::kubeconfig("/etc/lb/kubeconfig");
/// let echo = Pods::try_daemon_set(cluster, "default", "tcp-echo", 446)?;
/// # drop(echo);
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct Pods {
    cluster: Cluster,
    namespace: Box<str>,
    which: PodSelection,
    port: Port,
    families: Families,
    workloads: Arc<WatchHistory>,
    pods: Arc<WatchHistory>,
}

#[derive(Debug)]
enum PodSelection {
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
    pub fn try_daemon_set(
        cluster: Cluster,
        namespace: &str,
        name: &str,
        port: impl Into<Port>,
    ) -> Result<Self, DiscoveryError> {
        let which = PodSelection::DaemonSet(name::subdomain("DaemonSet", name)?);
        Self::new(cluster, namespace, which, port.into())
    }

    /// Follows the pods of the Deployment `name`; the rest as in [`try_daemon_set`](Self::try_daemon_set).
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `namespace` or `name` is not a name that Kubernetes allows.
    pub fn try_deployment(
        cluster: Cluster,
        namespace: &str,
        name: &str,
        port: impl Into<Port>,
    ) -> Result<Self, DiscoveryError> {
        let which = PodSelection::Deployment(name::subdomain("Deployment", name)?);
        Self::new(cluster, namespace, which, port.into())
    }

    /// Follows the pods that a label selector matches, such as `app=echo,tier in (a, b)`; the rest as in
    /// [`try_daemon_set`](Self::try_daemon_set). The API server validates the selector.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `namespace` is not a name that Kubernetes allows, or if `selector` is empty: it
    /// would match every pod of the namespace.
    pub fn try_selected(
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
            PodSelection::Selected(selector.into()),
            port.into(),
        )
    }

    fn new(
        cluster: Cluster,
        namespace: &str,
        which: PodSelection,
        port: Port,
    ) -> Result<Self, DiscoveryError> {
        let history = || WatchHistory::new(cluster.confirm_empty);
        Ok(Self {
            namespace: name::label("namespace", namespace)?,
            which,
            port,
            families: Families::default(),
            workloads: history(),
            pods: history(),
            cluster,
        })
    }

    /// Chooses between addresses of both families. Default: [`Families::PreferIpv4`].
    #[must_use]
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// The sets of the pods that `selectors` match.
    fn follow<W: Workload>(
        &self,
        api: ApiClient,
        what: Box<str>,
        selectors: SelectorSource<W>,
    ) -> SnapshotStream {
        let history = Arc::clone(&self.pods);
        let (namespace, port) = (self.namespace.clone(), self.port.clone());
        let families = self.families;
        let view = PodView::new(api, namespace, selectors, history, port, families);
        follow(what, view, &self.pods)
    }
}

#[async_trait]
impl Source for Pods {
    fn label(&self) -> Arc<str> {
        let which = match &self.which {
            PodSelection::DaemonSet(name) => format!("daemonset/{name}"),
            PodSelection::Deployment(name) => format!("deployment/{name}"),
            PodSelection::Selected(selector) => selector.to_string(),
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
        let api = self.cluster.open().await?;
        let (namespace, history) = (&self.namespace, &self.workloads);
        Ok(match &self.which {
            PodSelection::DaemonSet(name) => {
                let (what, set) = SelectorSource::<DaemonSet>::of(&api, namespace, name, history);
                self.follow(api, what, set)
            }
            PodSelection::Deployment(name) => {
                let (what, set) = SelectorSource::<Deployment>::of(&api, namespace, name, history);
                self.follow(api, what, set)
            }
            PodSelection::Selected(selector) => {
                let what = pods_of(&api, namespace, selector).what;
                let given = SelectorSource::<DaemonSet>::Credentials(selector.clone());
                self.follow(api, what, given)
            }
        })
    }
}
