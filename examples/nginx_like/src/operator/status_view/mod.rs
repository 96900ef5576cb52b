//! The status as text for a terminal of 80 columns, problems first.

mod actions;
mod problems;
pub(super) mod upstream;

use std::fmt::Write;

use lb_core::Escaped;
use lb_proxy::admin::status::{OverrideReport, ServerReport, Status};

use super::table::{Align, Table};
use super::units::{duration, plural};

/// The status of a server, or of one upstream of it.
pub(super) fn text(status: &Status, upstream: Option<&str>) -> String {
    let is_shown = |name: &str| upstream.is_none_or(|upstream| upstream == name);
    let mut text = problems::text(status, upstream);
    let _ = writeln!(text, "{}", server(&status.server, status.time_ms));
    if upstream.is_none() {
        let table = listeners(status).to_string();
        if !table.is_empty() {
            let _ = write!(text, "\n{table}");
        }
    }
    for upstream in status
        .upstreams
        .iter()
        .filter(|upstream| is_shown(&upstream.name))
    {
        let _ = write!(text, "\n{}", upstream::text(upstream));
    }
    let overrides = status.overrides.iter();
    let overrides = overrides.filter(|set| is_shown(&set.upstream));
    let table = overrides_table(overrides, status.time_ms).to_string();
    if !table.is_empty() {
        let _ = write!(text, "\nset of single backends\n{table}");
    }
    let actions = status.actions.iter();
    let actions = actions.filter(|done| done.upstream.as_deref().is_none_or(is_shown));
    let table = actions::table(actions, status.time_ms).to_string();
    if !table.is_empty() {
        let _ = write!(text, "\ndone by operators\n{table}");
    }
    text
}

/// The process in two lines.
fn server(server: &ServerReport, now_ms: u64) -> String {
    let age = duration(now_ms.saturating_sub(server.started_ms));
    let ready = if server.ready { "ready" } else { "not ready" };
    let total = |name: &str| server.totals.get(name).copied().unwrap_or_default();
    let most = [server.descriptors.sessions, server.session_limit];
    let room = match most.into_iter().flatten().min() {
        Some(sessions) => format!(", at most {sessions} at a time"),
        None => String::new(),
    };
    let level = match &server.log_level {
        Some(level) => format!(", log level {level}"),
        None => String::new(),
    };
    let level_by = match &server.log_level_by {
        Some(by) => format!(" set by {by}"),
        None => String::new(),
    };
    let program = format!(
        "{} {}, pid {}: {ready}, {} for {age}{level}{level_by}",
        server.program, server.program_version, server.pid, server.phase
    );
    let open = usize::try_from(total("active")).unwrap_or(usize::MAX);
    let open = plural(open, "open session");
    let accepted = total("accepted");
    format!("{}\n{open}, {accepted} accepted{room}", Escaped(program))
}

fn listeners(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("LISTENER", Align::Left),
        ("UPSTREAM", Align::Left),
        ("OPEN", Align::Right),
        ("ACCEPTED", Align::Right),
    ]);
    for listener in &status.listeners {
        let counters = listener.counters.as_ref();
        table.row([
            listener.endpoint.clone(),
            listener.upstream.clone(),
            counters
                .map(|counters| counters.active.to_string())
                .unwrap_or_default(),
            counters
                .map(|counters| counters.accepted.to_string())
                .unwrap_or_default(),
        ]);
    }
    table
}

fn overrides_table<'a>(overrides: impl Iterator<Item = &'a OverrideReport>, now_ms: u64) -> Table {
    let mut table = Table::new(&[
        ("UPSTREAM", Align::Left),
        ("BACKEND", Align::Left),
        ("SETTING", Align::Left),
        ("VALUE", Align::Left),
        ("AGE", Align::Right),
        ("BY", Align::Left),
    ])
    .indented(2);
    for set in overrides {
        let replaced = if set.in_force { "" } else { ", not in force" };
        table.row([
            set.upstream.clone(),
            set.backend.clone(),
            set.setting.clone(),
            set.value.clone(),
            duration(now_ms.saturating_sub(set.since_ms)),
            format!("{} {}{replaced}", set.origin.replace('_', " "), set.by),
        ]);
    }
    table
}

/// The example of lb-proxy's documentation of the status.
#[cfg(test)]
pub(super) fn example() -> Status {
    let document = include_str!("../../../../../lb-proxy/docs/status.md");
    let (_, example) = document.split_once("```json").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    serde_json::from_str(example).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_status_fits_80_columns_and_begins_with_what_is_wrong() {
        let mut status = example();
        let text = text(&status, Some("echo"));
        assert!(text.starts_with("! The reload "), "{text}");
        assert!(
            text.contains("\n  10.0.0.1:446  node-1  draining"),
            "{text}"
        );
        assert!(text.contains("10/100"), "{text}");
        assert!(text.contains("operator uid 0 (pid 4812)"), "{text}");
        let (_, done) = text.split_once("\ndone by operators\n").unwrap();
        let closed = done.lines().nth(1).unwrap();
        assert!(closed.contains("close"), "the newest first: {text}");
        assert!(closed.contains("4 closed, 1 closing  "), "{text}");
        assert!(done.contains("set in 1 upstream "), "{text}");
        let tables = text.lines().skip_while(|line| !line.is_empty());
        for line in tables {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let backend = &mut status.upstreams[0].backends[1];
        backend.verdict = "unchecked".to_owned();
        backend.health = "unchecked".to_owned();
        let waiting = super::text(&status, None);
        let problem = "is not used yet: its first check has not ended.";
        assert!(waiting.contains(problem), "{waiting}");
        assert!(!waiting.contains("unhealthy"), "{waiting}");
        status.server.ready = false;
        status.upstreams[0].backends.clear();
        let text = super::text(&status, None);
        assert!(text.starts_with("! "), "{text}");
        assert!(
            text.contains("\n! Upstream echo has no backends: new connections fail."),
            "{text}"
        );
        assert!(text.contains(": not ready, "), "{text}");
    }

    #[test]
    fn no_control_character_of_a_name_comes_through() {
        let hostile = "a\u{1b}]0;x\u{7}\u{9b}2J\n\u{202e}z";
        let mut status = example();
        let server = &mut status.server;
        server.program = hostile.into();
        server.program_version = hostile.into();
        server.phase = hostile.into();
        server.log_level = Some(hostile.into());
        server.reasons[0].ok = false;
        server.reasons[0].detail = hostile.into();
        status.listeners[0].endpoint = hostile.into();
        status.listeners[0].upstream = hostile.into();
        status.reloads[0].detail = hostile.into();
        status.overrides[0].upstream = hostile.into();
        status.overrides[0].by = hostile.into();
        let action = &mut status.actions[0];
        action.action = hostile.into();
        action.by = hostile.into();
        action.upstream = Some(hostile.into());
        action.backend = Some(hostile.into());
        action.value = Some(hostile.into());
        let upstream = &mut status.upstreams[0];
        upstream.name = hostile.into();
        upstream.policy = hostile.into();
        upstream.sources[0].name = hostile.into();
        upstream.sources[0].last_error = Some(hostile.into());
        for backend in &mut upstream.backends {
            backend.endpoint = hostile.into();
            backend.name = Some(hostile.into());
            backend.zone = Some(hostile.into());
            backend.verdict = hostile.into();
            backend.health = "unhealthy".into();
        }
        let text = text(&status, None);
        assert!(
            text.contains(r"a\u{1b}]0;x\u{7}\u{9b}2J\n\u{202e}z"),
            "{text}"
        );
        let shown = text.chars().filter(|c| *c != '\n');
        assert_eq!(
            shown.filter(|c| c.is_control() || *c == '\u{202e}').count(),
            0
        );
    }
}
