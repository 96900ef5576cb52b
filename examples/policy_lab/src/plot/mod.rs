//! Plots as SVG elements for a page.
//!
//! The colours of text and lines are placeholders that the page's style replaces, so that one plot fits light and dark. A picture
//! that stands alone has a background of its own.

mod numbers;
mod rows;
mod style;
mod time;

pub(crate) use numbers::latency;
pub(crate) use rows::{Row, keys, latencies, latency_picture};
pub(crate) use style::{PlotError, colour};
pub(crate) use time::{Line, Panel, Scale};
