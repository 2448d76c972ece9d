//! One run of one lock, and what happened around its longest wait.

use std::fmt::Write as _;
use std::time::Duration;

use pvqspin_hypervisor::{Machine, RunResult, Trace};
use pvqspin_report::figures::{count, exact_time, share, time};
use pvqspin_report::{Record, table};

use crate::args::TraceArgs;
use crate::driver::{self, HostSettings, Limits};
use crate::failure::{Done, Failure, print};
use crate::plan;

/// What is shown before and after the longest wait.
const MARGIN_NS: u64 = 50_000;

/// A wait of many slices has thousands of events; more than this is for a file.
const MOST_LINES: usize = 200;

/// Runs `pvq trace`.
pub(crate) fn run(args: &TraceArgs) -> Done {
    let limits = Limits::here();
    let host = HostSettings::new(&args.setup, &limits).map_err(Failure::BadInput)?;
    let vcpus = plan::vcpus(args.overcommit, host.pcpus, &limits).map_err(Failure::BadInput)?;
    let section = args.setup.section(args.inside, args.outside);
    let machine = Machine::probe().map_err(driver::unsupported)?;
    let config = driver::config(
        &host,
        &driver::Run {
            lock: args.lock.id,
            workload: args.setup.workload.id,
            vcpus,
            section,
            repeat: 0,
            duration: Duration::from_nanos(args.duration),
            trace: true,
        },
    );
    config
        .validate(machine.cpus.len())
        .map_err(Failure::bad_input)?;
    let result = driver::run(&machine, &config, args.lock.name)?;
    let point = plan::point(args.setup.workload.name, &host, vcpus, section);
    let record = Record::new(&plan::facts(args.lock), &point, 0, &result.outcome);
    print(&head(&record))?;
    print(&events(args.all, &result))
}

fn head(record: &Record) -> String {
    let points = pvqspin_report::summarise(std::slice::from_ref(record));
    let place = points
        .first()
        .map_or_else(String::new, |at| table::heading(&at.point));
    let wait = &record.wait_ns;
    let calls = &record.hypercalls;
    format!(
        "{} at {place}; host: {}, yields: {}\n\
         {} acquisitions in {}, {} of what is possible\n\
         wait p50 {}, p99 {}, p99.99 {}, longest {}; {} longer than a slice of {}\n\
         hypercalls: {} halts, {} kicks, {} yields; LHP {}, LWP {}\n\n",
        record.lock,
        record.host_policy,
        record.yield_mode,
        count(record.acquisitions as f64),
        time(record.duration_ns as f64),
        share(record.throughput_over_bound),
        time(wait.p50 as f64),
        time(wait.p99 as f64),
        time(wait.p9999 as f64),
        time(wait.max as f64),
        record.waits_over_slice,
        exact_time(record.slice_ns),
        calls.halt,
        calls.kick,
        calls.yield_to,
        record.lhp,
        record.lwp,
    )
}

fn events(all: bool, result: &RunResult) -> String {
    let trace = &result.trace;
    if all {
        return trace.to_string();
    }
    match trace
        .longest_wait()
        .and_then(|end| Some((end.vcpu?, end.waited_ns?)))
    {
        None => "Nobody waited long enough to leave a mark; --all shows every event.\n".to_owned(),
        Some((vcpu, waited)) => {
            let around = trace.around_longest_wait(MARGIN_NS);
            format!(
                "The longest wait in the trace: vcpu{vcpu}, {}; what happened from {} before it \
                 to {} after it:\n\n{}",
                time(waited as f64),
                exact_time(MARGIN_NS),
                exact_time(MARGIN_NS),
                shortened(&around)
            )
        }
    }
}

/// The beginning and the end: how it came about, and what ended it.
fn shortened(trace: &Trace) -> String {
    let lines: Vec<String> = trace.events.iter().map(ToString::to_string).collect();
    if lines.len() <= MOST_LINES {
        return lines.iter().map(|line| format!("{line}\n")).collect();
    }
    let mut text = String::new();
    let half = MOST_LINES / 2;
    for line in &lines[..half] {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(
        text,
        "... {} more events; --all shows them ...",
        lines.len() - 2 * half
    );
    for line in &lines[lines.len() - half..] {
        let _ = writeln!(text, "{line}");
    }
    text
}
