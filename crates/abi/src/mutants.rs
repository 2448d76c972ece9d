//! Deliberate mistakes, for `cargo xtask mutants`: which of them this process makes.
//!
//! Exists under `cfg(mutants)` only. One build holds every mutant, and the variable `MUTANT` chooses
//! at run time, so that a check is built once and run for each.

extern crate std;

use std::string::String;
use std::sync::OnceLock;

/// Whether this process makes that mistake.
#[must_use]
pub fn chosen(name: &str) -> bool {
    static CHOSEN: OnceLock<String> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("MUTANT").unwrap_or_default());
    chosen == name
}
