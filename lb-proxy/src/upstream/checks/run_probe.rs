//! One probe, with its limit of time.

use std::sync::Arc;

use lb_core::Backend;
use tokio::time::{Instant, timeout};

use super::list::RunningCheck;
use super::record::EndedProbe;
use crate::embedder_code::catch_future;
use crate::health::{CheckError, CheckReport, Probe, Unmatched};
use crate::net::handshake::IdleSockets;
use crate::proxy_protocol::Version;
use crate::upstream::Upstream;

/// Probes a backend once.
pub(super) async fn run_probe(
    upstream: Upstream,
    check: Arc<RunningCheck>,
    backend: Arc<Backend>,
    header: Option<Version>,
    idle: IdleSockets,
) -> EndedProbe {
    let begin = Instant::now();
    let unmatched = Unmatched::default();
    let probe = Probe::new(&backend, &check.source, header, &idle, &unmatched);
    // After a panic only the check itself is used again, which its documentation says.
    let result = catch_future(
        || "HealthCheck::check",
        within_limit(&check, &probe, &unmatched),
    );
    let result = result.await.unwrap_or_else(|panicked| {
        upstream.note_panic_of_check(&check.described.name, &panicked);
        Err(CheckError::Unexpected("the check panicked".into()))
    });
    EndedProbe {
        result,
        at: upstream.now(),
        duration: begin.elapsed(),
    }
}

async fn within_limit(
    check: &RunningCheck,
    probe: &Probe<'_>,
    unmatched: &Unmatched,
) -> Result<CheckReport, CheckError> {
    let limit = check.settings().timeout;
    let check = &check.described.check;
    // In a block, so that a panic of a check that computes its future by hand is caught as well.
    let result = timeout(limit, async { check.check(probe).await }).await;
    result.unwrap_or_else(|_| {
        let text = match unmatched.error() {
            Some(error) => format!("{error}, and no other within {limit:?}"),
            None => format!("no result within {limit:?}"),
        };
        match check.counts_timeouts() {
            true => Err(CheckError::Unexpected(text.into())),
            false => Err(CheckError::Inconclusive(text.into())),
        }
    })
}
