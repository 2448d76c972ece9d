//! One row a lock: several values on one scale, and a figure at the end.

use anyhow::Result;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::Axis;
use super::data::Data;
use super::frame::{HEADING, Margins, frame};
use super::look::{Locks, Mark};
use super::sketch::{Sketch, TEXT, bold, mark, path, shortened, text_width, write, writing};
use super::theme::LIGHT;

const ROW: u32 = 22;

/// How many letters of a name there is room for.
const LETTERS: usize = 20;

/// One lock: its number, a value for each sign (or none), and what stands at the end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) lock: usize,
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) end: String,
}

/// The picture.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) x: Axis,
    /// What the signs stand for.
    pub(crate) signs: Vec<(Mark, String)>,
    /// What stands at the end of each row.
    pub(crate) end: String,
    /// Whether a line joins the values of a row.
    pub(crate) joined: bool,
    pub(crate) rows: Vec<Row>,
}

impl Rows {
    pub(crate) fn draw(&self, heading: (&str, &str), locks: &Locks) -> Result<Sketch> {
        let legend = if self.signs.len() > 1 { 26 } else { 4 };
        let margins = Margins {
            left: 180,
            right: 104,
            top: legend + 18,
        };
        let y = Axis::rows(self.rows.len());
        let height = ROW * self.rows.len() as u32;
        let (mut sketch, plane) = frame(heading, (&self.x, &y), margins, height)?;
        let edge = sketch.size.0 as i32 - 10;
        let head = HEADING as i32 + legend as i32 + 4;
        sketch.draw(|area| {
            let mut x = plane.left - 4;
            for (sign, meaning) in self.signs.iter().filter(|_| self.signs.len() > 1) {
                let y = HEADING as i32 + 12;
                let meaning = shortened(meaning, 30);
                mark(area, *sign, (x, y), LIGHT.faint)?;
                let style = writing(TEXT, LIGHT.ink, HPos::Left, VPos::Center);
                write(area, &meaning, (x + 11, y), style)?;
                x += text_width(&meaning) + 46;
            }
            let style = writing(TEXT, LIGHT.faint, HPos::Right, VPos::Center);
            write(area, &self.end, (edge, head), style)
        })?;
        for (place, row) in self.rows.iter().enumerate() {
            let lock = &locks[row.lock];
            let (_, y) = plane.at(0.0, -(place as f64));
            let values: Vec<(&(Mark, String), f64)> = self
                .signs
                .iter()
                .zip(&row.values)
                .filter_map(|(sign, value)| Some((sign, (*value)?)))
                .collect();
            sketch.lock(row.lock, "none", &lock.name, |area| {
                let name = shortened(&lock.name, LETTERS);
                let label = if lock.ours { bold } else { writing };
                let style = label(TEXT, LIGHT.ink, HPos::Right, VPos::Center);
                write(area, &name, (plane.left - 12, y), style)?;
                let spots = values.iter().map(|(_, value)| plane.at(*value, 0.0).0);
                if let (true, Some(first), Some(last)) =
                    (self.joined, spots.clone().min(), spots.max())
                {
                    path(
                        area,
                        vec![(first, y), (last, y)],
                        lock.colour.mix(0.6).stroke_width(2),
                    )?;
                }
                let style = writing(TEXT, LIGHT.ink, HPos::Right, VPos::Center);
                write(area, &row.end, (edge, y), style)
            })?;
            for ((sign, meaning), value) in values {
                let title = format!("{}, {meaning}: {}", lock.name, self.x.text(value));
                let spot = (plane.at(value, 0.0).0, y);
                sketch.lock(row.lock, "none", &title, |area| {
                    mark(area, *sign, spot, lock.colour)
                })?;
            }
        }
        Ok(sketch)
    }

    pub(crate) fn data(&self, locks: &Locks) -> Data {
        let mut columns: Vec<String> = self.signs.iter().map(|(_, name)| name.clone()).collect();
        columns.push(self.end.clone());
        let row = |row: &Row| {
            let mut cells: Vec<String> = row
                .values
                .iter()
                .map(|value| value.map_or_else(String::new, |value| self.x.text(value)))
                .collect();
            cells.push(row.end.clone());
            (locks[row.lock].name.clone(), cells)
        };
        Data {
            caption: self.x.title.clone(),
            rows: self.rows.iter().map(row).collect(),
            columns,
        }
    }
}
