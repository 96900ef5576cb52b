//! Plots of one row for each policy, with marks along a common axis. They stay readable with many policies.

use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::numbers::{log_ticks, short_duration};
use super::style::{Area, COLOURS, FONT, GRID, INK, PlotError, element, failed, picture};

const WIDTH: u32 = 1800;
const ROW: u32 = 46;
/// The least width for names.
const LABELS: u32 = 420;
/// The height of the title and the legend of a picture.
const HEADER: u32 = 120;
/// The middle of the legend.
const LEGEND: i32 = 92;

/// A policy and its values, in the order that the plot documents.
#[derive(Clone, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) values: Vec<f64>,
}

/// Draws latencies in seconds on a logarithmic axis: p50 as a circle, p99 as a triangle, p99.9 as a cross. A row without
/// all three stays empty.
pub(crate) fn latencies(rows: &[Row<'_>]) -> Result<String, PlotError> {
    let label = "p50, p99 and p99.9 of the latency of each policy, also in the table";
    element(size(rows), label, |area| draw_latencies(area, rows))
}

/// The same as a picture that stands alone, with `title` and a legend.
pub(crate) fn latency_picture(
    title: &str,
    description: &str,
    rows: &[Row<'_>],
) -> Result<String, PlotError> {
    let (width, height) = size(rows);
    let size = (width, height.saturating_add(HEADER));
    picture(size, title, description, |area| {
        let (header, plot) = area.split_vertically(HEADER);
        let bold = ("sans-serif", FONT + 10, FontStyle::Bold).into_font();
        let style = bold.color(&INK);
        header.draw_text(title, &style, (24, 24)).map_err(failed)?;
        let style = ("sans-serif", FONT + 2).into_font().color(&INK);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        for (x, name) in [(40, "p50"), (190, "p99"), (340, "p99.9")] {
            let at = (x + 28, LEGEND);
            header.draw_text(name, &style, at).map_err(failed)?;
        }
        header.draw(&p50_mark((40, LEGEND))).map_err(failed)?;
        header.draw(&p99_mark((190, LEGEND))).map_err(failed)?;
        header.draw(&p999_mark((340, LEGEND))).map_err(failed)?;
        draw_latencies(&plot, rows)
    })
}

fn p50_mark<C>(at: C) -> Circle<C, i32> {
    Circle::new(at, 10, COLOURS[5].filled())
}

fn p99_mark<C>(at: C) -> TriangleMarker<C, i32> {
    TriangleMarker::new(at, 14, COLOURS[4].filled())
}

fn p999_mark<C>(at: C) -> Cross<C, i32> {
    Cross::new(at, 9, COLOURS[1].stroke_width(5))
}

fn draw_latencies(area: &Area<'_>, rows: &[Row<'_>]) -> Result<(), PlotError> {
    let values = || rows.iter().flat_map(|row| &row.values);
    let least = values().copied().reduce(f64::min).unwrap_or(1.0).max(1e-6);
    let most = values().copied().fold(least, f64::max);
    let (from, to) = (least / 1.3, most * 1.3);
    let x = (from..to).log_scale().with_key_points(log_ticks(from, to));
    let axis = "latency from arrival to the end of service (logarithmic)";
    let format = |x: &f64| short_duration(*x);
    table(area, x, from, rows, axis, &format, |chart, y, row| {
        let [p50, p99, p999] = row.values[..] else {
            return Ok(());
        };
        let [p50, p99, p999] = [p50, p99, p999].map(|time| (time.max(least), y));
        let on = chart.plotting_area();
        let line = PathElement::new(vec![p50, p999], GRID.stroke_width(6));
        on.draw(&line).map_err(failed)?;
        on.draw(&p50_mark(p50)).map_err(failed)?;
        on.draw(&p99_mark(p99)).map_err(failed)?;
        on.draw(&p999_mark(p999)).map_err(failed)
    })
}

/// Draws parts of the keys, from 0 to 1: a circle for each change, and a triangle for their mean. `least` is the mean
/// part that has to move.
pub(crate) fn keys(rows: &[Row<'_>], least: f64) -> Result<String, PlotError> {
    let label = "the part of the keys that each change of membership moved, also in the table";
    element(size(rows), label, |area| {
        let x: RangedCoordf64 = (0.0..1.0).into();
        let format = |x: &f64| format!("{:.0} %", x * 100.0);
        let axis = "keys with another backend after the change";
        table(area, x, 0.0, rows, axis, &format, |chart, y, row| {
            let on = chart.plotting_area();
            let ideal = [(least, y - 0.5), (least, y + 0.5)];
            let ideal = DashedPathElement::new(ideal, 8, 6, INK.stroke_width(2));
            on.draw(&ideal).map_err(failed)?;
            for &value in &row.values {
                let circle = Circle::new((value, y), 8, COLOURS[0].mix(0.7).stroke_width(3));
                on.draw(&circle).map_err(failed)?;
            }
            let mean = row.values.iter().sum::<f64>() / row.values.len().max(1) as f64;
            let triangle = TriangleMarker::new((mean, y), 14, COLOURS[1].filled());
            on.draw(&triangle).map_err(failed)
        })
    })
}

fn size(rows: &[Row<'_>]) -> (u32, u32) {
    let rows = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    (WIDTH, rows.saturating_mul(ROW).saturating_add(130))
}

type RowChart<'a, 'b, X> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, RangedCoordf64>>;

/// Draws the axis and the names, and lets `mark` fill each row.
fn table<'b, X>(
    area: &Area<'b>,
    x: impl plotters::coord::ranged1d::AsRangedCoord<CoordDescType = X, Value = f64>,
    left: f64,
    rows: &[Row<'_>],
    axis: &str,
    format: &dyn Fn(&f64) -> String,
    mark: impl Fn(&RowChart<'_, 'b, X>, f64, &Row<'_>) -> Result<(), PlotError>,
) -> Result<(), PlotError>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let height = rows.len().max(1) as f64;
    let labels = rows
        .iter()
        .map(|row| width(row.name))
        .fold(LABELS, u32::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(80)
        .x_label_area_size(84)
        .y_label_area_size(labels)
        .build_cartesian_2d(x, 0.0..height)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_desc(axis)
        .x_labels(8)
        .y_labels(0)
        .x_label_formatter(&format)
        .y_label_formatter(&|_| String::new())
        .label_style(("sans-serif", FONT).into_font().color(&INK))
        .draw()
        .map_err(failed)?;
    let style = ("sans-serif", FONT + 2).into_font().color(&INK);
    let style = style.pos(Pos::new(HPos::Right, VPos::Center));
    let corner = area.get_base_pixel();
    for (i, row) in rows.iter().enumerate() {
        let y = height - 0.5 - i as f64;
        let (edge, middle) = chart.backend_coord(&(left, y));
        // Text is placed from the corner of the area, points of the chart from that of the whole plot.
        let at = (edge - corner.0 - 16, middle - corner.1);
        area.draw_text(row.name, &style, at).map_err(failed)?;
        mark(&chart, y, row)?;
    }
    Ok(())
}

/// A width that fits `name` in any font.
fn width(name: &str) -> u32 {
    let letter = |c: char| {
        if c.is_ascii_uppercase() || !c.is_ascii() {
            28
        } else {
            17
        }
    };
    name.chars().map(letter).sum::<u32>() + 24
}
