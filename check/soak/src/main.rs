//! Random runs for hours: the simulator, the embedded hypervisor, threads and the host, in turns.
//!
//! ```text
//!   turns   ──► a turn: a process of its own ──► one line of JSON ──► summary ──► a file
//!      ▲              draw: everything from its seed                    │
//!      └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Each turn is a process, so that a crash or a hang is a failure with a seed like any other, and
//! not the end of the soak.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`draw`] | what a turn does, drawn from its seed |
//! | [`turn`] | doing it, and what came of it |
//! | [`figures`] | what is counted |
//! | [`turns`] | one turn after the other, each a process |
//! | [`summary`] | what they came to, as a table and as a file |

mod draw;
mod figures;
mod summary;
mod turn;
mod turns;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;

use crate::draw::Turn;

/// Random runs of the simulator, the embedded hypervisor, threads and the host, in turns, for hours.
#[derive(Parser)]
#[command(name = "cargo xtask soak", bin_name = "cargo xtask soak")]
struct Args {
    /// For how long, in hours; parts of an hour are fine.
    #[arg(long, default_value_t = 1.0, value_parser = hours)]
    hours: f64,
    /// Where the turns' seeds come from; by default from the clock. It is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the summary goes. It is replaced as a whole, again and again.
    #[arg(long, default_value = "target/soak.json")]
    out: PathBuf,
    /// Do one turn again, as a failure names it: `simulator:17`, `hypervisor:17`, `threads:17`, `host:17`.
    #[arg(long, conflicts_with_all = ["hours", "seed", "out"])]
    replay: Option<Turn>,
    /// Do this turn and print what came of it as JSON: what the soak starts.
    #[arg(long, hide = true, conflicts_with = "replay")]
    turn: Option<Turn>,
}

fn hours(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(hours) if hours > 0.0 && hours <= 10_000.0 => Ok(hours),
        _ => Err("give a number of hours, more than 0 and at most 10000, such as 0.5".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = if let Some(turn) = args.turn {
        turn::print_json(turn)
    } else if let Some(turn) = args.replay {
        turn::replay(turn)
    } else {
        let seed = args.seed.unwrap_or_else(from_the_clock);
        let time = Duration::from_secs_f64(args.hours * 3_600.0);
        turns::soak(seed, time, &args.out)
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// A seed that the next soak does not have.
fn from_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| now.as_secs())
}
