//! An explanation as text: the outcome first, then what decided.

use lb_core::Escaped;

use super::answers::{ExplainAnswer, ExplainedReport, RouteStepReport};
use super::check_notes::check_notes;
use super::table::{Align, Table};
use super::units::{duration, plural};

/// Where a connection goes, and why.
pub(super) fn text(answer: &ExplainAnswer) -> String {
    let mut lines = vec![outcome(answer)];
    if answer.queued > 0 {
        let waiting = plural(answer.queued, "connection");
        lines.push(format!("queue: waits behind {waiting}"));
    }
    if let Some(upstream) = &answer.upstream {
        let policy = answer.policy.as_deref().map(|policy| format!(", {policy}"));
        let policy = policy.unwrap_or_default();
        lines.push(format!("upstream: {upstream}{policy}{}", key(answer)));
    }
    let lines = lines.iter().map(|line| format!("{}\n", Escaped(line)));
    let route = route(&answer.route).to_string();
    let backends = backends(&answer.backends).to_string();
    let tables = [route, backends]
        .into_iter()
        .filter(|table| !table.is_empty());
    let tables = tables.map(|table| format!("\n{table}"));
    lines.chain(tables).collect()
}

/// What the policy hashes, if it hashes a key.
fn key(answer: &ExplainAnswer) -> String {
    match (answer.key.as_deref(), &answer.key_text) {
        (None, _) if answer.uses_key => {
            ", for a connection without a hash key (--client gives it one)".to_owned()
        }
        (None, _) => String::new(),
        (Some(""), _) => ", the hash key is empty".to_owned(),
        (Some(_), Some(text)) => format!(", hash key \"{text}\""),
        (Some(key), None) => format!(", hash key 0x{key}"),
    }
}

fn outcome(answer: &ExplainAnswer) -> String {
    if let Some(reason) = &answer.reason {
        return format!("refused: {reason}");
    }
    if let Some(bytes) = answer.bytes {
        return format!("answered: {} by the server itself", plural_bytes(bytes));
    }
    let chosen = answer.backends.iter().find(|backend| backend.chosen);
    let name = chosen.and_then(|chosen| chosen.name.as_deref());
    match (&answer.chosen, name) {
        (Some(endpoint), Some(name)) => format!("chosen: {endpoint} ({name})"),
        (Some(endpoint), None) => format!("chosen: {endpoint}"),
        (None, _) => "chosen: none, a connection waits or fails".to_owned(),
    }
}

fn plural_bytes(bytes: u64) -> String {
    plural(usize::try_from(bytes).unwrap_or(usize::MAX), "byte")
}

fn route(steps: &[RouteStepReport]) -> Table {
    let mut table = Table::new(&[
        ("LISTENER", Align::Left),
        ("SERVER", Align::Left),
        ("DECIDED BY", Align::Left),
        ("", Align::Left),
    ]);
    for step in steps {
        table.row([
            step.listener.clone(),
            step.server.clone().unwrap_or_default(),
            step.by.replace('_', " "),
            step.detail.clone(),
        ]);
    }
    table
}

fn backends(backends: &[ExplainedReport]) -> Table {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("BACKEND", Align::Left),
        ("NAME", Align::Left),
        ("VERDICT", Align::Left),
        ("TIER", Align::Right),
        ("SHARE", Align::Right),
        ("WEIGHT", Align::Right),
        ("CONNS", Align::Right),
        ("NOTE", Align::Left),
    ]);
    for backend in backends {
        table.row([
            if backend.chosen { ">" } else { " " }.to_owned(),
            backend.endpoint.clone(),
            backend.name.clone().unwrap_or_default(),
            backend.verdict.replace('_', " "),
            backend.priority.to_string(),
            format!("{} %", backend.tier_percent),
            backend.weight.to_string(),
            backend.in_flight.to_string(),
            note(backend),
        ]);
    }
    table
}

fn note(backend: &ExplainedReport) -> String {
    let ejected = backend.ejected_ms;
    let ejected = ejected.map(|ms| format!("for {} more", duration(ms)));
    let slow_start = backend.slow_start_percent;
    let slow_start = slow_start.map(|percent| format!("slow start {percent} %"));
    let panic = backend.panic.then(|| "panic: health is ignored".to_owned());
    let notes = [ejected, slow_start, panic].into_iter().flatten();
    let notes = notes.chain(check_notes(&backend.checks));
    notes.collect::<Vec<_>>().join(", ")
}
