//! One pass from changed objects to what is served and reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::lb_core::Snapshot;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::decide::decide;
use super::lease::Leadership;
use super::reports::want_reports;
use super::run::Controller;
use super::shown::shown;
use super::stores::StoreChanges;
use crate::addresses::Mode;
use crate::clusters::{JoinedSet, join};
use crate::plan::{Plan, Reach};
use crate::services::Feedback;

/// When addresses that cannot be listened on are tried again: an address may arrive at any time.
const RETRY: Duration = Duration::from_secs(2);

/// The backends of upstreams, by name.
type BackendSets = BTreeMap<Arc<str>, Snapshot>;

impl Controller {
    pub(super) async fn reconcile(&mut self, leadership: &Leadership) {
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
        // Before the plan is applied: a new upstream begins with the set that is kept here, instead of a second one that is equal.
        let (sets, changes_reports) = self.read_backends(affected, now);
        if has_news {
            has_news = self.apply(&sets, now).await;
        }
        has_news |= changes_reports;
        self.set_backends(sets);
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

    /// Sets the backends that have changed, and nothing else.
    pub(super) fn follow_endpoints(&mut self, now: Instant) {
        let changes = self.clusters.take_changes();
        let affected = self.affected(&changes, false);
        let (sets, _) = self.read_backends(affected, now);
        self.set_backends(sets);
    }

    /// Serves the plan. What cannot be listened on is tried again later. Returns whether there is something to report.
    async fn apply(&mut self, sets: &BackendSets, now: Instant) -> bool {
        let plan = &self.decision.plan;
        let clusters = &self.clusters;
        let applied = self
            .proxy
            .apply(plan, |name, upstream| match sets.get(name) {
                Some(set) => set.clone(),
                None => join(clusters.sets(&upstream.backends))
                    .set
                    .unwrap_or_default(),
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
                if self.plan_failures.end() {
                    info!("Plan applied again");
                }
            }
            Err(error) => {
                let text = error.to_string();
                if let Some(suppressed) = self.plan_failures.admit(&text, now) {
                    error!(%error, suppressed, "Plan not applied");
                }
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

    /// The sets of the upstreams of these names, and whether there is something to report.
    fn read_backends(&mut self, affected: BTreeSet<Arc<str>>, now: Instant) -> (BackendSets, bool) {
        let mut read = BackendSets::new();
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
            read.insert(name, set);
        }
        (read, has_news)
    }

    fn set_backends(&self, sets: BackendSets) {
        for (name, set) in sets {
            self.proxy.set_backends(&name, set);
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
