//! Follows the objects of the Gateway API, if the cluster has it.
//!
//! A watch of a kind that the cluster does not have fails forever. So the definitions of the kinds are asked for first, again and again:
//! each kind is followed from the moment on that its definition exists, and the releases of the definitions are known. Only their
//! metadata is transferred.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lb_discovery::DiscoveryError;
use lb_discovery::kubernetes::Cluster;
use lb_discovery::kubernetes::controller::{
    ApiAnswer, ApiMethod, ApiObject, ApiRequest, ApiRequests, Collection, Metadata, ObjectEvent,
    ObjectWatch,
};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::info;

use super::api::namespace::{NAMESPACES, Namespace};
use super::api::{
    GROUP, Gateway, GatewayClass, GatewayKind, ListenerSet, ReferenceGrant, TcpRoute, TlsRoute,
};
use super::objects::GatewayObjects;
use super::policy::object::{ConnectionPolicy, PLURAL};
use crate::names::DOMAIN;
use crate::watch_health::WatchHealth;

/// The time between two looks at the definitions.
const LOOK: Duration = Duration::from_secs(30);

/// The same while the API server does not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The longest time for one request.
const REQUEST: Duration = Duration::from_secs(10);

/// How many events may wait for the controller. Then the watches wait.
const BUFFER: usize = 1024;

/// The annotation of a definition that names its release.
const RELEASE: &str = "gateway.networking.k8s.io/bundle-version";

/// A change of the objects, or news about a watch.
enum GatewayEvent {
    Change(Box<dyn FnOnce(&mut GatewayObjects) + Send>),
    /// All definitions were asked for, and these kinds are followed.
    Known {
        releases: BTreeMap<String, Option<String>>,
        followed: BTreeSet<&'static str>,
    },
    Listed(&'static str),
    Failed(&'static str, DiscoveryError),
    Recovered(&'static str),
}

/// The watches of the kinds. Dropping it ends them.
pub struct GatewayWatches {
    events: mpsc::Receiver<GatewayEvent>,
    /// Whether it is known which kinds there are.
    are_known: bool,
    health: WatchHealth,
    _tasks: JoinSet<()>,
}

impl GatewayWatches {
    /// Begins to look for the kinds, of whose objects `known` are known already, and reports in `health` how their watches go. Needs
    /// the context of a Tokio runtime.
    pub fn follow(cluster: &Cluster, known: GatewayObjects, health: WatchHealth) -> Self {
        let (sender, events) = mpsc::channel(BUFFER);
        let mut tasks = JoinSet::new();
        tasks.spawn(look_for_kinds(cluster.clone(), known, sender));
        Self {
            events,
            are_known: false,
            health,
            _tasks: tasks,
        }
    }

    /// Whether it is known which kinds there are.
    pub const fn are_known(&self) -> bool {
        self.are_known
    }

    /// Applies the next event to `objects`. Returns whether they have changed. Cancel-safe.
    pub async fn next(&mut self, objects: &mut GatewayObjects) -> bool {
        let Some(event) = self.events.recv().await else {
            // The task that sends lives as long as this.
            return std::future::pending().await;
        };
        match event {
            GatewayEvent::Change(change) => change(objects),
            GatewayEvent::Known { releases, followed } => {
                for kind in followed {
                    self.health.follow(kind);
                }
                let is_new = !std::mem::replace(&mut self.are_known, true);
                let differs = objects.releases != releases;
                objects.releases = releases;
                return is_new || differs;
            }
            GatewayEvent::Listed(kind) => self.health.listed(kind),
            GatewayEvent::Failed(kind, error) => return self.health.failed(kind, &error),
            GatewayEvent::Recovered(kind) => {
                self.health.recovered(kind);
                return false;
            }
        }
        true
    }
}

impl fmt::Debug for GatewayWatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayWatches")
            .field("are_known", &self.are_known)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// The metadata of a definition.
#[derive(Deserialize)]
struct Definition {
    metadata: Metadata,
}

/// Asks for the definitions, again and again, and follows the kinds that have one.
async fn look_for_kinds(
    cluster: Cluster,
    known: GatewayObjects,
    events: mpsc::Sender<GatewayEvent>,
) {
    let requests = ApiRequests::new(&cluster);
    let mut follower = Follower {
        cluster,
        known,
        events,
        followed: BTreeSet::new(),
        tasks: JoinSet::new(),
        is_refused: false,
    };
    loop {
        let pause = match follower.look(&requests).await {
            Ok(releases) => {
                let followed = follower.followed.clone();
                let known = GatewayEvent::Known { releases, followed };
                if follower.events.send(known).await.is_err() {
                    return;
                }
                LOOK
            }
            Err(()) => LOOK_AGAIN,
        };
        sleep(pause).await;
    }
}

struct Follower {
    cluster: Cluster,
    /// What the watches that are to come begin with.
    known: GatewayObjects,
    events: mpsc::Sender<GatewayEvent>,
    followed: BTreeSet<&'static str>,
    tasks: JoinSet<()>,
    is_refused: bool,
}

impl Follower {
    /// Asks for all definitions. `Err`: the API server did not answer.
    async fn look(
        &mut self,
        requests: &ApiRequests,
    ) -> Result<BTreeMap<String, Option<String>>, ()> {
        let kinds = [
            GatewayClass::PLURAL,
            Gateway::PLURAL,
            ListenerSet::PLURAL,
            TcpRoute::PLURAL,
            TlsRoute::PLURAL,
            ReferenceGrant::PLURAL,
        ];
        let mut releases = BTreeMap::new();
        for kind in kinds {
            let name = format!("{kind}.{GROUP}");
            if let Some(definition) = self.definition(requests, &name).await? {
                releases.insert(name, definition.metadata.annotations.get(RELEASE).cloned());
                self.follow(kind);
            }
        }
        let policies = format!("{PLURAL}.{DOMAIN}");
        if self.definition(requests, &policies).await?.is_some() {
            self.follow(PLURAL);
        }
        if !self.followed.is_empty() {
            // Selectors select by the labels of namespaces.
            self.follow(NAMESPACES);
        }
        Ok(releases)
    }

    async fn definition(
        &mut self,
        requests: &ApiRequests,
        name: &str,
    ) -> Result<Option<Definition>, ()> {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let request = ApiRequest::new(ApiMethod::Get, path).metadata_only();
        match requests.send(&request, REQUEST).await {
            Ok(answer) if answer.is_success() => Ok(serde_json::from_slice(&answer.body).ok()),
            Ok(ApiAnswer { code: 404, .. }) => Ok(None),
            Ok(ApiAnswer { code: 403, .. }) => {
                if !std::mem::replace(&mut self.is_refused, true) {
                    info!("Gateway API not followed: definitions of kinds may not be read");
                }
                Ok(None)
            }
            Ok(_) | Err(_) => Err(()),
        }
    }

    /// Follows a kind, once.
    fn follow(&mut self, kind: &'static str) {
        if !self.followed.insert(kind) {
            return;
        }
        match kind {
            GatewayClass::PLURAL => {
                self.watch(kind, GatewayClass::collection(), |o| &mut o.classes)
            }
            Gateway::PLURAL => self.watch(kind, Gateway::collection(), |o| &mut o.gateways),
            ListenerSet::PLURAL => {
                self.watch(kind, ListenerSet::collection(), |o| &mut o.listener_sets)
            }
            TcpRoute::PLURAL => self.watch(kind, TcpRoute::collection(), |o| &mut o.tcp_routes),
            TlsRoute::PLURAL => self.watch(kind, TlsRoute::collection(), |o| &mut o.tls_routes),
            ReferenceGrant::PLURAL => {
                self.watch(kind, ReferenceGrant::collection(), |o| &mut o.grants)
            }
            PLURAL => self.watch(kind, ConnectionPolicy::collection(), |o| &mut o.policies),
            _ => self.watch(kind, Namespace::collection(), |o| &mut o.namespaces),
        }
    }

    fn watch<T: ApiObject>(
        &mut self,
        kind: &'static str,
        collection: Collection,
        store: fn(&mut GatewayObjects) -> &mut BTreeMap<String, Arc<T>>,
    ) {
        let known = std::mem::take(store(&mut self.known));
        let mut watch = ObjectWatch::<T>::begin_with(&self.cluster, collection, known);
        let events = self.events.clone();
        self.tasks.spawn(async move {
            loop {
                let event = match watch.next().await {
                    ObjectEvent::Applied { key, object } => {
                        GatewayEvent::Change(Box::new(move |objects| {
                            store(objects).insert(key, object);
                        }))
                    }
                    ObjectEvent::Deleted { key } => {
                        GatewayEvent::Change(Box::new(move |objects| {
                            store(objects).remove(&key);
                        }))
                    }
                    ObjectEvent::Listed => GatewayEvent::Listed(kind),
                    ObjectEvent::Failed(error) => GatewayEvent::Failed(kind, error),
                    ObjectEvent::Recovered => GatewayEvent::Recovered(kind),
                    _ => continue,
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
    }
}
