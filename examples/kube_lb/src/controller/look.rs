//! Deciding once, for the commands that only show.

use std::fmt;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::clusters::{ClusterReport, Clusters, Connect};
use super::decide::{Decision, LastValid, decide};
use super::stores::Stores;
use crate::addresses::Mode;
use crate::config::Config;
use crate::state::restore;
use crate::watch_health::WatchHealth;

/// Why the cluster cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// A request failed.
    #[error("{0}")]
    Failed(String),
    /// The objects were not listed in time.
    #[error("the API server did not list the objects within {0:?}")]
    Slow(Duration),
}

/// What was seen.
#[derive(Debug)]
pub struct Look {
    /// The clusters.
    pub clusters: Clusters,
    /// What the leading replica would serve.
    pub decision: Decision,
    /// The settings of the objects.
    pub last_valid: LastValid,
    /// The kinds of the primary cluster that may not be read, with what the server says: nothing of them is known.
    pub unread: Vec<(&'static str, String)>,
}

/// Lists the objects of the clusters once, and decides as the leading replica would. Writes nothing and listens nowhere.
///
/// Clusters that do not answer count as the state file knows them, if there is one.
///
/// # Errors
///
/// [`LookError`]: the primary cluster does not answer, and no state file knows it.
pub async fn look(config: &Config, connect: Connect, limit: Duration) -> Result<Look, LookError> {
    let saved = config.state.as_ref();
    let saved = saved.and_then(|state| restore(state, SystemTime::now()));
    let saved = saved.unwrap_or_default().clusters;
    let health = WatchHealth::default();
    let mut clusters = Clusters::follow(&config.clusters, connect, saved, health);
    let decide_now = |clusters: &Clusters| {
        let stores = clusters.primary();
        // Nothing new is assigned from old objects.
        let mode = match clusters.is_primary_listed() {
            true => Mode::Assign,
            false => Mode::Follow,
        };
        let mut last_valid = LastValid::default();
        let decision = decide(stores, config, &mut last_valid, mode);
        (decision, last_valid)
    };
    let looked = timeout(limit, async {
        list(&mut clusters).await?;
        let mut decided = decide_now(&clusters);
        if decided.0.needs_nodes() {
            clusters.follow_nodes();
            list(&mut clusters).await?;
            decided = decide_now(&clusters);
        }
        Ok(decided)
    });
    let (decision, last_valid) = looked.await.unwrap_or(Err(LookError::Slow(limit)))?;
    Ok(Look {
        unread: clusters.unread(),
        clusters,
        decision,
        last_valid,
    })
}

/// Waits until each cluster is listed or fails.
async fn list(clusters: &mut Clusters) -> Result<(), LookError> {
    while !clusters.are_listed_or_failing() {
        clusters.next().await;
    }
    if let Some(problem) = clusters.primary_problem() {
        return Err(LookError::Failed(problem));
    }
    Ok(())
}

/// The clusters, if there are several or what is known is old, then the decision.
impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = SystemTime::now();
        for line in describe(&self.clusters.reports(), now) {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}", self.decision)?;
        for (kind, problem) in &self.unread {
            writeln!(f, "problem: {kind} may not be read: {problem}")?;
        }
        Ok(())
    }
}

impl Look {
    /// The objects of the primary cluster.
    pub fn stores(&self) -> &Stores {
        self.clusters.primary()
    }

    /// Lines about the clusters, if there are several or what is known is old.
    pub fn about_clusters(&self) -> Vec<String> {
        describe(&self.clusters.reports(), SystemTime::now())
    }
}

fn describe(reports: &[ClusterReport], now: SystemTime) -> Vec<String> {
    let is_plain = reports.len() == 1 && reports[0].problem.is_none();
    let reports = reports.iter().enumerate().filter(|_| !is_plain);
    let lines = reports.map(|(number, report)| {
        let ClusterReport {
            name,
            knowledge,
            problem,
        } = report;
        let space = if name.is_empty() { "" } else { " " };
        let role = if number == 0 { " (primary)" } else { "" };
        let problem = problem.iter().map(|problem| format!(": {problem}"));
        format!(
            "cluster{space}{name}{role}: {}{}",
            knowledge.describe_age(now),
            problem.collect::<String>()
        )
    });
    lines.collect()
}
