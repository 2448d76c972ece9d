//! Pictures of a study: `[[picture]]` in a grid file asks for throughput against the longest wait, every
//! lock a point.
//!
//! ```text
//!   [[picture]]
//!   name = "pareto"                 part of the files' names
//!   grids = "wait-bound"            whose rows
//!   each = ["pcpus", "yields"]      one picture for each
//!   line = "bounded"                the policy that is a line, from one of its constants to the next
//! ```

use anyhow::Result;
use pvqspin_report::Record;
use pvqspin_report::pareto::{self, Drawn};

use crate::fields::{self, Axis};
use crate::grid::tables as tables_of;
use crate::point::Row;
use crate::source::{Asked, FileError, Section, Source};
use crate::table::{grid_of, in_order};

const KEYS: [&str; 4] = ["name", "grids", "each", "line"];

/// A picture of a study, for each value of some axes.
#[derive(Debug)]
pub struct Picture {
    name: String,
    grids: Vec<String>,
    each: Vec<(&'static str, Axis)>,
    line: String,
}

/// The pictures of a file.
///
/// # Errors
///
/// The first that makes no sense, with its line.
pub fn pictures(source: Source<'_>) -> Result<Vec<Picture>, FileError> {
    let file = source.parse()?;
    let grids = tables_of(source, &file, "grid")?;
    let known: Vec<&str> = (grids.into_iter())
        .filter_map(|grid| grid.get("name")?.get_ref().as_str())
        .collect();
    let read = |table| {
        let section = Section::new(source, "a picture".to_owned(), table, None);
        section.check_keys(&KEYS)?;
        let missing = |key: &str| section.error(section.at(), key, "a picture needs it");
        let text = |key: &str| {
            let text = section.one(key, |text| Ok(text.to_owned()))?;
            Ok(text.ok_or_else(|| missing(key))?.value)
        };
        let grids = section.list("grids", |name| grid_of(name, &known))?;
        let each = section.list("each", fields::axis)?;
        fn plain<T>(list: Vec<Asked<T>>) -> Vec<T> {
            list.into_iter().map(|asked| asked.value).collect()
        }
        Ok(Picture {
            name: text("name")?,
            grids: plain(grids.ok_or_else(|| missing("grids"))?),
            each: plain(each.ok_or_else(|| missing("each"))?),
            line: text("line")?,
        })
    };
    tables_of(source, &file, "picture")?
        .into_iter()
        .map(read)
        .collect()
}

impl Picture {
    /// The pictures, each with what its file's name ends in: `pareto-8-hint`.
    ///
    /// # Errors
    ///
    /// If one cannot be drawn.
    pub fn draw(&self, rows: &[Row]) -> Result<Vec<(String, Drawn)>> {
        let rows: Vec<&Row> = (rows.iter())
            .filter(|row| self.grids.contains(&row.facts.grid))
            .collect();
        let values =
            |row: &Row| -> Vec<String> { self.each.iter().map(|(_, axis)| axis(row)).collect() };
        let places = in_order(rows.iter().map(|row| values(row)));
        let draw = |place: Vec<String>| {
            let here = rows.iter().filter(|row| values(row) == place);
            let records: Vec<Record> = here.map(|row| row.record.clone()).collect();
            let named = self.each.iter().zip(&place);
            let words: Vec<String> = named
                .map(|((axis, _), value)| format!("{}: {value}", axis.replace('_', " ")))
                .collect();
            let drawn = pareto::draw(&records, &words.join(", "), &self.line)?;
            Ok((format!("{}-{}", self.name, place.join("-")), drawn))
        };
        places.into_iter().map(draw).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(picture: &str) -> Result<Vec<Picture>, String> {
        let text = format!("[[grid]]\nname = 'g'\nlocks = 'fifo'\n[[picture]]\n{picture}");
        let source = Source {
            name: "grid.toml",
            text: &text,
        };
        pictures(source).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_picture_lacks_or_does_not_know_is_said() {
        const GOOD: &str = "name = 'p'\ngrids = 'g'\neach = ['pcpus']\nline = 'bounded'";
        assert_eq!(read(GOOD).map(|pictures| pictures.len()), Ok(1));
        for (was, becomes, reason) in [
            ("line = 'bounded'", "", "line: a picture needs it"),
            ("'g'", "'h'", "no grid of this file has that name"),
            ("'pcpus'", "'pcpu'", "did you mean 'pcpus'"),
            ("line", "lime", "did you mean 'line'"),
        ] {
            let error = read(&GOOD.replace(was, becomes)).expect_err(becomes);
            assert!(error.contains(reason), "{becomes}: {error}");
        }
    }
}
