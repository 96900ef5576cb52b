//! One probe, within its time.

use std::sync::Arc;

use lb_core::Backend;
use tokio::time::{Instant, timeout};

use super::list::RunningCheck;
use super::record::EndedProbe;
use crate::health::{CheckError, CheckReport, Probe, ReportedHealth};
use crate::proxy_protocol::Version;
use crate::upstream::Upstream;

/// Probes a backend once.
pub(super) async fn run_probe(
    upstream: Upstream,
    check: Arc<RunningCheck>,
    backend: Arc<Backend>,
    header: Option<Version>,
) -> EndedProbe {
    let begin = Instant::now();
    let limit = check.settings().timeout;
    let probe = Probe::new(&backend, &check.source, header);
    let result = timeout(limit, check.described.check.check(&probe)).await;
    let result = result.unwrap_or_else(|_| {
        let text = format!("no result within {limit:?}");
        match check.described.check.counts_timeouts() {
            true => Err(CheckError::Unexpected(text.into())),
            false => Ok(CheckReport::with_text(text).health(ReportedHealth::Unstated)),
        }
    });
    EndedProbe {
        result,
        at: upstream.now(),
        duration: begin.elapsed(),
    }
}
