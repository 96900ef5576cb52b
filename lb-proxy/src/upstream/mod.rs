//! A named pool of backends: a policy, the sources that fill it, and what it remembers.

mod announcing;
mod builder;

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::Duration;

use lb_core::{
    Backend, BackendSet, Balancer, BalancerConfig, Delta, Explanation, FailureEffect, Health, Pick,
    PickError, PickRequest, Policy, Rng, Snapshot, SplitMix64, Timestamp, Tried, Updater,
};
use lb_discovery::{Driver, DriverHandle, Status};
use tokio::select;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock::Clock;
use crate::hooks::HashKey;
use crate::parting::{Ties, Watcher};
use crate::queue::{Line, Place, WaitFor};

use announcing::Announcing;

pub(crate) use announcing::Header;
pub use builder::UpstreamBuilder;

/// How often those who wait look for what no event tells: the end of an ejection.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

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
    balancer: Balancer,
    clock: Clock,
    discovery: RwLock<DriverHandle>,
    line: Line,
    ties: Ties,
    announcing: Announcing,
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

    /// Whether both are handles of one pool.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.shared(), other.shared())
    }

    /// Takes over the settings of `new`, whose handles are this pool's from then on. What is known of backends stays.
    /// False if `new` is at work itself.
    pub(crate) fn adopt(&self, new: &Self) -> bool {
        let from = new.shared();
        let Some(Follower { plan, .. }) = from.follower.try_lock().ok().and_then(|mut f| f.take())
        else {
            return false;
        };
        let into = self.shared();
        into.ties.set(from.ties.partings());
        into.line.set(from.line.settings());
        into.announcing.set(from.announcing.header());
        *write(&into.discovery) = plan.discovery.clone();
        *lock(&into.plan) = Some(plan);
        into.planned.notify_one();
        // Only a handle whose upstream is at work could be joined to another already.
        let _ = new.0.joined.set(Arc::clone(into));
        true
    }

    /// The upstream's name.
    pub fn name(&self) -> &str {
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
    pub fn discovery(&self) -> Status {
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
        lease.pick().connected(self.now());
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
        let is_member = || {
            let set = self.backends();
            let mut members = set.snapshot().iter();
            members.any(|member| member.addr == backend.addr)
        };
        Some(ties.tie(&backend, is_member))
    }

    /// The PROXY protocol header that its backends get.
    pub(crate) fn header(&self) -> Header {
        self.shared().announcing.header()
    }

    pub(crate) fn passes_tlvs(&self) -> bool {
        matches!(self.header(), Header::Own(Some(send)) if send.passes_tlvs())
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
            pick: Some(pick),
            queue: self.shared().line.is_used().then(|| self.clone()),
        }
    }

    /// Waits for a backend in the queue.
    pub(crate) async fn wait(&self, key: &HashKey, tried: &mut Tried) -> Result<Lease, WaitError> {
        let line = &self.shared().line;
        let settings = line.settings().ok_or(WaitError::Hopeless)?;
        match settings.wait_for {
            WaitFor::Anything => *tried = Tried::new(),
            WaitFor::Room if self.is_full(tried) => {}
            WaitFor::Room => return Err(WaitError::Hopeless),
        }
        let place = line.join(key.clone(), tried.clone());
        let mut queued = Queued {
            upstream: self,
            line,
            place: place.ok_or(WaitError::Full)?,
        };
        let answered = async {
            loop {
                self.serve_queue();
                if let Ok(answer) = timeout(LOOK_AGAIN, &mut queued.place.answer).await {
                    break answer;
                }
            }
        };
        select! {
            biased;
            answer = answered => answer.map(|pick| self.lease(pick)).map_err(|_| WaitError::Timeout),
            () = sleep(settings.timeout) => Err(WaitError::Timeout),
        }
    }

    /// Whether a backend that was not tried has all the connections that it may have, and nothing else against it.
    fn is_full(&self, tried: &Tried) -> bool {
        let set = self.backends();
        let mut status = set.status(self.now());
        status.any(|status| {
            let max_conns = status.backend.max_conns;
            max_conns.is_some_and(|max| status.in_flight >= max.get())
                && status.backend.takes_connections()
                && status.health == Health::Healthy
                && status.ejected_until.is_none()
                && !tried.contains(status.backend.addr)
        })
    }

    /// Gives what is free to those who wait.
    fn serve_queue(&self) {
        let line = &self.shared().line;
        if line.is_used() {
            line.serve(|key, tried| self.pick_now(key, tried));
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

/// A backend's connection in flight. When it ends, whoever waits in the queue gets it.
#[derive(Debug)]
pub(crate) struct Lease {
    /// `None` only while it is dropped.
    pick: Option<Pick>,
    queue: Option<Upstream>,
}

impl Lease {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.pick().addr()
    }

    pub(crate) fn backend(&self) -> Arc<Backend> {
        self.pick().backend()
    }

    pub(crate) fn failed(mut self, now: Timestamp) -> FailureEffect {
        let pick = self.pick.take().expect("present until dropped");
        pick.failed(now)
    }

    fn pick(&self) -> &Pick {
        self.pick.as_ref().expect("present until dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.pick.take());
        if let Some(upstream) = &self.queue {
            upstream.serve_queue();
        }
    }
}

/// Why waiting brought no backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitError {
    /// The queue has no room.
    Full,
    /// There is nothing to wait for, or no queue to wait in.
    Hopeless,
    /// Nothing became free in time.
    Timeout,
}

/// A place in the queue, given up when dropped.
struct Queued<'a> {
    upstream: &'a Upstream,
    line: &'a Line,
    place: Place,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if let Some(pick) = self.line.leave(&mut self.place) {
            drop(pick);
            self.upstream.serve_queue();
        }
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
