//! The section of the page about one scenario.

use std::fmt::Write;

use super::{facts, tables};
use crate::html::escaped;
use crate::plot::{self, Line, Panel, PlotError, Row, Scale, colour};
use crate::scenario::Scenario;
use crate::sim::Run;

/// Groups with more backends are drawn as three lines.
const MAX_LINES: usize = 24;

/// Shares above this are drawn at the upper end.
const MAX_SHARE: f64 = 4.0;

pub(super) fn section(
    number: usize,
    scenario: &Scenario,
    runs: &[Run],
) -> Result<String, PlotError> {
    let mut html = String::new();
    let title = escaped(&scenario.title);
    let description = escaped(&scenario.description);
    let _ = write!(
        html,
        "<section id=\"s{number}\">\n<h2>{title}</h2>\n<p>{description}</p>\n<p class=\"how\">{}</p>\n",
        facts::facts(scenario)
    );
    html.push_str(&facts::variants(scenario, runs));
    html.push_str(&tables::figures(runs));
    html.push_str(&latency(runs)?);
    html.push_str(&shares(scenario, runs)?);
    html.push_str(&in_flight(scenario, runs)?);
    html.push_str(&keys(runs)?);
    html.push_str("</section>\n");
    Ok(html)
}

/// The p50, p99 and p99.9 of each run, in seconds.
pub(super) fn latency_rows(runs: &[Run]) -> Vec<Row<'_>> {
    let seconds = |run: &Run| {
        let times = [run.p50, run.p99, run.p999].into_iter().flatten();
        times.map(|time| time.as_secs_f64()).collect()
    };
    let rows = runs.iter().map(|run| Row {
        name: &run.label,
        values: seconds(run),
    });
    rows.collect()
}

fn latency(runs: &[Run]) -> Result<String, PlotError> {
    let svg = plot::latencies(&latency_rows(runs))?;
    Ok(format!(
        "<h3>Latency</h3>\n<p class=\"how\">From the arrival of a connection to the end of its service, with all attempts \
         to connect and all queueing. Further left is better; a long bar means that a few clients wait much longer \
         than most. Lost connections are not included.</p>\n\
         <p class=\"legend\"><span><span class=\"glyph\" style=\"color:#56b4e9\">●</span>p50</span>\
         <span><span class=\"glyph\" style=\"color:#e69f00\">▲</span>p99</span>\
         <span><span class=\"glyph\" style=\"color:#d55e00\">✕</span>p99.9</span></p>\n\
         <figure>{svg}</figure>\n"
    ))
}

fn shares(scenario: &Scenario, runs: &[Run]) -> Result<String, PlotError> {
    let all = runs.iter().flat_map(|run| run.shares.iter().flatten());
    let most = all.flatten().copied().fold(1.5, f64::max).min(MAX_SHARE);
    let marks = marks(scenario);
    let mut html = format!(
        "<h3>Share against weight</h3>\n<p class=\"how\">A backend's share of the established connections divided by the \
         share that its weight gives it, over time; the dashed line is exactly its weight. A policy that reads weights \
         alone stays close to it; one that reads the load leaves it where backends differ from their weights. Values above {most:.1} \
         are drawn at the top. Dotted uprights are events.</p>\n{}<div class=\"panels\">\n",
        legend(scenario)
    );
    for run in runs {
        let panel = Panel {
            title: &run.label,
            label: format!("share against weight over time under {}", run.label),
            y_label: "share / weight",
            scale: Scale::Linear { most: most * 1.02 },
            duration: scenario.duration.seconds(),
            reference: Some(1.0),
            marks: &marks,
        };
        let svg = panel.draw(&lines(scenario, &run.shares))?;
        let _ = writeln!(html, "<figure>{svg}</figure>");
    }
    html.push_str("</div>\n");
    Ok(html)
}

fn in_flight(scenario: &Scenario, runs: &[Run]) -> Result<String, PlotError> {
    let (scale, remark) = in_flight_scale(runs);
    let marks = marks(scenario);
    let mut html = format!(
        "<h3>Connections in flight per backend</h3>\n<p class=\"how\">Picked and not yet ended, on average over each \
         sixtieth of the time. Close lines mean an even load; a line that climbs is a backend that \
         gets more connections than it can serve. All panels have the same axis.{remark}</p>\n{}<div class=\"panels\">\n",
        legend(scenario)
    );
    for run in runs {
        let panel = Panel {
            title: &run.label,
            label: format!("connections in flight over time under {}", run.label),
            y_label: "in flight",
            scale,
            duration: scenario.duration.seconds(),
            reference: None,
            marks: &marks,
        };
        let svg = panel.draw(&lines(scenario, &run.in_flight))?;
        let _ = writeln!(html, "<figure>{svg}</figure>");
    }
    html.push_str("</div>\n");
    Ok(html)
}

fn keys(runs: &[Run]) -> Result<String, PlotError> {
    let Some(first) = runs.first().filter(|run| !run.moves.is_empty()) else {
        return Ok(String::new());
    };
    let least = first.moves.iter().map(|change| change.least).sum::<f64>();
    let least = least / first.moves.len() as f64;
    let row = |run: &'_ Run| run.moves.iter().map(|change| change.moved).collect();
    let rows: Vec<Row<'_>> = runs
        .iter()
        .map(|run| Row {
            name: &run.label,
            values: row(run),
        })
        .collect();
    let svg = plot::keys(&rows, least)?;
    Ok(format!(
        "<h3>Keys moved by changes of membership</h3>\n<p class=\"how\">Of 2000 fixed client keys, the part that \
         goes to another backend after a change than before. The dashed line is the part that has to move on average for the shares to \
         follow the weights; consistent hashing stays close to it. Policies that ignore keys move about 1 − 1/N of them, and as many \
         without a change (row “no change”); bounds of the load move some keys without a change, too.</p>\n\
         <p class=\"legend\"><span><span class=\"glyph\" style=\"color:#0072b2\">○</span>one change</span>\
         <span><span class=\"glyph\" style=\"color:#d55e00\">▲</span>mean</span><span>┆ has to move</span></p>\n\
         <figure>{svg}</figure>\n{}",
        tables::moves(runs)
    ))
}

/// The axis for connections in flight, and a remark about it.
fn in_flight_scale(runs: &[Run]) -> (Scale, String) {
    let values =
        |run: &Run| -> Vec<f64> { run.in_flight.iter().flatten().flatten().copied().collect() };
    let peak = |run: &Run| values(run).into_iter().fold(1.0, f64::max);
    let highest = runs.iter().map(peak).fold(1.0, f64::max);
    // A policy that sends every connection to one backend would make the lines of all others flat.
    let most = highest.min(4.0 * median(runs.iter().map(peak).collect())) * 1.05;
    let mut remark = String::new();
    if most < highest {
        let _ = write!(remark, " Values above {most:.0} are drawn at the top.");
    }
    // The same holds for a single backend far above the rest.
    let middle = median(runs.iter().flat_map(values).collect());
    if most <= 8.0 * middle.max(1.0) {
        return (Scale::Linear { most }, remark);
    }
    remark += " The axis is logarithmic; smaller values are drawn at the bottom.";
    let least = (middle / 10.0).clamp(0.02, 0.5);
    (Scale::Log { least, most }, remark)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The times of events, each time once.
fn marks(scenario: &Scenario) -> Vec<f64> {
    let mut marks: Vec<f64> = scenario.events.iter().map(|e| e.at.seconds()).collect();
    marks.dedup();
    marks
}

fn legend(scenario: &Scenario) -> String {
    let mut html = "<p class=\"legend\">".to_owned();
    for (i, group) in scenario.groups.iter().enumerate() {
        let (colour, name) = (colour(i), escaped(group.name.get_ref()));
        let remark = if group.count.get_ref().get() as usize > MAX_LINES {
            " (lowest, middle and highest backend)"
        } else {
            ""
        };
        let _ = write!(
            html,
            "<span><span class=\"swatch\" style=\"background:#{:02x}{:02x}{:02x}\"></span>{name}{remark}</span>",
            colour.0, colour.1, colour.2
        );
    }
    html.push_str("</p>\n");
    html
}

/// A line for each backend, or three lines for a large group.
fn lines(scenario: &Scenario, values: &[Vec<Option<f64>>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for group in 0..scenario.groups.len() {
        let members: Vec<&Vec<Option<f64>>> = scenario
            .backends
            .iter()
            .zip(values)
            .filter(|(backend, _)| backend.group == group)
            .map(|(_, values)| values)
            .collect();
        if members.len() <= MAX_LINES {
            let line = |values: &Vec<Option<f64>>| Line {
                group,
                values: values.clone(),
            };
            lines.extend(members.into_iter().map(line));
            continue;
        }
        let ranked: Vec<Vec<f64>> = (0..members[0].len())
            .map(|bin| {
                let mut column: Vec<f64> = members.iter().filter_map(|m| m[bin]).collect();
                column.sort_by(f64::total_cmp);
                column
            })
            .collect();
        for part in [0.0, 0.5, 1.0] {
            let at = |column: &Vec<f64>| {
                let last = column.len().checked_sub(1)?;
                column.get((last as f64 * part) as usize).copied()
            };
            let values = ranked.iter().map(at).collect();
            lines.push(Line { group, values });
        }
    }
    lines
}
