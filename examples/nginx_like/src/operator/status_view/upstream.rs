//! One upstream: its backends and its sources.

use std::fmt::Write;

use lb_core::Escaped;
use lb_proxy::admin::status::{BackendReport, SourceReport, UpstreamReport};

use crate::operator::check_notes::check_notes;
use crate::operator::table::{Align, Table};
use crate::operator::units::{duration, plural};

/// The backends that get no connections are first.
pub(super) fn text(upstream: &UpstreamReport) -> String {
    let eligible = upstream.tiers.iter().map(|tier| tier.eligible);
    let usable = eligible.fold(0, usize::saturating_add);
    let backends = plural(upstream.backends.len(), "backend");
    let open = usize::try_from(upstream.in_flight).unwrap_or(usize::MAX);
    let open = plural(open, "connection");
    let mut heading = format!("{}: {usable} of {backends} usable, {open}", upstream.name);
    if upstream.queue.capacity > 0 {
        let queue = &upstream.queue;
        heading += &format!(", {} of {} wait", queue.waiting, queue.capacity);
    }
    let mut text = format!("{}\n  {}\n", Escaped(heading), Escaped(policy(upstream)));
    let mut backends: Vec<&BackendReport> = upstream.backends.iter().collect();
    backends.sort_by_key(|backend| is_usable(backend));
    let _ = write!(text, "{}", backends_table(&backends));
    let _ = write!(text, "{}", sources_table(&upstream.sources));
    text
}

/// The policy and its settings.
pub(in crate::operator) fn policy(upstream: &UpstreamReport) -> String {
    let settings = upstream.policy_settings.iter();
    let settings: Vec<String> = settings
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    match settings.is_empty() {
        true => upstream.policy.clone(),
        false => format!("{} ({})", upstream.policy, settings.join(", ")),
    }
}

fn is_usable(backend: &BackendReport) -> bool {
    matches!(backend.verdict.as_str(), "eligible" | "above_bound")
}

fn backends_table(backends: &[&BackendReport]) -> Table {
    let mut table = Table::new(&[
        ("BACKEND", Align::Left),
        ("NAME", Align::Left),
        ("STATE", Align::Left),
        ("TIER", Align::Right),
        ("WEIGHT", Align::Right),
        ("CONNS", Align::Right),
        ("FAILS", Align::Right),
        ("NOTE", Align::Left),
    ])
    .indented(2);
    // Columns that say nothing make way.
    let has_tiers = backends.iter().any(|backend| backend.priority > 0);
    let has_fails = backends.iter().any(|backend| backend.fails > 0);
    let shown_if = |shown: bool, text: String| if shown { text } else { String::new() };
    for backend in backends {
        let conns = match backend.max_conns {
            Some(limit) => format!("{}/{limit}", backend.in_flight),
            None => backend.in_flight.to_string(),
        };
        table.row([
            backend.endpoint.clone(),
            backend.name.clone().unwrap_or_default(),
            state_of(backend),
            shown_if(has_tiers, backend.priority.to_string()),
            backend.weight.to_string(),
            conns,
            shown_if(has_fails, backend.fails.to_string()),
            note(backend),
        ]);
    }
    table
}

/// The verdict. A drain that a list of servers sets is `down` in the configuration.
fn state_of(backend: &BackendReport) -> String {
    match backend.verdict.as_str() {
        "draining" if is_configured_down(backend) => "down".to_owned(),
        verdict => verdict.replace('_', " "),
    }
}

fn is_configured_down(backend: &BackendReport) -> bool {
    let kind = backend.source.as_deref().unwrap_or("static");
    let kind = kind.split([' ', ':']).next();
    // A list of addresses and DNS drain nothing by themselves: the configuration does.
    backend.source_admin == "drain" && matches!(kind, Some("static" | "dns"))
}

fn note(backend: &BackendReport) -> String {
    let mut notes = Vec::new();
    if let Some(ms) = backend.ejected_ms {
        notes.push(format!("ejected for {} more", duration(ms)));
    }
    // The verdict says the first reason only.
    if backend.health == "unhealthy" && backend.verdict != "unhealthy" {
        notes.push("unhealthy".to_owned());
    }
    notes.extend(check_notes(&backend.checks));
    if let Some(percent) = backend.slow_start_percent {
        notes.push(format!("slow start {percent} %"));
    }
    if backend.panic {
        notes.push("panic".to_owned());
    }
    if backend.weight != backend.source_weight {
        notes.push(format!("source's weight {}", backend.source_weight));
    }
    if backend.admin != backend.source_admin {
        notes.push(format!("source says {}", backend.source_admin));
    }
    notes.join(", ")
}

fn sources_table(sources: &[SourceReport]) -> Table {
    let mut table = Table::new(&[
        ("SOURCE", Align::Left),
        ("BACKENDS", Align::Right),
        ("AGE", Align::Right),
        ("STATE", Align::Left),
    ])
    .indented(2);
    for source in sources {
        table.row([
            source.name.clone(),
            source.backends.to_string(),
            source.age_ms.map(duration).unwrap_or_default(),
            state(source),
        ]);
    }
    table
}

fn state(source: &SourceReport) -> String {
    let failing = |ms| format!("fails for {}", duration(ms));
    match (source.stale_ms, source.expired) {
        (Some(ms), true) => format!("{}, its backends were dropped", failing(ms)),
        (Some(ms), false) => failing(ms),
        (None, true) => "its backends were dropped".to_owned(),
        (None, false) if source.last_error.is_some() => "answers that there are none".to_owned(),
        (None, false) if source.age_ms.is_none() => "has not answered yet".to_owned(),
        (None, false) => "ok".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::example;
    use super::text;

    #[test]
    fn a_configured_down_is_told_from_a_drain_and_hides_no_health() {
        let mut upstream = example().upstreams.remove(0);
        let mut row = |source: &str, source_admin: &str| {
            let backend = &mut upstream.backends[0];
            backend.source = Some(source.to_owned());
            backend.source_admin = source_admin.to_owned();
            backend.health = "unhealthy".to_owned();
            let text = text(&upstream);
            let row = text.lines().find(|line| line.contains("10.0.0.1:446"));
            row.unwrap().to_owned()
        };
        for (source, source_admin, state) in [
            ("static", "drain", "  down "),
            ("dns:a.test", "drain", "  down "),
            ("dns:a.test", "ready", "  draining "),
            ("slices", "drain", "  draining "),
        ] {
            let row = row(source, source_admin);
            assert!(row.contains(state) && row.contains("unhealthy"), "{row}");
        }
    }

    #[test]
    fn an_answer_without_a_result_is_shown_beside_the_reason_of_the_state() {
        let mut upstream = example().upstreams.remove(0);
        let check = json!({
            "check": "agent", "state": "down", "since_ms": 1, "reason": "stopped", "outcome": "inconclusive",
            "text": "nonsense", "inconclusive": { "text": "nonsense", "age_ms": 1 }
        });
        upstream.backends[1].checks = vec![serde_json::from_value(check).unwrap()];
        let text = text(&upstream);
        assert!(text.contains("check agent down: stopped"), "{text}");
        assert!(
            text.contains("check agent has no result: nonsense"),
            "{text}"
        );
    }
}
