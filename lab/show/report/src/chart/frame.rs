//! The frame of a picture: where the plot lies, its axes and its grid.

use plotters::chart::{ChartBuilder, LabelAreaPosition};
use plotters::coord::ranged1d::Ranged;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{IntoFont, TRANSPARENT};

use super::axis::Axis;
use super::sketch::{Area, Drawn, FONT, Sketch, Spot, TEXT, bold, shortened, write, writing};
use super::theme::LIGHT;

/// How wide a picture is. Its writing has one size in pixels: a narrow one has less of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A file, and the first picture of a page.
    Wide,
    /// A column of a page; what a telephone can show.
    Narrow,
}

impl Size {
    /// One of two numbers.
    pub(crate) const fn of<T: Copy>(self, wide: T, narrow: T) -> T {
        match self {
            Self::Wide => wide,
            Self::Narrow => narrow,
        }
    }

    const fn width(self) -> u32 {
        self.of(720, 420)
    }

    /// How many labels an axis across has room for.
    const fn ticks(self) -> usize {
        self.of(9, 4)
    }
}

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
    /// Whether the axis across is above the plot, or else below it.
    pub(crate) axis_above: bool,
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
    (size, margins): (Size, Margins),
    height: u32,
) -> anyhow::Result<(Sketch, Plane<'a>)> {
    let mut sketch = Sketch::new(size.width(), HEADING + margins.top + height + BELOW);
    sketch.heading(|area| {
        let style = bold(15.0, LIGHT.ink, HPos::Left, VPos::Center);
        write(area, title, (12, 16), style)?;
        let style = writing(11.5, LIGHT.faint, HPos::Left, VPos::Center);
        write(area, &shortened(place, size.of(118, 60)), (12, 36), style)
    })?;
    let (across, down) = sketch.draw(|area| mesh(area, x, y, (size, margins)))?;
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

fn mesh(area: &Area<'_>, x: &Axis, y: &Axis, (size, margins): (Size, Margins)) -> Drawn<Ranges> {
    let font = |size: f64| (FONT, size * 1.24).into_font();
    let mut builder = ChartBuilder::on(area);
    builder
        .margin_top(HEADING + margins.top)
        .margin_right(margins.right)
        .margin_bottom(6)
        .margin_left(8)
        .y_label_area_size(margins.left);
    let side = match margins.axis_above {
        true => LabelAreaPosition::Top,
        false => LabelAreaPosition::Bottom,
    };
    builder.set_label_area_size(side, BELOW - 6);
    let mut chart = builder.build_cartesian_2d(x.clone(), y.clone())?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(LIGHT.grid)
        .axis_style(LIGHT.faint)
        .label_style(font(TEXT).color(&LIGHT.ink))
        .axis_desc_style(font(TEXT).color(&LIGHT.faint))
        .x_labels(size.ticks())
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
