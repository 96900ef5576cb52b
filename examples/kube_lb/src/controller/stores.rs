//! The objects of the cluster, and what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::gateway::{GatewayObjects, GatewayWatches};
use crate::objects::Service;
use crate::watch_health::WatchHealth;
use lb_discovery::DiscoveryError;
use lb_discovery::kubernetes::Cluster;
use lb_discovery::kubernetes::controller::{
    ApiObject, ClusterNode, Collection, EndpointSlice, ObjectEvent, ObjectWatch,
};

/// The objects of the cluster.
#[derive(Debug, Default)]
pub struct Stores {
    /// Services by `namespace/name`.
    pub services: BTreeMap<String, Arc<Service>>,
    /// EndpointSlices by `namespace/name` of their Service, and of themselves.
    pub slices: BTreeMap<String, BTreeMap<String, Arc<EndpointSlice>>>,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Arc<ClusterNode>>,
    /// The objects of the Gateway API.
    pub gateway: GatewayObjects,
    /// The Service of each slice.
    owners: BTreeMap<String, String>,
    changes: StoreChanges,
}

/// What has changed since it was asked for the last time.
#[derive(Debug, Default)]
pub(super) struct StoreChanges {
    /// Services, and other objects that decide what is served.
    pub(super) plan: bool,
    /// The Services whose endpoints have changed.
    pub(super) endpoints: BTreeSet<String>,
    /// Nodes.
    pub(super) nodes: bool,
}

impl StoreChanges {
    pub(super) fn is_empty(&self) -> bool {
        !self.plan && !self.nodes && self.endpoints.is_empty()
    }
}

impl Stores {
    /// How many objects of each kind there are, by its plural name.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let own = [
            (SERVICES, self.services.len()),
            (SLICES, self.owners.len()),
            (NODES, self.nodes.len()),
        ];
        own.into_iter().chain(self.gateway.counts()).collect()
    }

    /// What has changed since the last call.
    pub(super) fn take_changes(&mut self) -> StoreChanges {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    fn service(&mut self, key: String, service: Option<Arc<Service>>) {
        self.changes.plan = true;
        // A changed selector or port changes the backends as well.
        self.changes.endpoints.insert(key.clone());
        replace(&mut self.services, key, service);
    }

    fn slice(&mut self, key: String, slice: Option<Arc<EndpointSlice>>) {
        if let Some(owner) = self.owners.remove(&key) {
            if let Some(slices) = self.slices.get_mut(&owner) {
                slices.remove(&key);
                if slices.is_empty() {
                    self.slices.remove(&owner);
                }
            }
            self.changes.endpoints.insert(owner);
        }
        let Some(slice) = slice else {
            return;
        };
        let namespace = slice.metadata().namespace.as_deref().unwrap_or_default();
        let Some(service) = slice.service() else {
            return;
        };
        let owner = format!("{namespace}/{service}");
        self.changes.endpoints.insert(owner.clone());
        self.owners.insert(key.clone(), owner.clone());
        self.slices.entry(owner).or_default().insert(key, slice);
    }

    fn node(&mut self, key: String, node: Option<Arc<ClusterNode>>) {
        self.changes.nodes = true;
        replace(&mut self.nodes, key, node);
    }
}

fn replace<T>(store: &mut BTreeMap<String, T>, key: String, object: Option<T>) {
    match object {
        Some(object) => drop(store.insert(key, object)),
        None => drop(store.remove(&key)),
    }
}

/// The watches that fill the stores.
#[derive(Debug)]
pub struct Watches {
    cluster: Cluster,
    services: ObjectWatch<Service>,
    slices: ObjectWatch<EndpointSlice>,
    /// Followed once a Service needs them.
    nodes: Option<ObjectWatch<ClusterNode>>,
    gateway: GatewayWatches,
    health: WatchHealth,
}

pub(super) const SERVICES: &str = "services";
const SLICES: &str = "endpointslices";
const NODES: &str = "nodes";

impl Watches {
    /// Begins to follow the cluster, and reports in `health` how that goes. Needs the context of a Tokio runtime.
    pub fn follow(cluster: &Cluster, health: WatchHealth) -> Self {
        health.follow(SERVICES);
        health.follow(SLICES);
        let services = Collection::new("/api/v1", SERVICES);
        let slices = Collection::new("/apis/discovery.k8s.io/v1", SLICES);
        Self {
            services: ObjectWatch::follow(cluster, services),
            slices: ObjectWatch::follow(cluster, slices),
            nodes: None,
            gateway: GatewayWatches::follow(cluster, health.clone()),
            health,
            cluster: cluster.clone(),
        }
    }

    /// Follows the nodes as well.
    pub fn follow_nodes(&mut self) {
        if self.nodes.is_none() {
            let nodes = Collection::new("/api/v1", NODES);
            self.nodes = Some(ObjectWatch::follow(&self.cluster, nodes));
            self.health.follow(NODES);
        }
    }

    /// Whether every kind that is followed was listed once, or may not be read: the rest is served without it. Without Services
    /// there is nothing to serve.
    pub fn are_listed(&self) -> bool {
        let is_settled = self.gateway.are_known() && self.health.is_settled();
        is_settled && self.health.is_listed(SERVICES)
    }

    /// How the watches go.
    pub const fn health(&self) -> &WatchHealth {
        &self.health
    }

    /// Applies the next event to `stores`. Cancel-safe.
    pub async fn next(&mut self, stores: &mut Stores) {
        let Self {
            services,
            slices,
            nodes,
            gateway,
            ..
        } = self;
        let nodes = async {
            match nodes {
                Some(nodes) => nodes.next().await,
                None => std::future::pending().await,
            }
        };
        let (kind, news) = tokio::select! {
            event = services.next() => (SERVICES, apply(event, |key, service| stores.service(key, service))),
            event = slices.next() => (SLICES, apply(event, |key, slice| stores.slice(key, slice))),
            event = nodes => (NODES, apply(event, |key, node| stores.node(key, node))),
            changed = gateway.next(&mut stores.gateway) => {
                stores.changes.plan |= changed;
                return;
            }
        };
        match news {
            News::Object => {}
            News::Listed => {
                self.health.listed(kind);
                // An empty cluster has something to plan as well: nothing.
                stores.changes.plan = true;
            }
            News::Failed(failure) => stores.changes.plan |= self.health.failed(kind, &failure),
            News::Recovered => self.health.recovered(kind),
        }
    }
}

enum News {
    Object,
    Listed,
    Failed(DiscoveryError),
    Recovered,
}

fn apply<T>(event: ObjectEvent<T>, store: impl FnOnce(String, Option<Arc<T>>)) -> News {
    match event {
        ObjectEvent::Applied { key, object } => store(key, Some(object)),
        ObjectEvent::Deleted { key } => store(key, None),
        ObjectEvent::Listed => return News::Listed,
        ObjectEvent::Failed(error) => return News::Failed(error),
        ObjectEvent::Recovered => return News::Recovered,
        _ => {}
    }
    News::Object
}
