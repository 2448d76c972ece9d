//! Grids of simulations: what to run, run it on all cores, resume, merge.

pub mod words;
