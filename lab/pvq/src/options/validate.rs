//! The command line of `validate` and `calibrate`.

use std::path::PathBuf;

use clap::Args;

use crate::options::compare::CompareArgs;
use crate::options::parse;

pub(crate) const VALIDATE_EXAMPLES: &str = "\
Examples:
  pvq validate                             a minute on this machine, and the same in virtual time
  pvq validate --quick --no-files
  pvq validate --lock fifo,linux-pv --overcommit 8 --repeats 9
  pvq validate --profile here.toml         costs from a file instead of measuring them

The options are those of `pvq compare`, but for those that judge locks: here the simulator is judged. \
The tolerance is 0.1 in throughput over bound. Whether it is met is printed, and is no error: other \
work on the machine disturbs it, and not the model. Times are numbers with ns, us, ms or s; without a unit \
they are ns.";

pub(crate) const CALIBRATE_EXAMPLES: &str = "\
Examples:
  pvq calibrate                            prints a profile
  pvq calibrate --out here.toml
  pvq simulate --profile here.toml         and simulates this machine

Times are numbers with ns, us, ms or s; without a unit they are ns.";

/// What to run in both.
#[derive(Debug, Args)]
#[command(mut_arg("targets", |arg| arg.hide(true)), mut_arg("baseline", |arg| arg.hide(true)))]
#[command(mut_arg("fail_if", |arg| arg.hide(true)), mut_arg("margin", |arg| arg.hide(true)))]
pub(crate) struct ValidateArgs {
    /// The options of `compare`.
    #[command(flatten)]
    pub(crate) compare: CompareArgs,

    /// What the simulated machine costs: a file, or a name [default: measured here, now]
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) profile: Option<String>,
}

/// How to measure, and where to.
#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// Where the profile goes [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// How often everything is measured; the profile has the medians
    #[arg(long, value_name = "N", default_value = "9", value_parser = parse::at_least_one)]
    pub(crate) repeats: usize,

    /// Extra cost of a hypercall, so that it resembles a VM exit; as for `compare`
    #[arg(long, value_name = "TIME", default_value = "1us", value_parser = parse::time_or_zero)]
    pub(crate) hypercall_cost: u64,
}
