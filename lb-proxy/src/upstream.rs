//! A named pool of backends: a policy, the sources that fill it, and what it remembers.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use lb_core::policy::P2c;
use lb_core::{
    BackendSet, Balancer, Delta, Pick, PickError, PickRequest, Policy, Rng, Snapshot, SplitMix64,
    Timestamp, Tried, Updater, balancer,
};
use lb_discovery::{Discovery, Driver, DriverConfig, DriverHandle, Status};
use tokio::select;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock::Clock;
use crate::error::BuildError;
use crate::hooks::HashKey;

thread_local! {
    /// Seeded by the operating system; of no use for secrets, and none depend on it.
    static WORKER_RNG: RefCell<SplitMix64> =
        RefCell::new(SplitMix64::new(RandomState::new().hash_one(0_u64)));
}

/// A pool of backends that listeners send their connections to. Cloning gives another handle of the same pool.
///
/// It follows its sources while a [`Server`](crate::Server) with a listener of it lives; between servers it keeps what
/// it knew.
#[derive(Clone)]
pub struct Upstream(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    balancer: Balancer,
    clock: Clock,
    discovery: DriverHandle,
    ready: watch::Sender<bool>,
    /// Held by whoever follows the sources.
    follower: Mutex<Follower>,
}

struct Follower {
    driver: Driver,
    updater: Updater,
}

impl Upstream {
    /// Starts the description of the upstream `name`, which logs and metrics show.
    pub fn builder(name: impl Into<Arc<str>>) -> UpstreamBuilder {
        UpstreamBuilder {
            name: name.into(),
            policy: Arc::new(P2c::least_conn()),
            sources: Vec::new(),
            discovery: DriverConfig::default(),
        }
    }

    /// The upstream's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its backends and their state now.
    pub fn backends(&self) -> Arc<BackendSet> {
        self.0.balancer.set()
    }

    /// The upstream's clock, on which the moments in [`backends`](Self::backends) count.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// How its sources fare.
    pub fn discovery(&self) -> Status {
        self.0.discovery.status()
    }

    /// Asks the sources to look again soon. The driver limits how often they do.
    pub(crate) fn refresh(&self) {
        self.0.discovery.refresh();
    }

    /// Picks for a connection; hashing policies go by `key`.
    pub(crate) fn pick(&self, key: &HashKey, tried: &Tried) -> Result<Pick, PickError> {
        WORKER_RNG.with_borrow_mut(|rng: &mut SplitMix64| {
            let request = PickRequest::new(tried).with_key(key.as_bytes());
            self.0
                .balancer
                .pick(&request, self.now(), rng as &mut dyn Rng)
        })
    }

    /// Completes when the first membership is known.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.ready.subscribe().wait_for(|&ready| ready).await;
    }

    /// Follows the sources until cancelled. Of several who want to, one does; when it ends the next goes on.
    pub(crate) async fn follow(self, cancel: CancellationToken) {
        let mut follower = select! {
            follower = self.0.follower.lock() => follower,
            () = cancel.cancelled() => return,
        };
        let Follower { driver, updater } = &mut *follower;
        let apply = |snapshot: Snapshot| {
            let delta = updater.apply(&snapshot, self.now());
            self.log(&delta, snapshot.len());
            self.0.ready.send_replace(true);
        };
        driver.run(apply, cancel).await;
    }

    fn log(&self, delta: &Delta, backends: usize) {
        let first = !*self.0.ready.borrow();
        if first || !delta.is_empty() {
            info!(
                upstream = self.name(),
                backends,
                added = ?delta.added,
                changed = ?delta.changed,
                removed = ?delta.removed,
                "Membership changed"
            );
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

/// Describes an [`Upstream`].
#[derive(Debug)]
#[must_use]
pub struct UpstreamBuilder {
    name: Arc<str>,
    policy: Arc<dyn Policy>,
    sources: Vec<Arc<dyn Discovery>>,
    discovery: DriverConfig,
}

impl UpstreamBuilder {
    /// Adds a source of backends. With several, the pool is their union in the order of the calls; each is followed
    /// by itself, and one that fails keeps its last good set. At least one is needed.
    pub fn discovery(mut self, source: impl Discovery) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Sets how backends are chosen. Default: [`P2c::least_conn`]. The hashing policies go by the octets of the client's
    /// address, unless the listener's [`Hooks`](crate::Hooks) know better.
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Sets how the sources are followed: retries, debouncing, what an empty answer does. Default:
    /// [`DriverConfig::default`].
    pub fn discovery_config(mut self, config: DriverConfig) -> Self {
        self.discovery = config;
        self
    }

    /// Checks the description. Nothing is started before a proxy with this upstream is bound.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoSource`] without a source.
    pub fn build(self) -> Result<Upstream, BuildError> {
        if self.sources.is_empty() {
            return Err(BuildError::NoSource {
                upstream: self.name,
            });
        }
        let (updater, balancer) = balancer(self.policy);
        let (driver, discovery) = Driver::new(self.sources, self.discovery);
        Ok(Upstream(Arc::new(Shared {
            name: self.name,
            balancer,
            clock: Clock::start(),
            discovery,
            ready: watch::Sender::new(false),
            follower: Mutex::new(Follower { driver, updater }),
        })))
    }
}
