//! The nodes of a cluster, at the node port of a Service.

use std::iter;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream};
use crate::sources::kubernetes::api::requests::{Selection, Session};
use crate::sources::kubernetes::cluster::Cluster;
use crate::sources::kubernetes::endpoint_slices::skipped::PassedOver;
use crate::sources::kubernetes::endpoint_slices::source::{service_named, slices_of};
use crate::sources::kubernetes::node_port::snapshot;
use crate::sources::kubernetes::node_port::snapshot::Options;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::name;
use crate::sources::kubernetes::objects::node::{Node, NodeAddress};
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::service::{NO_SERVICE, Service};
use crate::sources::kubernetes::objects::slice::Slice;
use crate::sources::kubernetes::watch::follow::{Outcome, View, follow};
use crate::sources::kubernetes::watch::object_store::{Memory, Objects, changed};

/// Follows the nodes of a cluster and the node port of a Service, which is of type `NodePort` or `LoadBalancer`.
///
/// With `externalTrafficPolicy: Cluster` every node is a backend, all alike. With `Local` a node serves only the pods
/// that it runs; then the nodes that run pods which take connections are backends, each with their number as its
/// weight, so that every pod has the same share.
///
/// A node is left out if it has the label `node.kubernetes.io/exclude-from-external-load-balancers` (unless its value
/// is a form of `false`) or the taint `ToBeDeletedByClusterAutoscaler`, or while it is deleted. A node that is
/// unschedulable stays: cordoning it says nothing about the pods that it runs. So does one that is not ready: that
/// means its kubelet has not been heard of, not that it forwards no connections, and readiness that flaps must not
/// take out every node at once. Failed connections and health checks do, each for itself (KEP-3458);
/// [`ready_only`](Self::ready_only) changes it.
///
/// A backend is called after its node and knows its [`zone`](lb_core::Backend::zone); a node that is made anew under
/// its old address is another [`instance`](lb_core::Backend::instance).
///
/// A Service that does not exist or has no node port is [`DiscoveryError::NoBackends`], as [the module](super) says.
///
/// Needs `list` and `watch` on `nodes` and on the one Service, and with `Local` on `endpointslices.discovery.k8s.io`
/// of the namespace.
///
/// ```
/// use lb_discovery::kubernetes::{Cluster, NodePort};
///
/// let cluster = Cluster::kubeconfig("/etc/lb/kubeconfig");
/// let web = NodePort::new(cluster, "default", "web")?.port(443);
/// # drop(web);
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct NodePort {
    cluster: Cluster,
    namespace: Box<str>,
    service: Box<str>,
    options: Options,
    nodes: Arc<Memory>,
    services: Arc<Memory>,
    slices: Arc<Memory>,
}

impl NodePort {
    /// Follows the Service `service` in `namespace`. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`] if one is not a name that Kubernetes allows.
    pub fn new(cluster: Cluster, namespace: &str, service: &str) -> Result<Self, DiscoveryError> {
        let memory = || Memory::new(cluster.confirm_empty);
        Ok(Self {
            namespace: name::label("namespace", namespace)?,
            service: name::label("Service", service)?,
            options: Options {
                port: None,
                families: Families::default(),
                addresses: [NodeAddress::Internal].into(),
                ready_only: false,
            },
            nodes: memory(),
            services: memory(),
            slices: memory(),
            cluster,
        })
    }

    /// Chooses a port of the Service, by its name or by its number, which is not the node port. Default: its only
    /// port; while it has several there are then no backends.
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

    /// Which types of addresses may be used, the preferred one first. A node with none of them is no backend. Default:
    /// [`NodeAddress::Internal`] alone.
    #[must_use]
    pub fn addresses(mut self, addresses: impl IntoIterator<Item = NodeAddress>) -> Self {
        self.options.addresses = addresses.into_iter().collect();
        self
    }

    /// Leaves out nodes whose condition `Ready` is not `True`. Default: false.
    #[must_use]
    pub fn ready_only(mut self, ready_only: bool) -> Self {
        self.options.ready_only = ready_only;
        self
    }
}

#[async_trait]
impl Discovery for NodePort {
    fn source(&self) -> Arc<str> {
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
        let session = self.cluster.open().await?;
        let (namespace, name) = (&*self.namespace, &*self.service);
        let of = format!("{namespace}/{name}");
        let nodes = session.query::<Node>(None, Selection::All, &of);
        let service = service_named(&session, namespace, name);
        let what = service.what.clone();
        let nodes = Nodes {
            passed_over: PassedOver::new(&what),
            nodes: Objects::follow(&session, nodes, &self.nodes),
            service: Objects::follow(&session, service, &self.services),
            slices: None,
            memory: Arc::clone(&self.slices),
            namespace: namespace.into(),
            name: name.into(),
            options: self.options.clone(),
            session,
        };
        Ok(follow(what, nodes, &self.nodes))
    }
}

struct Nodes {
    session: Session,
    namespace: Box<str>,
    name: Box<str>,
    options: Options,
    nodes: Objects<Node>,
    service: Objects<Service>,
    /// Followed only while the Service's policy is `Local`.
    slices: Option<Objects<Slice>>,
    memory: Arc<Memory>,
    passed_over: PassedOver,
}

impl Nodes {
    fn service(&self) -> Option<&Service> {
        self.service.get()?.values().next()
    }
}

impl View for Nodes {
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
            let query = slices_of(&self.session, &self.namespace, &self.name);
            self.slices = Some(Objects::follow(&self.session, query, &self.memory));
        }
        done
    }

    fn outcome(&mut self) -> Outcome {
        let (Some(nodes), Some(service)) = (self.nodes.get(), self.service.get()) else {
            return Outcome::Pending;
        };
        let Some(service) = service.values().next() else {
            return Outcome::Nothing(NO_SERVICE.to_owned());
        };
        let port = service.port(self.options.port.as_ref());
        Outcome::of(match &self.slices {
            None => snapshot::snapshot(service, nodes, iter::empty(), &self.options),
            Some(slices) => match slices.get() {
                None => return Outcome::Pending,
                Some(slices) => {
                    if let Ok(port) = port {
                        self.passed_over.tell(slices, service, &port.name);
                    }
                    snapshot::snapshot(service, nodes, slices.values(), &self.options)
                }
            },
        })
    }
}
