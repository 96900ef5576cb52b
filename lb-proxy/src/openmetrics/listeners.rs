//! The metrics of each listener.

use std::fmt;

use super::families as f;
use super::writer::FamilyWriter;
use crate::metrics::ListenerMetrics;

pub(super) fn write(to: &mut FamilyWriter<'_>, listeners: &[ListenerMetrics]) -> fmt::Result {
    let names: Vec<String> = listeners
        .iter()
        .map(|listener| listener.listener.to_string())
        .collect();
    let all = || names.iter().map(String::as_str).zip(listeners);
    to.counters(
        &f::LISTENER_ACCEPTED,
        all().map(|(name, listener)| ([("listener", name)], listener.accepted)),
    )?;
    to.gauges(
        &f::LISTENER_ACTIVE,
        all().map(|(name, listener)| ([("listener", name)], listener.active)),
    )?;
    to.counters(
        &f::LISTENER_ENDED,
        all().flat_map(|(name, listener)| {
            let ended = listener.ended.iter();
            ended.map(move |(reason, n)| ([("listener", name), ("reason", reason.as_str())], n))
        }),
    )?;
    to.counters(
        &f::LISTENER_PAUSES,
        all().flat_map(|(name, listener)| {
            let pauses = &listener.pauses;
            let pauses = [
                ("rate", pauses.rate),
                ("sessions", pauses.sessions),
                ("shortage", pauses.shortage),
            ];
            pauses.map(|(reason, n)| ([("listener", name), ("reason", reason)], n))
        }),
    )?;
    to.counters(
        &f::LISTENER_BYTES,
        all().flat_map(|(name, listener)| {
            let traffic = listener.traffic.iter();
            traffic.map(|(direction, n)| ([("listener", name), ("direction", direction)], n))
        }),
    )
}
