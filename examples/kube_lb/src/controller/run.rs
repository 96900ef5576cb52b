//! The loop of the controller.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb_proxy::Handle;
use lb_proxy::lb_core::Snapshot;
use lb_proxy::reports::DrainReport;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::clusters::{ClusterReport, Clusters, Connect};
use super::decide::{Decision, LastValid, decide};
use super::lease::{Leadership, lead};
use super::reports::want_reports;
use super::settle::Settling;
use super::shown::shown;
use super::stores::StoreChanges;
use super::writer::Writes;
use crate::addresses::Mode;
use crate::clusters::{JoinedSet, join};
use crate::config::Config;
use crate::metrics::ControllerMetrics;
use crate::plan::{Plan, Reach};
use crate::serve::{ApplyError, RunningProxy};
use crate::services::Feedback;
use crate::state::{SavedClusters, StateSaver, restore};

/// How long changes are gathered, from the first one on.
const GATHER: Duration = Duration::from_millis(50);

/// When addresses that cannot be listened on are tried again: an address may arrive at any time.
const RETRY: Duration = Duration::from_secs(2);

/// How long the start waits for other clusters than the primary one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Follows clusters, serves them, and reports in the objects' status.
pub struct Controller {
    config: Config,
    /// New settings.
    settings: mpsc::Receiver<Config>,
    settings_sender: mpsc::Sender<Config>,
    clusters: Clusters,
    saver: Option<StateSaver>,
    last_valid: LastValid,
    proxy: RunningProxy,
    decision: Decision,
    feedback: Feedback,
    settling: Settling,
    leads: bool,
    /// Whether enough is known to serve.
    has_begun: bool,
    /// Whether everything counts as changed, after a change of the settings.
    all_changed: bool,
    /// Whether the last plan could not be applied, or there was none yet, not even an empty one.
    is_unapplied: bool,
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
    /// Starts the proxy, which listens nowhere yet, and begins to follow the clusters, which `connect` reaches. Needs the context of a
    /// Tokio runtime. Reads the state file, which blocks.
    ///
    /// # Errors
    ///
    /// [`ControllerError`].
    pub async fn start(config: Config, connect: Connect) -> Result<Self, ControllerError> {
        let proxy =
            RunningProxy::start(config.workers, config.withdraw_delay, config.drain_timeout)
                .await?;
        let not_listed = "the objects of the cluster are not listed yet";
        proxy.handle().note_program(Some(not_listed.to_owned()));
        let metrics = ControllerMetrics::default();
        let saved = config.state.as_ref();
        let saved = saved.and_then(|state| restore(state, SystemTime::now()));
        let (settings_sender, settings) = mpsc::channel(1);
        let health = metrics.watches().clone();
        let saved = saved.unwrap_or_default();
        Ok(Self {
            clusters: Clusters::follow(&config.clusters, connect, saved, health),
            saver: config.state.clone().map(StateSaver::new),
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
            let wake = async {
                match waking {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = wake => {
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
        let known = self.known();
        if let Some(saver) = self.saver.take() {
            saver.finish(known).await;
        }
        let report = self.proxy.shutdown().await;
        while tasks.join_next().await.is_some() {}
        report
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

    fn stale(&self) -> BTreeMap<String, Option<String>> {
        self.clusters
            .stale(self.config.stale_after, SystemTime::now())
    }

    /// Whether this replica leads, and knows the primary cluster from its API server rather than from a file.
    fn may_write(&self, leadership: &Leadership) -> bool {
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

    async fn reconcile(&mut self, leadership: &Leadership) {
        let now = Instant::now();
        let changes = self.clusters.take_changes();
        let leads = self.may_write(leadership);
        let all_changed = std::mem::take(&mut self.all_changed);
        let mut affected = self.affected(&changes, all_changed);
        let decides = changes.plan || all_changed || leads != self.leads;
        let mut has_news = false;
        if decides {
            self.leads = leads;
            let mode = if leads { Mode::Assign } else { Mode::Follow };
            let stores = self.clusters.primary();
            let decision = decide(stores, &self.config, &mut self.last_valid, mode);
            if decision.needs_nodes() {
                self.clusters.follow_nodes();
            }
            affected.extend(changed_upstreams(&self.decision.plan, &decision.plan));
            let differs = decision.plan != self.decision.plan;
            self.decision = decision;
            has_news |= differs || self.is_unapplied;
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = Some(now + RETRY);
            has_news |= self.is_unapplied || self.proxy.has_news();
        }
        if has_news {
            has_news = self.apply(now).await;
        }
        has_news |= self.update_backends(affected, now);
        let stale = self.stale();
        has_news |= stale != self.feedback.clusters;
        self.feedback.clusters = stale;
        let stores = self.clusters.primary();
        self.metrics.know(stores.counts());
        let reports = decides || has_news;
        if reports {
            self.metrics.serve(shown(&self.decision, &self.feedback));
        }
        if leads && reports {
            want_reports(
                &self.writes,
                stores,
                &self.config,
                &self.decision,
                &self.last_valid,
                &self.feedback,
            );
        }
    }

    /// Serves the plan. What cannot be listened on is tried again later. Returns whether there is something to report.
    async fn apply(&mut self, now: Instant) -> bool {
        let plan = &self.decision.plan;
        let clusters = &self.clusters;
        let applied = self.proxy.apply(plan, |upstream| {
            join(clusters.sets(&upstream.backends))
                .set
                .unwrap_or_default()
        });
        let applied = applied.await;
        self.is_unapplied = applied.is_err();
        let mut has_news = false;
        match applied {
            Ok(problems) => {
                for (addr, problem) in &problems {
                    if self.feedback.listening.get(addr) != Some(problem) {
                        warn!(listener = %addr, %problem, "Not listening");
                    }
                }
                has_news = problems != self.feedback.listening;
                self.retry_at = self.proxy.must_try_again().then(|| now + RETRY);
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
        let Feedback {
            backends,
            in_clusters,
            ..
        } = &mut self.feedback;
        backends.retain(|name, _| names.contains_key(name));
        in_clusters.retain(|name, _| names.contains_key(name));
        has_news
    }

    /// The upstreams whose backends may have changed.
    fn affected(&self, changes: &StoreChanges, all: bool) -> BTreeSet<Arc<str>> {
        let upstreams = self.decision.plan.upstreams().iter();
        let affected = upstreams.filter(|(_, upstream)| {
            let backends = &upstream.backends;
            let service = backends.service.to_string();
            all || changes.endpoints.contains(&service)
                || (changes.nodes && backends.reach == Reach::Nodes)
        });
        let affected = affected.map(|(name, _)| name);
        affected.chain(self.settling.names()).cloned().collect()
    }

    /// Returns whether there is something to report.
    fn update_backends(&mut self, affected: BTreeSet<Arc<str>>, now: Instant) -> bool {
        let mut has_news = false;
        for name in affected {
            let Some(upstream) = self.decision.plan.upstreams().get(&name) else {
                continue;
            };
            let sets = self.clusters.sets(&upstream.backends);
            let JoinedSet { set, problems } = join(self.settling.settle(&name, sets, now));
            has_news |= self.feedback.note_clusters(&name, problems);
            let set = match set {
                Ok(set) => {
                    has_news |= self.feedback.backends.remove(&name).is_some();
                    set
                }
                Err(reason) => {
                    if self.feedback.backends.get(&name) != Some(&reason) {
                        warn!(upstream = %name, %reason, "No backends");
                        has_news = true;
                        self.feedback.backends.insert(Arc::clone(&name), reason);
                    }
                    Snapshot::default()
                }
            };
            self.proxy.set_backends(&name, set);
        }
        has_news
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
