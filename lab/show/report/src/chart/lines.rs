//! A figure against something else: one line a lock, its name at the line's end.

use anyhow::Result;
use plotters::style::Color;

use super::axis::Axis;
use super::data::Data;
use super::frame::{Margins, Size, frame};
use super::labels::{LINE, spread};
use super::look::Locks;
use super::order::{Better, ends, sorted};
use super::sketch::{Sketch, path, shortened, text_width};

/// A value that is marked, and stands in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Value {
    /// In which column.
    pub(crate) column: usize,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// One lock: its number, the values that are marked, and what the line passes through.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) lock: usize,
    pub(crate) values: Vec<Value>,
    pub(crate) curve: Vec<(f64, f64)>,
}

impl Line {
    fn at(&self, column: usize) -> Option<f64> {
        let value = self.values.iter().find(|value| value.column == column);
        value.map(|value| value.y)
    }
}

/// The picture.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// What the marked values of a column have in common.
    pub(crate) columns: Vec<String>,
    /// The column by which locks are ordered, and that is told in words.
    pub(crate) told: usize,
    pub(crate) better: Better,
    pub(crate) lines: Vec<Line>,
}

impl Lines {
    pub(crate) fn draw(&self, heading: (&str, &str), locks: &Locks, size: Size) -> Result<Sketch> {
        // Every name at the lines' ends must have a place.
        let height = (LINE as u32 * self.lines.len() as u32 + 20).clamp(250, 1_500);
        let margins = Margins {
            left: 74,
            right: size.of(190, 132),
            top: 4,
            axis_above: false,
        };
        let (mut sketch, plane) = frame(heading, (&self.x, &self.y), (size, margins), height)?;
        let spots = |line: &Line| -> Vec<(i32, i32)> {
            line.curve.iter().map(|(x, y)| plane.at(*x, *y)).collect()
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
                path(area, spots, lock.colour.stroke_width(lock.width()))
            })?;
            let name = shortened(&lock.name, size.of(24, 14));
            let left = plane.right + 20;
            let room = (
                left,
                label - LINE / 2,
                left + text_width(&name),
                label + LINE / 2,
            );
            let leader = Some((end, (left - 3, label)));
            sketch.label((line.lock, lock), (&name, false), room, leader)?;
            for value in &line.values {
                let (at, shown) = (&self.columns[value.column], self.y.text(value.y));
                let title = format!("{}, {at}: {shown}", lock.name);
                let spot = plane.at(value.x, value.y);
                sketch.value((line.lock, lock), lock.mark, spot, &title)?;
            }
        }
        Ok(sketch)
    }

    /// Every lock with its figure in the column that is told.
    fn ranked(&self) -> Vec<(usize, f64)> {
        let known = |line: &Line| Some((line.lock, line.at(self.told)?));
        sorted(self.lines.iter().filter_map(known).collect(), self.better)
    }

    pub(crate) fn reading(&self, locks: &Locks) -> String {
        let ranked = self.ranked().into_iter();
        let shown = ranked.map(|(lock, value)| (lock, self.y.text(value)));
        let ends = ends(&shown.collect::<Vec<_>>(), locks);
        let column = self.columns.get(self.told).map_or("", String::as_str);
        match ends.is_empty() {
            true => String::new(),
            false => format!("{} at {column}, best first: {ends}.", self.y.title),
        }
    }

    pub(crate) fn data(&self, locks: &Locks) -> Data {
        let row = |line: &Line| {
            let mut cells = vec![String::new(); self.columns.len()];
            for value in &line.values {
                cells[value.column] = self.y.text(value.y);
            }
            (locks[line.lock].name.clone(), cells)
        };
        let ranked = self.ranked();
        let rank = |line: &&Line| {
            let place = ranked.iter().position(|(lock, _)| *lock == line.lock);
            place.unwrap_or(usize::MAX)
        };
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by_key(rank);
        Data {
            caption: format!("{}, by {}", self.y.title, self.x.title),
            rows: lines.into_iter().map(row).collect(),
            columns: self.columns.clone(),
        }
    }
}
