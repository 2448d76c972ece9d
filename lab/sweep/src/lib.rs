//! Grids of simulations: what to run, run it on all cores, resume, merge, and lay it out.
//!
//! ```text
//!   GRID.toml ──> points ──> plan ──> run ──> rows ──> CSV, JSON          output
//!      │  grid      point   plan      │ run    ▲  ▲                       (pvqspin-report)
//!      │                              ▼        │  │
//!      │                            journal ───┘  └── shards' files       merge
//!      └─> tables ────────────────────────────────> Markdown ──> study    table, document
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`words`] | times, numbers and names as people write them |
//! | [`source`] | a TOML file whose errors name line and key |
//! | [`grid`], `axes`, [`profiles`] | from a file to its points, and what things cost in them |
//! | [`point`] | one simulation, and its row of results |
//! | [`plan`] | all points, their fingerprint, shards |
//! | [`run`] | points on threads |
//! | [`journal`] | what is finished, for the next call and for `merge` |
//! | [`merge`] | all shards' rows, or why not |
//! | [`output`] | rows as CSV |
//! | [`table`], `fields`, `losses`, [`picture`] | tables and pictures of a study |
//! | [`document`] | a document with tables between markers |

#![doc(test(attr(deny(warnings))))]

mod axes;
pub mod document;
mod fields;
pub mod grid;
pub mod journal;
mod losses;
pub mod merge;
pub mod output;
pub mod picture;
pub mod plan;
pub mod point;
pub mod profiles;
pub mod run;
pub mod source;
pub mod table;
pub mod words;
