//! A named pool of backends: a policy, the sources that fill it, and what it remembers.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::P2c;
use lb_core::{
    Backend, BackendSet, Balancer, Delta, FailureEffect, Health, Pick, PickError, PickRequest,
    Policy, Rng, Snapshot, SplitMix64, Timestamp, Tried, Updater, balancer,
};
use lb_discovery::{Discovery, Driver, DriverConfig, DriverHandle, Status};
use tokio::select;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock::Clock;
use crate::error::BuildError;
use crate::hooks::HashKey;
use crate::parting::{Parting, Partings, Ties, Watcher};
use crate::queue::{Line, Place, Queue, WaitFor};

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
pub struct Upstream(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    balancer: Balancer,
    clock: Clock,
    discovery: DriverHandle,
    line: Option<Line>,
    ties: Ties,
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
            queue: None,
            partings: Partings::default(),
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

    /// Notes what a check of the embedder's found of the backend at `addr`; true if that is news. An unhealthy backend
    /// gets no new connections; what happens to its sessions [`on_unhealthy`](UpstreamBuilder::on_unhealthy) says.
    /// False for an address that is not known.
    pub fn set_health(&self, addr: SocketAddr, health: Health) -> bool {
        let news = self.0.balancer.set_health(addr, health, self.now());
        if news {
            match health {
                Health::Healthy => self.0.ties.healthy(addr),
                _ => self.0.ties.unhealthy(addr),
            }
            self.serve_queue();
        }
        news
    }

    /// A connection was made under `lease`.
    pub(crate) fn connected(&self, lease: &Lease) {
        lease.pick().connected(self.now());
        self.0.ties.healthy(lease.addr());
    }

    /// Failures ejected the backend at `addr`.
    pub(crate) fn ejected(&self, addr: SocketAddr) {
        self.0.ties.unhealthy(addr);
    }

    /// Ties a session to the backend of its `lease`, if it is to be ended when that is lost.
    pub(crate) fn tie(&self, lease: &Lease) -> Option<Watcher> {
        let ties = &self.0.ties;
        let backend = ties.is_used().then(|| lease.backend())?;
        let is_member = || {
            let set = self.backends();
            let mut members = set.snapshot().iter();
            members.any(|member| member.addr == backend.addr)
        };
        Some(ties.tie(&backend, is_member))
    }

    /// Asks the sources to look again soon. The driver limits how often they do.
    pub(crate) fn refresh(&self) {
        self.0.discovery.refresh();
    }

    /// How many connections wait in its queue.
    pub fn queued(&self) -> usize {
        self.0.line.as_ref().map_or(0, Line::len)
    }

    /// Picks for a connection that goes by `key`, unless others wait for a backend already.
    pub(crate) fn pick(&self, key: &HashKey, tried: &Tried) -> Result<Lease, PickError> {
        if self.queued() > 0 {
            return Err(PickError::Exhausted);
        }
        self.pick_now(key, tried).map(|pick| self.lease(pick))
    }

    fn pick_now(&self, key: &HashKey, tried: &Tried) -> Result<Pick, PickError> {
        WORKER_RNG.with_borrow_mut(|rng: &mut SplitMix64| {
            let request = PickRequest::new(tried).with_key(key.as_bytes());
            self.0
                .balancer
                .pick(&request, self.now(), rng as &mut dyn Rng)
        })
    }

    fn lease(&self, pick: Pick) -> Lease {
        Lease {
            pick: Some(pick),
            queue: self.0.line.is_some().then(|| self.clone()),
        }
    }

    /// Waits for a backend in the queue.
    pub(crate) async fn wait(&self, key: &HashKey, tried: &mut Tried) -> Result<Lease, WaitError> {
        let line = self.0.line.as_ref().ok_or(WaitError::Hopeless)?;
        match line.settings.wait_for {
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
            () = sleep(line.settings.timeout) => Err(WaitError::Timeout),
        }
    }

    /// Whether a backend that was not tried has all the connections that it may have, and nothing else against it.
    fn is_full(&self, tried: &Tried) -> bool {
        let set = self.backends();
        let mut status = set.status(self.now());
        status.any(|status| {
            let max_conns = status.backend.max_conns;
            max_conns.is_some_and(|max| status.in_flight >= max.get())
                && status.ejected_until.is_none()
                && !tried.contains(status.backend.addr)
        })
    }

    /// Gives what is free to those who wait.
    fn serve_queue(&self) {
        if let Some(line) = &self.0.line {
            line.serve(|key, tried| self.pick_now(key, tried));
        }
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
            self.0.ties.update(&delta, &snapshot);
            self.log(&delta, snapshot.len());
            self.0.ready.send_replace(true);
            self.serve_queue();
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

/// Describes an [`Upstream`].
#[derive(Debug)]
#[must_use]
pub struct UpstreamBuilder {
    name: Arc<str>,
    policy: Arc<dyn Policy>,
    sources: Vec<Arc<dyn Discovery>>,
    discovery: DriverConfig,
    queue: Option<Queue>,
    partings: Partings,
}

impl UpstreamBuilder {
    /// Adds a source of backends. With several, the pool is their union in the order of the calls; each is followed
    /// by itself, and one that fails keeps its last good set. At least one is needed.
    pub fn discovery(mut self, source: impl Discovery) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Sets how backends are chosen. Default: [`P2c::least_conn`]. The hashing policies go by the octets of the client's
    /// address, or by what [`Hooks::hash_key`](crate::Hooks::hash_key) says.
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

    /// Sets whether connections wait if there is no backend for them, above all because of
    /// [`max_conns`](Backend::max_conns). Default: no, they get none.
    pub fn queue(mut self, queue: Option<Queue>) -> Self {
        self.queue = queue;
        self
    }

    /// Sets what happens to the sessions of a backend that its source no longer reports, or reports as another
    /// [instance](Backend::instance). Default: [`Parting::Keep`]. One that drains keeps its sessions in any case.
    pub fn on_removed(mut self, parting: Parting) -> Self {
        self.partings.removed = parting;
        self
    }

    /// Sets what happens to the sessions of a backend that is ejected for its failures, or that
    /// [`Upstream::set_health`] calls unhealthy. Default: [`Parting::Keep`]. A connection to it that succeeds ends the
    /// parting, and so does a check.
    pub fn on_unhealthy(mut self, parting: Parting) -> Self {
        self.partings.unhealthy = parting;
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
            line: self.queue.map(Line::new),
            ties: Ties::new(self.partings),
            ready: watch::Sender::new(false),
            follower: Mutex::new(Follower { driver, updater }),
        })))
    }
}
