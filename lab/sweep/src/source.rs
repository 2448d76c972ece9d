//! A TOML file whose errors name the line, the key, and what would be right.
//!
//! Every value is read from its text by the same functions as on the command line, so `"3ms"`
//! means the same in both places. Where a list can stand, a single value can too.

use std::borrow::Cow;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::words;

/// What is wrong with a file, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct FileError {
    file: String,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// A file's text, for errors.
#[derive(Clone, Copy, Debug)]
pub struct Source<'t> {
    /// How the file is called in errors.
    pub name: &'t str,
    /// What stands in it.
    pub text: &'t str,
}

impl<'t> Source<'t> {
    /// The whole file as a table.
    ///
    /// # Errors
    ///
    /// If it is not TOML.
    pub fn parse(self) -> Result<DeTable<'t>, FileError> {
        match DeTable::parse(self.text) {
            Ok(table) => Ok(table.into_inner()),
            Err(error) => Err(FileError {
                file: self.name.to_owned(),
                line: error.span().map(|span| self.line(span.start)),
                what: error.message().to_owned(),
            }),
        }
    }

    fn line(self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    /// An error at a byte of the text.
    #[must_use]
    pub fn error(self, at: usize, what: impl fmt::Display) -> FileError {
        FileError {
            file: self.name.to_owned(),
            line: Some(self.line(at)),
            what: what.to_string(),
        }
    }

    /// An error of the file as a whole.
    #[must_use]
    pub fn error_of_all(self, what: impl fmt::Display) -> FileError {
        FileError {
            file: self.name.to_owned(),
            line: None,
            what: what.to_string(),
        }
    }
}

/// A value, and where it stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Asked<T> {
    /// The value.
    pub value: T,
    /// The byte of the file at which it stands.
    pub at: usize,
}

/// A table of the file, with another one behind it for what it does not say itself.
#[derive(Clone, Debug)]
pub struct Section<'t> {
    source: Source<'t>,
    /// What it is called in errors: `grid "policies"`.
    name: String,
    tables: Vec<&'t DeTable<'t>>,
}

impl<'t> Section<'t> {
    /// A table. What it lacks is looked up in `behind`.
    #[must_use]
    pub fn new(
        source: Source<'t>,
        name: String,
        table: &'t DeTable<'t>,
        behind: Option<&'t DeTable<'t>>,
    ) -> Self {
        let tables = core::iter::once(table).chain(behind).collect();
        Self {
            source,
            name,
            tables,
        }
    }

    /// Refuses keys that nothing reads.
    ///
    /// # Errors
    ///
    /// Names the first, and the nearest that there is.
    pub fn check_keys(&self, known: &[&'static str]) -> Result<(), FileError> {
        check_keys(self.source, &self.name, self.tables[0], known)
    }

    /// Every value of a key, in the order of the file; `None` if the file says nothing.
    ///
    /// # Errors
    ///
    /// If a value is not what `read` takes, the list is empty, or a value stands in it twice.
    pub fn list<T>(
        &self,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<Asked<T>>>, FileError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let read_one = |value: &Spanned<DeValue<'_>>| {
            let at = value.span().start;
            let text = scalar(value.get_ref())
                .ok_or_else(|| format!("not a {}", value.get_ref().type_str()))
                .map_err(|what| self.error(at, key, what))?;
            let value = read(&text)
                .map_err(|what| self.error(at, key, format_args!("{text:?}: {what}")))?;
            Ok(Asked { value, at })
        };
        match value.get_ref() {
            DeValue::Array(items) if items.is_empty() => {
                let what = "an empty list leaves nothing to run; leave the key out for its default";
                Err(self.error(value.span().start, key, what))
            }
            DeValue::Array(items) => {
                let texts: Vec<_> = items.iter().map(|item| scalar(item.get_ref())).collect();
                let twice = (1..items.len()).find(|&index| texts[..index].contains(&texts[index]));
                if let Some(index) = twice.filter(|&index| texts[index].is_some()) {
                    let what =
                        "this stands here twice: its points would run twice, and count twice";
                    return Err(self.error(items[index].span().start, key, what));
                }
                items
                    .iter()
                    .map(read_one)
                    .collect::<Result<_, _>>()
                    .map(Some)
            }
            _ => Ok(Some(vec![read_one(value)?])),
        }
    }

    /// The one value of a key.
    ///
    /// # Errors
    ///
    /// If it is a list of several, or not what `read` takes.
    pub fn one<T>(
        &self,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Asked<T>>, FileError> {
        let Some(mut list) = self.list(key, read)? else {
            return Ok(None);
        };
        match list.len() {
            1 => Ok(list.pop()),
            _ => Err(self.error(list[1].at, key, "it has one value, not a list")),
        }
    }

    /// The table under a key.
    ///
    /// # Errors
    ///
    /// If it is something else.
    pub fn table(&self, key: &str) -> Result<Option<&'t DeTable<'t>>, FileError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match value.get_ref().as_table() {
            Some(table) => Ok(Some(table)),
            None => Err(self.error(value.span().start, key, "it must be a table")),
        }
    }

    /// An error of a key.
    #[must_use]
    pub fn error(&self, at: usize, key: &str, what: impl fmt::Display) -> FileError {
        let name = &self.name;
        self.source.error(at, format_args!("{name}: {key}: {what}"))
    }

    /// Where the table itself begins, as far as its first key tells.
    #[must_use]
    pub fn at(&self) -> usize {
        let starts = self.tables[0].keys().map(|key| key.span().start);
        starts.min().unwrap_or(0)
    }

    fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.tables.iter().find_map(|table| table.get(key))
    }
}

/// Refuses keys that nothing reads.
///
/// # Errors
///
/// Names the first, and the nearest that there is.
pub fn check_keys(
    source: Source<'_>,
    name: &str,
    table: &DeTable<'_>,
    known: &[&'static str],
) -> Result<(), FileError> {
    let unknown = table
        .keys()
        .filter(|key| !known.contains(&key.get_ref().as_ref()))
        .min_by_key(|key| key.span().start);
    match unknown {
        None => Ok(()),
        Some(key) => {
            let what = words::unknown("key", key.get_ref(), known.iter().copied());
            let key_name = key.get_ref();
            Err(source.error(key.span().start, format_args!("{name}: {key_name}: {what}")))
        }
    }
}

/// A value that is no list and no table, as its text.
fn scalar<'v>(value: &'v DeValue<'_>) -> Option<Cow<'v, str>> {
    match value {
        DeValue::String(text) => Some(Cow::Borrowed(text.as_ref())),
        DeValue::Integer(number) if number.radix() == 10 => Some(Cow::Borrowed(number.as_str())),
        DeValue::Integer(number) => Some(Cow::Owned(number.to_string())),
        DeValue::Float(number) => Some(Cow::Borrowed(number.as_str())),
        DeValue::Boolean(yes) => Some(Cow::Borrowed(if *yes { "true" } else { "false" })),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
