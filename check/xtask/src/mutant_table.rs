//! The deliberate mistakes, and which checks find each: the quickest first.

mod host;
mod lock;

use crate::mutant::Mutant;

/// Every mistake, those of the lock first.
pub(crate) fn mutants() -> impl Iterator<Item = &'static Mutant> {
    lock::LOCK.iter().chain(host::HOST)
}
