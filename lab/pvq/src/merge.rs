//! Puts the shards of a sweep together.

use pvqspin_report::files;
use pvqspin_sweep::merge::merge;

use crate::failure::{Done, Failure, print};
use crate::sweep_args::MergeArgs;
use crate::sweep_files;

/// Runs `pvq merge`.
pub(crate) fn run(args: &MergeArgs) -> Done {
    files::check_writable(&args.out).map_err(Failure::BadInput)?;
    let rows = merge(&args.parts).map_err(Failure::BadInput)?;
    let is_json = args.out.extension().is_some_and(|ending| ending == "json");
    let points = rows.len();
    let written = if is_json {
        sweep_files::write_json(rows, &args.out)
    } else {
        sweep_files::write_csv(&rows, &args.out)
    };
    written.map_err(Failure::Failed)?;
    let out = args.out.display();
    print(&format!(
        "{} points of {} shards: {out}\n",
        points,
        args.parts.len()
    ))
}
