//! The deliberate mistakes, and which checks find each: the quickest first.

mod host;
mod lock;
mod rw;

use crate::mutant::Mutant;

/// Every mistake, those of the locks first.
pub(crate) fn mutants() -> impl Iterator<Item = &'static Mutant> {
    lock::LOCK.iter().chain(rw::RW).chain(host::HOST)
}
