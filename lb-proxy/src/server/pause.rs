//! A pause: the server keeps its sockets open, accepts nothing, and drains, until it resumes or shuts down.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use super::proxy::ShutdownConfig;
use super::server_state::ServerState;
use crate::state::worker::{COHORTS, Worker};

/// Ends the accept loops and begins the drain. Returns whether the server accepted before.
pub(super) fn pause(server: &ServerState) -> bool {
    let mut active = server.active();
    let workers = server.context.workers.clone();
    let drained = drain(workers, active.shutdown.clone());
    let paused = active.pause(|| server.context.runtime.spawn(drained).abort_handle());
    if paused {
        server.context.trackers.readiness.changed();
        info!("Stopped accepting, draining");
    }
    paused
}

/// Ends the drain and starts the accept loops. Returns whether there was a pause.
pub(super) fn resume(server: &ServerState) -> bool {
    let mut active = server.active();
    let workers = &server.context.workers;
    // Before new sessions take a token.
    let resumed = active.resume(workers, || {
        workers.iter().for_each(|worker| worker.renew_cohorts());
    });
    if resumed {
        server.context.trackers.readiness.changed();
        info!("Accepting again");
    }
    resumed
}

/// Resets the sessions that outlast the drain timeout.
async fn drain(workers: Vec<Arc<Worker>>, config: ShutdownConfig) {
    if let Some(timeout) = config.drain_timeout {
        sleep(timeout).await;
        reset_cohorts(&workers, config.close_spread).await;
    }
}

/// Resets one cohort of sessions after the other, over the time `spread`.
pub(super) async fn reset_cohorts(workers: &[Arc<Worker>], spread: Duration) {
    each_cohort(workers, spread / COHORTS as u32, Worker::cut_off_cohort).await;
}

/// Calls `act` for one cohort of sessions of all workers after the other, with `pause` behind each.
pub(super) async fn each_cohort(workers: &[Arc<Worker>], pause: Duration, act: fn(&Worker, usize)) {
    for number in 0..COHORTS {
        for worker in workers {
            act(worker, number);
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}
