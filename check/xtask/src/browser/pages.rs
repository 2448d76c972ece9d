//! The pages that are looked at: made by the program itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::{self, root, succeed};

/// Names that are none.
const HOSTILE: [&str; 4] = [
    "<script>window.hacked = 1</script>",
    "\"><img src=x onerror=\"window.hacked = 1\">",
    "</title></svg></style><iframe src=javascript:alert(1)>&amp;",
    "a-lock-whose-name-is-so-long-that-no-picture-and-no-table-has-room-for-all-of-it-and-then-some",
];

/// Makes them in a folder; the first has every lock.
pub(super) fn make(folder: &Path) -> Result<Vec<PathBuf>> {
    let pvq = run::pvq()?;
    let simulate = |json: &Path, options: &[&str]| simulated(&pvq, json, options);
    let report = |options: &[&str]| reported(&pvq, options);
    let many = folder.join("many.json");
    simulate(
        &many,
        &["--lock", "all", "--overcommit", "1,2,4,8", "--neighbour"],
    )?;
    let other = folder.join("other.json");
    let locks = "fifo,unfair-hinted,test-and-set";
    simulate(
        &other,
        &[
            "--no-page",
            "--lock",
            locks,
            "--overcommit",
            "2,4",
            "--neighbour",
        ],
    )?;
    let hostile = folder.join("hostile.json");
    fs::write(&hostile, spoilt(&fs::read_to_string(&other)?)?)?;
    let both = folder.join("several.html");
    let [many_json, other_json, out] =
        [&many, &other, &both].map(|path| path.display().to_string());
    let labels = ["--label", "<b>one</b>", "--label", "two", "--out", &out];
    report(&[&[many_json.as_str(), &other_json], &labels[..]].concat())?;
    report(&[&hostile.display().to_string()])?;
    Ok(vec![
        many.with_extension("html"),
        both,
        hostile.with_extension("html"),
    ])
}

/// The same results with other names.
fn spoilt(json: &str) -> Result<String> {
    let mut report: Value = serde_json::from_str(json)?;
    report["command"] = HOSTILE[0].into();
    report["machine"]["cpu"] = HOSTILE[1].into();
    report["options"]["profile"] = HOSTILE[2].into();
    let results = report["results"].as_array_mut().context("no results")?;
    for (record, name) in results.iter_mut().zip(HOSTILE.iter().cycle()) {
        record["lock"] = (*name).into();
        record["workload"] = HOSTILE[2].into();
    }
    Ok(report.to_string())
}

/// Runs `pvq`, which leaves results.
fn simulated(pvq: &Path, json: &Path, options: &[&str]) -> Result<()> {
    succeed(
        Command::new(pvq)
            .current_dir(root())
            .args(["simulate", "--duration", "10ms"])
            .args(options)
            .arg("--json")
            .arg(json)
            .stdout(Stdio::null()),
    )
}

/// Runs `pvq report`.
fn reported(pvq: &Path, options: &[&str]) -> Result<()> {
    succeed(
        Command::new(pvq)
            .current_dir(root())
            .arg("report")
            .args(options)
            .stdout(Stdio::null()),
    )
}
