//! Deciding once, for the commands that only show.

use std::fmt;
use std::time::Duration;

use lb_discovery::kubernetes::Cluster;
use tokio::time::timeout;

use super::decide::{Decision, LastValid, decide};
use super::stores::{SERVICES, Stores, Watches};
use crate::addresses::Mode;
use crate::config::Config;
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

/// The cluster at one moment.
#[derive(Debug)]
pub struct Look {
    /// Its objects.
    pub stores: Stores,
    /// What the leading replica would serve.
    pub decision: Decision,
    /// The settings of the objects.
    pub last_valid: LastValid,
    /// The kinds that may not be read, with what the server says: nothing of them is in the stores.
    pub unread: Vec<(&'static str, String)>,
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision)?;
        for (kind, problem) in &self.unread {
            writeln!(f, "problem: {kind} may not be read: {problem}")?;
        }
        Ok(())
    }
}

/// Lists the objects of the cluster once, and decides as the leading replica would. Writes nothing and listens nowhere.
///
/// # Errors
///
/// [`LookError`].
pub async fn look(cluster: &Cluster, config: &Config, limit: Duration) -> Result<Look, LookError> {
    let health = WatchHealth::default();
    let looked = timeout(limit, async {
        let mut stores = Stores::default();
        let mut watches = Watches::follow(cluster, health.clone());
        list(&mut watches, &mut stores).await?;
        let mut last_valid = LastValid::default();
        let mut decision = decide(&stores, config, &mut last_valid, Mode::Assign);
        if decision.needs_nodes() {
            watches.follow_nodes();
            list(&mut watches, &mut stores).await?;
            decision = decide(&stores, config, &mut last_valid, Mode::Assign);
        }
        Ok((stores, decision, last_valid))
    });
    let (stores, decision, last_valid) = looked.await.unwrap_or(Err(LookError::Slow(limit)))?;
    let kinds = health.kinds().into_iter();
    let denied = kinds.filter(|kind| kind.is_denied);
    let unread = denied.filter_map(|kind| Some((kind.kind, kind.problem?)));
    Ok(Look {
        stores,
        decision,
        last_valid,
        unread: unread.collect(),
    })
}

async fn list(watches: &mut Watches, stores: &mut Stores) -> Result<(), LookError> {
    while !watches.are_listed() {
        watches.next(stores).await;
        let kinds = watches.health().kinds().into_iter();
        let mut essential = kinds.filter(|kind| !kind.is_denied || kind.kind == SERVICES);
        if let Some(problem) = essential.find_map(|kind| kind.problem) {
            return Err(LookError::Failed(problem));
        }
    }
    Ok(())
}
