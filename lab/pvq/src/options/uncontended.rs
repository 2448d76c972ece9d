//! The options of `pvq uncontended`.

use std::path::PathBuf;

use clap::Args;

use crate::options::parse;

pub(crate) const UNCONTENDED_EXAMPLES: &str = "\
Examples:
  pvq uncontended                          some seconds; back to back, and with work between
  pvq uncontended --gap 0 --rounds 1001    back to back only, more rounds
  pvq uncontended --json -                 the figures for another program

The locks take turns, round by round. `to native` and `over native` are medians over the rounds \
of the comparison with our native lock in the same round, so they bear noise that a time of its \
own does not.";

/// How to measure a lock without contention.
#[derive(Debug, Args)]
pub(crate) struct UncontendedArgs {
    /// Dependent multiplications between one pair and the next, about a ns each: a list
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "0,10,30",
        value_parser = parse::whole(0, u32::MAX)
    )]
    pub(crate) gap: Vec<u32>,

    /// Rounds of each lock
    #[arg(long, value_name = "N", default_value = "101", value_parser = parse::at_least_one)]
    pub(crate) rounds: usize,

    /// Lock plus unlock pairs in a round
    #[arg(long, value_name = "N", default_value = "100000")]
    #[arg(value_parser = parse::whole(1, u32::MAX))]
    pub(crate) pairs: u32,

    /// Also write the figures as JSON; `-` is standard output [default: no file]
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
