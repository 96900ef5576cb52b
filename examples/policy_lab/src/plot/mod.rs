//! Plots as SVG elements for a page.
//!
//! The colours of text and lines are placeholders that the page's style replaces, so that one plot fits light and dark.

mod numbers;
mod rows;
mod style;
mod time;

pub(crate) use numbers::latency;
pub(crate) use rows::{Row, keys, latencies};
pub(crate) use style::{PlotError, colour};
pub(crate) use time::{Line, Panel, Scale};
