//! Two figures against each other: throughput and the longest wait, and which locks no other beats
//! in both.

use anyhow::Result;
use plotters::style::Color;

use super::axis::Axis;
use super::data::Data;
use super::frame::{Margins, Size, frame};
use super::labels::around;
use super::look::Locks;
use super::sketch::{Sketch, Spot, path, shortened};
use super::theme::LIGHT;

/// One lock: its number, more is better, less is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dot {
    pub(crate) lock: usize,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// The picture.
#[derive(Clone, Debug)]
pub(crate) struct Scatter {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) dots: Vec<Dot>,
    /// Dots that are one lock at several settings: a line joins them in this order.
    pub(crate) joined: Vec<Dot>,
}

impl Scatter {
    /// The dots that no other beats in one figure without losing in the other, by `x`.
    pub(crate) fn front(&self) -> Vec<Dot> {
        let beaten = |dot: &Dot| {
            let beats = |other: &Dot| {
                other.x >= dot.x && other.y <= dot.y && (other.x > dot.x || other.y < dot.y)
            };
            self.dots.iter().any(beats)
        };
        let mut front: Vec<Dot> = self
            .dots
            .iter()
            .filter(|dot| !beaten(dot))
            .copied()
            .collect();
        front.sort_by(|a, b| a.x.total_cmp(&b.x));
        front
    }

    pub(crate) fn draw(&self, heading: (&str, &str), locks: &Locks, size: Size) -> Result<Sketch> {
        let height = (12 * self.dots.len() as u32 + 140).clamp(300, 600);
        let margins = Margins {
            left: 74,
            right: size.of(150, 24),
            top: 4,
            axis_above: false,
        };
        let axes = (
            self.x.titled(" (right is better)"),
            self.y.titled(" (down is better)"),
        );
        let (mut sketch, plane) = frame(heading, (&axes.0, &axes.1), (size, margins), height)?;
        let front: Vec<Spot> = self
            .front()
            .iter()
            .map(|dot| plane.at(dot.x, dot.y))
            .collect();
        sketch.front(|area| path(area, staircase(&front), LIGHT.faint.stroke_width(1)))?;
        sketch.draw(|area| {
            if let Some(first) = self.joined.first() {
                let spots = self.joined.iter().map(|dot| plane.at(dot.x, dot.y));
                path(
                    area,
                    spots.collect(),
                    locks[first.lock].colour.stroke_width(2),
                )?;
            }
            Ok(())
        })?;
        let marks: Vec<(Spot, String)> = self
            .dots
            .iter()
            .map(|dot| {
                let name = shortened(&locks[dot.lock].name, size.of(22, 18));
                (plane.at(dot.x, dot.y), name)
            })
            .collect();
        // Bold names are wider than they are reckoned, and a narrow picture has no margin to spare.
        let right = sketch.size.0 as i32 - size.of(4, 14);
        let frame = (plane.left + 2, plane.top, right, plane.bottom);
        for label in around(&marks, frame) {
            let (number, name) = (self.dots[label.mark].lock, &marks[label.mark].1);
            let lock = (number, &locks[number]);
            sketch.label(lock, (name, label.ends_right), label.room, label.leader)?;
        }
        // Marks lie over lines and names: they are the data.
        for (dot, (spot, _)) in self.dots.iter().zip(&marks).rev() {
            let lock = &locks[dot.lock];
            let (x, y) = (self.x.text(dot.x), self.y.text(dot.y));
            let title = format!("{}: {x}, {y}", lock.name);
            sketch.value((dot.lock, lock), lock.mark, *spot, &title)?;
        }
        Ok(sketch)
    }

    pub(crate) fn reading(&self, locks: &Locks) -> String {
        let front = self.front();
        let names: Vec<&str> = front
            .iter()
            .map(|dot| locks[dot.lock].name.as_str())
            .collect();
        format!(
            "Of {} locks, not beaten in both {} and {}: {}.",
            self.dots.len(),
            self.x.title,
            self.y.title,
            names.join(", ")
        )
    }

    pub(crate) fn data(&self, locks: &Locks) -> Data {
        let front = self.front();
        let row = |dot: &Dot| {
            let unbeaten = if front.contains(dot) { "yes" } else { "no" };
            let cells = vec![self.x.text(dot.x), self.y.text(dot.y), unbeaten.to_owned()];
            (locks[dot.lock].name.clone(), cells)
        };
        let mut dots = self.dots.clone();
        dots.sort_by(|a, b| b.x.total_cmp(&a.x));
        Data {
            caption: format!("{} and {}", self.x.title, self.y.title),
            columns: vec![
                self.x.title.clone(),
                self.y.title.clone(),
                "not beaten in both".to_owned(),
            ],
            rows: dots.iter().map(row).collect(),
        }
    }
}

/// A line in steps: what lies between two locks is reached by neither.
fn staircase(front: &[Spot]) -> Vec<Spot> {
    let mut steps: Vec<Spot> = Vec::new();
    for spot in front {
        if let Some(&(x, _)) = steps.last() {
            steps.push((x, spot.1));
        }
        steps.push(*spot);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beaten_in_both_is_not_in_front() {
        let dots = [
            (0.9, 10.0),
            (0.95, 40.0),
            (0.5, 9.0),
            (0.5, 30.0),
            (0.9, 10.0),
        ];
        let dots = dots.iter().enumerate();
        let scatter = Scatter {
            x: Axis::linear("", [1.0], 1.0, |_| String::new()),
            y: Axis::logarithmic("", [1.0], 1.0, |_| String::new()),
            dots: dots.map(|(lock, &(x, y))| Dot { lock, x, y }).collect(),
            joined: Vec::new(),
        };
        let front: Vec<usize> = scatter.front().iter().map(|dot| dot.lock).collect();
        assert_eq!(front, [2, 0, 4, 1], "equals stay both");
    }
}
