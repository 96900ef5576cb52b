//! The figures as a table for the terminal.

use std::fmt::Write;

use crate::plot::latency;
use crate::sim::Run;

/// A table of `runs` under `title`.
pub(crate) fn table(title: &str, runs: &[Run]) -> String {
    let names = runs.iter().map(|run| run.label.chars().count());
    let width = names.max().unwrap_or_default().max("policy".len());
    let mut text = format!(
        "\n{title}\n{:width$} {:>9} {:>9} {:>9} {:>10} {:>11} {:>10} {:>10} {:>6}\n",
        "policy",
        "p50",
        "p99",
        "p99.9",
        "in flight",
        "share error",
        "elsewhere",
        "keys moved",
        "lost"
    );
    for run in runs {
        let mark = if run.ignores_keys() { "*" } else { " " };
        let moved = run.keys_moved;
        let moved = moved.map_or_else(|| "– ".to_owned(), |m| format!("{:.1} %{mark}", m * 100.0));
        let _ = writeln!(
            text,
            "{:width$} {:>9} {:>9} {:>9} {:>10} {:>9.1} % {:>8.1} % {:>10} {:>6}",
            run.label,
            latency(run.p50),
            latency(run.p99),
            latency(run.p999),
            run.max_in_flight,
            run.share_error * 100.0,
            run.sent_elsewhere * 100.0,
            moved,
            run.lost,
        );
    }
    text
}
