//! What the checker has found.

pub(crate) use crate::alone::alone;
use pvqspin::lockdep::{Kind, Violation};
use pvqspin::{Fifo, Mutex};

use crate::world::{Scripted, WORLD};

pub(crate) type Lock = Mutex<u32, Scripted, Fifo>;

pub(crate) fn found() -> Vec<Violation> {
    WORLD.with(|world| world.violations.take())
}

pub(crate) fn kinds() -> Vec<Kind> {
    found().iter().map(|violation| violation.kind).collect()
}
