//! The source of a Service's pods.

use std::sync::Arc;

use async_trait::async_trait;
#[cfg(test)]
use lb_core::Snapshot;

use crate::sources::kubernetes::endpoint_slices::skipped::SkippedSlices;
use crate::sources::kubernetes::endpoint_slices::snapshot;
use crate::sources::kubernetes::objects::slice::Slice;

use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};
use crate::sources::kubernetes::api::api_client::{ApiClient, Query, Selection};
use crate::sources::kubernetes::cluster::Cluster;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::name;
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::service::{NO_SERVICE, Service};
use crate::sources::kubernetes::watch::history::WatchHistory;
use crate::sources::kubernetes::watch::object_store::ObjectStore;
use crate::sources::kubernetes::watch::view_follower::{View, ViewState, follow};

/// Follows the EndpointSlices of a Service: the addresses of its pods.
///
/// The addresses must be routable from this machine: they are inside of the cluster, and outside of it where nodes
/// announce them (BGP) or where there are routes to the nodes' pod networks. Otherwise use
/// [`NodePort`](crate::kubernetes::NodePort).
///
/// - All slices of the Service are joined; an endpoint that is temporarily in two of them counts once.
/// - An endpoint takes connections while it is `ready`. If none is ready, endpoints that are being deleted but still serve
///   take them, as in kube-proxy. Any other endpoint that is being deleted drains, and one that is not ready is no backend.
/// - A backend has the name of its pod, its [`node`](field@lb_core::Backend::node), its [`zone`](field@lb_core::Backend::zone), the
///   zones of its [hints](field@lb_core::Backend::for_zones), and the pod's UID as [`instance`](field@lb_core::Backend::instance),
///   which changes with the pod. Backends are sorted by address.
/// - Hints for nodes (`forNodes`, of `trafficDistribution: PreferSameNode`) are not used, because a balancer in front of
///   the cluster runs on none of its nodes. Inside of it, kube-proxy already sends connections to pods of the same node.
/// - Of a dual-stack Service's addresses [one family](Families) is used.
///
/// A Service that was scaled to zero has no backends. The source also follows the Service itself, because slices outlive
/// it: if it does not exist, is of type ExternalName or does not have the port, the answer is
/// [`DiscoveryError::NoBackends`]; see [the module](crate::kubernetes).
///
/// Needs `list` and `watch` on `endpointslices.discovery.k8s.io` of the namespace, and on the one Service.
///
/// ```
/// use lb_discovery::kubernetes::{Cluster, EndpointSlices};
///
/// let cluster = Cluster::kubeconfig("/etc/lb/kubeconfig");
/// let echo = EndpointSlices::try_new(cluster, "default", "tcp-echo")?.port("echo");
/// # drop(echo);
/// # Ok::<(), lb_discovery::DiscoveryError>(())
/// ```
#[derive(Debug)]
pub struct EndpointSlices {
    cluster: Cluster,
    namespace: Box<str>,
    service: Box<str>,
    port: Option<Port>,
    families: Families,
    slices: Arc<WatchHistory>,
    services: Arc<WatchHistory>,
}

impl EndpointSlices {
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
            port: None,
            families: Families::default(),
            slices: history(),
            services: history(),
            cluster,
        })
    }

    /// Chooses a port of the Service, by its name or by its number, which is not the one that the pods listen on.
    /// Default: its only port; a Service with several has no backends.
    #[must_use]
    pub fn port(mut self, port: impl Into<Port>) -> Self {
        self.port = Some(port.into());
        self
    }

    /// Chooses between addresses of both families. Default: [`Families::PreferIpv4`].
    #[must_use]
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }
}

#[async_trait]
impl Source for EndpointSlices {
    fn label(&self) -> Arc<str> {
        let Self {
            namespace, service, ..
        } = self;
        format!("kubernetes:{namespace}/{service}{}", self.cluster.label()).into()
    }

    fn identity(&self) -> Arc<str> {
        let Self {
            cluster,
            namespace,
            service,
            port,
            families,
            slices,
            services: _,
        } = self;
        let cluster = cluster.identity(slices);
        format!("pods of {namespace}/{service} {port:?} {families:?} in {cluster}").into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let api = self.cluster.open().await?;
        let (namespace, name) = (&*self.namespace, &*self.service);
        let slices = slices_of(&api, namespace, name);
        let service = service_named(&api, namespace, name);
        let what = slices.what.clone();
        let view = SliceView {
            skipped: SkippedSlices::new(&what),
            slices: ObjectStore::follow(&api, slices, &self.slices),
            service: ObjectStore::follow(&api, service, &self.services),
            port: self.port.clone(),
            families: self.families,
        };
        Ok(follow(what, view, &self.slices))
    }
}

/// The EndpointSlices of a Service.
pub(crate) fn slices_of(api: &ApiClient, namespace: &str, service: &str) -> Query {
    let label = format!("kubernetes.io/service-name={service}");
    let of = format!("{namespace}/{service}");
    api.query::<Slice>(Some(namespace), Selection::Labelled(&label), &of)
}

/// The one Service.
pub(crate) fn service_named(api: &ApiClient, namespace: &str, service: &str) -> Query {
    let of = format!("{namespace}/{service}");
    api.query::<Service>(Some(namespace), Selection::Named(service), &of)
}

/// The set of manually created slices, at their port `http`.
#[cfg(test)]
pub(crate) fn snapshot_of<'a>(slices: impl Iterator<Item = &'a Slice> + Clone) -> Snapshot {
    use crate::sources::kubernetes::objects::projection::Projection;
    let service = Service::of(k8s_openapi::api::core::v1::Service::default());
    snapshot::snapshot(slices, &service, "http", Families::default()).unwrap_or_default()
}

struct SliceView {
    slices: ObjectStore<Slice>,
    service: ObjectStore<Service>,
    port: Option<Port>,
    families: Families,
    skipped: SkippedSlices,
}

impl View for SliceView {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        tokio::select! {
            done = self.slices.changed() => done,
            done = self.service.changed() => done,
        }
    }

    fn state(&mut self) -> ViewState {
        let (Some(slices), Some(service)) = (self.slices.get(), self.service.get()) else {
            return ViewState::Pending;
        };
        let Some(service) = service.values().next() else {
            return ViewState::NoBackends(NO_SERVICE.to_owned());
        };
        let port = service.check_kind();
        let port = port.and_then(|()| service.port(self.port.as_ref()));
        ViewState::of(port.and_then(|port| {
            self.skipped.log(slices, service, &port.name);
            snapshot::snapshot(slices.values(), service, &port.name, self.families)
        }))
    }
}
