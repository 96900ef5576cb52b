//! Collects the status of a server.

use std::time::SystemTime;

use lb_core::Endpoint;

use super::action::ActionReport;
use super::backend::OverrideReport;
use super::server::{
    DescriptorsReport, ListenerReport, ReadinessReason, ReloadEntry, ServerReport, millis,
};
use super::upstream::UpstreamReport;
use super::{Status, VERSION};
use crate::admin::program::Program;
use crate::reports::{DetailedMetrics, Readiness};
use crate::{Handle, Upstream};

/// The status of the server of `handle`. O(backends + workers), and allocates.
pub(crate) fn collect(handle: &Handle, program: &Program) -> Status {
    let upstreams = handle.upstreams();
    let overrides: Vec<_> = upstreams.iter().map(Upstream::overrides).collect();
    let counted = handle.detailed_metrics().unwrap_or_default();
    let with_overrides = || upstreams.iter().zip(&overrides);
    Status {
        version: VERSION,
        time_ms: millis(SystemTime::now()),
        server: server(handle, program),
        listeners: listeners(handle, &counted),
        overrides: with_overrides()
            .flat_map(|(upstream, overrides)| {
                let report = |active| OverrideReport::of(upstream.name(), active);
                overrides.iter().map(report)
            })
            .collect(),
        upstreams: with_overrides()
            .map(|(upstream, overrides)| {
                let mut counted = counted.upstreams.iter();
                let counted = counted.find(|counted| *counted.upstream == *upstream.name());
                UpstreamReport::of(upstream, overrides, counted)
            })
            .collect(),
        reloads: handle
            .reload_history()
            .into_iter()
            .map(|record| ReloadEntry {
                time_ms: millis(record.at),
                applied: record.outcome.is_ok(),
                detail: record.to_string(),
            })
            .collect(),
        actions: handle
            .operator_actions()
            .list()
            .into_iter()
            .map(ActionReport::from)
            .collect(),
    }
}

fn listeners(handle: &Handle, counted: &DetailedMetrics) -> Vec<ListenerReport> {
    let report = |(endpoint, upstream): (Endpoint, Upstream)| {
        let mut counted = counted.listeners.iter();
        let counted = counted.find(|counted| counted.is_current && counted.listener == endpoint);
        ListenerReport {
            endpoint: endpoint.to_string(),
            upstream: upstream.name().to_owned(),
            counters: counted.map(Into::into),
        }
    };
    handle.listeners().into_iter().map(report).collect()
}

fn server(handle: &Handle, program: &Program) -> ServerReport {
    let budget = handle.descriptors();
    let readiness = handle.readiness();
    let totals = handle.metrics();
    ServerReport {
        program: program.name.clone(),
        program_version: program.version.clone(),
        pid: std::process::id(),
        started_ms: millis(handle.started()),
        phase: handle.phase().as_str().to_owned(),
        ready: readiness.is_ready(),
        reasons: reasons(&readiness),
        descriptors: DescriptorsReport {
            limit: budget.limit,
            in_use: budget.in_use,
            reserve: budget.reserve,
            sessions: budget.limit.map(|_| budget.sessions as u64),
        },
        session_limit: handle.session_limit(),
        log_level: program.log_level(handle),
        log_level_by: program.log_level_by(),
        totals: totals
            .iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
    }
}

/// Every condition of readiness, met or not.
fn reasons(readiness: &Readiness) -> Vec<ReadinessReason> {
    let conditions = readiness.conditions().iter();
    conditions
        .map(|condition| ReadinessReason {
            check: condition.check.as_str().to_owned(),
            ok: condition.ok,
            detail: condition.detail.clone(),
        })
        .collect()
}
