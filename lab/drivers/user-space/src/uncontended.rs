//! The cost of lock plus unlock without contention, beside the locks of other crates.
//!
//! One thread uses one lock that no other thread wants. [`measure`] measures time.
//! [`Contender::count`] counts instructions, exactly, for `cargo xtask instructions`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `contenders` | the locks that take part |
//! | `subject` | locks that are used in different ways, behind one trait |
//! | `round` | one timed round |
//! | `time` | rounds in turn, and medians over them |
//! | `count` | a loop whose instructions are counted from outside |
//! | `env` | one CPU that has to look up its number |

mod contenders;
mod count;
mod env;
mod round;
mod subject;
mod time;

pub use contenders::{Contender, Group, REFERENCE, contenders, nothing};
pub use time::{Cost, Plan, measure};
