//! Problems as sentences, the worst first: those of the page of the admin server.

use lb_core::Escaped;
use lb_proxy::admin::status::{
    BackendReport, ReloadEntry, ServerReport, SourceReport, Status, UpstreamReport,
};

use crate::operator::units::{duration, plural};

/// How many backends a sentence names.
const NAMED: usize = 3;

/// The share of the possible sessions, in percent, from which they are nearly spent.
const NEARLY_SPENT: u64 = 90;

#[derive(Debug)]
struct Problem {
    is_severe: bool,
    text: String,
}

impl Problem {
    const fn severe(text: String) -> Self {
        Self {
            is_severe: true,
            text,
        }
    }

    const fn mild(text: String) -> Self {
        Self {
            is_severe: false,
            text,
        }
    }
}

/// One line for each problem, and an empty one behind them; nothing without problems. With `upstream`, those of the server and of
/// this upstream.
pub(super) fn text(status: &Status, upstream: Option<&str>) -> String {
    let mut problems = Vec::new();
    of_server(&status.server, &mut problems);
    of_reload(status.reloads.last(), status.time_ms, &mut problems);
    let is_shown = |name: &str| upstream.is_none_or(|upstream| upstream == name);
    for upstream in status
        .upstreams
        .iter()
        .filter(|upstream| is_shown(&upstream.name))
    {
        of_upstream(upstream, &mut problems);
        of_backends(upstream, &mut problems);
        for source in &upstream.sources {
            problems.extend(of_source(upstream, source));
        }
    }
    problems.sort_by_key(|problem| !problem.is_severe);
    let lines = problems
        .iter()
        .map(|problem| format!("! {}\n", Escaped(&problem.text)));
    let lines: String = lines.collect();
    match lines.is_empty() {
        true => lines,
        false => lines + "\n",
    }
}

fn of_server(server: &ServerReport, problems: &mut Vec<Problem>) {
    for reason in server.reasons.iter().filter(|reason| !reason.ok) {
        // An upstream without membership says so itself.
        if reason.check != "membership" {
            problems.push(Problem::severe(format!("Not ready: {}.", reason.detail)));
        }
    }
    let active = server.totals.get("active").copied().unwrap_or_default();
    if let Some(room) = server.descriptors.sessions
        && active.saturating_mul(100) >= room.saturating_mul(NEARLY_SPENT)
    {
        let text = format!(
            "The descriptors are nearly spent: there are enough for {room} sessions, and {active} are open."
        );
        problems.push(Problem::severe(text));
    }
    if let Some(most) = server.session_limit
        && active.saturating_mul(100) >= most.saturating_mul(NEARLY_SPENT)
    {
        let text = format!(
            "{active} of the {most} sessions that the configuration allows are open. Further clients wait."
        );
        problems.push(Problem::severe(text));
    }
}

fn of_reload(last: Option<&ReloadEntry>, now_ms: u64, problems: &mut Vec<Problem>) {
    let Some(last) = last.filter(|last| !last.applied) else {
        return;
    };
    let age = duration(now_ms.saturating_sub(last.time_ms));
    let text = format!(
        "The reload {age} ago failed: {}. The configuration from before is in use.",
        last.detail
    );
    problems.push(Problem::severe(text));
}

fn of_upstream(upstream: &UpstreamReport, problems: &mut Vec<Problem>) {
    let UpstreamReport { name, queue, .. } = upstream;
    let is_usable = upstream.tiers.iter().any(|tier| tier.eligible > 0);
    let missing = match () {
        () if !upstream.ready => {
            Some("waits for the first answer of its sources: its connections wait or fail")
        }
        () if upstream.backends.is_empty() => Some("has no backends: new connections fail"),
        () if !is_usable => Some("has no usable backend: new connections fail"),
        () => None,
    };
    let severe = |what: &str| Problem::severe(format!("Upstream {name} {what}."));
    problems.extend(missing.map(severe));
    if upstream.panic {
        problems.push(severe(
            "is in panic mode: so few of its backends are usable that health and ejection are ignored",
        ));
    }
    if queue.capacity > 0 && queue.waiting >= queue.capacity {
        problems.push(severe("has a full wait queue: new connections are refused"));
    } else if queue.waiting > 0 {
        let waiting = plural(queue.waiting, "connection");
        let text = format!("Upstream {name}: {waiting} waiting for a free backend.");
        problems.push(Problem::mild(text));
    }
}

fn of_backends(upstream: &UpstreamReport, problems: &mut Vec<Problem>) {
    let is_unhealthy = |backend: &BackendReport| backend.health == "unhealthy";
    let is_ejected =
        |backend: &BackendReport| backend.ejected_ms.is_some() && !is_unhealthy(backend);
    let is_unchecked = |backend: &BackendReport| backend.verdict == "unchecked";
    let is_full = |backend: &BackendReport| backend.verdict == "full";
    let found = [
        about(upstream, is_unhealthy, "unhealthy: an active check failed"),
        about(
            upstream,
            is_unchecked,
            "not used yet: its first check has not ended",
        ),
        about(upstream, is_ejected, "ejected: too many connections failed"),
        about(upstream, is_full, "full"),
    ];
    problems.extend(found.into_iter().flatten().map(Problem::mild));
}

/// One sentence about all backends of an upstream to which something applies.
fn about(
    upstream: &UpstreamReport,
    applies: impl Fn(&BackendReport) -> bool,
    what: &str,
) -> Option<String> {
    let found: Vec<_> = upstream
        .backends
        .iter()
        .filter(|backend| applies(backend))
        .collect();
    let name = &upstream.name;
    let labels: Vec<_> = found
        .iter()
        .take(NAMED)
        .map(|backend| label(backend))
        .collect();
    match found.len() {
        0 => None,
        1 => Some(format!(
            "Backend {} of upstream {name} is {what}.",
            labels[0]
        )),
        count => {
            let all = plural(upstream.backends.len(), "backend");
            let more = match count.saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let labels = labels.join(", ");
            Some(format!(
                "{count} of {all} of upstream {name} are {what} ({labels}{more})."
            ))
        }
    }
}

/// The address and the name.
fn label(backend: &BackendReport) -> String {
    match &backend.name {
        Some(name) => format!("{} ({name})", backend.endpoint),
        None => backend.endpoint.clone(),
    }
}

fn of_source(upstream: &UpstreamReport, source: &SourceReport) -> Option<Problem> {
    let of = format!("Source {} of upstream {}", source.name, upstream.name);
    let error = match &source.last_error {
        Some(error) => format!(": {error}"),
        None => String::new(),
    };
    if source.expired {
        let text = format!("{of} has failed for so long that its backends were dropped{error}.");
        return Some(Problem::severe(text));
    }
    if let Some(ms) = source.stale_ms {
        let since = duration(ms);
        return Some(match source.age_ms {
            None => Problem::severe(format!(
                "{of} has failed for {since}{error}. It has not answered yet."
            )),
            Some(_) => Problem::mild(format!(
                "{of} has failed for {since}{error}. Its last backends stay in use."
            )),
        });
    }
    let says_none = source.last_error.is_some();
    says_none.then(|| Problem::mild(format!("{of} answers that there are no backends{error}.")))
}
