//! A picture of the tables: throughput over bound, and the longest wait, against overcommit.
//!
//! One row of two panels for each section length; one line for each lock, the same colour
//! everywhere. Ours are thick with round marks, unfair peers have triangles, fair peers crosses,
//! so that the picture can be read without colours. It is an SVG with a background of its own,
//! and a style sheet that swaps its greys where the reader prefers dark.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::combinators::IntoLogRange;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::aggregate::{AtPoint, PointKey, Summary};
use crate::figures::{count, exact_time, time};

const WIDTH: u32 = 1100;
const ROW_HEIGHT: u32 = 330;
const LEGEND_WIDTH: u32 = 170;
const FONT: &str = "sans-serif";

/// The greys, as the light picture has them. [`dark_style`] names them again.
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const GRID: RGBColor = RGBColor(0xd8, 0xde, 0xe4);

/// Colours for the locks of the catalogue, of middle lightness: legible on white and on black.
const COLOURS: [(&str, RGBColor); 12] = [
    ("fifo", RGBColor(0xe0, 0x31, 0x31)),
    ("fifo-bit", RGBColor(0xe8, 0x59, 0x0c)),
    ("fifo-halt", RGBColor(0xd6, 0x8a, 0x00)),
    ("fifo-holder", RGBColor(0xd6, 0x33, 0x8c)),
    ("bounded", RGBColor(0xa8, 0x4b, 0xd6)),
    ("test-and-set", RGBColor(0x1c, 0x7e, 0xd6)),
    ("unfair-queued", RGBColor(0x0c, 0x8f, 0xa3)),
    ("unfair-hinted", RGBColor(0x4c, 0x6e, 0xf5)),
    ("linux-pv", RGBColor(0x2b, 0x8a, 0x3e)),
    ("pv-ticket", RGBColor(0x6b, 0x97, 0x1c)),
    ("ticket", RGBColor(0x8d, 0x84, 0x72)),
    ("native-queued", RGBColor(0x7a, 0x87, 0x91)),
];

/// The picture as SVG text.
///
/// # Errors
///
/// If there is nothing to draw, or the drawing library fails.
pub fn svg(points: &[AtPoint]) -> Result<String> {
    let settings = settings(points);
    if settings.is_empty() {
        return Err(anyhow!("there is no result to draw"));
    }
    let height = ROW_HEIGHT * settings.len() as u32;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(&area, &settings).map_err(|error| anyhow!("cannot draw the picture: {error}"))?;
        area.present()
            .map_err(|error| anyhow!("cannot draw the picture: {error}"))?;
    }
    Ok(with_style(&text))
}

/// The points of one section length, overcommit ascending.
struct Setting<'a> {
    like: &'a PointKey,
    points: Vec<&'a AtPoint>,
}

fn settings(points: &[AtPoint]) -> Vec<Setting<'_>> {
    let mut settings: Vec<Setting<'_>> = Vec::new();
    for at in points {
        match settings
            .iter_mut()
            .find(|setting| setting.like.same_but_overcommit(&at.point))
        {
            Some(setting) => setting.points.push(at),
            None => settings.push(Setting {
                like: &at.point,
                points: vec![at],
            }),
        }
    }
    settings
}

type Area<'a, 'b> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(area: &Area<'_, '_>, settings: &[Setting<'_>]) -> Drawn {
    area.fill(&PAPER)?;
    let (panels, legend) = area.split_horizontally(WIDTH - LEGEND_WIDTH);
    for (setting, row) in settings
        .iter()
        .zip(panels.split_evenly((settings.len(), 1)))
    {
        let sides = row.split_evenly((1, 2));
        draw_panel(&sides[0], setting, &THROUGHPUT)?;
        draw_panel(&sides[1], setting, &LONGEST_WAIT)?;
    }
    draw_legend(&legend, settings)
}

/// What a panel shows, and on which scale.
struct Panel {
    title: &'static str,
    figure: fn(&Summary) -> f64,
    logarithmic: bool,
    tick: fn(f64) -> String,
}

const THROUGHPUT: Panel = Panel {
    title: "throughput over bound",
    figure: |lock| lock.over_bound.median,
    logarithmic: false,
    tick: |value| format!("{value:.1}"),
};

const LONGEST_WAIT: Panel = Panel {
    // The longest of all repeats, which the table has, is often a matter of what else the machine did.
    title: "longest wait (median of the repeats)",
    // Nobody waited at all: the lowest line of a logarithmic scale.
    figure: |lock| lock.wait_max_ns.median.max(100.0),
    logarithmic: true,
    tick: time,
};

fn draw_panel(area: &Area<'_, '_>, setting: &Setting<'_>, panel: &Panel) -> Drawn {
    let values = setting
        .points
        .iter()
        .flat_map(|at| at.locks.iter().map(panel.figure));
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let across = Steps::of(setting);
    let title = format!(
        "{}, inside {}, outside {}",
        panel.title,
        exact_time(setting.like.inside_ns),
        exact_time(setting.like.outside_ns)
    );
    let mut builder = ChartBuilder::on(area);
    builder
        .margin(12)
        .caption(title, (FONT, 15).into_font().color(&INK))
        .x_label_area_size(38)
        .y_label_area_size(62);
    // The two scales have different types, so what follows cannot be shared by a variable.
    macro_rules! draw_on {
        ($scale:expr) => {{
            let mut chart = builder.build_cartesian_2d(across, $scale)?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(GRID)
                .axis_style(INK)
                .label_style((FONT, 12).into_font().color(&INK))
                .y_label_formatter(&|y| (panel.tick)(*y))
                .x_desc("vCPUs for each pCPU")
                .draw()?;
            for name in lock_names(setting) {
                let look = Look::of(setting, &name);
                let line = line_of(setting, &name, panel.figure);
                chart.draw_series(LineSeries::new(line.iter().copied(), look.line()))?;
                chart.draw_series(line.into_iter().map(|at| look.mark_at(at)))?;
            }
        }};
    }
    if panel.logarithmic {
        draw_on!((low / 1.5..high * 1.5).log_scale());
    } else {
        draw_on!(0.0..high.max(1.0) * 1.02);
    }
    Ok(())
}

/// The horizontal scale: the measured overcommits at equal distances, and ticks nowhere else.
struct Steps {
    labels: Vec<String>,
}

impl Steps {
    fn of(setting: &Setting<'_>) -> Self {
        let overcommits = setting.points.iter().map(|at| at.point.overcommit());
        Self {
            labels: overcommits.map(count).collect(),
        }
    }
}

impl Ranged for Steps {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (left, right): (i32, i32)) -> i32 {
        let Range { start, end } = self.range();
        let share = (value - start) / (end - start);
        left + (f64::from(right - left) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        (0..self.labels.len()).map(|step| step as f64).collect()
    }

    fn range(&self) -> Range<f64> {
        // A margin, so that the first and the last mark do not sit on the frame.
        -0.25..self.labels.len() as f64 - 0.75
    }
}

impl ValueFormatter<f64> for Steps {
    fn format_ext(&self, value: &f64) -> String {
        let step = value.round().max(0.0) as usize;
        self.labels.get(step).cloned().unwrap_or_default()
    }
}

fn line_of(setting: &Setting<'_>, name: &str, figure: fn(&Summary) -> f64) -> Vec<(f64, f64)> {
    let points = setting.points.iter().enumerate();
    points
        .filter_map(|(i, at)| Some((i as f64, figure(at.lock(name)?))))
        .collect()
}

/// Peers first, so that ours are drawn over them.
fn lock_names(setting: &Setting<'_>) -> Vec<String> {
    let mut names = BTreeMap::new();
    for lock in setting.points.iter().flat_map(|at| &at.locks) {
        let place = COLOURS.iter().rposition(|(name, _)| *name == lock.lock);
        // Reversed: the catalogue's first is drawn last.
        let order = (lock.is_ours(), std::cmp::Reverse(place));
        names.insert((order, lock.lock.clone()), ());
    }
    names.into_keys().map(|(_, name)| name).collect()
}

#[derive(Clone, Copy)]
enum Mark {
    Round,
    Triangle,
    Cross,
}

/// How a lock looks, everywhere in the picture.
struct Look {
    colour: RGBColor,
    mark: Mark,
    width: u32,
}

impl Look {
    fn of(setting: &Setting<'_>, name: &str) -> Self {
        let lock = setting.points.iter().find_map(|at| at.lock(name));
        let (ours, fair) = lock.map_or((false, false), |lock| (lock.is_ours(), lock.fair));
        let colour = COLOURS
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(INK, |(_, colour)| *colour);
        let mark = match (ours, fair) {
            (true, _) => Mark::Round,
            (false, false) => Mark::Triangle,
            (false, true) => Mark::Cross,
        };
        let width = if ours { 3 } else { 2 };
        Self {
            colour,
            mark,
            width,
        }
    }

    fn line(&self) -> ShapeStyle {
        self.colour.stroke_width(self.width)
    }

    fn mark_at<'b, C>(&self, at: C) -> DynElement<'static, SVGBackend<'b>, C>
    where
        C: Clone + 'static,
    {
        let filled = self.colour.filled();
        match self.mark {
            Mark::Round => Circle::new(at, 4, filled).into_dyn(),
            Mark::Triangle => TriangleMarker::new(at, 5, filled).into_dyn(),
            Mark::Cross => Cross::new(at, 4, self.line()).into_dyn(),
        }
    }
}

fn draw_legend(area: &Area<'_, '_>, settings: &[Setting<'_>]) -> Drawn {
    const LINE_HEIGHT: i32 = 20;
    let style = TextStyle::from((FONT, 13).into_font())
        .color(&INK)
        .pos(Pos::new(HPos::Left, VPos::Center));
    let Some(setting) = settings.first() else {
        return Ok(());
    };
    for (i, name) in lock_names(setting).iter().rev().enumerate() {
        let look = Look::of(setting, name);
        let y = 56 + LINE_HEIGHT * i as i32;
        area.draw(&PathElement::new(vec![(6, y), (34, y)], look.line()))?;
        area.draw(&look.mark_at((20, y)))?;
        area.draw(&Text::new(name.clone(), (42, y), style.clone()))?;
    }
    Ok(())
}

/// Puts a title for screen readers and the style sheet into the SVG.
fn with_style(svg: &str) -> String {
    let Some(end_of_tag) = svg
        .find("<svg")
        .and_then(|at| Some(at + svg[at..].find('>')? + 1))
    else {
        return svg.to_owned();
    };
    let (head, body) = svg.split_at(end_of_tag);
    format!(
        "{head}\n<title>Spinlocks under vCPU overcommit: throughput over bound, and longest wait</title>\n\
         <style>{}</style>{body}",
        dark_style()
    )
}

/// Swaps the greys where the reader prefers dark; the colours of the lines fit both.
fn dark_style() -> String {
    let swap = |light: RGBColor, dark: &str| {
        let light = format!("#{:02X}{:02X}{:02X}", light.0, light.1, light.2);
        format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
    };
    format!(
        "@media (prefers-color-scheme: dark){{{}{}{}}}",
        swap(PAPER, "#0d1117"),
        swap(INK, "#d7dde3"),
        swap(GRID, "#2b323b")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::summarise;
    use crate::samples;

    fn picture() -> String {
        let mut records = Vec::new();
        for vcpus in [2, 4, 8, 16] {
            for (lock, throughput) in [("fifo", 600_000.0), ("test-and-set", 9e5 / vcpus as f64)] {
                let short = samples::record(lock, vcpus, throughput);
                let mut long = short.clone();
                (long.inside_ns, long.outside_ns) = (20_000, 20_000);
                records.extend([short, long]);
            }
        }
        svg(&summarise(&records)).expect("there is something to draw")
    }

    #[test]
    fn every_lock_and_every_setting_is_there() {
        let picture = picture();
        for text in [
            "fifo",
            "test-and-set",
            "inside 1 µs",
            "inside 20 µs",
            "longest wait",
        ] {
            assert!(picture.contains(text), "{text} is missing");
        }
        assert!(picture.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn the_dark_style_names_colours_that_are_drawn() {
        let picture = picture();
        let (style, drawing) = picture.split_once("</style>").expect("there is a style");
        for grey in ["#FFFFFF", "#24292F", "#D8DEE4"] {
            assert!(style.contains(grey), "{grey} is not swapped");
            assert!(drawing.contains(grey), "{grey} is not drawn");
        }
        assert!(
            !drawing.contains("\"#000000\""),
            "black would vanish in the dark"
        );
    }

    #[test]
    fn the_same_results_give_the_same_bytes() {
        assert_eq!(picture(), picture());
    }

    #[test]
    fn nothing_is_not_drawn() {
        assert!(svg(&[]).is_err());
    }
}
