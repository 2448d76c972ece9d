//! What changed since earlier results, told from noise; and whether that fails.

use anyhow::{Context, Result};
use pvqspin_report::change::{Changes, Outcome, changes};
use pvqspin_report::load::Source;
use pvqspin_report::sets::Set;

use crate::options::common::OutputArgs;
use crate::options::report::{ChangeArgs, FailIf};
use crate::output::failure::{Done, Failure, print};
use crate::output::results::baseline_path;

/// The baseline that results will be compared with, read before anything runs.
#[derive(Debug)]
pub(crate) struct Baseline<'a> {
    name: &'a str,
    source: Source,
    args: &'a ChangeArgs,
}

impl<'a> Baseline<'a> {
    /// The one that the options name.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or there is none although its options are there.
    pub(crate) fn asked(args: &'a OutputArgs) -> Result<Option<Self>> {
        let Some(name) = args.baseline.as_deref() else {
            args.change.refuse("say since when, with --baseline NAME")?;
            return Ok(None);
        };
        let path = baseline_path(name)?;
        let source = Source::read(&path, name)
            .with_context(|| format!("there is no baseline {name}; `--save {name}` makes it"))?;
        Ok(Some(Self {
            name,
            source,
            args: &args.change,
        }))
    }

    /// Tells what changed since then.
    ///
    /// # Errors
    ///
    /// If that is what the options call a failure.
    pub(crate) fn tell(self, report: &pvqspin_report::Report) -> Done {
        let after = Source::of_report(report, "now").map_err(Failure::Failed)?;
        print(&format!("\nSince the baseline {}:\n", self.name))?;
        tell(self.source, after, self.args)
    }
}

/// Tells what changed from one file to another.
///
/// # Errors
///
/// If that is what the options call a failure.
pub(crate) fn tell(before: Source, after: Source, args: &ChangeArgs) -> Done {
    let all = changes(&sets(before), &sets(after), args.margin());
    for (label, changes) in &all {
        if all.len() > 1 {
            print(&format!("{label}\n"))?;
        }
        print(&changes.render())?;
    }
    failed(&all, &args.fail_if)
}

/// The sets of a file, named by what tells them apart in it.
fn sets(mut source: Source) -> Vec<Set> {
    source.label = String::new();
    Set::of(vec![source])
}

fn failed(all: &[(String, Changes)], fail_if: &[FailIf]) -> Done {
    let sum = |count: &dyn Fn(&Changes) -> usize| all.iter().map(|(_, c)| count(c)).sum::<usize>();
    let mut why = Vec::new();
    for what in fail_if {
        let (found, words) = match what {
            FailIf::Slower => (sum(&|c| c.count(Outcome::Slower)), "slower"),
            FailIf::LongerWaits => (sum(&|c| c.waits(Outcome::Slower)), "with longer waits"),
            FailIf::Missing => (sum(&|c| c.missing.len()), "missing"),
            FailIf::NotJudged => (sum(&|c| c.count(Outcome::NotJudged)), "not judged"),
        };
        if found > 0 {
            why.push(format!("{found} {words}"));
        }
    }
    if !fail_if.is_empty() && all.iter().all(|(_, changes)| changes.both.is_empty()) {
        why.push("nothing to compare".to_owned());
    }
    match why.as_slice() {
        [] => Ok(()),
        why => Err(Failure::failed(format!("changed: {}", why.join(", ")))),
    }
}
