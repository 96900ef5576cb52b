//! The description of an upstream.

use std::sync::{Arc, Mutex, OnceLock, RwLock};

use lb_core::policy::P2c;
use lb_core::{BalancerConfig, FailLimit, FailLimits, Policy, Snapshot, balancer};
use lb_discovery::{Driver, DriverConfig, Source};
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

use super::after_ejection::AfterEjection;
use super::checks::list::{CheckList, DescribedCheck, initial_health};
use super::description::{PolicyDescription, SourceDescription, UpstreamDescription};
use super::event_sink::EventSink;
use super::key_part::{KeyPart, KeyParts};
use super::membership::Membership;
use super::panic_record::UpstreamPanics;
use super::send_proxy::{HeaderSetting, SendProxy};
use super::setting::Setting;
use super::{Plan, PoolRef, Shared, Upstream};
use crate::clock::Clock;
use crate::embedder_code::named;
use crate::error::BuildError;
use crate::health::{CheckSettings, HealthCheck};
use crate::readiness::ReadinessObservers;
use crate::upstream::drain::{LossConfig, OnBackendLoss, SessionDrain};
use crate::upstream::transitions::TransitionHistory;
use crate::upstream::wait_queue::{Queue, WaitQueue};

/// Describes an [`Upstream`].
#[derive(Clone, Debug)]
#[must_use]
pub struct UpstreamBuilder {
    name: Arc<str>,
    policy: Arc<dyn Policy>,
    balancer: BalancerConfig,
    fail_limits: Option<FailLimits>,
    sources: Vec<Arc<dyn Source>>,
    discovery: DriverConfig,
    queue: Option<Queue>,
    on_loss: LossConfig,
    header: HeaderSetting,
    hash_key: KeyParts,
    checks: Vec<DescribedCheck>,
    essential: bool,
    fingerprint: Option<Arc<str>>,
}

impl UpstreamBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            policy: Arc::new(P2c::least_conn()),
            balancer: BalancerConfig::default(),
            fail_limits: None,
            sources: Vec::new(),
            discovery: DriverConfig::default(),
            queue: None,
            on_loss: LossConfig::default(),
            header: HeaderSetting::default(),
            hash_key: KeyParts::default(),
            checks: Vec::new(),
            essential: false,
            fingerprint: None,
        }
    }

    /// Adds a source of backends. The pool is the union of all sources in the order of the calls. Each source is followed
    /// separately, and one that fails keeps its last good set. At least one is needed.
    pub fn discovery(mut self, source: impl Source) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Sets the policy that picks backends. Default: [`P2c::least_conn`]. The hashing policies hash
    /// [the key](Self::hash_key).
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Sets what the hashing policies hash of each connection: the parts one after the other. Without parts there is no
    /// key, and connections are spread by weighted round robin. Default: [`KeyPart::ClientIp`].
    #[doc(alias = "hash", alias = "hash_policy")]
    pub fn hash_key(mut self, parts: impl IntoIterator<Item = KeyPart>) -> Self {
        self.hash_key = KeyParts::new(parts);
        self
    }

    /// Sets how many failed connections eject a backend, and for how long, for every backend whatever its source says; `None`:
    /// failures eject none. Default: the [`fail_limit`](field@lb_core::Backend::fail_limit) of each backend, which is one failure
    /// and ten seconds unless a source says something else.
    ///
    /// While all backends are ejected, connections get one nevertheless:
    /// [`BalancerConfig::on_all_ejected`].
    #[doc(alias = "max_fails", alias = "fail_timeout")]
    pub fn fail_limit(mut self, limit: Option<FailLimit>) -> Self {
        self.fail_limits = Some(FailLimits::All(limit));
        self
    }

    /// Sets what surrounds the policy: outlier detection, spill between priorities, a panic threshold, slow start,
    /// a preferred zone, a subset. Default: [`BalancerConfig::default`], all off. A [`fail_limit`](Self::fail_limit)
    /// takes precedence over that of `config`.
    #[doc(alias = "slow_start")]
    pub fn balancer_config(mut self, config: BalancerConfig) -> Self {
        self.balancer = config;
        self
    }

    /// Sets how the sources are followed: retries, debouncing, what an empty answer does. Default:
    /// [`DriverConfig::default`].
    pub fn discovery_config(mut self, config: DriverConfig) -> Self {
        self.discovery = config;
        self
    }

    /// Sets whether connections wait if there is no backend for them, mostly because of
    /// [`max_conns`](field@lb_core::Backend::max_conns). Default: `None`, they get no backend.
    pub fn queue(mut self, queue: impl Into<Option<Queue>>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Sets what happens to the sessions of a backend that its source no longer reports, or reports as another
    /// [instance](field@lb_core::Backend::instance). Default: [`OnBackendLoss::Keep`]. A backend that drains keeps its sessions in any case.
    pub fn on_removed(mut self, on_loss: OnBackendLoss) -> Self {
        self.on_loss.removed = on_loss;
        self
    }

    /// Sets what happens to the sessions of a backend that is ejected for its failures, or that
    /// [`Upstream::set_health`] reports as unhealthy. Default: [`OnBackendLoss::Keep`]. A connection that succeeds ends the
    /// drain, and so does a check that reports it healthy.
    pub fn on_unhealthy(mut self, on_loss: OnBackendLoss) -> Self {
        self.on_loss.unhealthy = on_loss;
        self
    }

    /// Sets whether its backends get the client's address, in a PROXY protocol header before all other bytes. This setting,
    /// `None` included, overrides [`Listener::send_proxy`](crate::Listener::send_proxy). Default: the listener's setting.
    #[doc(alias = "send-proxy")]
    pub fn send_proxy(mut self, send: Option<SendProxy>) -> Self {
        self.header = HeaderSetting::Own(send.map(Arc::new));
        self
    }

    /// Adds an active check: every backend is probed by `check` as `settings` say, while a server follows the upstream. A
    /// backend is healthy if no check has found it down. See [`health`](crate::health). Default: none. A backend that an
    /// own check reports by [`Upstream::set_health`] should not be checked here too, because the later report counts.
    ///
    /// # Panics
    ///
    /// If the [name](HealthCheck::name) or the `Debug` text of the check panics. Neither is asked for again.
    #[doc(alias = "check", alias = "health_checks")]
    pub fn health_check(mut self, check: impl HealthCheck, settings: CheckSettings) -> Self {
        let check = DescribedCheck::beside(&self.checks, check, settings);
        self.checks.push(check);
        self
    }

    /// Sets whether a server is [ready](crate::Handle::readiness) only while a backend of this upstream could be picked. Default:
    /// no, because a server without backends may still be the best one that clients can reach: if replicas lose the same
    /// backends, none of them is ready. Not for [fixed](Self::fixed) upstreams.
    ///
    /// Failures that eject every backend make the server not ready until the first ejection ends; a backend that is the only
    /// one is never ejected for them. Active [checks](Self::health_check) are more reliable.
    pub fn essential(mut self, essential: bool) -> Self {
        self.essential = essential;
        self
    }

    /// Sets a text that represents what a [reload](crate::Handle::reload) cannot compare by itself: the functions of
    /// [`Map`](lb_discovery::Map)s and the settings of sources that their
    /// [identities](lb_discovery::Source::identity) leave out.
    ///
    /// A reload keeps a running upstream as it is if the described one has an equal fingerprint, and all that can be
    /// compared is equal too: the name, the `Debug` text of the policy, the labels and identities of the sources in their
    /// order, and the other settings. If one of its sources fails at that moment, the described sources take over, so that
    /// they are asked at once. Default: none. Then the upstream of a reload is kept only if it is the running [`Upstream`]
    /// object itself.
    pub fn fingerprint(mut self, fingerprint: impl Into<Arc<str>>) -> Self {
        self.fingerprint = Some(fingerprint.into());
        self
    }

    /// Builds an upstream of `backends`, which is ready at once and never changes: it needs no server that follows it, so
    /// no proxy needs its handle. Sources and checks that were added before are not used. Costs no task.
    ///
    /// It is meant for a [route](crate::Listener::route) that learns the backends when the session arrives. The state of
    /// the backends (their failures, the connections that `max_conns` and `least_conn` count) lives as long as the
    /// upstream does. So an upstream that is built for one session lets that session try each backend once, as nginx does,
    /// and limits no other. An upstream that the embedder keeps, by its address for instance, counts all sessions that
    /// use it.
    ///
    /// # Errors
    ///
    /// [`BuildError::SendProxy`] for a header that is too long, [`BuildError::Zero`] for a queue without room,
    /// [`BuildError::Panicked`] if the policy panics while it is described or compiles.
    pub fn fixed(self, backends: &Snapshot) -> Result<Upstream, BuildError> {
        BuildError::catch("UpstreamBuilder::fixed", || self.try_fixed(backends))
    }

    fn try_fixed(mut self, backends: &Snapshot) -> Result<Upstream, BuildError> {
        self.sources.clear();
        self.checks.clear();
        let upstream = self.finish()?;
        let shared = upstream.shared();
        // Without a plan no server tries to follow it.
        shared.follower.try_lock().expect("new").take();
        named("Policy::compile", || upstream.start_fixed(backends));
        Ok(upstream)
    }

    /// Checks the description. Nothing is started before a proxy with this upstream is bound.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoSource`] without a source, [`BuildError::SendProxy`] for a header that is too long,
    /// [`BuildError::Zero`] for a queue without room, [`BuildError::HealthCheck`] for settings of a check that cannot work,
    /// [`BuildError::Panicked`] if the policy or a source panics while it is described.
    pub fn build(self) -> Result<Upstream, BuildError> {
        if self.sources.is_empty() {
            return Err(BuildError::NoSource {
                upstream: self.name,
            });
        }
        BuildError::catch("UpstreamBuilder::build", || self.finish())
    }

    fn finish(mut self) -> Result<Upstream, BuildError> {
        for check in &self.checks {
            let checked = check.settings.check();
            checked.map_err(|source| BuildError::HealthCheck {
                upstream: Arc::clone(&self.name),
                check: Arc::clone(&check.name),
                source,
            })?;
        }
        if self.queue.is_some_and(|queue| queue.capacity == 0) {
            let of = format!("upstream \"{}\"", self.name);
            return Err(BuildError::zero(of, "the capacity of the queue"));
        }
        if let Some(limits) = self.fail_limits {
            self.balancer.fail_limits = limits;
        }
        let initial = initial_health(&self.checks, self.balancer.initial_health);
        self.balancer.initial_health = initial;
        if let HeaderSetting::Own(Some(send)) = &self.header {
            let of = || format!("upstream \"{}\"", self.name);
            send.check(of)?;
        }
        let sources = self.sources.iter();
        let description = UpstreamDescription {
            name: Arc::clone(&self.name),
            policy: named("Policy", || PolicyDescription::new(&*self.policy)),
            balancer: self.balancer.clone(),
            sources: sources
                .map(|source| named("Source", || SourceDescription::new(&**source)))
                .collect(),
            discovery: self.discovery.clone(),
            queue: self.queue,
            on_loss: self.on_loss,
            header: self.header.clone(),
            hash_key: self.hash_key.clone(),
            checks: self.checks.clone(),
            essential: self.essential,
            fingerprint: self.fingerprint,
        };
        let (mut updater, balancer) = balancer(Arc::clone(&self.policy));
        updater.set_config(self.balancer.clone());
        let (driver, discovery) = named("Source", || Driver::new(self.sources, self.discovery));
        let plan = Plan {
            driver,
            discovery: discovery.clone(),
            policy: self.policy,
            balancer: self.balancer,
            checks: self.checks,
        };
        let own = Arc::new(Shared {
            name: self.name,
            description: Mutex::new(Arc::new(description)),
            balancer,
            clock: Clock::start(),
            discovery: RwLock::new(discovery),
            wait_queue: WaitQueue::new(self.queue),
            transitions: TransitionHistory::default(),
            events: EventSink::default(),
            after_ejection: AfterEjection::default(),
            drain: SessionDrain::new(self.on_loss),
            header: Setting::new(self.header),
            hash_key: Setting::new(self.hash_key),
            ready: watch::Sender::new(false),
            observers: ReadinessObservers::default(),
            checks: CheckList::default(),
            memberships: watch::Sender::new(0),
            membership: Mutex::new(Membership::new(updater)),
            follower: AsyncMutex::new(Some(plan)),
            plan: Mutex::new(None),
            planned: Notify::new(),
            panics: UpstreamPanics::default(),
            unpublished: Notify::new(),
            counters: OnceLock::new(),
        });
        let adopted_by = OnceLock::new();
        Ok(Upstream(Arc::new(PoolRef { own, adopted_by })))
    }
}
