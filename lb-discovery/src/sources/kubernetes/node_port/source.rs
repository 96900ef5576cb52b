//! The source of nodes at a node port.

use std::iter;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};
use crate::sources::kubernetes::api::api_client::{ApiClient, Selection};
use crate::sources::kubernetes::cluster::Cluster;
use crate::sources::kubernetes::endpoint_slices::skipped::SkippedSlices;
use crate::sources::kubernetes::endpoint_slices::source::{service_named, slices_of};
use crate::sources::kubernetes::node_port::snapshot;
use crate::sources::kubernetes::node_port::snapshot::NodeOptions;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::name;
use crate::sources::kubernetes::objects::node::{Node, NodeAddress};
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::service::{NO_SERVICE, Service};
use crate::sources::kubernetes::objects::slice::Slice;
use crate::sources::kubernetes::watch::history::WatchHistory;
use crate::sources::kubernetes::watch::object_store::{ObjectStore, changed};
use crate::sources::kubernetes::watch::view_follower::{View, ViewState, follow};

/// Follows the nodes of a cluster and the node port of a Service, which is of type `NodePort` or `LoadBalancer`.
///
/// With `externalTrafficPolicy: Cluster` every node is a backend, and all have the same weight. With `Local` a node
/// forwards only to its own pods; then a node is a backend if it runs pods that take connections, with the number of
/// these as its weight, so that every pod has the same share.
///
/// A node is left out if it has the label `node.kubernetes.io/exclude-from-external-load-balancers` (unless its value
/// is a form of `false`) or the taint `ToBeDeletedByClusterAutoscaler`, or while it is being deleted. An unschedulable
/// node stays, because a cordon does not affect the pods that it runs. A node that is not ready stays as well: it means
/// that its kubelet has not reported, not that the node forwards no connections, and readiness that flaps must not remove
/// every node at once. Failed connections and health checks eject nodes one by one (KEP-3458);
/// [`ready_only`](Self::ready_only) changes that.
///
/// A backend has the name and the [`zone`](field@lb_core::Backend::zone) of its node; a node that is recreated at the same
/// address is another [`instance`](field@lb_core::Backend::instance).
///
/// A Service that does not exist or has no node port is [`DiscoveryError::NoBackends`]; see
/// [the module](crate::kubernetes).
///
/// Needs `list` and `watch` on `nodes` and on the one Service, and with `Local` on `endpointslices.discovery.k8s.io`
/// of the namespace.
///
/// ```
/// use lb_discovery::kubernetes::{Cluster, NodePort};
///
/// let cluster = Cluster::kubeconfig("/etc/lb/kubeconfig");
/// let web = NodePort::try_new(cluster, "default", "web")?.port(443);
/// # drop(web);
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct NodePort {
    cluster: Cluster,
    namespace: Box<str>,
    service: Box<str>,
    options: NodeOptions,
    nodes: Arc<WatchHistory>,
    services: Arc<WatchHistory>,
    slices: Arc<WatchHistory>,
}

impl NodePort {
    /// Follows the Service `service` in `namespace`. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if `namespace` or `service` is not a name that Kubernetes allows.
    pub fn try_new(
        cluster: Cluster,
        namespace: &str,
        service: &str,
    ) -> Result<Self, DiscoveryError> {
        let history = || WatchHistory::new(cluster.confirm_empty);
        Ok(Self {
            namespace: name::label("namespace", namespace)?,
            service: name::label("Service", service)?,
            options: NodeOptions {
                port: None,
                families: Families::default(),
                addresses: [NodeAddress::Internal].into(),
                ready_only: false,
            },
            nodes: history(),
            services: history(),
            slices: history(),
            cluster,
        })
    }

    /// Chooses a port of the Service, by its name or by its number, which is not the node port. Default: its only port; a
    /// Service with several has no backends.
    #[must_use]
    pub fn port(mut self, port: impl Into<Port>) -> Self {
        self.options.port = Some(port.into());
        self
    }

    /// Chooses between addresses of both families. Default: [`Families::PreferIpv4`]. Families that the Service does
    /// not have are not used.
    #[must_use]
    pub fn families(mut self, families: Families) -> Self {
        self.options.families = families;
        self
    }

    /// Sets the types of addresses that may be used, the preferred one first. A node without any is no backend. Default:
    /// only [`NodeAddress::Internal`].
    #[must_use]
    pub fn addresses(mut self, addresses: impl IntoIterator<Item = NodeAddress>) -> Self {
        self.options.addresses = addresses.into_iter().collect();
        self
    }

    /// Leaves out nodes without the condition `Ready` = `True`. Default: false.
    #[must_use]
    pub fn ready_only(mut self, ready_only: bool) -> Self {
        self.options.ready_only = ready_only;
        self
    }
}

#[async_trait]
impl Source for NodePort {
    fn label(&self) -> Arc<str> {
        let Self {
            namespace, service, ..
        } = self;
        format!(
            "kubernetes-nodes:{namespace}/{service}{}",
            self.cluster.label()
        )
        .into()
    }

    fn identity(&self) -> Arc<str> {
        let Self {
            cluster,
            namespace,
            service,
            options,
            nodes,
            services: _,
            slices: _,
        } = self;
        let cluster = cluster.identity(nodes);
        format!("nodes of {namespace}/{service} {options:?} in {cluster}").into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let api = self.cluster.open().await?;
        let (namespace, name) = (&*self.namespace, &*self.service);
        let of = format!("{namespace}/{name}");
        let nodes = api.query::<Node>(None, Selection::All, &of);
        let service = service_named(&api, namespace, name);
        let what = service.what.clone();
        let view = NodeView {
            skipped: SkippedSlices::new(&what),
            nodes: ObjectStore::follow(&api, nodes, &self.nodes),
            service: ObjectStore::follow(&api, service, &self.services),
            slices: None,
            history: Arc::clone(&self.slices),
            namespace: namespace.into(),
            name: name.into(),
            options: self.options.clone(),
            api,
        };
        Ok(follow(what, view, &self.nodes))
    }
}

struct NodeView {
    api: ApiClient,
    namespace: Box<str>,
    name: Box<str>,
    options: NodeOptions,
    nodes: ObjectStore<Node>,
    service: ObjectStore<Service>,
    /// Followed only while the Service's policy is `Local`.
    slices: Option<ObjectStore<Slice>>,
    history: Arc<WatchHistory>,
    skipped: SkippedSlices,
}

impl NodeView {
    fn service(&self) -> Option<&Service> {
        self.service.get()?.values().next()
    }
}

impl View for NodeView {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        let done = tokio::select! {
            done = self.nodes.changed() => done,
            done = self.service.changed() => done,
            done = changed(self.slices.as_mut()) => done,
        };
        let is_local = self.service().is_some_and(|service| service.is_local);
        if !is_local {
            self.slices = None;
        } else if self.slices.is_none() {
            let query = slices_of(&self.api, &self.namespace, &self.name);
            self.slices = Some(ObjectStore::follow(&self.api, query, &self.history));
        }
        done
    }

    fn state(&mut self) -> ViewState {
        let (Some(nodes), Some(service)) = (self.nodes.get(), self.service.get()) else {
            return ViewState::Pending;
        };
        let Some(service) = service.values().next() else {
            return ViewState::NoBackends(NO_SERVICE.to_owned());
        };
        let nodes = nodes.iter().map(|(name, node)| (name.as_str(), node));
        let port = service.port(self.options.port.as_ref());
        ViewState::of(match &self.slices {
            None => snapshot::snapshot(service, nodes, iter::empty(), &self.options),
            Some(slices) => match slices.get() {
                None => return ViewState::Pending,
                Some(slices) => {
                    if let Ok(port) = port {
                        self.skipped.log(slices, service, &port.name);
                    }
                    snapshot::snapshot(service, nodes, slices.values(), &self.options)
                }
            },
        })
    }
}
