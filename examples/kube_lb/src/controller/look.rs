//! Deciding once, for the commands that only show.

use std::time::Duration;

use lb_discovery::kubernetes::Cluster;
use tokio::time::timeout;

use super::decide::{Decision, LastValid, decide};
use super::stores::{Stores, Watches};
use crate::addresses::Mode;
use crate::config::Config;

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

/// Lists the objects of the cluster once, and decides as the leading replica would. Writes nothing and listens nowhere.
///
/// # Errors
///
/// [`LookError`].
pub async fn look(
    cluster: &Cluster,
    config: &Config,
    limit: Duration,
) -> Result<(Stores, Decision), LookError> {
    let looked = timeout(limit, async {
        let mut stores = Stores::default();
        let mut watches = Watches::follow(cluster);
        list(&mut watches, &mut stores).await?;
        let mut decision = decide(&stores, config, &mut LastValid::default(), Mode::Assign);
        if decision.needs_nodes() {
            watches.follow_nodes();
            list(&mut watches, &mut stores).await?;
            decision = decide(&stores, config, &mut LastValid::default(), Mode::Assign);
        }
        Ok((stores, decision))
    });
    looked.await.unwrap_or(Err(LookError::Slow(limit)))
}

async fn list(watches: &mut Watches, stores: &mut Stores) -> Result<(), LookError> {
    while !watches.are_listed() {
        watches.next(stores).await;
        if let Some((_, problem)) = watches.failing().next() {
            return Err(LookError::Failed(problem.clone()));
        }
    }
    Ok(())
}
