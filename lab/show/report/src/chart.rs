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
//! | `look`, `theme` | colours, marks, greys |
//! | `png` | pixels |

pub(crate) mod axis;
pub(crate) mod data;
mod frame;
mod labels;
mod lines;
pub(crate) mod look;
mod plots;
mod png;
mod rows;
mod scatter;
pub(crate) mod sketch;
pub(crate) mod theme;

use anyhow::Result;
use maud::{PreEscaped, html};

use self::data::Data;
use self::look::Locks;
use self::sketch::Sketch;
use self::theme::{LIGHT, dark_rules, hex};

pub(crate) use self::plots::{Place, beside, of_setting, pareto};
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
    /// What there is to see, in words.
    pub(crate) reading: String,
    pub(crate) plot: Plot,
}

impl Chart {
    fn sketch(&self, locks: &Locks) -> Result<Sketch> {
        let heading = (self.title.as_str(), self.place.as_str());
        match &self.plot {
            Plot::Lines(lines) => lines.draw(heading, locks),
            Plot::Scatter(scatter) => scatter.draw(heading, locks),
            Plot::Rows(rows) => rows.draw(heading, locks),
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
    pub(crate) fn inline(&self, locks: &Locks, id: &str) -> Result<String> {
        let sketch = self.sketch(locks)?;
        let (width, height) = sketch.size;
        let visible = height - frame::HEADING;
        let described = format!("{id}-title {id}-text");
        let svg = html! {
            svg class="chart" id=(id) role="img" aria-labelledby=(described)
                viewBox=(format!("0 {} {width} {visible}", frame::HEADING))
                width=(width) height=(visible) xmlns="http://www.w3.org/2000/svg" {
                title id=(format!("{id}-title")) { (self.title) ", " (self.place) }
                desc id=(format!("{id}-text")) { (self.reading) }
                (PreEscaped(sketch.into_parts()))
            }
        };
        Ok(svg.into_string())
    }

    /// As a file of its own, with a background, and a style sheet that swaps its greys where the
    /// reader prefers dark.
    pub(crate) fn file(&self, locks: &Locks) -> Result<String> {
        let sketch = self.sketch(locks)?;
        let (width, height) = sketch.size;
        let dark = format!(
            "@media (prefers-color-scheme: dark){{{}}}",
            dark_rules("svg")
        );
        let svg = html! {
            svg viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
                xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title text" {
                title id="title" { (self.title) ", " (self.place) }
                desc id="text" { (self.reading) }
                style { (PreEscaped(dark)) }
                rect width=(width) height=(height) fill=(hex(LIGHT.paper)) {}
                (PreEscaped(sketch.into_parts()))
            }
        };
        Ok(svg.into_string() + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{samples, summarise};

    fn charts() -> (Vec<Chart>, Locks) {
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
                "throughput",
                "longest-wait",
                "pareto",
                "waits",
                "hypercalls",
                "fairness",
                "neighbour"
            ]
        );
        for chart in &charts {
            let svg = chart.file(&locks).expect("it can be drawn");
            for part in [
                "data-lock=\"0\"",
                "data-lock=\"1\"",
                "here &amp; now",
                "<desc",
            ] {
                assert!(svg.contains(part), "{}: no {part}", chart.name);
            }
            let data = chart.data(&locks);
            assert_eq!(data.rows.len(), 2, "{}", chart.name);
            for (_, cells) in &data.rows {
                assert_eq!(cells.len(), data.columns.len(), "{}", chart.name);
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
    fn the_words_name_both_ends() {
        let (charts, _) = charts();
        let reading = &charts[0].reading;
        assert!(
            reading.contains("(fifo), the lowest") && reading.ends_with("(test-and-set)."),
            "{reading}"
        );
        assert_eq!(
            charts[6].reading, "test-and-set has 0.80 at 8 vCPUs for each pCPU.",
            "fifo had no neighbour"
        );
    }
}
