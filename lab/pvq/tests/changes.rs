//! Results beside earlier ones: what is noise, what is not, and what a script learns of it.

mod binary;

use std::fs;
use std::path::Path;

use binary::line as pvq;

fn text(of: &[u8]) -> String {
    String::from_utf8_lossy(of).into_owned()
}

/// Three repeats of a simulation, as a machine would have measured them, every throughput of which is so
/// much of what it was.
fn measured(folder: &Path, name: &str, factor: f64) {
    let line = "simulate --lock fifo --overcommit 2 --duration 5ms --no-page --json one.json";
    assert!(pvq(folder, line).status.success());
    let one = fs::read_to_string(folder.join("one.json")).expect("written");
    let mut json: serde_json::Value = serde_json::from_str(&one).expect("JSON");
    json["driver"] = "hypervisor".into();
    let record = json["results"][0].clone();
    let repeats = [0.99, 1.0, 1.01].iter().enumerate().map(|(repeat, noise)| {
        let mut record = record.clone();
        let throughput = record["throughput_per_s"].as_f64().expect("a number");
        record["throughput_per_s"] = (throughput * noise * factor).into();
        record["repeat"] = repeat.into();
        record
    });
    json["results"] = repeats.collect();
    fs::write(folder.join(name), json.to_string()).expect("writable");
}

#[test]
fn a_slower_lock_fails_and_noise_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, factor) in [("before", 1.0), ("same", 1.003), ("slower", 0.4)] {
        measured(folder.path(), &format!("{name}.json"), factor);
    }
    let after = |name: &str, options: &str| {
        let line = format!("report before.json {name}.json --no-page {options}");
        pvq(folder.path(), &line)
    };
    let same = after("same", "--fail-if slower,longer-waits,missing,not-judged");
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stderr));
    assert!(
        text(&same.stdout).contains("0 slower"),
        "{}",
        text(&same.stdout)
    );
    let told = after("slower", "");
    assert_eq!(told.status.code(), Some(0));
    assert!(
        text(&told.stdout).contains("SLOWER"),
        "{}",
        text(&told.stdout)
    );
    let failed = after("slower", "--fail-if slower");
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        text(&failed.stderr).contains("changed: 1 slower"),
        "{}",
        text(&failed.stderr)
    );
    let alone = pvq(folder.path(), "report before.json --fail-if slower");
    assert_eq!(alone.status.code(), Some(2));
    let nothing = pvq(folder.path(), "report before.json --no-page");
    assert_eq!(nothing.status.code(), Some(2), "it would do nothing");
    assert!(
        !folder.path().join("report.html").exists(),
        "--no-page wrote one"
    );
}

#[test]
fn a_baseline_is_saved_once_and_compared_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |options: &str| {
        let line =
            format!("simulate --lock fifo --overcommit 2 --duration 5ms --no-page {options}");
        pvq(folder.path(), &line)
    };
    assert!(run("--save main").status.success());
    assert!(folder.path().join("results/main.json").is_file());
    let twice = run("--save main");
    assert_eq!(
        twice.status.code(),
        Some(2),
        "it would have been overwritten"
    );
    assert!(
        text(&twice.stderr).contains("already"),
        "{}",
        text(&twice.stderr)
    );
    let same = run("--baseline main --fail-if slower,missing,not-judged");
    assert!(same.status.success(), "{}", text(&same.stderr));
    assert!(
        text(&same.stdout).contains("1 as fast"),
        "{}",
        text(&same.stdout)
    );
    let none = run("--baseline other");
    assert_eq!(none.status.code(), Some(2));
    assert!(
        text(&none.stderr).contains("`--save other` makes it"),
        "{}",
        text(&none.stderr)
    );
}

#[test]
fn results_have_names_of_their_own_and_a_link_to_the_latest() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = "simulate --lock fifo --overcommit 2 --duration 1ms --no-page";
    for _ in 0..2 {
        assert!(pvq(folder.path(), line).status.success());
    }
    let names: Vec<String> = fs::read_dir(folder.path().join("results"))
        .expect("made")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("text")
        })
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(names.len(), 3, "two results and a link: {names:?}");
    let latest = fs::read_link(folder.path().join("results/simulate-latest.json"));
    let latest = latest
        .expect("a link")
        .into_os_string()
        .into_string()
        .expect("text");
    let newest = names.iter().filter(|name| !name.contains("latest")).max();
    assert_eq!(Some(&latest), newest);
}

#[test]
fn links_to_the_latest_never_lead_to_older_results() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = "simulate --lock fifo --overcommit 2 --duration 1ms";
    let page = folder.path().join("results/simulate-latest.html");
    assert!(pvq(folder.path(), line).status.success());
    assert!(page.is_file());
    assert!(
        pvq(folder.path(), &format!("{line} --no-page"))
            .status
            .success()
    );
    assert!(
        fs::symlink_metadata(&page).is_err(),
        "it is that of the run before"
    );
    assert!(folder.path().join("results/simulate-latest.json").is_file());
}

#[test]
fn a_page_that_cannot_be_written_does_not_hide_the_results() {
    let folder = tempfile::tempdir().expect("a folder");
    // A picture cannot be written where a folder is.
    let in_the_way = folder.path().join("a-charts/1-pareto.svg");
    fs::create_dir_all(in_the_way).expect("writable");
    let line = "simulate --lock fifo --overcommit 2 --duration 1ms --json a.json";
    let failed = pvq(folder.path(), line);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let told = text(&failed.stderr);
    assert!(told.contains("`pvq report a.json` makes it"), "{told}");
    assert!(folder.path().join("a.json").is_file());
}

#[test]
fn json_on_standard_output_is_all_there_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = "simulate --lock fifo --overcommit 2 --duration 1ms --json -";
    let output = pvq(folder.path(), line);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and no more");
    assert_eq!(json["driver"], "simulator");
    assert!(
        text(&output.stderr).contains("overcommit 2"),
        "the table is for people"
    );
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn a_simulation_of_another_seed_is_no_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let grid = |seed: u32| {
        format!(
            "[[grid]]\nname = 'g'\nlocks = 'test-and-set'\nvcpus = 4\nseeds = [{seed}]\n\
             duration = '1ms'\nwarmup = '1ms'"
        )
    };
    for (name, seed) in [("one", 1), ("again", 1), ("two", 2)] {
        let toml = folder.path().join(format!("{name}.toml"));
        fs::write(toml, grid(seed)).expect("writable");
        let line = format!("sweep {name}.toml --out {name}.csv --no-page");
        assert!(pvq(folder.path(), &line).status.success());
    }
    let told = |after: &str| {
        let line = format!("report one.csv {after}.csv --no-page");
        text(&pvq(folder.path(), &line).stdout)
    };
    let same = told("again");
    assert!(same.contains("1 as fast, 0 within noise, 0 not"), "{same}");
    let other = told("two");
    assert!(other.contains("0 within noise, 1 not judged"), "{other}");
    assert!(
        other.contains("asked for differently: seed 1, now 2"),
        "{other}"
    );
}
