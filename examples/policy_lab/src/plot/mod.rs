//! Plots as SVG elements for a page.
//!
//! The colours of text and lines are stand-ins that the page's style replaces, so that one plot fits light and dark.

use std::time::Duration;

use plotters::prelude::*;

mod rows;
mod time;

pub(crate) use rows::{Row, keys, latencies};
pub(crate) use time::{Line, Panel, Scale};

/// Plots are drawn at twice the size they are shown in, so that whole pixels are fine enough.
const FONT: i32 = 26;

/// Text; `#010101` in the page's style.
const INK: RGBColor = RGBColor(1, 1, 1);
/// Lines of the grid; `#020202` in the page's style.
const GRID: RGBColor = RGBColor(2, 2, 2);

/// Colours that people with every kind of colour vision can tell apart (Okabe and Ito, "Color Universal Design").
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// The colour of group number `i`.
pub(crate) const fn colour(i: usize) -> RGBColor {
    COLOURS[i % COLOURS.len()]
}

/// Why a plot could not be drawn.
pub(crate) type PlotError = Box<dyn std::error::Error + Send + Sync>;

fn failed(error: impl std::fmt::Display) -> PlotError {
    error.to_string().into()
}

/// Draws on an empty plot of `size` and returns it as an element that a page can contain.
fn element(
    size: (u32, u32),
    label: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    // A page needs neither the prologue nor the name space, and decides about the size itself.
    let (_, body) = text
        .split_once("<svg")
        .and_then(|(_, svg)| svg.split_once('>'))
        .ok_or("the plotting library made no SVG")?;
    let (width, height) = size;
    let label = crate::page::escaped(label);
    Ok(format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{body}"
    ))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// A duration for people, with three digits that count.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = if seconds >= 1.0 {
        (seconds, "s")
    } else if seconds >= 1e-3 {
        (seconds * 1e3, "ms")
    } else {
        (seconds * 1e6, "µs")
    };
    let digits = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A latency for people; a dash if nothing was served.
pub(crate) fn latency(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), duration)
}

/// A duration on an axis, without digits that say nothing.
fn short_duration(seconds: f64) -> String {
    match seconds {
        s if s >= 0.999 => format!("{} s", plain(s)),
        s if s >= 0.999e-3 => format!("{} ms", plain(s * 1e3)),
        s => format!("{} µs", plain(s * 1e6)),
    }
}

/// A number on an axis, without digits that say nothing.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Round numbers from `least` to `most` for a logarithmic axis: 1, 2, 5, 10 and so on, fewer over many decades.
fn log_ticks(least: f64, most: f64) -> Vec<f64> {
    let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let steps: &[f64] = match (most / least).log10() {
        decades if decades <= 2.2 => &[1.0, 2.0, 5.0],
        decades if decades <= 3.2 => &[1.0, 3.0],
        _ => &[1.0],
    };
    (from..=to)
        .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
        .filter(|tick| (least..=most).contains(tick))
        .collect()
}
