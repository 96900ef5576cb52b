//! The loop of the controller.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lb_discovery::kubernetes::Cluster;
use lb_proxy::Handle;
use lb_proxy::lb_core::Snapshot;
use lb_proxy::reports::DrainReport;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::decide::{Decision, LastValid, decide};
use super::endpoints::backends;
use super::lease::{Leadership, lead};
use super::reports::want_reports;
use super::settle::Settling;
use super::shown::shown;
use super::stores::{StoreChanges, Stores, Watches};
use super::writer::Writes;
use crate::addresses::Mode;
use crate::config::Config;
use crate::metrics::ControllerMetrics;
use crate::plan::{Plan, Reach};
use crate::serve::{ApplyError, RunningProxy};
use crate::services::Feedback;

/// How long changes are gathered, from the first one on.
const GATHER: Duration = Duration::from_millis(50);

/// When addresses that cannot be listened on are tried again: an address may arrive at any time.
const RETRY: Duration = Duration::from_secs(2);

/// Follows a cluster, serves it, and reports in the objects' status.
pub struct Controller {
    config: Config,
    cluster: Cluster,
    watches: Watches,
    stores: Stores,
    last_valid: LastValid,
    proxy: RunningProxy,
    decision: Decision,
    feedback: Feedback,
    settling: Settling,
    leads: bool,
    /// Whether Services and EndpointSlices were listed.
    has_begun: bool,
    /// Whether a plan was made, which may have been an empty one.
    has_planned: bool,
    /// When to try again to listen.
    retry_at: Option<Instant>,
    /// How long the last reconciliation took: the next one waits at least twice as long.
    cost: Duration,
    writes: Writes,
    metrics: ControllerMetrics,
}

/// Why the controller cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The proxy cannot start.
    #[error("cannot start the proxy: {0}")]
    Proxy(#[from] ApplyError),
}

impl Controller {
    /// Starts the proxy, which listens nowhere yet, and begins to follow `cluster`. Needs the context of a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ControllerError`].
    pub async fn start(config: Config, cluster: Cluster) -> Result<Self, ControllerError> {
        let proxy =
            RunningProxy::start(config.workers, config.withdraw_delay, config.drain_timeout)
                .await?;
        let not_listed = "the objects of the cluster are not listed yet";
        proxy.handle().note_program(Some(not_listed.to_owned()));
        let metrics = ControllerMetrics::default();
        Ok(Self {
            watches: Watches::follow(&cluster, metrics.watches().clone()),
            cluster,
            config,
            proxy,
            stores: Stores::default(),
            last_valid: LastValid::default(),
            decision: Decision::default(),
            feedback: Feedback::default(),
            settling: Settling::default(),
            leads: false,
            has_begun: false,
            has_planned: false,
            retry_at: None,
            cost: Duration::ZERO,
            writes: Writes::new(metrics.clone()),
            metrics,
        })
    }

    /// The handle of the proxy, for metrics and status.
    pub const fn handle(&self) -> &Handle {
        self.proxy.handle()
    }

    /// What the controller counts.
    pub const fn metrics(&self) -> &ControllerMetrics {
        &self.metrics
    }

    /// Serves until `stop`, then releases the Lease and lets sessions end. `None` if the server ended before.
    pub async fn run(mut self, stop: CancellationToken) -> Option<DrainReport> {
        let mut tasks = JoinSet::new();
        let mut leadership = match self.config.lease.clone() {
            None => Leadership::alone(&self.metrics),
            Some(settings) => {
                let metrics = self.metrics.clone();
                let (leadership, election) = lead(&self.cluster, settings, stop.clone(), metrics);
                tasks.spawn(election);
                leadership
            }
        };
        let writer = self
            .writes
            .clone()
            .run(self.cluster.clone(), leadership.clone());
        // Dropping a set aborts its tasks.
        let mut writers = JoinSet::new();
        writers.spawn(writer);
        let mut gathered: Option<Instant> = None;
        loop {
            let due = gathered
                .into_iter()
                .chain(self.settling.next())
                .chain(self.retry_at)
                .min();
            self.has_begun = self.has_begun || self.watches.are_listed();
            let due = due.filter(|_| self.has_begun);
            let reconcile = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = reconcile => {
                    gathered = None;
                    let began = Instant::now();
                    self.reconcile(&leadership).await;
                    self.cost = began.elapsed();
                    self.metrics.reconciled(self.cost);
                }
                () = self.watches.next(&mut self.stores) => {}
                () = leadership.changed() => {}
            }
            if self.stores.has_changes() || leadership.remaining().is_some() != self.leads {
                let wait = GATHER.max(self.cost * 2);
                gathered.get_or_insert_with(|| Instant::now() + wait);
            }
        }
        writers.abort_all();
        let report = self.proxy.shutdown().await;
        while tasks.join_next().await.is_some() {}
        report
    }

    async fn reconcile(&mut self, leadership: &Leadership) {
        let now = Instant::now();
        let changes = self.stores.take_changes();
        let leads = leadership.remaining().is_some();
        let retries = self.retry_at.is_some_and(|at| at <= now);
        let mut affected = self.affected(&changes);
        let decides = changes.plan || retries || leads != self.leads;
        let known = self.feedback.backends.clone();
        if decides {
            self.leads = leads;
            let mode = if leads { Mode::Assign } else { Mode::Follow };
            let decision = decide(&self.stores, &self.config, &mut self.last_valid, mode);
            if decision.needs_nodes() {
                self.watches.follow_nodes();
            }
            affected.extend(changed_upstreams(&self.decision.plan, &decision.plan));
            let is_first = !std::mem::replace(&mut self.has_planned, true);
            let differs = decision.plan != self.decision.plan;
            self.decision = decision;
            if differs || retries || is_first {
                self.apply(now).await;
            }
        }
        self.update_backends(affected, now);
        self.metrics.know(self.stores.counts());
        let reports = decides || known != self.feedback.backends;
        if reports {
            self.metrics.serve(shown(&self.decision, &self.feedback));
        }
        if leads && reports {
            want_reports(
                &self.writes,
                &self.stores,
                &self.config,
                &self.decision,
                &self.last_valid,
                &self.feedback,
            );
        }
    }

    /// Serves the plan. What cannot be listened on is tried again later.
    async fn apply(&mut self, now: Instant) {
        let stores = &self.stores;
        let plan = &self.decision.plan;
        let applied = self.proxy.apply(plan, |upstream| {
            backends(stores, &upstream.backends).unwrap_or_default()
        });
        match applied.await {
            Ok(problems) => {
                for (addr, problem) in &problems {
                    if self.feedback.listening.get(addr) != Some(problem) {
                        warn!(listener = %addr, %problem, "Not listening");
                    }
                }
                self.retry_at = (!problems.is_empty()).then(|| now + RETRY);
                let unserved = unserved(plan, problems.len());
                self.proxy.handle().note_program(unserved);
                self.feedback.listening = problems;
            }
            Err(error) => {
                error!(%error, "Plan not applied");
                self.metrics.plan_failed();
                self.retry_at = Some(now + RETRY);
            }
        }
        let names = plan.upstreams();
        self.settling.retain(|name| names.contains_key(name));
        self.feedback
            .backends
            .retain(|name, _| names.contains_key(name));
    }

    /// The upstreams whose backends may have changed.
    fn affected(&self, changes: &StoreChanges) -> BTreeSet<Arc<str>> {
        let upstreams = self.decision.plan.upstreams().iter();
        let affected = upstreams.filter(|(_, upstream)| {
            let backends = &upstream.backends;
            let service = backends.service.to_string();
            changes.endpoints.contains(&service)
                || (changes.nodes && backends.reach == Reach::Nodes)
        });
        let affected = affected.map(|(name, _)| name);
        affected.chain(self.settling.names()).cloned().collect()
    }

    fn update_backends(&mut self, affected: BTreeSet<Arc<str>>, now: Instant) {
        for name in affected {
            let Some(upstream) = self.decision.plan.upstreams().get(&name) else {
                continue;
            };
            let reason = match backends(&self.stores, &upstream.backends) {
                Ok(snapshot) => {
                    self.settling.found(&name);
                    self.feedback.backends.remove(&name);
                    self.proxy.set_backends(&name, snapshot);
                    continue;
                }
                Err(reason) => reason,
            };
            let has_backends = self
                .proxy
                .backends(&name)
                .is_some_and(|set| !set.is_empty());
            if has_backends && self.settling.keeps(&name, now) {
                continue;
            }
            self.settling.found(&name);
            self.proxy.set_backends(&name, Snapshot::default());
            if self.feedback.backends.get(&name) != Some(&reason) {
                warn!(upstream = %name, %reason, "No backends");
            }
            self.feedback.backends.insert(name, reason);
        }
    }
}

/// Why the process should get no connections although it serves `plan`, of which the machine cannot listen on `refused` addresses.
fn unserved(plan: &Plan, refused: usize) -> Option<String> {
    let planned = plan.listeners().len();
    (planned > 0 && refused == planned)
        .then(|| format!("none of {planned} addresses and ports can be listened on"))
}

/// The upstreams that are new or have other backends.
fn changed_upstreams(old: &Plan, new: &Plan) -> Vec<Arc<str>> {
    let new = new.upstreams().iter();
    let changed = new.filter(|(name, upstream)| {
        let old = old.upstreams().get(*name);
        old.is_none_or(|old| old.backends != upstream.backends)
    });
    changed.map(|(name, _)| Arc::clone(name)).collect()
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
