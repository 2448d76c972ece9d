//! Tables of a study: `[[table]]` in a grid file says what to lay out, rows of results fill it.
//!
//! ```text
//!   [[table]]
//!   name = "variants"                          where it goes in the document
//!   grids = "variants"                         whose rows
//!   rows = ["lock", "follow_chain"]            what the lines are
//!   columns = "overcommit"                     what the columns are
//!   figures = ["over_bound", "longest_wait"]   what each cell says
//! ```

use crate::fields::{self, Axis, Figure, line};
use crate::grid::tables as tables_of;
use crate::losses::Losses;
use crate::point::Row;
use crate::source::{Asked, FileError, Section, Source};

const KEYS: [&str; 6] = ["name", "grids", "rows", "columns", "figures", "losses"];

/// A table of a study.
#[derive(Debug)]
pub struct Table {
    /// Its name in the document.
    pub name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Pivot(Pivot),
    Losses(Losses),
}

#[derive(Debug)]
struct Pivot {
    grids: Vec<String>,
    rows: Vec<(&'static str, Axis)>,
    columns: (&'static str, Axis),
    figures: Vec<(&'static str, Figure)>,
}

/// The tables of a file.
///
/// # Errors
///
/// The first that makes no sense, with its line.
pub fn tables(source: Source<'_>) -> Result<Vec<Table>, FileError> {
    let file = source.parse()?;
    let names = tables_of(source, &file, "grid")?;
    let names: Vec<&str> = (names.into_iter())
        .filter_map(|grid| grid.get("name")?.get_ref().as_str())
        .collect();
    let read = |table| table_of(source, table, &names);
    tables_of(source, &file, "table")?
        .into_iter()
        .map(read)
        .collect()
}

fn table_of(
    source: Source<'_>,
    table: &toml::de::DeTable<'_>,
    known: &[&str],
) -> Result<Table, FileError> {
    let section = Section::new(source, "a table".to_owned(), table, None);
    section.check_keys(&KEYS)?;
    let text = |text: &str| Ok(text.to_owned());
    let grid = |name: &str| grid_of(name, known);
    let missing = |key: &str| section.error(section.at(), key, "a table needs it");
    let name = section
        .one("name", text)?
        .ok_or_else(|| missing("name"))?
        .value;
    if let Some(factor) = section.one("losses", crate::words::overcommit)? {
        let kind = Kind::Losses(Losses {
            wait_factor: factor.value,
        });
        return Ok(Table { name, kind });
    }
    let plain = |list: Vec<Asked<_>>| list.into_iter().map(|asked| asked.value).collect();
    let grids = section
        .list("grids", grid)?
        .ok_or_else(|| missing("grids"))?;
    let rows = section
        .list("rows", fields::axis)?
        .ok_or_else(|| missing("rows"))?;
    let columns = section
        .one("columns", fields::axis)?
        .ok_or_else(|| missing("columns"))?;
    let figures = section
        .list("figures", fields::figure)?
        .ok_or_else(|| missing("figures"))?;
    let kind = Kind::Pivot(Pivot {
        grids: grids.into_iter().map(|asked| asked.value).collect(),
        rows: plain(rows),
        columns: columns.value,
        figures: figures.into_iter().map(|asked| asked.value).collect(),
    });
    Ok(Table { name, kind })
}

/// Reads the name of a grid of the same file.
pub(crate) fn grid_of(name: &str, known: &[&str]) -> Result<String, String> {
    match known.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "no grid of this file has that name; there are: {}",
            known.join(", ")
        )),
    }
}

impl Table {
    /// Whether it is about the rows of every file.
    #[must_use]
    pub fn is_about_all(&self) -> bool {
        matches!(self.kind, Kind::Losses(_))
    }

    /// The table as Markdown.
    #[must_use]
    pub fn markdown(&self, rows: &[Row]) -> String {
        match &self.kind {
            Kind::Pivot(pivot) => pivot.markdown(rows),
            Kind::Losses(losses) => losses.markdown(rows),
        }
    }
}

impl Pivot {
    fn markdown(&self, rows: &[Row]) -> String {
        let rows: Vec<&Row> = rows
            .iter()
            .filter(|row| self.grids.contains(&row.facts.grid))
            .collect();
        let line_of = |row: &Row| {
            self.rows
                .iter()
                .map(|(_, axis)| axis(row))
                .collect::<Vec<_>>()
        };
        let columns = in_order(rows.iter().map(|row| (self.columns.1)(row)));
        let lines = in_order(rows.iter().map(|row| line_of(row)));

        let figures: Vec<&str> = self.figures.iter().map(|(name, _)| *name).collect();
        let mut text = format!(
            "{}; columns: {}\n\n",
            figures.join(", ").replace('_', " "),
            self.columns.0.replace('_', " ")
        );
        let heads = self.rows.iter().map(|(name, _)| name.replace('_', " "));
        line(&mut text, heads.chain(columns.iter().cloned()));
        line(
            &mut text,
            (0..self.rows.len() + columns.len()).map(|_| "---".to_owned()),
        );
        for names in lines {
            let cells = columns.iter().map(|column| {
                let here: Vec<&Row> = rows
                    .iter()
                    .copied()
                    .filter(|row| (self.columns.1)(row) == *column && line_of(row) == names)
                    .collect();
                self.cell(&here)
            });
            line(&mut text, names.iter().cloned().chain(cells));
        }
        text
    }

    fn cell(&self, rows: &[&Row]) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let figures = self.figures.iter().map(|(_, figure)| figure(rows));
        figures.collect::<Vec<_>>().join(", ")
    }
}

/// Each value once, in the order in which it came first.
pub(crate) fn in_order<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}
