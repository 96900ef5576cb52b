//! The pods of a Service.

mod map;

use std::sync::Arc;

use async_trait::async_trait;
use lb_core::Snapshot;

pub(super) use self::map::{Slice, per_node};

use self::map::SlicePort;
use super::cluster::Cluster;
use super::families::Families;
use super::follow::{View, follow};
use super::objects::{Memory, Objects, changed};
use super::port::Port;
use super::service::Service;
use super::session::{Query, Selection, Session};
use super::{failure, name};
use crate::discovery::{Discovery, SnapshotStream};
use crate::error::DiscoveryError;

/// Follows the EndpointSlices of a Service: the addresses of its pods.
///
/// They must be routable from here, as they are inside the cluster, and outside of it where nodes announce them (BGP)
/// or where there are routes to the nodes' pod networks. Else [`NodePort`](super::NodePort) is the way.
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
/// A Service that was scaled to nothing has no backends. One that does not exist, which shows in that there is no slice
/// at all, is [`DiscoveryError::NotFound`].
///
/// Needs `list` and `watch` on `endpointslices.discovery.k8s.io` of the namespace, and on the one Service if a port is
/// named by its number.
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
    /// Default: its only port; having several is then an error.
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

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        let session = self.cluster.open().await?;
        let (namespace, name) = (&*self.namespace, &*self.service);
        let query = slices_of(&session, namespace, name);
        let what = query.what.clone();
        let by_number = matches!(self.port, Some(Port::Number(_)));
        let service = by_number.then(|| {
            let query = service_named(&session, namespace, name);
            Objects::follow(&session, query, &self.services)
        });
        Ok(follow(Pods {
            what,
            slices: Objects::follow(&session, query, &self.slices),
            service,
            port: self.port.clone(),
            families: self.families,
        }))
    }
}

/// The EndpointSlices of a Service.
pub(super) fn slices_of(session: &Session, namespace: &str, service: &str) -> Query {
    let label = format!("kubernetes.io/service-name={service}");
    let of = format!("{namespace}/{service}");
    session.query::<Slice>(Some(namespace), Selection::Labelled(&label), &of)
}

/// The one Service.
pub(super) fn service_named(session: &Session, namespace: &str, service: &str) -> Query {
    let of = format!("{namespace}/{service}");
    session.query::<Service>(Some(namespace), Selection::Named(service), &of)
}

/// The set of slices with one port.
#[cfg(test)]
pub(super) fn snapshot_of<'a>(slices: impl Iterator<Item = &'a Slice> + Clone) -> Snapshot {
    map::snapshot(slices, SlicePort::Only, Families::default()).expect("slices with one port")
}

struct Pods {
    what: Box<str>,
    slices: Objects<Slice>,
    service: Option<Objects<Service>>,
    port: Option<Port>,
    families: Families,
}

impl View for Pods {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        tokio::select! {
            done = self.slices.changed() => done,
            done = changed(self.service.as_mut()) => done,
        }
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, DiscoveryError> {
        let Some(slices) = self.slices.get() else {
            return Ok(None);
        };
        if slices.is_empty() {
            return Err(failure::missing(
                &self.what,
                "no EndpointSlice, so no such Service",
            ));
        }
        let port = match (&self.port, &self.service) {
            (Some(Port::Name(name)), _) => SlicePort::Named(name),
            (Some(Port::Number(_)), Some(service)) => {
                let Some(service) = service.get() else {
                    return Ok(None);
                };
                let Some(service) = service.values().next() else {
                    return Err(failure::missing(&self.what, "no such Service"));
                };
                let port = service.port(self.port.as_ref());
                let port = port.map_err(|problem| failure::config(&self.what, &problem))?;
                SlicePort::NamedOr(&port.name, port.number)
            }
            (None | Some(Port::Number(_)), _) => SlicePort::Only,
        };
        let snapshot = map::snapshot(slices.values(), port, self.families);
        snapshot
            .map(Some)
            .map_err(|problem| failure::config(&self.what, &problem))
    }
}
