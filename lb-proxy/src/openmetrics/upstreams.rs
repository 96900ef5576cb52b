//! The metrics of each upstream.

use std::fmt;

use lb_core::Health;

use super::families as f;
use super::view::UpstreamView;
use super::writer::FamilyWriter;
use crate::metrics::UpstreamMetrics;
use crate::no_backend_cause::NoBackendCause;

/// An f64, in which Prometheus keeps values, has 53 bits for a whole number.
const DIGEST_BITS: u64 = (1 << 52) - 1;

pub(super) fn write(
    to: &mut FamilyWriter<'_>,
    counted: &[UpstreamMetrics],
    views: &[UpstreamView],
) -> fmt::Result {
    write_sessions(to, counted)?;
    write_times(to, counted)?;
    write_views(to, views)
}

fn write_sessions(to: &mut FamilyWriter<'_>, counted: &[UpstreamMetrics]) -> fmt::Result {
    let all = || {
        counted
            .iter()
            .map(|one| ([("upstream", &*one.upstream)], one))
    };
    to.counters(
        &f::UPSTREAM_SESSIONS,
        all().map(|(labels, one)| (labels, one.sessions)),
    )?;
    to.gauges(
        &f::UPSTREAM_ACTIVE,
        all().map(|(labels, one)| (labels, one.active)),
    )?;
    to.counters(
        &f::UPSTREAM_ENDED,
        all().flat_map(|([name], one)| {
            let ended = one.ended.iter();
            ended.map(move |(reason, n)| ([name, ("reason", reason.as_str())], n))
        }),
    )?;
    to.counters(
        &f::UPSTREAM_NO_BACKEND,
        all().flat_map(|([name], one)| {
            let causes = one.no_backend.iter();
            // Sessions that leave the queue without a backend end for reasons of their own.
            let causes = causes.filter(|(cause, _)| *cause != NoBackendCause::Queue);
            causes.map(move |(cause, n)| ([name, ("cause", cause.as_str())], n))
        }),
    )?;
    to.counters(
        &f::UPSTREAM_ATTEMPTS,
        all().flat_map(|([name], one)| {
            let attempts = one.attempts.iter();
            attempts.map(|(outcome, n)| ([name, ("outcome", outcome)], n))
        }),
    )?;
    to.counters(
        &f::UPSTREAM_RETRIES,
        all().map(|(labels, one)| (labels, one.retries)),
    )?;
    to.counters(
        &f::UPSTREAM_BYTES,
        all().flat_map(|([name], one)| {
            let traffic = one.traffic.iter();
            traffic.map(|(direction, n)| ([name, ("direction", direction)], n))
        }),
    )?;
    to.counters(
        &f::UPSTREAM_EJECTIONS,
        all().map(|(labels, one)| (labels, one.ejections)),
    )?;
    to.counters(
        &f::UPSTREAM_FORGIVEN,
        all().map(|(labels, one)| (labels, one.forgiven)),
    )?;
    to.counters(
        &f::UPSTREAM_HEALTH_CHANGES,
        all().flat_map(|([name], one)| {
            let changes = [("healthy", one.recoveries), ("unhealthy", one.losses)];
            changes.map(|(now, n)| ([name, ("to", now)], n))
        }),
    )
}

fn write_times(to: &mut FamilyWriter<'_>, counted: &[UpstreamMetrics]) -> fmt::Result {
    let all = || {
        counted
            .iter()
            .map(|one| ([("upstream", &*one.upstream)], one))
    };
    to.histograms(
        &f::UPSTREAM_CONNECT_TIME,
        all().map(|(labels, one)| (labels, &one.connect_time)),
    )?;
    to.histograms(
        &f::UPSTREAM_SESSION_LENGTH,
        all().map(|(labels, one)| (labels, &one.session_length)),
    )?;
    to.histograms(
        &f::UPSTREAM_QUEUE_WAIT,
        all().map(|(labels, one)| (labels, &one.queue_wait)),
    )
}

fn write_views(to: &mut FamilyWriter<'_>, views: &[UpstreamView]) -> fmt::Result {
    let all = || views.iter().map(|view| (("upstream", &*view.name), view));
    to.gauges(
        &f::UPSTREAM_INFO,
        all().map(|(name, view)| ([name, ("policy", view.policy)], 1_u32)),
    )?;
    to.gauges(
        &f::UPSTREAM_QUEUED,
        all().map(|(name, view)| ([name], view.queued)),
    )?;
    let queues = all().filter(|(_, view)| view.queue_capacity > 0);
    to.gauges(
        &f::UPSTREAM_QUEUE_CAPACITY,
        queues.map(|(name, view)| ([name], view.queue_capacity)),
    )?;
    to.gauges(
        &f::UPSTREAM_PANIC,
        all().map(|(name, view)| ([name], u64::from(view.is_in_panic))),
    )?;
    to.counters(
        &f::UPSTREAM_PANICS,
        all().flat_map(|(name, view)| {
            let panics = [("check", view.check_panics), ("policy", view.policy_panics)];
            panics.map(|(code, n)| ([name, ("code", code)], n))
        }),
    )?;
    to.gauges(
        &f::UPSTREAM_OUTDATED,
        all().map(|(name, view)| ([name], u64::from(view.is_outdated))),
    )?;
    to.gauges(
        &f::UPSTREAM_BACKENDS,
        all().flat_map(|(name, view)| {
            backends_by_state(view).map(|(state, n)| ([name, ("state", state)], n))
        }),
    )?;
    to.gauges(
        &f::UPSTREAM_SET_DIGEST,
        all().map(|(name, view)| ([name], view.set.digest() & DIGEST_BITS)),
    )?;
    let tables = all().flat_map(|(name, view)| {
        let tables = view.tables.iter();
        tables.map(move |(priority, digest)| {
            let priority = priority.get().to_string();
            (
                [(name.0, name.1.to_owned()), ("priority", priority)],
                digest & DIGEST_BITS,
            )
        })
    });
    to.gauges(&f::UPSTREAM_TABLE_DIGEST, tables)
}

fn backends_by_state(view: &UpstreamView) -> [(&'static str, u64); 5] {
    let [
        mut draining,
        mut unhealthy,
        mut unchecked,
        mut ejected,
        mut ready,
    ] = [0; 5];
    for status in view.set.status(view.now) {
        let state = match () {
            () if !status.backend.takes_connections() => &mut draining,
            () if status.health == Health::Unhealthy => &mut unhealthy,
            () if status.health == Health::Unchecked => &mut unchecked,
            () if status.ejected_until.is_some() => &mut ejected,
            () => &mut ready,
        };
        *state += 1;
    }
    [
        ("draining", draining),
        ("ejected", ejected),
        ("ready", ready),
        ("unchecked", unchecked),
        ("unhealthy", unhealthy),
    ]
}
