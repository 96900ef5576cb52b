//! A named pool of backends: a policy, the sources that fill it, and the state of its backends.

mod adopt;
mod after_ejection;
mod builder;
pub(crate) mod checks;
mod description;
pub(crate) mod drain;
mod event_sink;
pub(crate) mod events;
mod follow;
mod forgiveness;
pub(crate) mod hash_key;
pub(crate) mod key_function;
pub(crate) mod key_part;
mod lease;
mod log_limits;
mod membership;
pub(crate) mod outcome;
mod override_control;
mod overrides;
mod panic_record;
mod panics;
mod pick;
mod publish;
mod readiness;
mod record_transition;
#[cfg(feature = "serde")]
mod report_form;
mod saved;
mod send_events;
pub(crate) mod send_proxy;
mod setting;
pub(crate) mod transitions;
pub(crate) mod wait_queue;
mod waiting;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use lb_core::{BackendSet, Balancer, BalancerConfig, Health, Policy, Priority, Timestamp};
use lb_discovery::{Driver, DriverHandle, DriverStatus};
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::embedder_code::PICKER_DIGEST;
use crate::metrics::detailed::DetailedCounters;
use crate::metrics::{BackendCounters, UpstreamCounters};
use crate::readiness::ReadinessObservers;

use after_ejection::AfterEjection;
use checks::list::{CheckList, DescribedCheck};
use description::UpstreamDescription;
use drain::{LossWatcher, SessionDrain};
use event_sink::EventSink;
use key_part::KeyParts;
use membership::Membership;
use panic_record::UpstreamPanics;
use send_proxy::HeaderSetting;
use setting::Setting;
use transitions::TransitionHistory;
use wait_queue::WaitQueue;

pub use builder::UpstreamBuilder;
pub(crate) use lease::Lease;
pub(crate) use waiting::WaitError;

/// A pool of backends that listeners send their connections to. Cloning gives another handle of the same pool.
///
/// It follows its sources while a [`Server`](crate::Server) with a listener of it runs. Between servers it keeps its
/// backends and their state. [`spawn`](Self::spawn) follows one without a server.
///
/// ```
/// use lb_proxy::Upstream;
/// use lb_proxy::lb_core::{Snapshot, policy::P2c};
/// use lb_proxy::lb_discovery::Static;
///
/// let nodes = Snapshot::try_from_backends(["10.0.0.1:446", "10.0.0.2:446"])?;
/// let nodes = Upstream::builder("nodes")
///     .discovery(Static::new(nodes))
///     .policy(P2c::least_conn())
///     .build()?;
/// assert_eq!(nodes.name(), "nodes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Upstream(Arc<PoolRef>);

/// The pool that a handle means.
struct PoolRef {
    own: Arc<Shared>,
    /// The running upstream that adopted this one: the handle means it from then on.
    adopted_by: OnceLock<Arc<Shared>>,
}

struct Shared {
    name: Arc<str>,
    /// What it runs with.
    description: Mutex<Arc<UpstreamDescription>>,
    balancer: Balancer,
    clock: Clock,
    discovery: RwLock<DriverHandle>,
    wait_queue: WaitQueue,
    drain: SessionDrain,
    transitions: TransitionHistory,
    events: EventSink,
    after_ejection: AfterEjection,
    header: Setting<HeaderSetting>,
    hash_key: Setting<KeyParts>,
    ready: watch::Sender<bool>,
    observers: ReadinessObservers,
    checks: CheckList,
    /// How many memberships have been published.
    memberships: watch::Sender<u64>,
    membership: Mutex<Membership>,
    /// Locked by the task that follows the sources.
    follower: AsyncMutex<Option<Plan>>,
    /// The sources to follow instead of the present ones.
    plan: Mutex<Option<Plan>>,
    planned: Notify,
    panics: UpstreamPanics,
    /// Signals that a publication has failed.
    unpublished: Notify,
    /// Set once a server counts it in detail.
    counters: OnceLock<Arc<UpstreamCounters>>,
}

/// The sources, the policy and the balancer's configuration.
struct Plan {
    driver: Driver,
    discovery: DriverHandle,
    policy: Arc<dyn Policy>,
    balancer: BalancerConfig,
    checks: Vec<DescribedCheck>,
}

impl Upstream {
    /// Starts the description of the upstream `name`, which logs and metrics show.
    pub fn builder(name: impl Into<Arc<str>>) -> UpstreamBuilder {
        UpstreamBuilder::new(name.into())
    }

    fn shared(&self) -> &Arc<Shared> {
        self.0.adopted_by.get().unwrap_or(&self.0.own)
    }

    /// A number that is equal for the handles of one pool and for no other.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(self.shared()).addr()
    }

    /// Whether it has no sources, so that its backends never change.
    pub(crate) fn is_fixed(&self) -> bool {
        self.description().sources.is_empty()
    }

    /// The upstream's name.
    pub fn name(&self) -> &str {
        &self.shared().name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.shared().name
    }

    /// The name of its policy, as in [`PolicyKind`](lb_core::policy::PolicyKind).
    pub fn policy_name(&self) -> &'static str {
        self.description().policy.name
    }

    /// The [settings](Policy::settings) of its policy.
    pub fn policy_settings(&self) -> Vec<(&'static str, String)> {
        self.description().policy.settings.clone()
    }

    /// Whether the first membership is known.
    pub fn is_ready(&self) -> bool {
        *self.shared().ready.borrow()
    }

    /// How many connections may wait in its queue; 0 without a [queue](UpstreamBuilder::queue).
    pub fn queue_capacity(&self) -> usize {
        let queue = self.shared().wait_queue.settings();
        queue.map_or(0, |queue| queue.capacity)
    }

    /// The current backends and their state.
    pub fn backends(&self) -> Arc<BackendSet> {
        self.shared().balancer.set()
    }

    /// The time of the upstream's clock, which the timestamps in [`backends`](Self::backends) refer to.
    pub fn now(&self) -> Timestamp {
        self.shared().clock.now()
    }

    /// The time of its clock at a moment.
    pub(crate) fn at(&self, moment: Instant) -> Timestamp {
        self.shared().clock.at(moment)
    }

    /// The status of its sources.
    pub fn discovery(&self) -> DriverStatus {
        read(&self.shared().discovery).status()
    }

    /// Stores what an active check of the embedder found of the backend at `addr`. Returns whether its health changed. An
    /// unhealthy backend gets no new connections; [`on_unhealthy`](UpstreamBuilder::on_unhealthy) sets what happens to
    /// its sessions. Returns false for an unknown address.
    pub fn set_health(&self, addr: SocketAddr, health: Health) -> bool {
        let changed = self.shared().balancer.set_health(addr, health, self.now());
        if changed {
            match health {
                Health::Healthy => self.shared().drain.healthy(addr),
                _ => self.shared().drain.unhealthy(addr),
            }
            self.record_transition(addr, health.into());
            self.send_health(addr, health);
            if let Some(counters) = self.counters()
                && let Some(backend) = self.backends().backend(addr)
            {
                counters.health_changed(backend, health);
            }
            self.readiness_changed();
            self.serve_queue();
        }
        self.note_forgiven();
        changed
    }

    fn drain(&self) -> &SessionDrain {
        &self.shared().drain
    }

    /// Watches for the loss of the backend of `lease`. `None` if the upstream ends no sessions then.
    pub(crate) fn watch_loss(&self, lease: &Lease) -> Option<LossWatcher> {
        let backend = self.drain().is_used().then(|| lease.backend())?;
        let is_member = || self.backends().contains(backend.addr);
        Some(self.drain().watch(&backend, is_member))
    }

    /// The PROXY protocol header that its backends get.
    pub(crate) fn header(&self) -> HeaderSetting {
        self.shared().header.get()
    }

    /// What the hashing policies hash of a connection.
    pub(crate) fn hash_key(&self) -> KeyParts {
        self.shared().hash_key.get()
    }

    /// Whether its hash key or its header may read what the first bytes contained.
    pub(crate) fn needs_preread(&self) -> bool {
        self.hash_key().needs_preread()
            || matches!(self.header(), HeaderSetting::Own(Some(send)) if send.passes_tlvs())
    }

    /// Asks the sources for a refresh soon. The driver limits the rate.
    pub(crate) fn refresh(&self) {
        read(&self.shared().discovery).refresh();
    }

    /// Counts its sessions in `detailed` from now on.
    pub(crate) fn count_in(&self, detailed: &DetailedCounters) {
        let counters = detailed.upstream(self.shared_name(), self.counters());
        // It keeps those of an earlier server.
        let _ = self.shared().counters.set(counters);
    }

    /// Its counters, if a server counts it in detail.
    pub(crate) fn counters(&self) -> Option<&Arc<UpstreamCounters>> {
        self.shared().counters.get()
    }

    /// The counters of the backend of `lease` among `counters`.
    pub(crate) fn backend_counters(
        lease: &Lease,
        counters: &UpstreamCounters,
    ) -> Option<Arc<BackendCounters>> {
        lease.data(|backend| counters.backend(backend))
    }

    /// The digest of the table of each tier, for policies that have one; see [`Balancer::digests`]. [`BackendSet::digest`] is
    /// that of the [backends](Self::backends).
    ///
    /// Empty if the policy panics.
    pub fn digests(&self) -> Vec<(Priority, u64)> {
        let digests = || self.shared().balancer.digests();
        self.catch(PICKER_DIGEST, digests).unwrap_or_default()
    }

    /// Whether a tier ignores health and ejection; see [`Balancer::is_in_panic`].
    pub fn is_in_panic(&self) -> bool {
        self.shared().balancer.is_in_panic(self.now())
    }

    /// The number of connections in its wait queue.
    pub fn queued(&self) -> usize {
        self.shared().wait_queue.len()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

// No code that can panic runs under these locks.

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
