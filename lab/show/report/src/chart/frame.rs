//! The frame of a picture: where the plot lies, its axes and its grid.

use plotters::chart::ChartBuilder;
use plotters::coord::ranged1d::Ranged;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{IntoFont, TRANSPARENT};

use super::axis::Axis;
use super::sketch::{Area, Drawn, FONT, Sketch, Spot, TEXT, bold, shortened, write, writing};
use super::theme::LIGHT;

/// How wide every picture is.
pub(crate) const WIDTH: u32 = 720;

/// How much of a file's picture is its heading; a page leaves it out.
pub(crate) const HEADING: u32 = 50;

const BELOW: u32 = 46;

/// What is kept free around the plot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Margins {
    pub(crate) left: u32,
    pub(crate) right: u32,
    /// Between heading and plot.
    pub(crate) top: u32,
}

/// Where values lie in a picture.
#[derive(Debug)]
pub(crate) struct Plane<'a> {
    x: &'a Axis,
    y: &'a Axis,
    pub(crate) left: i32,
    pub(crate) right: i32,
    pub(crate) top: i32,
    pub(crate) bottom: i32,
}

impl Plane<'_> {
    /// The spot of a pair of values.
    pub(crate) fn at(&self, x: f64, y: f64) -> Spot {
        (
            self.x.map(&x, (self.left, self.right)),
            self.y.map(&y, (self.bottom, self.top)),
        )
    }
}

/// Draws the heading, the axes and the grid around a plot of this height.
pub(crate) fn frame<'a>(
    (title, place): (&str, &str),
    (x, y): (&'a Axis, &'a Axis),
    margins: Margins,
    height: u32,
) -> anyhow::Result<(Sketch, Plane<'a>)> {
    let mut sketch = Sketch::new(WIDTH, HEADING + margins.top + height + BELOW);
    sketch.heading(|area| {
        let style = bold(15.0, LIGHT.ink, HPos::Left, VPos::Center);
        write(area, title, (12, 16), style)?;
        let style = writing(11.5, LIGHT.faint, HPos::Left, VPos::Center);
        write(area, &shortened(place, 118), (12, 36), style)
    })?;
    let (across, down) = sketch.draw(|area| mesh(area, x, y, margins))?;
    let plane = Plane {
        x,
        y,
        left: across.start,
        right: across.end,
        top: down.start,
        bottom: down.end,
    };
    Ok((sketch, plane))
}

type Ranges = (std::ops::Range<i32>, std::ops::Range<i32>);

fn mesh(area: &Area<'_>, x: &Axis, y: &Axis, margins: Margins) -> Drawn<Ranges> {
    let font = |size: f64| (FONT, size * 1.24).into_font();
    let mut builder = ChartBuilder::on(area);
    builder
        .margin_top(HEADING + margins.top)
        .margin_right(margins.right)
        .margin_bottom(6)
        .margin_left(8)
        .x_label_area_size(BELOW - 6)
        .y_label_area_size(margins.left);
    let mut chart = builder.build_cartesian_2d(x.clone(), y.clone())?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(LIGHT.grid)
        .axis_style(LIGHT.faint)
        .label_style(font(TEXT).color(&LIGHT.ink))
        .axis_desc_style(font(TEXT).color(&LIGHT.faint))
        .x_desc(x.title.as_str());
    if !y.title.is_empty() {
        mesh.y_desc(y.title.as_str());
    }
    if !x.labels().is_empty() {
        mesh.disable_x_mesh();
    }
    mesh.draw()?;
    Ok(chart.plotting_area().get_pixel_range())
}
