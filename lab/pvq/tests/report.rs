//! `pvq report`: what it reads and refuses, and that it writes all of a page or nothing.

use std::fs;
use std::path::Path;

mod binary;

use binary::{done, names, pvq};

/// Results of two locks at two overcommits, and their CSV.
fn with_results() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        "simulate --lock fifo,test-and-set --overcommit 1,4 --duration 2ms --json a.json --no-page";
    let options: Vec<&str> = options.split_whitespace().collect();
    done(folder.path(), &options);
    folder
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("there, and text")
}

#[test]
fn a_page_has_its_pictures_beside_it() {
    let folder = with_results();
    let path = folder.path();
    let text = done(path, &["report", "a.json"]);
    assert_eq!(text, "written: a-charts, a.html\n");
    let page = read(path.join("a.html"));
    for part in [
        "<!DOCTYPE html>",
        "overcommit",
        "fifo",
        "test-and-set",
        "--duration 2ms",
        "prefers-color-scheme",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    assert!(
        !page.contains("src=") && !page.contains("@import"),
        "nothing is loaded"
    );
    let charts = names(&path.join("a-charts"));
    for kind in [
        "throughput",
        "longest-wait",
        "pareto",
        "waits",
        "hypercalls",
        "fairness",
    ] {
        for ending in ["svg", "png"] {
            let name = format!("1-{kind}.{ending}");
            assert!(charts.contains(&name), "no {name} in {charts:?}");
        }
    }
    let png = fs::read(path.join("a-charts/1-pareto.png")).expect("there");
    assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000);
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let folder = with_results();
    let path = folder.path();
    let both = ["b.html", "c.html"].map(|out| {
        done(path, &["report", "a.json", "--out", out]);
        let stem = out.trim_end_matches(".html");
        let png = fs::read(path.join(format!("{stem}-charts/1-throughput.png"))).expect("there");
        // The page names the folder of its pictures.
        let page = read(path.join(out)).replace(&format!("{stem}-charts"), "charts");
        (page, png)
    });
    assert!(both[0] == both[1]);
}

#[test]
fn tables_are_written_as_markdown() {
    let folder = with_results();
    let path = folder.path();
    let text = done(path, &["report", "a.json", "--no-page", "--markdown", "-"]);
    assert!(text.starts_with("### a\n\n**overcommit"), "{text}");
    assert!(text.contains("\n| --- | ---: |"), "{text}");
    done(
        path,
        &["report", "a.json", "--no-page", "--markdown", "a.md"],
    );
    assert_eq!(read(path.join("a.md")), text);
    assert!(!path.join("a.html").exists());
}

#[test]
fn several_files_stand_side_by_side_under_their_names() {
    let folder = with_results();
    let path = folder.path();
    let text = done(
        path,
        &[
            "report", "a.json", "a.csv", "--label", "old", "--label", "new",
        ],
    );
    assert!(text.starts_with("throughput: 0 faster, 0 slower"), "{text}");
    assert!(
        text.ends_with("written: report-charts, report.html\n"),
        "{text}"
    );
    let page = read(path.join("report.html"));
    for part in ["Side by side", "old: thr/bound", "new: longest wait"] {
        assert!(page.contains(part), "no {part}");
    }
    assert!(names(&path.join("report-charts")).contains(&"3-beside-throughput.svg".to_owned()));
    // Names that are the same are told apart by their paths.
    fs::create_dir(path.join("b")).expect("a folder");
    fs::copy(path.join("a.json"), path.join("b/a.json")).expect("a copy");
    done(path, &["report", "a.json", "b/a.json", "--no-charts"]);
    assert!(read(path.join("report.html")).contains("b/a.json: thr/bound"));
}

#[test]
fn pictures_of_an_earlier_page_go_and_other_files_stay() {
    let folder = with_results();
    let path = folder.path();
    let charts = path.join("a-charts");
    fs::create_dir(&charts).expect("a folder");
    for old in ["9-pareto.svg", "9-holiday.png", "notes.txt"] {
        fs::write(charts.join(old), "old").expect("writable");
    }
    done(path, &["report", "a.json"]);
    let names = names(&charts);
    assert!(!names.contains(&"9-pareto.svg".to_owned()), "{names:?}");
    assert!(names.contains(&"9-holiday.png".to_owned()), "{names:?}");
    assert!(names.contains(&"notes.txt".to_owned()), "{names:?}");
}

#[test]
fn bad_input_is_refused_and_nothing_is_written() {
    let folder = with_results();
    let path = folder.path();
    let good = read(path.join("a.json"));
    let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("writable");
    write(
        "newer.json",
        &good.replacen("\"schema\": 1", "\"schema\": 7", 1),
    );
    write("half.json", &good[..good.len() / 2]);
    write("empty.json", "");
    write("other.json", "{\"name\": \"something else\"}");
    write("table.csv", "name,age\nx,3\n");
    fs::write(path.join("bytes.json"), b"\xff\xfe\x00").expect("writable");
    fs::create_dir(path.join("folder.json")).expect("a folder");
    let mut none: serde_json::Value = serde_json::from_str(&good).expect("JSON");
    none["results"] = serde_json::json!([]);
    write("none.json", &none.to_string());
    write("file", "not a folder");
    let before = names(path);
    for (options, expected) in [
        (&["newer.json"][..], "schema 7, and this program reads 1"),
        (&["half.json"], "its JSON is damaged"),
        (&["empty.json"], "it is empty"),
        (&["other.json"], "`schema` and `results`"),
        (&["table.csv"], "no column `lock`"),
        (&["bytes.json"], "it is not text"),
        (&["folder.json"], "cannot read folder.json"),
        (&["missing.json"], "cannot read missing.json"),
        (&["none.json"], "no results"),
        (&["a.json", "half.json"], "cannot use half.json"),
        (
            &["a.json", "--label", "x", "--label", "y"],
            "--label is given 2 times, for 1 file;",
        ),
        (
            &["a.json", "a.csv", "--label", "x", "--label", "x"],
            "x is there twice",
        ),
        (&["a.json", "a.json"], "a.json is there twice"),
        (
            &["a.json", "--out", "a.json"],
            "a.json would be overwritten",
        ),
        (
            &["a.json", "--out", "no/such.html"],
            "there is no folder no",
        ),
        (
            &["a.json", "--charts", "file"],
            "it is a file; name a folder",
        ),
        (&[], "required"),
    ] {
        let output = pvq(path, &[&["report"], options].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {error}");
        assert!(
            error.contains(expected),
            "{options:?}: '{expected}' is not in: {error}"
        );
        assert_eq!(names(path), before, "{options:?} left something behind");
    }
}

#[test]
fn strings_of_the_results_stay_strings() {
    let folder = with_results();
    let path = folder.path();
    let name = "</title></svg><script>alert(\\\"1\\\")</script>&amp;\\u0000";
    let spoilt = read(path.join("a.json")).replace("test-and-set", name);
    fs::write(path.join("a.json"), spoilt).expect("writable");
    done(path, &["report", "a.json"]);
    let page = read(path.join("a.html"));
    assert_eq!(page.matches("<script").count(), 1, "its own");
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;\u{fffd}"));
    let svg = read(path.join("a-charts/1-throughput.svg"));
    assert_eq!(
        svg.matches("</title>").count(),
        svg.matches("<title").count()
    );
    assert!(!svg.contains("<script"));
}

#[test]
fn a_shard_that_is_not_finished_is_shown_as_far_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let grid = "
        [[grid]]
        name = 'g'
        locks = ['fifo', 'ticket']
        overcommit = [1, 2]
        slice = '200us'
        duration = '1ms'
        warmup = '1ms'
    ";
    fs::write(path.join("g.toml"), grid).expect("writable");
    done(
        path,
        &["sweep", "g.toml", "--shard", "1/1", "--out", "part.jsonl"],
    );
    let whole = read(path.join("part.jsonl"));
    fs::write(path.join("part.jsonl"), &whole[..whole.len() - 100]).expect("writable");
    done(path, &["report", "part.jsonl", "--no-charts"]);
    let page = read(path.join("part.html"));
    assert!(
        page.contains("INCOMPLETE: 3 of 4 runs were finished."),
        "{page}"
    );
}
