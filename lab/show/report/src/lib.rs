//! From measurements to tables, JSON, CSV and plain words.
//!
//! Every driver (embedded hypervisor, simulator, KVM, threads) hands its results over as
//! [`Record`]s, and everything that a person reads is computed from them here. Nothing in this
//! crate measures, and nothing knows in advance which lock will win.
//!
//! ```text
//!   Outcome of a run ──> Record ──┬──> JSON, CSV            schema, csv_rows, files
//!                                 └──> Summary of repeats   aggregate
//!                                        ├──> tables        table
//!                                        ├──> sentences     sentences
//!                                        ├──> check list    targets
//!                                        └──> page          page, with pictures (chart)
//!   results file ──> Source ──> Set ─────────┘               load, sets
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`schema`], `calls` | the JSON object: names, units, version |
//! | [`waits`] | all waits of a run, as an HdrHistogram |
//! | [`csv_rows`] | the same as a flat CSV row |
//! | [`machine`] | what is recorded about the machine |
//! | [`point`], [`aggregate`], [`bound`] | median and spread over the repeats of one lock at one point |
//! | [`estimate`], [`repeats`] | intervals, and what may be concluded from them |
//! | [`change`] | before and after: noise, or more |
//! | [`agreement`] | two drivers side by side |
//! | [`figures`] | how numbers are written for people |
//! | [`table`] | one table for each point |
//! | [`sentences`] | two sentences in plain words, computed |
//! | [`comparison`] | one lock beside another, in numbers and in words |
//! | [`targets`] | the project's targets, each with the figure that was reached |
//! | [`load`] | results files, read back |
//! | [`sets`] | what belongs together on a page |
//! | `chart`, [`pareto`] | pictures: SVG and PNG; one for a document |
//! | [`page`] | one HTML page of all of it |
//! | [`files`] | atomic writes, and the check that they will be possible |

pub mod aggregate;
pub mod agreement;
pub mod bound;
mod calls;
pub mod change;
mod chart;
pub mod comparison;
pub mod csv_rows;
pub mod estimate;
pub mod figures;
pub mod files;
mod judged;
pub mod load;
mod load_csv;
pub mod machine;
mod machine_words;
pub mod page;
pub mod pareto;
pub mod point;
pub mod repeats;
pub mod schema;
pub mod sentences;
pub mod sets;
mod source;
pub mod spread;
pub mod table;
pub mod targets;
mod untrusted_row;
pub mod waits;

#[cfg(test)]
mod samples;

pub use aggregate::{Summary, summarise};
pub use bound::normalise;
pub use machine::Machine;
pub use point::Point;
pub use schema::{LockFacts, Record, Report, SCHEMA, TOLERATED};
pub use spread::Spread;
