//! The phases of a shutdown: leaving, draining, closing.

use std::time::Duration;

use futures::future::join;
use tokio::select;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::context::ServerContext;
use super::pause::reset_cohorts;
use super::phase::Phase;
use super::proxy::ShutdownConfig;
use super::report::DrainReport;
use super::server_state::ServerState;
use crate::embedder_code::catch_future;
use crate::metrics::Metrics;
use crate::or_never::or_never;
use crate::state::shutdown::ShutdownSignals;

/// Shuts a serving server down. See [`Server::run`](crate::Server::run).
pub(super) async fn run(server: &ServerState) -> DrainReport {
    let pre_stop = leave(server).await;
    let before = server.context.metrics();
    server.phase.send_replace(Phase::Draining);
    let config = server.active().end();
    let signals = &server.context.signals;
    signals.stop.cancel();
    signals.accepting.close();
    signals.accepting.wait().await;
    let report = drain(server, config, pre_stop, before).await;
    server.phase.send_replace(Phase::Ended);
    report
}

/// Keeps accepting for the pre-stop delay, and until the pre-stop hook completes. Returns how long that took.
async fn leave(server: &ServerState) -> Duration {
    let began = Instant::now();
    server.phase.send_replace(Phase::Leaving);
    let ShutdownConfig {
        pre_stop_delay,
        pre_stop_hook,
        ..
    } = server.active().shutdown.clone();
    if !pre_stop_delay.is_zero() || pre_stop_hook.is_some() {
        let hook = pre_stop_hook.is_some();
        info!(?pre_stop_delay, hook, "Pre-stop delay started");
        let hooked = async {
            if let Some(hook) = pre_stop_hook {
                // In a block, so that a panic of the function itself is caught as well. The shutdown goes on.
                let called = async { hook.call().await };
                if let Err(panicked) = catch_future(|| "Pre-stop hook", called).await {
                    server.context.trackers.note_panic(&panicked);
                }
            }
        };
        select! {
            _ = join(sleep(pre_stop_delay), hooked) => {}
            () = server.context.signals.stop.cancelled() => {}
        }
    }
    began.elapsed()
}

/// Waits for the sessions, then resets the remaining ones. The report covers the sessions that ended since `before`.
async fn drain(
    server: &ServerState,
    config: ShutdownConfig,
    pre_stop: Duration,
    before: Metrics,
) -> DrainReport {
    let begin = Instant::now();
    let context = &server.context;
    let ShutdownSignals { abort, working, .. } = &context.signals;
    // No session can start any more. Sessions that an abort has ended already belong to this drain as well, so that the
    // number is the sum of `aborted` and `completed` of the report.
    let ended_before = before.ended() - before.aborted;
    let sessions = context.metrics().accepted - ended_before;
    info!(sessions, "Draining");
    let too_long = or_never(config.drain_timeout.map(sleep));
    select! {
        biased;
        () = working.wait() => {}
        () = abort.cancelled() => {}
        () = too_long => {}
    }
    let draining = begin.elapsed();
    server.phase.send_replace(Phase::Closing);
    select! {
        biased;
        () = working.wait() => {}
        () = abort.cancelled() => {}
        () = reset_remaining(context, config.close_spread) => {}
    }
    abort.cancel();
    working.wait().await;
    let after = context.metrics();
    let cut_off = after.aborted - before.aborted;
    let elapsed = begin.elapsed();
    let report = DrainReport {
        // No other code cuts sessions off: earlier ones belong to an `abort` that has led here.
        aborted: after.aborted,
        completed: after.ended() - before.ended() - cut_off,
        elapsed,
        pre_stop,
        draining,
        closing: elapsed.saturating_sub(draining),
    };
    context.trackers.failures.flush();
    info!(report.aborted, report.completed, elapsed = ?report.elapsed, "Drained");
    report
}

/// Resets the sessions over the time `spread`. The abort that follows resets them at once.
async fn reset_remaining(context: &ServerContext, spread: Duration) {
    if !spread.is_zero() {
        reset_cohorts(&context.workers, spread).await;
    }
}
