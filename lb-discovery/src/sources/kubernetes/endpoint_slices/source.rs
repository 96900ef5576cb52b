//! The pods of a Service.

use std::sync::Arc;

use async_trait::async_trait;
#[cfg(test)]
use lb_core::Snapshot;

use crate::sources::kubernetes::endpoint_slices::skipped::PassedOver;
use crate::sources::kubernetes::endpoint_slices::snapshot;
use crate::sources::kubernetes::objects::slice::Slice;

use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream};
use crate::sources::kubernetes::api::requests::{Query, Selection, Session};
use crate::sources::kubernetes::cluster::Cluster;
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::name;
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::service::{NO_SERVICE, Service};
use crate::sources::kubernetes::watch::follow::{Outcome, View, follow};
use crate::sources::kubernetes::watch::object_store::{Memory, Objects};

/// Follows the EndpointSlices of a Service: the addresses of its pods.
///
/// They must be routable from here, as they are inside the cluster, and outside of it where nodes announce them (BGP)
/// or where there are routes to the nodes' pod networks. Else [`NodePort`](crate::sources::kubernetes::NodePort) is the way.
///
/// - All slices of the Service are joined; an endpoint that is in two of them for a moment counts once.
/// - An endpoint takes connections while it is `ready`. If none is, those do that are being deleted but still serve, as
///   with kube-proxy. Any other that is being deleted drains, and one that is not ready is no backend.
/// - A backend is called after its pod, and knows its [`node`](lb_core::Backend::node), its
///   [`zone`](lb_core::Backend::zone), the zones that [hints](lb_core::Backend::for_zones) give it to, and by the pod's
///   UID as [`instance`](lb_core::Backend::instance) whether it is still the same pod. Backends are sorted by address.
/// - Hints for nodes (`forNodes`, of `trafficDistribution: PreferSameNode`) are not used, because a balancer in front of
///   the cluster is on none of its nodes. Within, every node would send to itself, which is what kube-proxy is for.
/// - Of a dual-stack Service's addresses [one family](Families) is used.
///
/// A Service that was scaled to nothing has no backends. The Service itself is followed as well, because slices outlive
/// it: where it does not exist, leads to a name or does not have the port, the answer is
/// [`DiscoveryError::NoBackends`], as [the module](super) says.
///
/// Needs `list` and `watch` on `endpointslices.discovery.k8s.io` of the namespace, and on the one Service.
///
/// ```
/// use lb_discovery::kubernetes::{Cluster, EndpointSlices};
///
/// let cluster = Cluster::kubeconfig("/etc/lb/kubeconfig");
/// let echo = EndpointSlices::new(cluster, "default", "tcp-echo")?.port("echo");
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
    slices: Arc<Memory>,
    services: Arc<Memory>,
}

impl EndpointSlices {
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
            port: None,
            families: Families::default(),
            slices: memory(),
            services: memory(),
            cluster,
        })
    }

    /// Chooses a port of the Service, by its name or by its number, which is not the one that the pods listen on.
    /// Default: its only port; while it has several there are then no backends.
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
impl Discovery for EndpointSlices {
    fn source(&self) -> Arc<str> {
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
        let session = self.cluster.open().await?;
        let (namespace, name) = (&*self.namespace, &*self.service);
        let slices = slices_of(&session, namespace, name);
        let service = service_named(&session, namespace, name);
        let what = slices.what.clone();
        let pods = Pods {
            passed_over: PassedOver::new(&what),
            slices: Objects::follow(&session, slices, &self.slices),
            service: Objects::follow(&session, service, &self.services),
            port: self.port.clone(),
            families: self.families,
        };
        Ok(follow(what, pods, &self.slices))
    }
}

/// The EndpointSlices of a Service.
pub(crate) fn slices_of(session: &Session, namespace: &str, service: &str) -> Query {
    let label = format!("kubernetes.io/service-name={service}");
    let of = format!("{namespace}/{service}");
    session.query::<Slice>(Some(namespace), Selection::Labelled(&label), &of)
}

/// The one Service.
pub(crate) fn service_named(session: &Session, namespace: &str, service: &str) -> Query {
    let of = format!("{namespace}/{service}");
    session.query::<Service>(Some(namespace), Selection::Named(service), &of)
}

/// The set of slices that were made by hand, at their port `http`.
#[cfg(test)]
pub(crate) fn snapshot_of<'a>(slices: impl Iterator<Item = &'a Slice> + Clone) -> Snapshot {
    use crate::sources::kubernetes::objects::record::Record;
    let service = Service::of(k8s_openapi::api::core::v1::Service::default());
    snapshot::snapshot(slices, &service, "http", Families::default()).unwrap_or_default()
}

struct Pods {
    slices: Objects<Slice>,
    service: Objects<Service>,
    port: Option<Port>,
    families: Families,
    passed_over: PassedOver,
}

impl View for Pods {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        tokio::select! {
            done = self.slices.changed() => done,
            done = self.service.changed() => done,
        }
    }

    fn outcome(&mut self) -> Outcome {
        let (Some(slices), Some(service)) = (self.slices.get(), self.service.get()) else {
            return Outcome::Pending;
        };
        let Some(service) = service.values().next() else {
            return Outcome::Nothing(NO_SERVICE.to_owned());
        };
        let port = service.check_kind();
        let port = port.and_then(|()| service.port(self.port.as_ref()));
        Outcome::of(port.and_then(|port| {
            self.passed_over.tell(slices, service, &port.name);
            snapshot::snapshot(slices.values(), service, &port.name, self.families)
        }))
    }
}
