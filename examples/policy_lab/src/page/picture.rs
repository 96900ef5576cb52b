//! A picture of the latencies alone.

use super::PageError;
use super::section::latency_rows;
use crate::plot::latency_picture;
use crate::scenario::Scenario;
use crate::sim::Run;

/// Makes an SVG document of the latencies of `runs` of `scenario`: p50, p99 and p99.9 of each policy on one axis.
///
/// The picture refers to no other file. Its ground is white, so that it is readable on light and on dark pages.
///
/// # Errors
///
/// If the plotting library cannot draw it.
pub fn picture(scenario: &Scenario, runs: &[Run]) -> Result<String, PageError> {
    let title = format!("{}: latency of each policy", scenario.title);
    let drawn = latency_picture(&title, &scenario.description, &latency_rows(runs));
    drawn.map_err(|source| PageError {
        scenario: scenario.title.clone(),
        source,
    })
}
