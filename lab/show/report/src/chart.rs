//! Pictures of what the tables show, each described once and drawn for pages and files.
//!
//! ```text
//!   points of one setting ──> Chart ──┬──> SVG for a page     its heading left out, locks in groups
//!                             │       ├──> SVG file           light and dark by the reader's wish
//!                             │       └──> PNG file           the same SVG as pixels    png
//!                             └──> Data: the same figures as a table
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `plots` | which pictures there are, and what goes into each |
//! | `lines`, `scatter`, `rows` | the three kinds of picture |
//! | `frame`, `axis`, `labels`, `sketch` | what they are made of |
//! | `order` | which lock is better, and both ends in words |
//! | `look`, `theme` | colours, marks, greys |
//! | `png` | pixels |

pub(crate) mod axis;
mod beside;
pub(crate) mod data;
mod frame;
mod labels;
mod lines;
pub(crate) mod look;
mod order;
mod plots;
mod png;
mod rows;
mod scatter;
pub(crate) mod sketch;
pub(crate) mod theme;
mod waits;

use anyhow::Result;
use maud::{PreEscaped, html};

use self::data::Data;
pub(crate) use self::frame::Size;
use self::look::Locks;
pub(crate) use self::order::Better;
use self::sketch::Sketch;
use self::theme::{LIGHT, dark_rules, hex};

pub(crate) use self::beside::beside;
pub(crate) use self::plots::{Place, of_setting, pareto};
pub(crate) use self::png::png;

/// The three kinds of picture.
#[derive(Clone, Debug)]
pub(crate) enum Plot {
    Lines(lines::Lines),
    Scatter(scatter::Scatter),
    Rows(rows::Rows),
}

/// A picture, before it is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// What kind it is: part of file names.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) title: String,
    /// Where: what tells it from the same picture of another setting.
    pub(crate) place: String,
    pub(crate) plot: Plot,
}

impl Chart {
    fn sketch(&self, locks: &Locks, size: Size) -> Result<Sketch> {
        let heading = (self.title.as_str(), self.place.as_str());
        match &self.plot {
            Plot::Lines(lines) => lines.draw(heading, locks, size),
            Plot::Scatter(scatter) => scatter.draw(heading, locks, size),
            Plot::Rows(rows) => rows.draw(heading, locks, size),
        }
    }

    /// What there is to see, in words: made from what is drawn, so that it holds for it.
    pub(crate) fn reading(&self, locks: &Locks) -> String {
        match &self.plot {
            Plot::Lines(lines) => lines.reading(locks),
            Plot::Scatter(scatter) => scatter.reading(locks),
            Plot::Rows(rows) => rows.reading(locks),
        }
    }

    /// As a table.
    pub(crate) fn data(&self, locks: &Locks) -> Data {
        match &self.plot {
            Plot::Lines(lines) => lines.data(locks),
            Plot::Scatter(scatter) => scatter.data(locks),
            Plot::Rows(rows) => rows.data(locks),
        }
    }

    /// As part of a page, whose style sheet says what its greys are. `id` is its own on the page.
    pub(crate) fn inline(&self, locks: &Locks, id: &str, size: Size) -> Result<String> {
        let sketch = self.sketch(locks, size)?;
        let (width, height) = sketch.size;
        // The label of an axis may stick out above the plot.
        let above = frame::HEADING - 4;
        let visible = height - above;
        let row = (sketch.row_height > 0).then_some(sketch.row_height);
        let kind = match size {
            Size::Wide => "chart wide",
            Size::Narrow => "chart",
        };
        let described = format!("{id}-title {id}-text");
        let svg = html! {
            svg class=(kind) data-row=[row] id=(id) role="img" aria-labelledby=(described)
                viewBox=(format!("0 {above} {width} {visible}"))
                width=(width) height=(visible) xmlns="http://www.w3.org/2000/svg" {
                title id=(format!("{id}-title")) { (self.title) ", " (self.place) }
                desc id=(format!("{id}-text")) { (self.reading(locks)) }
                (PreEscaped(sketch.into_parts()))
            }
        };
        Ok(svg.into_string())
    }

    /// As a file of its own, with a background, and a style sheet that swaps its greys where the
    /// reader prefers dark.
    pub(crate) fn file(&self, locks: &Locks) -> Result<String> {
        let sketch = self.sketch(locks, Size::Wide)?;
        let (width, height) = sketch.size;
        let dark = format!(
            "@media (prefers-color-scheme: dark){{{}}}",
            dark_rules("svg")
        );
        let svg = html! {
            svg viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
                xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title text" {
                title id="title" { (self.title) ", " (self.place) }
                desc id="text" { (self.reading(locks)) }
                style { (PreEscaped(dark)) }
                rect width=(width) height=(height) fill=(hex(LIGHT.paper)) {}
                (PreEscaped(sketch.into_parts()))
            }
        };
        Ok(svg.into_string() + "\n")
    }
}

#[cfg(test)]
mod scene_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{samples, summarise};

    pub(super) fn charts() -> (Vec<Chart>, Locks) {
        let mut records = Vec::new();
        for vcpus in [2, 4, 8, 16] {
            for (lock, throughput) in [("fifo", 600_000.0), ("test-and-set", 9e5 / vcpus as f64)] {
                records.push(samples::record(lock, vcpus, throughput));
            }
        }
        records[7].neighbour = Some(0.8);
        let points = summarise(&records);
        let locks = Locks::of(&points);
        let place = Place {
            setting: "here & now".to_owned(),
            crowd: "vCPUs for each pCPU",
        };
        let points: Vec<_> = points.iter().collect();
        (of_setting(&points, &locks, &place), locks)
    }

    #[test]
    fn every_picture_shows_every_lock_and_says_what_it_is() {
        let (charts, locks) = charts();
        let names: Vec<&str> = charts.iter().map(|chart| chart.name).collect();
        assert_eq!(
            names,
            [
                "pareto",
                "throughput",
                "longest-wait",
                "waits",
                "hypercalls",
                "fairness",
                "neighbour"
            ]
        );
        for chart in &charts {
            let svg = chart.file(&locks).expect("it can be drawn");
            // Only one of the two had a neighbour.
            let both = chart.name != "neighbour";
            let first = ["data-lock=\"1\"", "data-lock=\"0\""][usize::from(both)];
            for part in [first, "data-lock=\"1\"", "here &amp; now", "<desc"] {
                assert!(svg.contains(part), "{}: no {part}", chart.name);
            }
            let data = chart.data(&locks);
            assert_eq!(data.rows.len(), 1 + usize::from(both), "{}", chart.name);
            for (_, cells) in &data.rows {
                assert_eq!(cells.len(), data.columns.len(), "{}", chart.name);
            }
        }
    }

    #[test]
    fn a_picture_of_medians_says_so_and_one_repeat_has_none() {
        for repeats in [1, 3] {
            let records = (0..repeats).map(|repeat| crate::Record {
                repeat,
                ..samples::record("fifo", 4, 600_000.0)
            });
            let points = summarise(&records.collect::<Vec<_>>());
            let place = Place {
                setting: String::new(),
                crowd: "vCPUs for each pCPU",
            };
            let charts = of_setting(
                &points.iter().collect::<Vec<_>>(),
                &Locks::of(&points),
                &place,
            );
            // The table's longest is that of all repeats.
            for chart in [&charts[0], &charts[2]] {
                assert!(chart.title.contains("longest wait"), "{}", chart.title);
                let told = chart.title.ends_with("(median of the repeats)");
                assert_eq!(told, repeats > 1, "{}", chart.title);
            }
        }
    }

    #[test]
    fn every_grey_is_swapped_in_the_dark() {
        let (charts, locks) = charts();
        for chart in &charts {
            let svg = chart.file(&locks).expect("it can be drawn");
            let (style, drawing) = svg.split_once("</style>").expect("there is a style");
            for grey in [LIGHT.paper, LIGHT.ink, LIGHT.faint].map(hex) {
                assert!(style.contains(&grey), "{grey} is not swapped");
                assert!(
                    drawing.contains(&grey),
                    "{}: {grey} is not drawn",
                    chart.name
                );
            }
            assert!(
                !drawing.contains("\"#000000\""),
                "{}: black would vanish in the dark",
                chart.name
            );
        }
    }

    #[test]
    fn the_words_are_made_from_what_is_drawn() {
        let (mut charts, locks) = charts();
        let said = |chart: &Chart| chart.reading(&locks);
        assert_eq!(
            said(&charts[0]),
            "Of 2 locks, not beaten in both throughput over bound and longest wait: fifo."
        );
        assert_eq!(
            said(&charts[1]),
            "throughput over bound at 8 vCPUs for each pCPU, best first: 0.90 (fifo) to 0.085 (test-and-set)."
        );
        assert_eq!(
            said(&charts[3]),
            "wait at 99.9 % of the waits, best first: 8.0 µs (fifo, test-and-set)."
        );
        assert_eq!(
            said(&charts[6]),
            "share: 0.80 (test-and-set).",
            "fifo had no neighbour"
        );
        let Plot::Lines(lines) = &mut charts[1].plot else {
            panic!("the second picture has lines")
        };
        lines.lines[0].values[3].y = 0.01;
        assert!(said(&charts[1]).ends_with("best first: 0.085 (test-and-set) to 0.010 (fifo)."));
    }
}
