//! The metrics of the whole server.

use std::fmt;

use super::families as f;
use super::writer::FamilyWriter;
use crate::close_reason::CloseReason;
use crate::metrics::Metrics;
use crate::server::{DescriptorBudget, Handle};

const NONE: [(&str, &str); 0] = [];

pub(super) fn write(to: &mut FamilyWriter<'_>, handle: &Handle) -> fmt::Result {
    let metrics = handle.metrics();
    to.gauges(&f::SERVER_READY, [(NONE, u64::from(handle.is_ready()))])?;
    write_counters(to, &metrics)?;
    write_descriptors(to, handle)?;
    let reloads = handle.reloads();
    to.counters(
        &f::SERVER_RELOADS,
        [
            ([("result", "applied")], reloads.applied),
            ([("result", "failed")], reloads.failed),
        ],
    )?;
    let workers = handle.worker_metrics();
    let numbers = || (0_u64..).map(|number| [("worker", number)]);
    to.counters(
        &f::WORKER_ACCEPTED,
        numbers().zip(workers.iter().map(|worker| worker.accepted)),
    )?;
    to.gauges(
        &f::WORKER_ACTIVE,
        numbers().zip(workers.iter().map(|worker| worker.active)),
    )
}

/// The lost lines of access events, of an embedder that writes some.
#[cfg(feature = "access-events")]
pub(super) fn write_lost(
    to: &mut FamilyWriter<'_>,
    events: Option<&crate::access_events::JsonEvents>,
) -> fmt::Result {
    let lost = events.map(|events| (NONE, events.lost()));
    to.counters(&f::ACCESS_EVENTS_LOST, lost)
}

fn write_counters(to: &mut FamilyWriter<'_>, metrics: &Metrics) -> fmt::Result {
    to.counters(&f::SERVER_ACCEPTED, [(NONE, metrics.accepted)])?;
    to.gauges(&f::SERVER_ACTIVE, [(NONE, metrics.active)])?;
    let reasons = CloseReason::ALL.iter();
    to.counters(
        &f::SERVER_ENDED,
        reasons.map(|&reason| ([("reason", reason.as_str())], metrics.ended_for(reason))),
    )?;
    to.counters(
        &f::SERVER_ACCEPT_ERRORS,
        [
            ([("reason", "connection")], metrics.accept_errors),
            ([("reason", "shortage")], metrics.accept_exhausted),
        ],
    )?;
    to.counters(&f::SERVER_ACCEPT_PAUSES, [(NONE, metrics.accept_pauses)])?;
    to.counters(&f::SERVER_ATTEMPTS, [(NONE, metrics.connect_attempts)])?;
    to.counters(
        &f::SERVER_FAILURES,
        [
            ([("reason", "failed")], metrics.connect_failures),
            ([("reason", "timeout")], metrics.connect_timeouts),
        ],
    )?;
    to.counters(&f::SERVER_SHORTAGES, [(NONE, metrics.connect_shortages)])?;
    to.counters(&f::SERVER_EJECTIONS, [(NONE, metrics.ejections)])?;
    to.counters(&f::SERVER_PANICS, [(NONE, metrics.panics)])?;
    to.counters(
        &f::SERVER_BYTES,
        [
            ([("direction", "to_backend")], metrics.bytes_to_backends),
            ([("direction", "to_client")], metrics.bytes_to_clients),
        ],
    )
}

fn write_descriptors(to: &mut FamilyWriter<'_>, handle: &Handle) -> fmt::Result {
    let budget = handle.descriptors();
    let limit = budget.limit.map(|limit| (NONE, limit));
    to.gauges(&f::SERVER_DESCRIPTOR_LIMIT, limit)?;
    let open = DescriptorBudget::open_descriptors().ok();
    to.gauges(&f::SERVER_DESCRIPTORS_IN_USE, open.map(|open| (NONE, open)))?;
    to.gauges(&f::SERVER_DESCRIPTORS_BESIDE, [(NONE, budget.in_use)])?;
    to.gauges(&f::SERVER_DESCRIPTORS_RESERVED, [(NONE, budget.reserve)])?;
    to.gauges(&f::SERVER_SESSION_BUDGET, [(NONE, budget.sessions)])?;
    let limit = handle.session_limit().map(|limit| (NONE, limit));
    to.gauges(&f::SERVER_SESSION_LIMIT, limit)
}
