//! An SVG picture in layers: what the plotting library draws, in groups that a page can show and
//! hide one by one.
//!
//! ```text
//!   heading   <g class="heading">                         only in files: a page has its own
//!   base      axes, grid, writing
//!   locks     <g class="lock" data-lock="3"> line, marks, label </g>
//! ```

use anyhow::{Result, anyhow};
use maud::{PreEscaped, html};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle};

use super::look::{Lock, Mark};
use super::theme::LIGHT;

/// A place in a picture, in pixels from its left upper corner.
pub(crate) type Spot = (i32, i32);

/// A rectangle in a picture: left, top, right, bottom.
pub(crate) type Room = (i32, i32, i32, i32);

/// A line from a mark to a label that does not stand beside it.
pub(crate) type Leader = (Spot, Spot);

/// What a picture shows of one lock, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A value.
    Mark(Spot),
    /// The lock's name, and the line that leads to it.
    Label(Room, Option<Leader>),
}

/// What drawing functions draw on.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What they return.
pub(crate) type Drawn<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Its name in every picture. The page's style sheet and the file's reader decide what that is.
pub(crate) const FONT: &str = "sans-serif";

/// The size of ordinary writing, in pixels.
pub(crate) const TEXT: f64 = 13.0;

/// How wide a text is, about: the reader's machine will choose the font.
pub(crate) fn text_width(text: &str) -> i32 {
    text.chars().count() as i32 * 13 / 2 + 4
}

/// How wide a letter is in a common sans-serif font of [`TEXT`] pixels, rounded up.
const fn letter_width(letter: char) -> i32 {
    match letter {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '|' | '\'' | '!' => 4,
        't' | 'f' | 'r' | '-' | '/' | '(' | ')' | '[' | ']' | ' ' => 5,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' => 13,
        '<' | '>' | '=' | '+' | '~' | 'A'..='Z' => 10,
        _ if letter.is_ascii() => 8,
        _ => 13,
    }
}

/// A name that has room for so many letters of a common width, and no more.
pub(crate) fn shortened(name: &str, letters: usize) -> String {
    let room = 13 * i32::try_from(letters).unwrap_or(i32::MAX / 16) / 2 + 8;
    let width = |text: &str| text.chars().map(letter_width).sum::<i32>();
    if name.chars().count() <= letters && width(name) <= room {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(letters.saturating_sub(1)).collect();
    while width(&short) + letter_width('…') > room && short.pop().is_some() {}
    short.push('…');
    short
}

/// A picture that is being drawn.
#[derive(Debug)]
pub(crate) struct Sketch {
    pub(crate) size: (u32, u32),
    /// The part that is cut off from below when a row is hidden, in pixels; 0 if there are no rows.
    pub(crate) row_height: u32,
    parts: String,
    shown: Vec<(usize, Shown)>,
}

impl Sketch {
    /// An empty one.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self {
            size: (width, height),
            row_height: 0,
            parts: String::new(),
            shown: Vec::new(),
        }
    }

    /// The values and the names that were drawn, each with the number of its lock.
    #[cfg(test)]
    pub(crate) fn shown(&self) -> &[(usize, Shown)] {
        &self.shown
    }

    /// Draws something that belongs to no lock.
    pub(crate) fn draw<T>(&mut self, draw: impl FnOnce(&Area<'_>) -> Drawn<T>) -> Result<T> {
        let (inner, value) = self.layer(draw)?;
        self.parts.push_str(&inner);
        Ok(value)
    }

    /// Draws the heading.
    pub(crate) fn heading(&mut self, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<()> {
        let (inner, ()) = self.layer(draw)?;
        let group = html! { g class="heading" { (PreEscaped(inner)) } };
        self.parts.push_str(&group.into_string());
        Ok(())
    }

    /// Draws the line around what no other lock beats; a page changes it when locks are hidden.
    pub(crate) fn front(&mut self, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<()> {
        let (inner, ()) = self.layer(draw)?;
        let group = html! { g class="front" { (PreEscaped(inner)) } };
        self.parts.push_str(&group.into_string());
        Ok(())
    }

    /// Draws a value of a lock where it lies. Nothing else draws a mark of a lock into a plot: a mark
    /// is a value.
    pub(crate) fn value(
        &mut self,
        (number, lock): (usize, &Lock),
        sign: Mark,
        at: Spot,
        title: &str,
    ) -> Result<()> {
        let (inner, ()) = self.layer(|area| mark(area, sign, at, lock.colour))?;
        self.shown.push((number, Shown::Mark(at)));
        let group = html! {
            g class="lock" data-lock=(number) data-at=(format!("{},{}", at.0, at.1)) {
                title { (title) }
                (PreEscaped(inner))
            }
        };
        self.parts.push_str(&group.into_string());
        Ok(())
    }

    /// Writes the name of a lock into a rectangle, and draws a line to it where one is needed.
    pub(crate) fn label(
        &mut self,
        (number, lock): (usize, &Lock),
        (name, ends_right): (&str, bool),
        room: Room,
        leader: Option<Leader>,
    ) -> Result<()> {
        let middle = i32::midpoint(room.1, room.3);
        let (at, side) = match ends_right {
            true => ((room.2, middle), HPos::Right),
            false => ((room.0, middle), HPos::Left),
        };
        self.lock(number, "none", &lock.name, |area| {
            if let Some((from, to)) = leader {
                path(area, vec![from, to], lock.colour.mix(0.6).stroke_width(1))?;
            }
            let label = if lock.ours { bold } else { writing };
            write(area, name, at, label(TEXT, LIGHT.ink, side, VPos::Center))
        })?;
        self.shown.push((number, Shown::Label(room, leader)));
        Ok(())
    }

    /// Draws a line of this kind.
    pub(crate) fn dashed(
        &mut self,
        dashes: &str,
        draw: impl FnOnce(&Area<'_>) -> Drawn,
    ) -> Result<()> {
        let (inner, ()) = self.layer(draw)?;
        let group = html! { g stroke-dasharray=(dashes) { (PreEscaped(inner)) } };
        self.parts.push_str(&group.into_string());
        Ok(())
    }

    /// Draws something of one lock, and says what it is where the reader points at it.
    pub(crate) fn lock(
        &mut self,
        number: usize,
        dashes: &str,
        title: &str,
        draw: impl FnOnce(&Area<'_>) -> Drawn,
    ) -> Result<()> {
        let (inner, ()) = self.layer(draw)?;
        let group = html! {
            g class="lock" data-lock=(number) stroke-dasharray=(dashes) {
                title { (title) }
                (PreEscaped(inner))
            }
        };
        self.parts.push_str(&group.into_string());
        Ok(())
    }

    /// Everything that was drawn, without the element around it.
    pub(crate) fn into_parts(self) -> String {
        self.parts
    }

    fn layer<T>(&self, draw: impl FnOnce(&Area<'_>) -> Drawn<T>) -> Result<(String, T)> {
        let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw the picture: {error}");
        let mut svg = String::new();
        let value = {
            let area = SVGBackend::with_string(&mut svg, self.size).into_drawing_area();
            let value = draw(&area).map_err(|error| failed(&error))?;
            area.present().map_err(|error| failed(&error))?;
            value
        };
        let inner = svg
            .split_once('>')
            .and_then(|(_, rest)| rest.rsplit_once("</svg>"))
            .map(|(inner, _)| inner.to_owned())
            .ok_or_else(|| failed(&"the library made no SVG"))?;
        Ok((inner, value))
    }
}

/// Writing of this size in pixels; the library's own sizes are for another measure.
pub(crate) fn writing(size: f64, colour: RGBColor, across: HPos, down: VPos) -> TextStyle<'static> {
    styled(FontStyle::Normal, size, colour, Pos::new(across, down))
}

/// The same in bold.
pub(crate) fn bold(size: f64, colour: RGBColor, across: HPos, down: VPos) -> TextStyle<'static> {
    styled(FontStyle::Bold, size, colour, Pos::new(across, down))
}

fn styled(style: FontStyle, size: f64, colour: RGBColor, pos: Pos) -> TextStyle<'static> {
    TextStyle {
        color: colour.to_backend_color(),
        pos,
        ..TextStyle::from((FONT, size * 1.24).into_font().style(style))
    }
}

/// Writes there.
pub(crate) fn write(area: &Area<'_>, text: &str, at: Spot, style: TextStyle<'static>) -> Drawn {
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// Draws lines from spot to spot.
pub(crate) fn path(area: &Area<'_>, spots: Vec<Spot>, style: ShapeStyle) -> Drawn {
    area.draw(&PathElement::new(spots, style))?;
    Ok(())
}

/// Draws a mark.
pub(crate) fn mark(area: &Area<'_>, mark: Mark, (x, y): Spot, colour: RGBColor) -> Drawn {
    let (filled, line) = (colour.filled(), colour.stroke_width(2));
    let polygon = |corners: &[Spot]| {
        let corners: Vec<Spot> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        area.draw(&Polygon::new(corners, filled))
    };
    let strokes = |ends: [(Spot, Spot); 2]| {
        ends.into_iter().try_for_each(|((ax, ay), (bx, by))| {
            let spots = vec![(x + ax, y + ay), (x + bx, y + by)];
            area.draw(&PathElement::new(spots, line))
        })
    };
    match mark {
        Mark::Disc => area.draw(&Circle::new((x, y), 5, filled)),
        Mark::Ring => area.draw(&Circle::new((x, y), 4, line)),
        Mark::Square => area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], filled)),
        Mark::Frame => area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], line)),
        Mark::Bar => area.draw(&Rectangle::new([(x - 2, y - 6), (x + 2, y + 6)], filled)),
        Mark::Diamond => polygon(&[(0, -6), (6, 0), (0, 6), (-6, 0)]),
        Mark::Up => polygon(&[(0, -6), (6, 5), (-6, 5)]),
        Mark::Down => polygon(&[(0, 6), (6, -5), (-6, -5)]),
        Mark::Cross => strokes([((-4, -4), (4, 4)), ((-4, 4), (4, -4))]),
        Mark::Plus => strokes([((-5, 0), (5, 0)), ((0, -5), (0, 5))]),
    }?;
    Ok(())
}
