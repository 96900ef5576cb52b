//! The objects of the cluster, and what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use crate::gateway::{GatewayObjects, GatewayWatches};
use crate::names::GLOBAL;
use crate::objects::Service;
use crate::plan::ServiceTarget;
use crate::state::SavedCluster;
use crate::watch_health::{KindHealth, WatchHealth};
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
#[derive(Clone, Debug, Default)]
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

    /// What an earlier process knew.
    pub(super) fn restored(saved: SavedCluster) -> Self {
        let mut stores = Self {
            gateway: saved.gateway,
            ..Self::default()
        };
        for (key, service) in saved.services {
            stores.service(key, Some(service));
        }
        for (key, slice) in saved.slices {
            stores.slice(key, Some(slice));
        }
        for (key, node) in saved.nodes {
            stores.node(key, Some(node));
        }
        stores
    }

    /// What a later process may begin with, which was true at `as_of`.
    pub(super) fn save(&self, name: String, as_of: SystemTime) -> SavedCluster {
        SavedCluster {
            name,
            as_of,
            services: self.services.clone(),
            slices: self.all_slices(),
            nodes: self.nodes.clone(),
            gateway: self.gateway.clone(),
        }
    }

    /// The slices by their own keys.
    fn all_slices(&self) -> BTreeMap<String, Arc<EndpointSlice>> {
        let slices = self.slices.values().flatten();
        let slices = slices.map(|(key, slice)| (key.clone(), Arc::clone(slice)));
        slices.collect()
    }

    /// The Service of a target.
    pub(super) fn service_of(&self, target: &ServiceTarget) -> Option<&Arc<Service>> {
        self.services.get(&target.service.to_string())
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

/// What a cluster is followed for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClusterRole {
    /// All its objects decide what is served.
    Primary,
    /// Its Services with the label [`GLOBAL`], and their slices, which controllers give the labels of their Services.
    Remote,
}

/// The watches that fill the stores.
#[derive(Debug)]
pub struct Watches {
    cluster: Cluster,
    services: ObjectWatch<Service>,
    slices: ObjectWatch<EndpointSlice>,
    /// Followed once a Service needs them.
    nodes: Option<ObjectWatch<ClusterNode>>,
    /// Of the primary cluster.
    gateway: Option<GatewayWatches>,
    health: WatchHealth,
    /// Since when a request of one of the kinds fails.
    failing_since: Option<SystemTime>,
}

pub(super) const SERVICES: &str = "services";
const SLICES: &str = "endpointslices";
const NODES: &str = "nodes";

impl Watches {
    /// Begins to follow the cluster, of which `known` is known already, and reports in `health` how that goes. Needs the context of a
    /// Tokio runtime.
    pub fn follow(
        cluster: &Cluster,
        role: ClusterRole,
        known: &Stores,
        health: WatchHealth,
    ) -> Self {
        health.follow(SERVICES);
        health.follow(SLICES);
        let collection = |api, plural| {
            let all = Collection::new(api, plural);
            match role {
                ClusterRole::Primary => all,
                ClusterRole::Remote => all.labels(format!("{GLOBAL}=true")),
            }
        };
        let services = collection("/api/v1", SERVICES);
        let slices = collection("/apis/discovery.k8s.io/v1", SLICES);
        let gateway = (role == ClusterRole::Primary)
            .then(|| GatewayWatches::follow(cluster, known.gateway.clone(), health.clone()));
        let mut watches = Self {
            services: ObjectWatch::begin_with(cluster, services, known.services.clone()),
            slices: ObjectWatch::begin_with(cluster, slices, known.all_slices()),
            nodes: None,
            gateway,
            health,
            failing_since: None,
            cluster: cluster.clone(),
        };
        if !known.nodes.is_empty() {
            watches.follow_nodes(&known.nodes);
        }
        watches
    }

    /// Follows the nodes as well, of which `known` are known.
    pub fn follow_nodes(&mut self, known: &BTreeMap<String, Arc<ClusterNode>>) {
        if self.nodes.is_none() {
            let nodes = Collection::new("/api/v1", NODES);
            let nodes = ObjectWatch::begin_with(&self.cluster, nodes, known.clone());
            self.nodes = Some(nodes);
            self.health.follow(NODES);
        }
    }

    /// Whether every kind that is followed was listed once, or may not be read: the rest is served without it. Without Services
    /// there is nothing to serve.
    pub fn are_listed(&self) -> bool {
        let gateway = self.gateway.as_ref();
        let is_settled = gateway.is_none_or(GatewayWatches::are_known) && self.health.is_settled();
        is_settled && self.health.is_listed(SERVICES)
    }

    /// How the watches go.
    pub const fn health(&self) -> &WatchHealth {
        &self.health
    }

    /// Whether the last request of a kind that is needed failed.
    pub fn has_failed(&self) -> bool {
        self.problem().is_some()
    }

    /// Since when requests fail.
    pub fn failing_since(&self) -> Option<SystemTime> {
        self.failing_since
    }

    /// What a failed request said. Kinds that may not be read do not count, apart from Services.
    pub fn problem(&self) -> Option<String> {
        let kinds = self.health.kinds().into_iter();
        let is_needed =
            |kind: &KindHealth| !kind.is_denied || kind.is_listed || kind.kind == SERVICES;
        kinds.filter(is_needed).find_map(|kind| kind.problem)
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
        let gateway = async {
            match gateway {
                Some(gateway) => gateway.next(&mut stores.gateway).await,
                None => std::future::pending().await,
            }
        };
        let (kind, news) = tokio::select! {
            event = services.next() => (SERVICES, apply(event, |key, service| stores.service(key, service))),
            event = slices.next() => (SLICES, apply(event, |key, slice| stores.slice(key, slice))),
            event = nodes => (NODES, apply(event, |key, node| stores.node(key, node))),
            changed = gateway => {
                stores.changes.plan |= changed;
                self.note_failures();
                return;
            }
        };
        match news {
            News::Object => return,
            News::Listed => {
                self.health.listed(kind);
                // An empty cluster has something to plan as well: nothing.
                stores.changes.plan = true;
            }
            News::Failed(failure) => stores.changes.plan |= self.health.failed(kind, &failure),
            News::Recovered => self.health.recovered(kind),
        }
        self.note_failures();
    }

    fn note_failures(&mut self) {
        match self.has_failed() {
            true => drop(self.failing_since.get_or_insert_with(SystemTime::now)),
            false => self.failing_since = None,
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
