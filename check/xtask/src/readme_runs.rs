//! The runs that the guides show: the commands, and what is kept of what they leave.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run::{pvq, replace, root};

/// Where results files are kept.
pub(crate) const FOLDER: &str = "docs/generated";

/// One run that is kept.
struct Kept {
    /// What its files are called.
    name: &'static str,
    /// What `pvq` is given, before `--json`.
    command: &'static str,
    /// The picture of its page that is kept, too.
    picture: Option<&'static str>,
    /// Whether it gives the same figures on every machine and each time.
    simulated: bool,
    /// Whether guides show its runs, and not only what it printed.
    runs: bool,
}

/// All of them. Those that are not simulated want a machine that does nothing else meanwhile.
const KEPT: [Kept; 6] = [
    Kept {
        name: "simulate",
        command: "simulate --pcpus 8 --overcommit 8 --duration 300ms \
                  --lock fifo,bounded,unfair-hinted,linux-pv,pv-ticket,test-and-set,native-queued",
        picture: Some("1-pareto.svg"),
        simulated: true,
        runs: true,
    },
    Kept {
        name: "server",
        command: "simulate --profile server-2x32 --outside 60us --overcommit 4 \
                  --lock fifo,bounded,unfair-hinted,linux-pv,powerpc,pv-ticket",
        picture: None,
        simulated: true,
        runs: true,
    },
    Kept {
        name: "compare",
        command: "compare --targets",
        picture: None,
        simulated: false,
        runs: true,
    },
    Kept {
        name: "hints",
        command: "compare --yields hint --lock bounded,fifo,unfair-hinted,linux-pv",
        picture: None,
        simulated: false,
        runs: true,
    },
    Kept {
        name: "validate",
        command: "validate --lock all --duration 150ms",
        picture: None,
        simulated: false,
        runs: false,
    },
    Kept {
        name: "uncontended",
        command: "uncontended",
        picture: None,
        simulated: false,
        runs: true,
    },
];

/// Whether a run of this name is kept, if it was made.
pub(crate) fn is_kept(name: &str) -> bool {
    KEPT.iter().any(|kept| kept.name == name)
}

/// Runs these again, and keeps their results in place of those of before. With `check` nothing is kept, and it is an
/// error if the results are others.
pub(crate) fn again(names: &[String], check: bool) -> Result<()> {
    let known = || KEPT.map(|kept| kept.name).join(", ");
    let chosen: Vec<&Kept> = (names.iter())
        .map(|name| {
            let kept = KEPT.iter().find(|kept| kept.name == name);
            let kept = kept.with_context(|| format!("no run is called {name}; there are {}", known()))?;
            ensure!(
                kept.simulated || !check,
                "{name} is timed and gives other figures each time; only simulated runs can be checked"
            );
            Ok(kept)
        })
        .collect::<Result<_>>()?;
    if chosen.is_empty() {
        return Ok(());
    }
    let pvq = pvq()?;
    chosen
        .into_iter()
        .try_for_each(|kept| run(&pvq, kept, check).with_context(|| kept.name.to_owned()))
}

/// Whether a file of results has these already, made on another day. Simulated runs are the same each time.
fn is_same_again(file: &Path, results: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let before = fs::read_to_string(file).ok().and_then(|text| read(&text));
    let (Some(before), Some(now)) = (before, read(results)) else {
        return false;
    };
    ["command", "version", "results"]
        .iter()
        .all(|field| before[field] == now[field])
}

fn run(pvq: &Path, kept: &Kept, check: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let json = format!("{}.json", kept.name);
    println!("readme: pvq {}", kept.command);
    let output = Command::new(pvq)
        .current_dir(folder.path())
        // The results say how they were made, and not where.
        .arg0("pvq")
        .args(kept.command.split_whitespace())
        .args(["--json", &json])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start pvq")?;
    let printed = String::from_utf8(output.stdout).context("it printed no text")?;
    ensure!(
        output.status.success(),
        "it ended with {}\n{printed}",
        output.status
    );
    let written = |from: &Path| {
        fs::read_to_string(folder.path().join(from))
            .with_context(|| format!("it left no {}", from.display()))
    };
    let file = |ending: &str| root().join(FOLDER).join(format!("{}.{ending}", kept.name));
    if check {
        ensure!(
            is_same_again(&file("json"), &written(Path::new(&json))?),
            "it gives other results than {FOLDER}/{json} has; \
             if they should be others: `cargo xtask readme --run {}`",
            kept.name
        );
        return Ok(());
    }
    let keep = |from: &Path, ending: &str| {
        let text = written(from)?;
        let to = file(ending);
        match ending == "json" && is_same_again(&to, &text) {
            true => Ok(()),
            false => replace(&to, &text),
        }
    };
    if kept.runs {
        keep(Path::new(&json), "json")?;
    } else {
        let mut results: Value = serde_json::from_str(&written(Path::new(&json))?)?;
        results["results"] = Value::Array(Vec::new());
        replace(&file("json"), &format!("{results:#}\n"))?;
    }
    // Where it was written is of no interest.
    let printed: String = (printed.split_inclusive('\n'))
        .filter(|line| !line.starts_with("written: "))
        .collect();
    replace(&file("txt"), &(printed.trim_end().to_owned() + "\n"))?;
    if let Some(picture) = kept.picture {
        let charts = format!("{}-charts", kept.name);
        keep(&Path::new(&charts).join(picture), "svg")?;
    }
    Ok(())
}
