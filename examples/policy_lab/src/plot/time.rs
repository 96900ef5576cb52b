//! Values of backends over time.

use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::numbers::{log_ticks, plain};
use super::style::{FONT, GRID, INK, PlotError, colour, element, failed};

const SIZE: (u32, u32) = (1080, 400);

/// A plot of lines over time.
#[derive(Clone, Debug)]
pub(crate) struct Panel<'a> {
    pub(crate) title: &'a str,
    /// A description for screen readers.
    pub(crate) label: String,
    pub(crate) y_label: &'a str,
    pub(crate) scale: Scale,
    /// In seconds.
    pub(crate) duration: f64,
    /// The height of a line to compare with.
    pub(crate) reference: Option<f64>,
    /// The times of events, in seconds.
    pub(crate) marks: &'a [f64],
}

/// The vertical axis. Values beyond its ends are drawn at the ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scale {
    Linear { most: f64 },
    Log { least: f64, most: f64 },
}

/// One line, in the colour of its group. A missing value is a gap.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) group: usize,
    /// Evenly spaced over the duration, each in the middle of its part.
    pub(crate) values: Vec<Option<f64>>,
}

type TimeChart<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, Y>>;

impl Panel<'_> {
    /// Draws `lines`, the first lowest.
    pub(crate) fn draw(&self, lines: &[Line]) -> Result<String, PlotError> {
        element(SIZE, &self.label, |area| {
            let caption = ("sans-serif", FONT + 6, FontStyle::Bold).into_font();
            let mut builder = ChartBuilder::on(area);
            builder
                .caption(self.title, caption.color(&INK))
                .margin(12)
                .margin_right(24)
                .x_label_area_size(68)
                .y_label_area_size(104);
            let x = 0.0..self.duration;
            match self.scale {
                Scale::Linear { most } => {
                    let chart = builder.build_cartesian_2d(x, 0.0..most).map_err(failed)?;
                    self.fill(chart, (0.0, most), lines)
                }
                Scale::Log { least, most } => {
                    let ticks = log_ticks(least, most);
                    let y = (least..most).log_scale().with_key_points(ticks);
                    let chart = builder.build_cartesian_2d(x, y).map_err(failed)?;
                    self.fill(chart, (least, most), lines)
                }
            }
        })
    }

    fn fill<Y>(
        &self,
        mut chart: TimeChart<'_, '_, Y>,
        (least, most): (f64, f64),
        lines: &[Line],
    ) -> Result<(), PlotError>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_desc("time (s)")
            .y_desc(self.y_label)
            .x_labels(7)
            .y_labels(6)
            .x_label_formatter(&|x| plain(*x))
            .y_label_formatter(&|y| plain(*y))
            .label_style(("sans-serif", FONT).into_font().color(&INK))
            .draw()
            .map_err(failed)?;
        for &mark in self.marks.iter().filter(|at| **at <= self.duration) {
            let style = INK.mix(0.6).stroke_width(2);
            let line = DashedPathElement::new([(mark, least), (mark, most)], 4, 6, style);
            chart.plotting_area().draw(&line).map_err(failed)?;
        }
        for line in lines {
            let style = colour(line.group).mix(0.8).stroke_width(3);
            let step = self.duration / line.values.len().max(1) as f64;
            let at = |i: usize| (i as f64 + 0.5) * step;
            let points: Vec<Option<(f64, f64)>> = line
                .values
                .iter()
                .enumerate()
                .map(|(i, value)| Some((at(i), (*value)?.clamp(least, most))))
                .collect();
            for piece in points.split(Option::is_none) {
                let piece = piece.iter().flatten().copied();
                let path = PathElement::new(piece.collect::<Vec<_>>(), style);
                chart.plotting_area().draw(&path).map_err(failed)?;
            }
        }
        if let Some(reference) = self.reference {
            let ends = [(0.0, reference), (self.duration, reference)];
            let path = DashedPathElement::new(ends, 12, 8, INK.stroke_width(2));
            chart.plotting_area().draw(&path).map_err(failed)?;
        }
        Ok(())
    }
}
