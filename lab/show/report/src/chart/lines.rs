//! A figure against overcommit: one line a lock, its name at the line's end.

use anyhow::Result;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::Axis;
use super::data::Data;
use super::frame::{Margins, frame};
use super::labels::spread;
use super::look::Locks;
use super::sketch::{Sketch, TEXT, mark, path, shortened, write, writing};
use super::theme::LIGHT;

/// How many letters of a name there is room for.
const LETTERS: usize = 19;

/// One lock: its number, and its figure at some steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) lock: usize,
    pub(crate) points: Vec<(usize, f64)>,
}

/// The picture.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

impl Lines {
    pub(crate) fn draw(&self, heading: (&str, &str), locks: &Locks) -> Result<Sketch> {
        // Every name at the lines' ends must have a place.
        let height = (15 * self.lines.len() as u32 + 20).clamp(250, 1_500);
        let margins = Margins {
            left: 74,
            right: 190,
            top: 4,
        };
        let (mut sketch, plane) = frame(heading, (&self.x, &self.y), margins, height)?;
        let spots = |line: &Line| -> Vec<(i32, i32)> {
            let points = line.points.iter();
            points.map(|(step, y)| plane.at(*step as f64, *y)).collect()
        };
        let ends: Vec<i32> = self
            .lines
            .iter()
            .map(|line| spots(line).last().map_or(0, |end| end.1))
            .collect();
        let labels = spread(&ends, plane.top + 4, plane.bottom - 4);
        // Ours are drawn last, over the others.
        for (line, label) in self.lines.iter().zip(labels).rev() {
            let lock = &locks[line.lock];
            let spots = spots(line);
            let Some(&end) = spots.last() else { continue };
            sketch.lock(line.lock, lock.dashes(), &lock.name, |area| {
                path(area, spots.clone(), lock.colour.stroke_width(lock.width()))
            })?;
            let at = (plane.right + 20, label);
            let name = shortened(&lock.name, LETTERS);
            sketch.lock(line.lock, "none", &lock.name, |area| {
                path(
                    area,
                    vec![end, (at.0 - 8, at.1)],
                    lock.colour.mix(0.5).stroke_width(1),
                )?;
                mark(area, lock.mark, at, lock.colour)?;
                let style = writing(TEXT, LIGHT.ink, HPos::Left, VPos::Center);
                write(area, &name, (at.0 + 11, at.1), style)
            })?;
            for ((step, value), spot) in line.points.iter().zip(spots) {
                let at = &self.x.labels()[*step];
                let title = format!("{}, {at}: {}", lock.name, self.y.text(*value));
                sketch.lock(line.lock, "none", &title, |area| {
                    mark(area, lock.mark, spot, lock.colour)
                })?;
            }
        }
        Ok(sketch)
    }

    pub(crate) fn data(&self, locks: &Locks) -> Data {
        let columns = self.x.labels().to_vec();
        let row = |line: &Line| {
            let mut cells = vec![String::new(); columns.len()];
            for (step, value) in &line.points {
                cells[*step] = self.y.text(*value);
            }
            (locks[line.lock].name.clone(), cells)
        };
        Data {
            caption: format!("{}, by {}", self.y.title, self.x.title),
            rows: self.lines.iter().map(row).collect(),
            columns,
        }
    }
}
