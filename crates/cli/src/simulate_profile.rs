//! The profile that `--profile` names: a built-in one, or a file.

use std::fs;
use std::io::ErrorKind;

use pvqspin_simulator::Profile;

use crate::failure::Failure;

/// Reads it. A built-in name goes before a file of the same name; `./NAME` is the file.
pub(crate) fn load(name: &str) -> Result<Profile, Failure> {
    if let Some(profile) = Profile::named(name) {
        return Ok(profile);
    }
    let text = fs::read_to_string(name).map_err(|error| cannot_read(name, &error))?;
    Profile::parse(&text).map_err(|problem| Failure::bad_input(format!("{name}: {problem}")))
}

fn cannot_read(name: &str, error: &std::io::Error) -> Failure {
    if error.kind() != ErrorKind::NotFound {
        return Failure::bad_input(format!("cannot read the profile {name}: {error}"));
    }
    let known: Vec<&str> = Profile::names().collect();
    let known = known.join(", ");
    Failure::bad_input(format!(
        "no profile is called '{name}', and no file; built in are: {known}"
    ))
}
