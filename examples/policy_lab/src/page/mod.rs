//! One page with all results. The page refers to no other file.

use std::fmt::Write;

use crate::html::escaped;
use crate::plot::PlotError;
use crate::scenario::Scenario;
use crate::sim::Run;

mod facts;
mod picture;
mod section;
mod tables;

pub use picture::picture;

/// A plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plots of \"{scenario}\" cannot be drawn")]
#[non_exhaustive]
pub struct PageError {
    /// The scenario's title.
    pub scenario: String,
    source: PlotError,
}

/// Makes an HTML page of scenarios and their runs under several policies.
///
/// The plots are inline SVG. The page refers to no other file and to no server.
///
/// # Errors
///
/// If the plotting library cannot draw a plot.
pub fn page(seed: u64, results: &[(Scenario, Vec<Run>)]) -> Result<String, PageError> {
    let mut body = String::new();
    for (number, (scenario, runs)) in results.iter().enumerate() {
        let section = section::section(number, scenario, runs).map_err(|source| PageError {
            scenario: scenario.title.clone(),
            source,
        })?;
        body.push_str(&section);
    }
    let mut contents = String::new();
    if results.len() > 1 {
        contents.push_str("<nav>");
        for (number, (scenario, _)) in results.iter().enumerate() {
            let title = escaped(&scenario.title);
            let _ = write!(contents, "<a href=\"#s{number}\">{title}</a>");
        }
        contents.push_str("</nav>");
        contents.push_str(&tables::overview(results));
    }
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Load-balancing policies compared</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <h1>Load-balancing policies compared</h1>\n\
         <p>Simulated on virtual time with the seed {seed}. Every policy meets the same arrivals, clients and demands \
         for service. The figures leave out connections that arrived during the warm-up.</p>\n\
         {contents}{body}\
         <footer>Made by policy_lab {version}. The same scenarios, policies and seed make the same page.</footer>\n\
         </body>\n</html>\n",
        style = include_str!("style.css"),
        version = env!("CARGO_PKG_VERSION"),
    ))
}
