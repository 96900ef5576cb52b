//! Colours, sizes, and the SVG element around a plot.

use plotters::prelude::*;

use crate::html::escaped;

/// The size of text. Plots are drawn at twice their size on the page, so that whole pixels are fine enough.
pub(super) const FONT: i32 = 26;

/// Text; `#010101` in the page's style.
pub(super) const INK: RGBColor = RGBColor(1, 1, 1);
/// Lines of the grid; `#020202` in the page's style.
pub(super) const GRID: RGBColor = RGBColor(2, 2, 2);

/// Colours that are distinct under every kind of colour vision (Okabe and Ito, "Color Universal Design").
pub(super) const COLOURS: [RGBColor; 6] = [
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

/// The plotting library could not draw.
pub(crate) type PlotError = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn failed(error: impl std::fmt::Display) -> PlotError {
    error.to_string().into()
}

/// Draws on an empty plot of `size` and returns it as an element that a page can contain.
pub(super) fn element(
    size: (u32, u32),
    label: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let body = body(size, draw)?;
    // A page needs neither the prologue nor the name space, and its style sets the size.
    let (width, height) = size;
    let label = escaped(label);
    Ok(format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{body}"
    ))
}

/// The same as a document of its own. Text is dark on a white ground, which is readable on light and on dark pages.
pub(super) fn picture(
    size: (u32, u32),
    title: &str,
    description: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut body = body(size, draw)?;
    for (placeholder, colour) in [("#010101", "#22262b"), ("#020202", "#d0d3d7")] {
        for attribute in ["fill", "stroke"] {
            let of = |colour: &str| format!("{attribute}=\"{colour}\"");
            body = body.replace(&of(placeholder), &of(colour));
        }
    }
    let (width, height) = size;
    let (title, description) = (escaped(title), escaped(description));
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\">\n<title>{title}</title>\n<desc>{description}</desc>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"16\" fill=\"#ffffff\"/>{body}"
    ))
}

/// What the plotting library puts into its SVG element, with the end of that element.
fn body(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    let (_, body) = text
        .split_once("<svg")
        .and_then(|(_, svg)| svg.split_once('>'))
        .ok_or("the plotting library made no SVG")?;
    Ok(body.to_owned())
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
