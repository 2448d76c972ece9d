//! What things cost in a grid: profiles by name or file, and what the grid changes in them.

use std::fs;
use std::io::ErrorKind;

use pvqspin_simulator::Profile;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::source::{Asked, FileError, Section};
use crate::words;

/// The profile that a grid has if it names none: one distance, no contention.
const DEFAULT: &str = "flat";

/// A profile, and how rows call it.
#[derive(Clone, PartialEq, Debug)]
pub struct Named {
    /// Its name, and what was changed in it.
    pub name: String,
    /// What everything costs.
    pub profile: Profile,
}

/// Reads a profile: a built-in one, or a file. A built-in name goes before a file of the same
/// name; `./NAME` is the file.
///
/// # Errors
///
/// If there is neither, or if the file is no profile.
pub fn load(name: &str) -> Result<Profile, String> {
    if let Some(profile) = Profile::named(name) {
        return Ok(profile);
    }
    let text = fs::read_to_string(name).map_err(|error| match error.kind() {
        ErrorKind::NotFound => words::unknown("profile, and no file,", name, Profile::names()),
        _ => format!("cannot read the profile {name}: {error}"),
    })?;
    Profile::parse(&text).map_err(|problem| format!("{name}: {problem}"))
}

/// The profiles of a grid, each with the grid's `costs` in place of its own.
pub(crate) fn profiles(section: &Section<'_>) -> Result<Vec<Asked<Named>>, FileError> {
    let read = |name: &str| {
        load(name).map(|profile| Named {
            name: name.to_owned(),
            profile,
        })
    };
    let mut profiles = match section.list("profile", read)? {
        Some(given) => given,
        None => vec![Asked {
            value: read(DEFAULT).map_err(|what| section.error(section.at(), "profile", what))?,
            at: section.at(),
        }],
    };
    let Some(costs) = section.table("costs")? else {
        return Ok(profiles);
    };
    let mut changed = Vec::new();
    let changes =
        values(costs, "", &mut changed).map_err(|(at, what)| section.error(at, "costs", what))?;
    let starts = costs.keys().map(|key| key.span().start);
    let at = starts.min().unwrap_or_else(|| section.at());
    for Asked { value: named, .. } in &mut profiles {
        let mut table: Table = named.profile.to_toml().parse().unwrap_or_default();
        let costs = table
            .entry("costs")
            .or_insert_with(|| Value::Table(Table::new()));
        change(costs, &changes);
        // Through its text, so that whatever is wrong with a profile is said in one place.
        named.profile = Profile::parse(&table.to_string())
            .map_err(|problem| section.error(at, "costs", problem))?;
        named.name = format!("{}, {}", named.name, changed.join(", "));
    }
    Ok(profiles)
}

/// A table of numbers and truth values as values, and a list of them for people.
fn values(
    table: &DeTable<'_>,
    prefix: &str,
    list: &mut Vec<String>,
) -> Result<Table, (usize, String)> {
    let mut values = Table::new();
    for (key, value) in table {
        let (name, at) = (format!("{prefix}{}", key.get_ref()), value.span().start);
        let wrong = || (at, format!("{name} must be a number of ns, true or false"));
        let read = match value.get_ref() {
            DeValue::Table(table) => Value::Table(self::values(table, &format!("{name}."), list)?),
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Integer(number) => {
                let ns = i64::from_str_radix(number.as_str(), number.radix());
                Value::Integer(ns.map_err(|_| wrong())?)
            }
            _ => return Err(wrong()),
        };
        if !read.is_table() {
            list.push(format!("{name} = {read}"));
        }
        values.insert(key.get_ref().to_string(), read);
    }
    Ok(values)
}

fn change(into: &mut Value, changes: &Table) {
    let Value::Table(into) = into else { return };
    for (key, value) in changes {
        match (into.get_mut(key), value) {
            (Some(inner @ Value::Table(_)), Value::Table(changes)) => change(inner, changes),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}
