//! The loop of the controller.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use lb_proxy::Handle;
use lb_proxy::reports::DrainReport;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::clusters::{ClusterReport, Clusters, Connect};
use super::decide::{Decision, LastValid};
use super::lease::{Leadership, lead};
use super::settle::Settling;
use super::writer::Writes;
use crate::config::Config;
use crate::log_limit::FailureLog;
use crate::metrics::ControllerMetrics;
use crate::serve::{ApplyError, RunningProxy};
use crate::services::Feedback;
use crate::state::{SavedClusters, StateSaver, restore};

/// How long changes are gathered, from the first one on.
const GATHER: Duration = Duration::from_millis(50);

/// How long the start waits for other clusters than the primary one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Follows clusters, serves them, and reports in the objects' status.
pub struct Controller {
    pub(super) config: Config,
    /// New settings.
    settings: mpsc::Receiver<Config>,
    settings_sender: mpsc::Sender<Config>,
    pub(super) clusters: Clusters,
    saver: Option<StateSaver>,
    pub(super) last_valid: LastValid,
    pub(super) proxy: RunningProxy,
    pub(super) decision: Decision,
    pub(super) feedback: Feedback,
    pub(super) settling: Settling,
    pub(super) leads: bool,
    /// Whether enough is known to serve.
    has_begun: bool,
    /// Whether everything counts as changed, after a change of the settings.
    pub(super) all_changed: bool,
    /// Whether the last plan could not be applied, or there was none yet, not even an empty one.
    pub(super) is_unapplied: bool,
    /// Limits the lines about plans that cannot be applied.
    pub(super) plan_failures: FailureLog,
    /// When to try again to listen.
    pub(super) retry_at: Option<Instant>,
    /// How long the last reconciliation took: the next one waits at least twice as long.
    cost: Duration,
    pub(super) writes: Writes,
    pub(super) metrics: ControllerMetrics,
}

/// Why the controller cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The proxy cannot start.
    #[error("cannot start the proxy: {0}")]
    Proxy(#[from] ApplyError),
}

impl Controller {
    /// Starts the proxy, which listens nowhere yet, and begins to follow the clusters, which `connect` reaches. Needs the context of a
    /// Tokio runtime. Reads the state file, which blocks.
    ///
    /// # Errors
    ///
    /// [`ControllerError`].
    pub async fn start(config: Config, connect: Connect) -> Result<Self, ControllerError> {
        let mut proxy =
            RunningProxy::start(config.workers, config.withdraw_delay, config.drain_timeout)
                .await?;
        let not_listed = "the objects of the cluster are not listed yet";
        proxy.handle().note_program(Some(not_listed.to_owned()));
        let metrics = ControllerMetrics::default();
        let saved = config.state.as_ref();
        let saved = saved.and_then(|state| restore(state, SystemTime::now()));
        let saved = saved.unwrap_or_default();
        proxy.begin_with(saved.faults);
        let (settings_sender, settings) = mpsc::channel(1);
        let health = metrics.watches().clone();
        let saver = config.state.clone();
        let saver = saver.map(|state| StateSaver::new(state, proxy.handle().clone()));
        Ok(Self {
            clusters: Clusters::follow(&config.clusters, connect, saved.clusters, health),
            saver,
            config,
            settings,
            settings_sender,
            proxy,
            last_valid: LastValid::default(),
            decision: Decision::default(),
            feedback: Feedback::default(),
            settling: Settling::default(),
            leads: false,
            has_begun: false,
            all_changed: false,
            is_unapplied: true,
            plan_failures: FailureLog::default(),
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

    /// Takes new settings while the controller runs. Those that only count at a start are logged and left as they are.
    pub fn settings(&self) -> mpsc::Sender<Config> {
        self.settings_sender.clone()
    }

    /// What is known of each cluster, the primary one first.
    pub fn clusters(&self) -> Vec<ClusterReport> {
        self.clusters.reports()
    }

    /// Serves until `stop`, then releases the Lease and lets sessions end. `None` if the server ended before.
    pub async fn run(mut self, stop: CancellationToken) -> Option<DrainReport> {
        let mut tasks = JoinSet::new();
        let primary = self.clusters.connect_primary();
        let mut leadership = match self.config.lease.clone() {
            None => Leadership::alone(&self.metrics),
            Some(settings) => {
                let metrics = self.metrics.clone();
                let (leadership, election) = lead(&primary, settings, stop.clone(), metrics);
                tasks.spawn(election);
                leadership
            }
        };
        let writer = self.writes.clone().run(primary, leadership.clone());
        // Dropping a set aborts its tasks.
        let mut writers = JoinSet::new();
        writers.spawn(writer);
        let mut gathered: Option<Instant> = None;
        // The primary cluster is waited for, the others are not for long.
        let mut patience: Option<Instant> = None;
        loop {
            self.metrics.follow(self.clusters.knowledge());
            if self.must_reconcile(&leadership) {
                let wait = GATHER.max(self.cost * 2);
                gathered.get_or_insert_with(|| Instant::now() + wait);
            }
            if !self.has_begun {
                if self.clusters.is_primary_listed() && patience.is_none() {
                    patience = Some(Instant::now() + PATIENCE);
                }
                let is_over = patience.is_some_and(|at| at <= Instant::now());
                self.has_begun = self.clusters.are_known() || is_over;
            }
            let due = match self.has_begun {
                true => self.next_reconciliation(gathered),
                false => None,
            };
            let waking = due.into_iter().chain(patience.filter(|_| !self.has_begun));
            let waking = waking.chain(self.saver.as_ref().map(StateSaver::due));
            let waking = waking.chain(self.next_stale()).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until_or_never(waking) => {
                    let now = Instant::now();
                    if due.is_some_and(|due| due <= now) {
                        gathered = None;
                        self.reconcile(&leadership).await;
                        self.cost = now.elapsed();
                        self.metrics.reconciled(self.cost);
                    }
                    self.save(now);
                }
                Some(config) = self.settings.recv() => self.take_settings(config),
                () = self.clusters.next() => {}
                () = leadership.changed() => {}
            }
        }
        writers.abort_all();
        self.proxy.begin_shutdown();
        let known = self.known();
        if let Some(saver) = self.saver.take() {
            saver.finish(known).await;
        }
        let report = self.end().await;
        while tasks.join_next().await.is_some() {}
        report
    }

    /// Follows the endpoints while connections are still accepted and sessions end. The plan stays as it is.
    async fn end(&mut self) -> Option<DrainReport> {
        let mut gathered: Option<Instant> = None;
        loop {
            if self.clusters.has_changes() {
                gathered.get_or_insert_with(|| Instant::now() + GATHER);
            }
            let due = gathered.into_iter().chain(self.settling.next()).min();
            tokio::select! {
                report = self.proxy.ended() => return report,
                () = sleep_until_or_never(due) => {
                    gathered = None;
                    self.follow_endpoints(Instant::now());
                }
                () = self.clusters.next() => {}
            }
        }
    }

    fn next_reconciliation(&self, gathered: Option<Instant>) -> Option<Instant> {
        let due = gathered.into_iter().chain(self.settling.next());
        due.chain(self.retry_at).min()
    }

    fn next_stale(&self) -> Option<Instant> {
        let after = self.config.stale_after;
        let left = self.clusters.next_stale(after, SystemTime::now())?;
        Some(Instant::now() + left)
    }

    fn must_reconcile(&self, leadership: &Leadership) -> bool {
        self.clusters.has_changes()
            || self.all_changed
            || self.may_write(leadership) != self.leads
            || self.stale() != self.feedback.clusters
    }

    pub(super) fn stale(&self) -> BTreeMap<String, Option<String>> {
        self.clusters
            .stale(self.config.stale_after, SystemTime::now())
    }

    /// Whether this replica leads, and knows the primary cluster from its API server rather than from a file.
    pub(super) fn may_write(&self, leadership: &Leadership) -> bool {
        leadership.remaining().is_some() && self.clusters.is_primary_listed()
    }

    fn take_settings(&mut self, new: Config) {
        let fixed = self.config.fixed_differences(&new);
        if !fixed.is_empty() {
            warn!(settings = %fixed.join(", "), "Settings count at the next start");
        }
        self.config = new.with_fixed_of(&self.config);
        self.clusters.change_places(&self.config.clusters);
        self.all_changed = true;
        info!("Settings changed");
    }

    /// Writes the state file, if that is due.
    fn save(&mut self, now: Instant) {
        if self.saver.as_ref().is_some_and(|saver| saver.due() <= now) {
            let known = self.known();
            if let Some(saver) = &mut self.saver {
                saver.save(known);
            }
        }
    }

    fn known(&self) -> Option<SavedClusters> {
        self.saver.as_ref()?;
        self.clusters.save(SystemTime::now())
    }
}

async fn sleep_until_or_never(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
