//! Runs the real binary: sweeps that are listed, stopped, gone on with, dealt out and merged.

use std::fs;
use std::path::Path;
use std::process::Command;

mod binary;

use binary::{done, names, pvq};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn refused(folder: &Path, options: &[&str], message: &str) {
    let output = pvq(folder, options);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{options:?}: {error}");
    assert!(
        error.contains(message),
        "{options:?}: no '{message}' in: {error}"
    );
}

const GRID: &str = "
    [[grid]]
    name = 'g'
    locks = ['fifo', 'ticket']
    overcommit = [1, 2]
    slice = '200us'
    duration = '1ms'
    warmup = '1ms'
";

fn with_grid() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("g.toml"), GRID).expect("writable");
    folder
}

#[test]
fn a_list_runs_nothing() {
    let folder = with_grid();
    let list = done(folder.path(), &["sweep", "g.toml", "--dry-run"]);
    assert!(
        list.contains("g: ticket under hot-lock on 2 pCPUs, 4 vCPUs"),
        "{list}"
    );
    assert!(list.contains("4 points, about 1 s "), "{list}");
    // No more threads than points, and no time that they would take on CPUs that are not there.
    let many = ["sweep", "g.toml", "--list", "--threads", "100000"];
    let many = done(folder.path(), &many);
    assert!(
        many.contains("4 points, about 1 s ") && many.contains("4 threads"),
        "{many}"
    );
    assert_eq!(names(folder.path()), ["g.toml"]);
}

#[test]
fn a_sweep_leaves_its_rows_and_no_journal() {
    let folder = with_grid();
    let options = ["sweep", "g.toml", "--json", "g.json"];
    done(folder.path(), &options);
    assert_eq!(
        names(&folder.path().join("results")),
        ["g-charts", "g.csv", "g.html"]
    );
    let rows = fs::read_to_string(folder.path().join("results/g.csv")).expect("there");
    assert_eq!(rows.lines().count(), 1 + 4);
    let json = fs::read_to_string(folder.path().join("g.json")).expect("there");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let first = &json["results"][0];
    assert_eq!(json["driver"], "simulator");
    assert_eq!(
        (&first["grid"], &first["lock"]),
        (&"g".into(), &"fifo".into())
    );
    assert!(first["wait_ns"]["max"].is_u64(), "{first}");
}

#[test]
fn shards_merge_to_the_same_bytes() {
    let folder = with_grid();
    let path = folder.path();
    done(
        path,
        &["sweep", "g.toml", "--out", "whole.csv", "--no-page"],
    );
    assert!(!path.join("whole.html").exists());
    for shard in ["1/3", "2/3", "3/3"] {
        let out = format!("part-{}", &shard[..1]);
        done(
            path,
            &[
                "sweep",
                "g.toml",
                "--shard",
                shard,
                "--out",
                &out,
                "--threads",
                "1",
            ],
        );
    }
    refused(
        path,
        &["sweep", "--merge", "bad.csv", "part-1", "part-3"],
        "1 of 3 shards are missing: 2/3",
    );
    assert!(!path.join("bad.csv").exists());
    // The output was forgotten, and the first shard stands in its place.
    let first = fs::read(path.join("part-1")).expect("there");
    let shards = ["part-1", "part-1", "part-2", "part-3"];
    for parts in [&shards[..], &[&shards[..1], &shards[2..]].concat()] {
        let line = [&["sweep", "--merge"], parts].concat();
        refused(path, &line, "would be overwritten");
        assert_eq!(fs::read(path.join("part-1")).expect("there"), first);
    }
    done(
        path,
        &[
            "sweep",
            "--merge",
            "merged.csv",
            "part-3",
            "part-1",
            "part-2",
        ],
    );
    let read = |name: &str| fs::read(path.join(name)).expect("there");
    assert_eq!(read("merged.csv"), read("whole.csv"));
    // A shard that is complete has nothing to do.
    let again = done(
        path,
        &["sweep", "g.toml", "--shard", "2/3", "--out", "part-2"],
    );
    assert!(
        again.contains("0 points (1 of 1 are finished already)"),
        "{again}"
    );
}

#[test]
fn bad_input_is_refused_before_anything_runs() {
    let folder = with_grid();
    let path = folder.path();
    fs::write(path.join("bad.toml"), GRID.replace("fifo", "fofo")).expect("writable");
    refused(
        path,
        &["sweep", "bad.toml"],
        "bad.toml, line 4: grid \"g\": locks",
    );
    refused(
        path,
        &["sweep", "none.toml"],
        "cannot read the grid none.toml",
    );
    refused(path, &["sweep", "g.toml", "--shard", "4/3"], "1/3 to 3/3");
    refused(
        path,
        &["sweep", "g.toml", "--out", "no/such.csv"],
        "there is no folder",
    );
    refused(
        path,
        &["sweep", "--merge", "out.csv", "g.toml"],
        "is not a file of `pvq sweep`",
    );
    refused(
        path,
        &["write-study", "--grids", "none"],
        "cannot read the folder of grids none",
    );
    refused(
        path,
        &["calibrate", "--out", "no/such.toml"],
        "there is no folder",
    );
    refused(
        path,
        &["validate", "--profile", "smal"],
        "did you mean 'small'?",
    );
    assert_eq!(names(path).first().map(String::as_str), Some("bad.toml"));
    fs::write(path.join("kept"), "not ours").expect("writable");
    refused(
        path,
        &["sweep", "g.toml", "--shard", "1/3", "--out", "kept"],
        "is not a file of",
    );
    assert_eq!(
        fs::read_to_string(path.join("kept")).expect("there"),
        "not ours"
    );
}

#[test]
fn a_point_that_fails_is_told_and_the_others_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    // The stacks of the second point do not fit into so little memory.
    let grid = GRID.replace("overcommit = [1, 2]", "vcpus = [2, 4_000]");
    fs::write(folder.path().join("g.toml"), grid).expect("writable");
    let limited = |limit: &str| {
        let line = format!(
            "{limit} exec {} sweep g.toml --threads 1 --out out.csv --json out.json --no-page",
            env!("CARGO_BIN_EXE_pvq")
        );
        Command::new("bash")
            .args(["-c", &line])
            .current_dir(folder.path())
            .output()
            .expect("bash starts")
    };
    let output = limited("ulimit -v 262144 &&");
    let error = binary::stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("FAILED: ") && error.contains("no memory for the stacks"),
        "{error}"
    );
    assert!(error.contains("2 of 4 points failed"), "{error}");
    let rows = |name: &str| {
        let text = fs::read_to_string(folder.path().join(name)).expect("written");
        text.lines().count() - 1
    };
    assert_eq!(rows("out.csv"), 2);
    let json = binary::results(&folder.path().join("out.json"));
    assert_eq!(
        (&json["complete"], &json["planned"]),
        (&false.into(), &4.into())
    );

    // The same command tries them again.
    let output = limited("");
    assert!(output.status.success(), "{}", binary::stderr(&output));
    assert!(binary::stdout(&output).contains("2 points (2 of 4 are finished already)"));
    assert_eq!(rows("out.csv"), 4);
}

#[test]
fn a_study_writes_its_tables_and_pictures_and_checks_them() {
    let folder = with_grid();
    let path = folder.path();
    fs::create_dir(path.join("grids")).expect("a folder");
    let table = "[[table]]\nname = 't'\ngrids = 'g'\nrows = 'lock'\ncolumns = 'overcommit'\n\
                 figures = ['over_bound', 'longest_wait']\n";
    let picture = "[[picture]]\nname = 'p'\ngrids = 'g'\neach = 'overcommit'\nline = 'fifo'\n";
    let grid = format!("{GRID}\n{table}{picture}");
    fs::write(path.join("grids/g.toml"), grid).expect("writable");
    let doc = "Before.\n<!-- table: t -->\n<!-- end of table -->\n![old words](generated/doc-p-2.svg)\nAfter.\n";
    fs::write(path.join("doc.md"), doc).expect("writable");
    let study = ["write-study", "--grids", "grids", "--doc", "doc.md"];
    let check = [&study[..], &["--check"]].concat();

    let output = pvq(path, &check);
    assert_eq!(output.status.code(), Some(1), "the table is not there yet");
    assert_eq!(fs::read_to_string(path.join("doc.md")).expect("there"), doc);
    done(path, &study);
    let text = fs::read_to_string(path.join("doc.md")).expect("there");
    assert!(
        text.contains("| lock | 1 | 2 |\n| --- | --- | --- |\n| `fifo` | 0."),
        "{text}"
    );
    assert!(
        text.starts_with("Before.\n") && text.ends_with("\nAfter.\n"),
        "{text}"
    );
    assert!(
        text.contains("overcommit: 2. Of 2 locks, not beaten in both"),
        "{text}"
    );
    assert!(!text.contains("old words"), "{text}");
    done(path, &check);

    let drawn = path.join("generated/doc-p-2.svg");
    let svg = fs::read_to_string(&drawn).expect("a picture for each overcommit");
    assert!(
        svg.contains("overcommit: 2") && svg.contains("ticket"),
        "{svg}"
    );
    fs::write(&drawn, "something older").expect("writable");
    let output = pvq(path, &check);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("doc-p-2.svg does not say"), "{error}");
    done(path, &study);
    assert_eq!(fs::read_to_string(&drawn).expect("written anew"), svg);

    fs::write(path.join("doc.md"), "No place.\n").expect("writable");
    refused(path, &study, "no place for the table 't'");
    fs::write(
        path.join("grids/g.toml"),
        format!("{GRID}\n{}", table.replace("'g'", "'h'")),
    )
    .expect("writable");
    refused(path, &study, "no grid of this file has that name");
}
