//! Collects the status of a server.

use std::time::SystemTime;

use lb_core::Endpoint;

use super::backend::OverrideReport;
use super::server::{
    DescriptorsReport, ListenerCountersReport, ListenerReport, ReadinessReason, ReloadEntry,
    ServerReport, millis,
};
use super::upstream::UpstreamReport;
use super::{Status, VERSION};
use crate::admin::program::Program;
use crate::reports::Phase;
use crate::{Handle, Upstream};

/// The status of the server of `handle`. O(backends), and allocates.
pub(crate) fn collect(handle: &Handle, program: &Program) -> Status {
    let upstreams = handle.upstreams();
    let overrides: Vec<_> = upstreams.iter().map(Upstream::overrides).collect();
    let with_overrides = || upstreams.iter().zip(&overrides);
    Status {
        version: VERSION,
        time_ms: millis(SystemTime::now()),
        server: server(handle, &upstreams, program),
        listeners: listeners(handle),
        overrides: with_overrides()
            .flat_map(|(upstream, overrides)| {
                let report = |active| OverrideReport::of(upstream.name(), active);
                overrides.iter().map(report)
            })
            .collect(),
        upstreams: with_overrides()
            .map(|(upstream, overrides)| UpstreamReport::of(upstream, overrides))
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
    }
}

fn listeners(handle: &Handle) -> Vec<ListenerReport> {
    let detailed = handle.listener_metrics().unwrap_or_default();
    let report = |(endpoint, upstream): (Endpoint, Upstream)| {
        let mut counted = detailed.iter();
        let counted = counted.find(|counted| counted.is_current && counted.listener == endpoint);
        ListenerReport {
            endpoint: endpoint.to_string(),
            upstream: upstream.name().to_owned(),
            counters: counted.map(|counted| ListenerCountersReport {
                accepted: counted.accepted,
                active: counted.active,
                ends: counted
                    .ended
                    .iter()
                    .filter(|(_, count)| *count > 0)
                    .map(|(reason, count)| (reason.name().to_owned(), count))
                    .collect(),
            }),
        }
    };
    handle.listeners().into_iter().map(report).collect()
}

fn server(handle: &Handle, upstreams: &[Upstream], program: &Program) -> ServerReport {
    let budget = handle.descriptors();
    let reasons = readiness(handle, upstreams);
    let totals = handle.metrics();
    ServerReport {
        program: program.name.clone(),
        program_version: program.version.clone(),
        pid: std::process::id(),
        started_ms: millis(handle.started()),
        phase: phase_name(handle.phase()).to_owned(),
        ready: reasons.iter().all(|reason| reason.ok),
        reasons,
        descriptors: DescriptorsReport {
            limit: budget.limit,
            in_use: budget.in_use,
            reserve: budget.reserve,
            sessions: budget.limit.map(|_| budget.sessions as u64),
        },
        session_limit: handle.session_limit(),
        log_level: program.log_level(),
        log_level_by: program.log_level_by(),
        totals: totals
            .iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
    }
}

/// Every condition of readiness, met or not.
pub(crate) fn readiness(handle: &Handle, upstreams: &[Upstream]) -> Vec<ReadinessReason> {
    let reason = |check: &str, ok: bool, detail: String| ReadinessReason {
        check: check.to_owned(),
        ok,
        detail,
    };
    let phase = handle.phase();
    let bound = (Phase::Serving..Phase::Draining).contains(&phase);
    let leaving = phase > Phase::Serving || handle.is_leaving();
    let mut reasons = vec![
        reason(
            "shutdown",
            !leaving,
            if leaving {
                "the server shuts down".to_owned()
            } else {
                "not shutting down".to_owned()
            },
        ),
        reason(
            "listeners",
            bound,
            if bound {
                format!("{} bound", handle.local_addrs().len())
            } else {
                "no connections are accepted".to_owned()
            },
        ),
    ];
    let waiting = upstreams.iter().filter(|upstream| !upstream.is_ready());
    let waiting: Vec<&str> = waiting.map(Upstream::name).collect();
    if waiting.is_empty() {
        let detail = format!("first membership of {} upstreams known", upstreams.len());
        reasons.push(reason("membership", true, detail));
    }
    let unknown = |name| format!("no source of upstream \"{name}\" has answered yet");
    let waiting = waiting.into_iter();
    reasons.extend(waiting.map(|name| reason("membership", false, unknown(name))));
    reasons
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Leaving => "leaving",
        Phase::Draining => "draining",
        Phase::Closing => "closing",
        Phase::Ended => "ended",
    }
}
