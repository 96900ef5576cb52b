//! A named pool of backends: a policy, the sources that fill it, and what it remembers.

mod builder;
mod description;
pub(crate) mod drain;
pub(crate) mod hash_key;
mod lease;
pub(crate) mod send_proxy;
mod setting;
pub(crate) mod wait_queue;
mod waiting;

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use lb_core::{
    BackendSet, Balancer, BalancerConfig, Delta, Explanation, Health, Pick, PickError, PickRequest,
    Policy, Rng, Snapshot, SplitMix64, Timestamp, Tried, Updater,
};
use lb_discovery::{Driver, DriverHandle, DriverStatus};
use tokio::select;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock::Clock;

use description::UpstreamDescription;
use drain::{Ties, Watcher};
use hash_key::{HashKey, KeyParts};
use lease::Held;
use send_proxy::HeaderSetting;
use setting::Setting;
use wait_queue::Line;

pub use builder::UpstreamBuilder;
pub(crate) use lease::Lease;
pub(crate) use waiting::WaitError;

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
pub struct Upstream(Arc<Shell>);

/// What a handle leads to.
struct Shell {
    own: Arc<Shared>,
    /// The upstream of the same name that took over its settings, and is meant from then on.
    joined: OnceLock<Arc<Shared>>,
}

struct Shared {
    name: Arc<str>,
    /// What it runs with.
    description: Mutex<Arc<UpstreamDescription>>,
    balancer: Balancer,
    clock: Clock,
    discovery: RwLock<DriverHandle>,
    line: Line,
    ties: Ties,
    header: Setting<HeaderSetting>,
    hash_key: Setting<KeyParts>,
    ready: watch::Sender<bool>,
    /// Held by whoever follows the sources.
    follower: AsyncMutex<Option<Follower>>,
    /// What is to be followed instead of the present sources.
    plan: Mutex<Option<Plan>>,
    planned: Notify,
}

struct Follower {
    updater: Updater,
    plan: Plan,
}

/// What an upstream's backends and picks come from.
struct Plan {
    driver: Driver,
    discovery: DriverHandle,
    policy: Arc<dyn Policy>,
    balancer: BalancerConfig,
}

impl Upstream {
    /// Starts the description of the upstream `name`, which logs and metrics show.
    pub fn builder(name: impl Into<Arc<str>>) -> UpstreamBuilder {
        UpstreamBuilder::new(name.into())
    }

    fn shared(&self) -> &Arc<Shared> {
        self.0.joined.get().unwrap_or(&self.0.own)
    }

    /// A number that all handles of one pool have, and no handle of another.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(self.shared()).addr()
    }

    /// Whether no server follows its sources, so that another upstream can [adopt](Self::adopt) it.
    pub(crate) fn is_idle(&self) -> bool {
        let follower = self.shared().follower.try_lock();
        follower.is_ok_and(|follower| follower.is_some())
    }

    /// Whether a reload keeps this upstream where `described` is described.
    pub(crate) fn is_same_as(&self, described: &Self) -> bool {
        self.id() == described.id() || {
            let (running, new) = (self.description(), described.description());
            running.is_same_as(&new)
        }
    }

    fn description(&self) -> Arc<UpstreamDescription> {
        Arc::clone(&lock(&self.shared().description))
    }

    /// Whether the last attempt of a source has failed, or has found that there is nothing.
    fn has_failing_source(&self) -> bool {
        let sources = self.discovery().sources;
        sources.iter().any(|source| source.last_error.is_some())
    }

    /// Takes over the description of `new`, whose handles mean this pool from then on. The state of the backends stays.
    /// So do the sources if the descriptions are the same and no source fails. False if a server runs `new`.
    pub(crate) fn adopt(&self, new: &Self) -> bool {
        let from = new.shared();
        let Some(Follower { plan, .. }) = from.follower.try_lock().ok().and_then(|mut f| f.take())
        else {
            return false;
        };
        let into = self.shared();
        // Only a handle whose upstream runs could be joined to another upstream already.
        if self.is_same_as(new) && !self.has_failing_source() {
            let _ = new.0.joined.set(Arc::clone(into));
            return true;
        }
        *lock(&into.description) = new.description();
        into.ties.set(from.ties.partings());
        into.line.set(from.line.settings());
        into.header.set(from.header.get());
        into.hash_key.set(from.hash_key.get());
        *write(&into.discovery) = plan.discovery.clone();
        *lock(&into.plan) = Some(plan);
        into.planned.notify_one();
        let _ = new.0.joined.set(Arc::clone(into));
        true
    }

    /// The upstream's name.
    pub fn name(&self) -> &str {
        &self.shared().name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.shared().name
    }

    /// Its backends and their state now.
    pub fn backends(&self) -> Arc<BackendSet> {
        self.shared().balancer.set()
    }

    /// The upstream's clock, on which the moments in [`backends`](Self::backends) count.
    pub fn now(&self) -> Timestamp {
        self.shared().clock.now()
    }

    /// How its sources fare.
    pub fn discovery(&self) -> DriverStatus {
        read(&self.shared().discovery).status()
    }

    /// Notes what a check of the embedder's found of the backend at `addr`; true if that is news. An unhealthy backend
    /// gets no new connections; what happens to its sessions [`on_unhealthy`](UpstreamBuilder::on_unhealthy) says.
    /// False for an address that is not known.
    pub fn set_health(&self, addr: SocketAddr, health: Health) -> bool {
        let news = self.shared().balancer.set_health(addr, health, self.now());
        if news {
            match health {
                Health::Healthy => self.shared().ties.healthy(addr),
                _ => self.shared().ties.unhealthy(addr),
            }
            self.serve_queue();
        }
        news
    }

    /// Where a connection with the hash key `key`, empty for none, would go now, and for every backend why it could or
    /// could not go there. For a person who asks: O(n) and allocates.
    ///
    /// # Errors
    ///
    /// [`PickError::NotReady`] before the first membership is known.
    pub fn explain(&self, key: &[u8]) -> Result<Explanation, PickError> {
        let tried = Tried::new();
        let request = PickRequest::new(&tried).with_key(key);
        with_rng(|rng| self.shared().balancer.explain(&request, self.now(), rng))
    }

    /// A connection was made under `lease`.
    pub(crate) fn connected(&self, lease: &Lease) {
        lease.connected(self.now());
        self.shared().ties.healthy(lease.addr());
    }

    /// Failures ejected the backend at `addr`.
    pub(crate) fn ejected(&self, addr: SocketAddr) {
        self.shared().ties.unhealthy(addr);
    }

    /// Ties a session to the backend of its `lease`, if it is to be ended when that is lost.
    pub(crate) fn tie(&self, lease: &Lease) -> Option<Watcher> {
        let ties = &self.shared().ties;
        let backend = ties.is_used().then(|| lease.backend())?;
        let is_member = || self.backends().contains(backend.addr);
        Some(ties.tie(&backend, is_member))
    }

    /// The PROXY protocol header that its backends get.
    pub(crate) fn header(&self) -> HeaderSetting {
        self.shared().header.get()
    }

    /// What the hashing policies hash of a connection.
    pub(crate) fn hash_key(&self) -> KeyParts {
        self.shared().hash_key.get()
    }

    /// Whether it may want to know what the first bytes of a connection told.
    pub(crate) fn needs_preread(&self) -> bool {
        self.hash_key().needs_preread()
            || matches!(self.header(), HeaderSetting::Own(Some(send)) if send.passes_tlvs())
    }

    /// Asks the sources to look again soon. The driver limits how often they do.
    pub(crate) fn refresh(&self) {
        read(&self.shared().discovery).refresh();
    }

    /// How many connections wait in its queue.
    pub fn queued(&self) -> usize {
        self.shared().line.len()
    }

    /// Picks for a connection that goes by `key`, unless others wait for a backend already.
    pub(crate) fn pick(&self, key: &HashKey, tried: &Tried) -> Result<Lease, PickError> {
        if self.queued() > 0 {
            return Err(PickError::Exhausted);
        }
        self.pick_now(key, tried).map(|pick| self.lease(pick))
    }

    fn pick_now(&self, key: &HashKey, tried: &Tried) -> Result<Pick, PickError> {
        let request = PickRequest::new(tried).with_key(key.as_bytes());
        with_rng(|rng| self.shared().balancer.pick(&request, self.now(), rng))
    }

    fn lease(&self, pick: Pick) -> Lease {
        Lease {
            held: Held::Pick(pick),
            queue: self.shared().line.is_used().then(|| self.clone()),
        }
    }

    /// Completes when the first membership is known.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self
            .shared()
            .ready
            .subscribe()
            .wait_for(|&ready| ready)
            .await;
    }

    /// Follows the sources until cancelled. Of several who want to, one does; when it ends the next goes on.
    pub(crate) async fn follow(self, cancel: CancellationToken) {
        let shared = self.shared();
        let mut follower = select! {
            follower = shared.follower.lock() => follower,
            () = cancel.cancelled() => return,
        };
        // Gone only if another upstream has taken over, which is followed itself.
        let Some(Follower { updater, plan }) = &mut *follower else {
            return;
        };
        loop {
            if let Some(mut next) = lock(&shared.plan).take() {
                next.driver.resume(&plan.driver);
                updater.set_config(next.balancer.clone());
                updater.set_policy(Arc::clone(&next.policy));
                *plan = next;
            }
            let apply = |snapshot: Snapshot| {
                let delta = updater.apply(&snapshot, self.now());
                shared.ties.update(&delta, &snapshot);
                self.log(&delta, snapshot.len());
                shared.ready.send_replace(true);
                self.serve_queue();
            };
            select! {
                biased;
                () = shared.planned.notified() => {}
                () = plan.driver.run(apply, cancel.clone()) => return,
            }
        }
    }

    fn log(&self, delta: &Delta, backends: usize) {
        let first = !*self.shared().ready.borrow();
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
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

fn with_rng<T>(draw: impl FnOnce(&mut dyn Rng) -> T) -> T {
    WORKER_RNG.with_borrow_mut(|rng: &mut SplitMix64| draw(rng))
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
