//! Tables of the figures of runs.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use crate::html::escaped;
use crate::plot::latency;
use crate::scenario::Scenario;
use crate::sim::Run;

/// The p99 of each variant that was simulated in several scenarios. Empty if there is none.
pub(super) fn overview(results: &[(Scenario, Vec<Run>)]) -> String {
    let labels = shared_labels(results);
    if labels.is_empty() {
        return String::new();
    }
    let is_shown = |run: &&Run| labels.contains(&&*run.label);
    let columns = results
        .iter()
        .filter(|(_, runs)| runs.iter().any(|run| is_shown(&run)));
    let mut html = "<h3>p99 latency by scenario</h3>\n\
        <p class=\"how\">The lowest value of each column is marked, among the policies that lost no connection. A policy \
        without a mark may still be the right one: compare the keys that move, or how exact its shares are.</p>\n\
        <div class=\"table\"><table>\n<tr><th>policy</th>"
        .to_owned();
    for (scenario, _) in columns.clone() {
        let _ = write!(html, "<th>{}</th>", escaped(&scenario.title));
    }
    html.push_str("</tr>\n");
    for label in &labels {
        let _ = write!(html, "<tr><td>{}</td>", escaped(label));
        for (_, runs) in columns.clone() {
            let run = runs.iter().find(|run| run.label == *label);
            let shown = runs.iter().filter(is_shown);
            let best = run.is_some_and(|run| is_fastest(run, shown, |run| run.p99));
            cell(&mut html, &latency(run.and_then(|run| run.p99)), best);
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
    html
}

/// The labels that several scenarios have, in the order of their first appearance.
fn shared_labels(results: &[(Scenario, Vec<Run>)]) -> Vec<&str> {
    let all = results
        .iter()
        .flat_map(|(_, runs)| runs)
        .map(|run| &*run.label);
    let mut seen = BTreeSet::new();
    let mut repeated: BTreeSet<&str> = all.clone().filter(|label| !seen.insert(*label)).collect();
    all.filter(|label| repeated.remove(label)).collect()
}

/// Every figure of a scenario's runs.
pub(super) fn figures(runs: &[Run]) -> String {
    let mut html =
        "<div class=\"table\"><table>\n<tr><th>policy</th><th>p50</th><th>p99</th><th>p99.9</th>\
        <th>most in flight<br>on one backend</th><th>share error</th>\
        <th>clients sent<br>elsewhere</th><th>keys moved<br>per change</th>\
        <th>failed<br>attempts</th><th>lost<br>connections</th></tr>\n"
            .to_owned();
    let whole = runs.iter().filter(|run| lost_none(run));
    let fewest = whole.clone().map(|run| run.max_in_flight).min();
    let lowest = whole.map(|run| run.share_error).min_by(f64::total_cmp);
    let moved = runs.iter().filter(|run| follows_keys(run));
    let moved = moved.filter_map(|run| run.keys_moved);
    let moved = moved.min_by(f64::total_cmp);
    for run in runs {
        let _ = write!(html, "<tr><td>{}</td>", escaped(&run.label));
        let latencies: [Latency; 3] = [|run| run.p50, |run| run.p99, |run| run.p999];
        for of in latencies {
            cell(&mut html, &latency(of(run)), is_fastest(run, runs, of));
        }
        let is_least = lost_none(run) && fewest == Some(run.max_in_flight);
        cell(&mut html, &run.max_in_flight.to_string(), is_least);
        let is_least = lost_none(run) && lowest == Some(run.share_error);
        cell(&mut html, &percent(run.share_error), is_least);
        cell(&mut html, &percent(run.sent_elsewhere), false);
        let is_least = moved.is_some() && moved == run.keys_moved && follows_keys(run);
        cell(&mut html, &keys_moved(run), is_least);
        cell(&mut html, &run.failed_attempts.to_string(), false);
        cell(&mut html, &run.lost.to_string(), false);
        html.push_str("</tr>\n");
    }
    html.push_str(
        "</table></div>\n<p class=\"how\">Share error: the part of the connections that reached another backend than the weights \
         say, by choice or because a backend could not serve its part. Clients sent elsewhere: of the connections of returning \
         clients, the part that reached another backend than the last one did. † Many keys move without a change: the policy \
         ignores keys, or reads the load as well. The best value of a column is marked; for latency, connections in flight and share \
         error only among policies that lost no connection, because lost connections relieve the remaining ones.</p>\n",
    );
    html
}

/// The keys that each change moved.
pub(super) fn moves(runs: &[Run]) -> String {
    let Some(first) = runs.first() else {
        return String::new();
    };
    let mut html = "<details><summary>Every change</summary>\n<div class=\"table\"><table>\n\
        <tr><th>at</th><th>change</th><th>has to move</th>"
        .to_owned();
    for run in runs {
        let _ = write!(html, "<th>{}</th>", escaped(&run.label));
    }
    html.push_str("</tr>\n<tr><td></td><td>no change</td><td>0.0 %</td>");
    for run in runs {
        cell(&mut html, &percent(run.keys_moved_idle), false);
    }
    html.push_str("</tr>\n");
    for (i, change) in first.moves.iter().enumerate() {
        let _ = write!(
            html,
            "<tr><td>{} s</td><td>{}</td><td>{}</td>",
            change.at,
            escaped(&change.change),
            percent(change.least)
        );
        for change in runs.iter().filter_map(|run| run.moves.get(i)) {
            cell(&mut html, &percent(change.moved), false);
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div></details>\n");
    html
}

type Latency = fn(&Run) -> Option<Duration>;

/// Whether a latency of `run` is the lowest among `runs` that lost no connection.
fn is_fastest<'a>(run: &Run, runs: impl IntoIterator<Item = &'a Run>, of: Latency) -> bool {
    let whole = runs.into_iter().filter(|run| lost_none(run));
    let lowest = whole.filter_map(of).min();
    lost_none(run) && lowest.is_some() && of(run) == lowest
}

/// Whether the figures are comparable: a policy that loses connections seems fast, because its backends have less load.
const fn lost_none(run: &Run) -> bool {
    run.lost == 0
}

/// Whether keys keep their backends and still reach backends that join. A policy that moves far fewer keys than the
/// weights demand is not better.
fn follows_keys(run: &Run) -> bool {
    let has_to_move = run.moves.iter().map(|change| change.least).sum::<f64>();
    let moved = run.moves.iter().map(|change| change.moved).sum::<f64>();
    !run.ignores_keys() && moved >= has_to_move / 2.0
}

fn keys_moved(run: &Run) -> String {
    let Some(moved) = run.keys_moved else {
        return "–".to_owned();
    };
    let mark = if run.ignores_keys() { " †" } else { "" };
    format!("{}{mark}", percent(moved))
}

fn cell(html: &mut String, text: &str, best: bool) {
    let class = if best { " class=\"best\"" } else { "" };
    let _ = write!(html, "<td{class}>{text}</td>");
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}
