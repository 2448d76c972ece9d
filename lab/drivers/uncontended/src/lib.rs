//! What an uncontended lock plus unlock costs, beside everybody else's locks.
//!
//! One thread, one lock, nobody else; in time ([`measure`]), and in instructions, which are exact
//! ([`Contender::count`], for `cargo xtask instructions`).
//!
//! | module | what it holds |
//! | --- | --- |
//! | `contenders` | who takes part |
//! | `subject` | locks that are used in different ways, behind one trait |
//! | `time` | rounds in turn, and medians over them |
//! | `count` | a loop whose instructions are counted from outside |
//! | `env` | one CPU that has to look up its number |

mod contenders;
mod count;
mod env;
mod subject;
mod time;

pub use contenders::{Contender, Group, REFERENCE, contenders, nothing};
pub use time::{Cost, Plan, measure};
