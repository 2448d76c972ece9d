//! One row a lock: several values on one scale, and a figure at the end.

use anyhow::Result;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use crate::figures::counted;

use super::axis::Axis;
use super::data::Data;
use super::frame::{HEADING, Margins, Size, frame};
use super::look::{Locks, Mark};
use super::order::ends;
use super::sketch::{Sketch, TEXT, mark, path, shortened, text_width, write, writing};
use super::theme::LIGHT;

const ROW: u32 = 22;

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
    /// Whether the rows are in an order, the best first.
    pub(crate) ranked: bool,
    pub(crate) rows: Vec<Row>,
}

impl Rows {
    pub(crate) fn draw(&self, heading: (&str, &str), locks: &Locks, size: Size) -> Result<Sketch> {
        let legend = if self.signs.len() > 1 { 26 } else { 4 };
        let margins = Margins {
            left: size.of(180, 126),
            right: size.of(104, 78),
            top: legend,
            // Below the last row there is nothing: rows can be taken away.
            axis_above: true,
        };
        let y = Axis::rows(self.rows.len());
        let height = ROW * self.rows.len() as u32;
        let axes = (&self.x, &y);
        let (mut sketch, plane) = frame(heading, axes, (size, margins), height)?;
        sketch.row_height = ROW;
        let edge = sketch.size.0 as i32 - 10;
        sketch.draw(|area| {
            let mut x = size.of(plane.left - 4, 14);
            for (sign, meaning) in self.signs.iter().filter(|_| self.signs.len() > 1) {
                let y = HEADING as i32 + 12;
                let meaning = shortened(meaning, size.of(30, 14));
                mark(area, *sign, (x, y), LIGHT.faint)?;
                let style = writing(TEXT, LIGHT.ink, HPos::Left, VPos::Center);
                write(area, &meaning, (x + 11, y), style)?;
                x += text_width(&meaning) + size.of(46, 26);
            }
            let style = writing(TEXT, LIGHT.faint, HPos::Right, VPos::Center);
            write(area, &self.end, (edge, plane.top - 14), style)
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
            let name = shortened(&lock.name, size.of(24, 15));
            let right = plane.left - 12;
            let room = (right - text_width(&name), y - 8, right, y + 8);
            sketch.label((row.lock, lock), (&name, true), room, None)?;
            sketch.lock(row.lock, "none", &lock.name, |area| {
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
                sketch.value((row.lock, lock), *sign, spot, &title)?;
            }
        }
        Ok(sketch)
    }

    pub(crate) fn reading(&self, locks: &Locks) -> String {
        if !self.ranked {
            return format!("{}: {}.", self.x.title, counted(self.rows.len(), "lock"));
        }
        let shown = self.rows.iter().map(|row| (row.lock, row.end.clone()));
        let ends = ends(&shown.collect::<Vec<_>>(), locks);
        // What all signs of a row come to is what the axis counts.
        let what = match self.end.as_str() {
            "all" => &self.x.title,
            end => end,
        };
        match self.rows.len() {
            0 => String::new(),
            1 => format!("{what}: {ends}."),
            _ => format!("{what}, best first: {ends}."),
        }
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
