//! The simulator beside the embedded hypervisor: the same runs in both, and where they differ.
//!
//! ```text
//!   plan ──> hypervisor, this machine's real time ──> records ──┐
//!     └────> simulator, costs measured on this machine ─> records ──> side by side, in words
//! ```

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use pvqspin_hypervisor::Probe;
use pvqspin_report::agreement::{Agreement, Pair, TOLERANCE, agreements};
use pvqspin_report::figures::{counted, share, time};
use pvqspin_report::{Record, Report, table};
use pvqspin_report::{normalise, summarise};
use pvqspin_simulator::{Profile, SimConfig, run_while};

use crate::calibrate::Calibration;
use crate::compare;
use crate::options::compare::CompareArgs;
use crate::options::validate::ValidateArgs;
use crate::output::failure::{Done, Failure, print};
use crate::output::progress::{Progress, in_words};
use crate::output::results::{Outputs, Wanted, written};
use crate::runs::again::Again;
use crate::runs::as_simulated;
use crate::runs::driver;
use crate::runs::interrupt;
use crate::runs::plan::{self, Plan, PlannedRun};
use crate::runs::settings::Limits;
use crate::simulate::profile;

/// Refuses what would have no effect.
fn judges_no_locks(args: &CompareArgs) -> Result<()> {
    const INSTEAD: &str = "validate judges the simulator; `pvq compare` has it";
    ensure!(!args.targets, "--targets is about locks: {INSTEAD}");
    ensure!(
        args.output.baseline.is_none(),
        "--baseline is about locks: {INSTEAD}"
    );
    args.output.change.refuse(INSTEAD)
}

/// Runs `pvq validate`.
pub(crate) fn run(args: &ValidateArgs) -> Done {
    judges_no_locks(&args.compare).map_err(Failure::BadInput)?;
    let plan = Plan::new(&args.compare, &Limits::here()).map_err(Failure::BadInput)?;
    let wanted = Wanted {
        command: "validate",
        ..args.compare.wanted()
    };
    let outputs = Outputs::checked(wanted).map_err(Failure::BadInput)?;
    let given = (args.profile.as_deref()).map(profile::load).transpose()?;
    let _ = interrupt::listen();
    let probe = Probe::run().map_err(driver::unsupported)?;
    compare::validate(&plan, &probe)?;
    let profile = match given {
        Some(profile) => profile,
        None => Calibration::measure(&probe)?.profile_in_cpu_order(plan.settings.hypercall_ns),
    };

    let mut real = compare::empty_report(&plan, driver::describe(&probe), driver::NAME);
    let runs = counted(plan.run_count(), "run");
    let line = real.machine.line();
    print(&format!(
        "{line}\ncosts    {}\nplan     {runs} of {} in both, about {} in all\n\n",
        costs(&profile),
        time(plan.duration.as_nanos() as f64),
        in_words(plan.total_time())
    ))?;
    let mut progress = Progress::new(plan.run_count());
    let mut again = Again::new(plan.run_count());
    let stopped = compare::run_plan(
        &plan,
        &mut real,
        &mut progress,
        &mut again,
        |run, viewer| compare::run_one(&plan, &probe, run, viewer),
    );
    let model = simulated(&plan, &profile, &real)?;
    if real.results.is_empty() {
        print("No run was finished, so nothing was written.\n")?;
        return stopped;
    }
    normalise(&mut real.results);
    let (real_points, model_points) = (summarise(&real.results), summarise(&model.results));
    // Whatever takes CPUs from under the hypervisor is not in the model, and no error of it.
    let quiet: Vec<Record> = (real.results.iter())
        .filter(|record| !record.is_disturbed())
        .cloned()
        .collect();
    let quiet_points = summarise(&quiet);
    let sides = agreements(&quiet_points, &model_points);
    let figures: usize = real_points.iter().map(|at| at.locks.len()).sum();
    let mut text = String::new();
    for side in &sides {
        let _ = writeln!(text, "{}\n{}", table::heading(&side.at.point), render(side));
    }
    text += &verdict(&sides, figures);
    if let Some(warning) = compare::disturbance(&real) {
        let _ = writeln!(text, "\n{warning}");
    }
    print(&text)?;

    let outputs = outputs.settled(real.complete);
    let second = outputs.named("simulated");
    for (outputs, report) in [(&outputs, &real), (&second, &model)] {
        outputs.write_results(report).map_err(Failure::Failed)?;
    }
    outputs
        .write_page(&[("machine", &real), ("model", &model)])
        .map_err(Failure::Failed)?;
    // The page last.
    let paths = second.paths().chain(outputs.paths());
    print(&written(paths))?;
    stopped?;
    compare::no_bug(&real)
}

/// The runs that the machine has finished, in virtual time.
fn simulated(plan: &Plan, profile: &Profile, real: &Report) -> Result<Report, Failure> {
    let mut results = Vec::with_capacity(real.results.len());
    let mut progress = Progress::called("simulations", real.results.len());
    for run in plan.runs().take(real.results.len()) {
        let config = config_of(plan, profile, &run);
        progress.begin(run.lock);
        // What has run on the machine is simulated to its end, even if the user does not want more.
        let result = run_while(&config, &mut |underway| {
            progress.within(underway.part());
            true
        });
        let result = result
            .map_err(|error| Failure::failed(format!("{} in the simulator: {error}", run.lock)))?;
        let facts = plan::facts(plan.locks[run.lock_index]);
        let mut record = Record::new(&facts, &plan.point(&run), run.repeat, &result.outcome);
        if let Some(over_bound) = config.over_bound(record.throughput_per_s) {
            record.throughput_over_bound = over_bound;
        }
        results.push(record);
        progress.end();
    }
    Ok(Report {
        driver: "simulator".to_owned(),
        results,
        ..real.clone()
    })
}

/// What the hypervisor is asked for, asked of the simulator.
fn config_of(plan: &Plan, profile: &Profile, run: &PlannedRun) -> SimConfig {
    let mut base = SimConfig::default();
    profile.apply(&mut base);
    as_simulated::simulated(plan.asked(run), base)
}

fn costs(profile: &Profile) -> String {
    let costs = &profile.costs;
    format!(
        "atomic {}, line {}, switch {}, hypercall {}, poke {} (its sender {}, the \
         poked {}) ({})",
        time(costs.atomic_ns.into()),
        time(costs.line.same_socket_ns.into()),
        time(costs.switch_ns.into()),
        time(costs.hypercall_ns.into()),
        time(costs.poke_ns.into()),
        time(costs.poke_send_ns.into()),
        time(costs.interrupt_ns.into()),
        profile.about
    )
}

/// One point: every lock in both.
fn render(side: &Agreement<'_>) -> String {
    let style = TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));
    let mut table = Table::new();
    table
        .load_style(style)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "lock",
            "machine",
            "lowest, highest",
            "model",
            "difference",
            "relative",
            "within 0.1",
            "longest wait",
            "in the model",
        ]);
    for pair in &side.pairs {
        let Pair { real, model } = pair;
        let spread = &real.over_bound;
        table.add_row(
            [
                real.lock.clone(),
                share(spread.median),
                format!("{}, {}", share(spread.min), share(spread.max)),
                share(model.over_bound.median),
                format!("{:+.3}", pair.difference()),
                format!("{:+.0} %", 100.0 * pair.relative_error()),
                if pair.agrees() { "met" } else { "NOT MET" }.to_owned(),
                time(real.wait_max_ns.max),
                time(model.wait_max_ns.max),
            ]
            .map(Cell::new),
        );
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let order = side.order();
    let tau = order
        .tau()
        .map_or("none".to_owned(), |tau| format!("{tau:.2}"));
    let mut text = format!(
        "{}\n\norder: {} pairs of locks that the machine tells apart, {} level in the model, {} the \
         other way round (tau {tau})",
        table.trim_fmt(),
        order.told_apart,
        order.level,
        order.inversions.len()
    );
    for one in &order.inversions {
        let _ = write!(
            text,
            "\n  {} is faster than {} on the machine only",
            one.faster, one.slower
        );
    }
    text + "\n"
}

/// What it says, in plain words.
fn verdict(sides: &[Agreement<'_>], figures: usize) -> String {
    let pairs = || {
        sides
            .iter()
            .flat_map(|side| side.pairs.iter().map(move |pair| (side, pair)))
    };
    let (all, met) = (
        pairs().count(),
        pairs().filter(|(_, pair)| pair.agrees()).count(),
    );
    let orders: Vec<_> = sides.iter().map(Agreement::order).collect();
    let told_apart: usize = orders.iter().map(|order| order.told_apart).sum();
    let inverted: usize = orders.iter().map(|order| order.inversions.len()).sum();
    if all == 0 {
        return "Nothing can be said: other work disturbed every run of the machine. Repeat this on an idle \
                one.\n"
            .to_owned();
    }
    let verdict = if met == all { "met" } else { "NOT MET" };
    let mut text = format!(
        "Tolerance of {TOLERANCE} in throughput over bound: {verdict}, at {met} of {all} figures.\nOrder of the \
         locks: {} of {told_apart} pairs that the machine tells apart are not the other way round in the \
         model.\n",
        told_apart - inverted
    );
    let mut worst: Vec<_> = pairs().filter(|(_, pair)| !pair.agrees()).collect();
    worst.sort_by(|a, b| b.1.difference().abs().total_cmp(&a.1.difference().abs()));
    for (side, pair) in worst {
        let more_or_less = if pair.difference() > 0.0 {
            "the model is faster: it leaves out something that costs time on the machine"
        } else {
            "the model is slower: it charges for something that the machine does meanwhile"
        };
        let _ = writeln!(
            text,
            "  {} at {}: {} for {}, {more_or_less}",
            pair.real.lock,
            table::heading(&side.at.point),
            share(pair.model.over_bound.median),
            share(pair.real.over_bound.median),
        );
    }
    if all < figures {
        let _ = writeln!(
            text,
            "{} more figures are not judged, because other work disturbed every repeat.",
            figures - all
        );
    }
    text
}
