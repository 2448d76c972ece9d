//! Grids of simulations: what to run, run it on all cores, resume, merge.

pub mod grid;
pub mod journal;
pub mod merge;
pub mod output;
pub mod plan;
pub mod point;
pub mod profiles;
pub mod run;
pub mod source;
pub mod words;
