use super::*;
use crate::cli::Cli;
use clap::Parser;

fn outputs(options: &[&str]) -> Result<Outputs> {
    let words = ["pvq"].iter().chain(options);
    let cli = Cli::try_parse_from(words).expect("well formed");
    Outputs::checked(cli.compare.compare.wanted())
}

#[test]
fn csv_and_page_go_beside_the_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("mine.json");
    let json = json.to_str().expect("text");
    let outputs = outputs(&["--json", json]).expect("writable");
    let names: Vec<_> = outputs
        .paths()
        .map(|path| path.file_name().expect("a name").to_str().expect("text"))
        .collect();
    assert_eq!(names, ["mine.json", "mine.csv", "mine-charts", "mine.html"]);
}

#[test]
fn a_page_can_be_done_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("mine.json");
    let options = ["--no-page", "--json", json.to_str().expect("text")];
    assert_eq!(outputs(&options).expect("writable").paths().count(), 2);
}

#[test]
fn what_is_in_the_way_of_the_pictures_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("mine-charts"), "a file").expect("writable");
    let json = folder.path().join("mine.json");
    let error = outputs(&["--json", json.to_str().expect("text")]).expect_err("no folder");
    assert!(error.to_string().contains("it is a file"), "{error}");
}

#[test]
fn a_device_gets_no_siblings() {
    let outputs = outputs(&["--json", "/dev/null"]).expect("writable");
    assert_eq!(outputs.paths().count(), 1);
}

#[test]
fn one_file_is_not_written_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("a.csv");
    let error = outputs(&["--json", csv.to_str().expect("text")]).expect_err("its own sibling");
    assert!(error.to_string().contains("written twice"), "{error}");
}

#[test]
fn a_second_set_has_names_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("mine.json");
    let first = outputs(&["--json", json.to_str().expect("text")]).expect("writable");
    let second = first.named("simulated");
    let names: Vec<_> = second.paths().filter_map(|path| path.file_name()).collect();
    assert_eq!(names, ["mine-simulated.json", "mine-simulated.csv"]);
    let device = outputs(&["--json", "/dev/null"]).expect("writable");
    assert_eq!(
        device.named("simulated").paths().count(),
        0,
        "a device has no second name"
    );
}

#[test]
fn nothing_is_written_if_so_asked() {
    let outputs = outputs(&["--no-files"]).expect("nothing to check");
    assert_eq!(outputs.paths().count(), 0);
}

#[test]
fn what_is_incomplete_does_not_replace_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("mine.json");
    let asked = ["--json", json.to_str().expect("text")];
    let names = |outputs: &Outputs| -> Vec<String> {
        let name = |path: &Path| path.file_name().expect("a name").display().to_string();
        outputs.paths().map(name).collect()
    };
    let free = outputs(&asked).expect("writable").settled(false);
    assert_eq!(names(&free)[0], "mine.json", "nothing was there");
    drop(free);
    fs::write(&json, "{}").expect("writable");
    let complete = outputs(&asked).expect("writable").settled(true);
    assert_eq!(names(&complete)[0], "mine.json");
    drop(complete);
    let incomplete = outputs(&asked).expect("writable").settled(false);
    assert_eq!(
        names(&incomplete),
        [
            "mine-incomplete.json",
            "mine-incomplete.csv",
            "mine-incomplete-charts",
            "mine-incomplete.html"
        ]
    );
}

#[test]
fn two_commands_cannot_write_to_one_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("mine.json");
    let asked = ["--json", json.to_str().expect("text")];
    let _first = outputs(&asked).expect("free");
    let error = outputs(&asked).expect_err("taken").to_string();
    assert!(error.contains("another pvq"), "{error}");
}

#[test]
fn names_of_baselines_are_plain() {
    for name in ["", "a/b", ".hidden", ".."] {
        assert!(baseline_path(name).is_err(), "{name}");
    }
    let path = baseline_path("main").expect("plain");
    assert_eq!(path, Path::new("results/main.json"));
}
