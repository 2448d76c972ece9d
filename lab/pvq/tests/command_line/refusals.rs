//! What is refused before anything runs, and in which words.

use crate::binary::{refused, stderr, stdout};
use crate::pvq;

#[test]
fn unknown_names_get_a_suggestion_and_the_list() {
    refused(
        &["compare", "--lock", "test_and_set"],
        &[
            "did you mean 'test-and-set'?",
            "unfair-hinted",
            "native-queued",
        ],
    );
    refused(&["--workload", "hotlock"], &["did you mean 'hot-lock'?"]);
    refused(
        &["simulate", "--workload", "hash-tabel"],
        &["did you mean 'hash-table'?", "kernel-build"],
    );
    refused(
        &["simulate", "--neighbour", "bussy"],
        &["did you mean 'busy'?", "halted"],
    );
    refused(
        &["--scheduling", "robin"],
        &["there are: round-robin, fair, credit, co-scheduled"],
    );
    refused(&["--yields", "contrct"], &["did you mean 'contract'?"]);
    refused(
        &["--distribution", "normal"],
        &["fixed, uniform, exponential"],
    );
    refused(&["trace", "--lock", "fofo"], &["did you mean 'fifo'?"]);
    refused(&["comparre"], &["compare"]);
}

#[test]
fn a_workload_brings_its_lengths_and_its_unit() {
    let output = pvq(&[
        "simulate",
        "--workload",
        "leveldb",
        "--lock",
        "fifo",
        "--overcommit",
        "2",
        "--duration",
        "5ms",
        "--neighbour",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "leveldb, overcommit 2",
        "inside 80 ns",
        "gets/s",
        "neighbour",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn impossible_numbers_of_cpus_are_refused() {
    refused(&["--overcommit", "0"], &["zero vCPUs"]);
    refused(&["--overcommit", "-1"], &["a number above 0"]);
    refused(&["--overcommit", "1e300"], &["no machine has so many"]);
    refused(
        &["--overcommit", "100000", "--pcpus", "1"],
        &["a lock word names 16382 at most"],
    );
    refused(
        &["trace", "--overcommit", "100000", "--pcpus", "1"],
        &["16382 at most"],
    );
    refused(&["--pcpus", "0"], &["1 at least"]);
    refused(&["--pcpus", "100000"], &["this process may use"]);
    refused(
        &["--overcommit", "1.25", "--pcpus", "1"],
        &["they come whole"],
    );
}

#[test]
fn impossible_times_are_refused() {
    refused(&["--duration", "0"], &["more than 0"]);
    refused(&["--duration", "20"], &["too short", "20ms"]);
    refused(&["--slice", "0ms"], &["more than 0"]);
    refused(
        &["--slice", "99999999999999999999s"],
        &["longer than an hour"],
    );
    refused(&["--inside", "5s"], &["4 s at most"]);
    refused(&["--inside", "0"], &["more than 0"]);
    refused(
        &["--inside", "1us,2us", "--outside", "1us,2us,3us"],
        &["pair up"],
    );
    refused(&["--watchdog", "soon"], &["a number and a unit"]);
    refused(&["--repeats", "0"], &["1 at least"]);
    refused(&["--repeats", "99999999"], &[" h "]);
}

#[test]
fn unwritable_output_is_refused_before_anything_runs() {
    refused(
        &["--json", "/no/such/folder/x.json"],
        &["there is no folder /no/such/folder"],
    );
    refused(&["--csv", "/"], &["it is a folder"]);
    // Only --json and --markdown take `-` for standard output; a file of that name surprises.
    for line in [
        "simulate --json - --csv -",
        "trace --driver simulator --out -",
        "trace --picture -",
        "calibrate --out -",
        "sweep --merge - part.jsonl",
    ] {
        let options: Vec<&str> = line.split(' ').collect();
        refused(&options, &["`-` is no file here: /dev/stdout"]);
    }
    refused(&["--json", "/proc/x.json"], &["cannot write /proc/x.json"]);
    refused(
        &["--json", "x.json", "--no-files"],
        &["cannot be used with"],
    );
}

#[test]
fn contradictions_are_refused() {
    refused(&["--quick", "--full"], &["cannot be used with"]);
    refused(&["--no-such-option"], &["--no-such-option"]);
}

#[test]
fn a_file_that_is_no_guest_image_is_refused() {
    // Where there is no KVM at all, that is said first.
    let no_image = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = pvq(&["kvm", "--image", no_image, "--no-files"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let reasons = ["is no guest image", "/dev/kvm"];
    assert!(reasons.iter().any(|reason| text.contains(reason)), "{text}");
    refused(&["kvm", "--cpl", "1"], &["possible values: 0, 3"]);
    refused(&["kvm", "--pcpus", "100000"], &["this process may use"]);
    let stock = ["kvm", "--transport", "stock", "--greedy"];
    let greedy = |options: &[&'static str]| [&stock, options].concat();
    refused(
        &greedy(&["circel"]),
        &["did you mean 'circle'?", "storm", "or programs, as in"],
    );
    refused(&greedy(&["10us yield"]), &["'10us yield' is no step"]);
    refused(
        &greedy(&["storm", "--lock", "fifo"]),
        &["cannot be used with '--lock"],
    );
    refused(
        &greedy(&["storm", "--pcpus", "100000"]),
        &["this process may use"],
    );
    refused(&["kvm", "--greedy", "storm"], &["needs --transport stock"]);
}

#[test]
fn what_would_have_no_effect_is_refused() {
    for options in [
        &["compare", "--fail-if", "slower"][..],
        &["simulate", "--margin", "3"],
        &["threads", "--fail-if", "missing"],
    ] {
        refused(options, &["is about what changed", "--baseline NAME"]);
    }
    for options in [
        &["validate", "--targets"][..],
        &["validate", "--baseline", "main"],
        &["validate", "--fail-if", "slower"],
    ] {
        refused(options, &["validate judges the simulator"]);
    }
    for option in ["--save", "--baseline", "--json"] {
        let options = ["simulate", "--torture", "1", option, "x"];
        refused(&options, &["cannot be used with", option]);
    }
    refused(&["trace", "--picture", "event.png"], &["ends in .svg"]);
}

#[test]
fn a_number_that_is_none_is_told_what_one_is() {
    for options in [
        &["--seed", "-1"][..],
        &["simulate", "--seed", "0x10"],
        &["simulate", "--torture", "0"],
        &["simulate", "--replay", "x"],
        &["explain", "holder", "--seed", "99999999999999999999999"],
        &["uncontended", "--gap", "x"],
        &["uncontended", "--pairs", "0"],
    ] {
        refused(options, &["it must be a whole number from "]);
    }
    let last = [
        "explain",
        "holder",
        "--lock",
        "bounded",
        "--seed",
        "18446744073709551615",
    ];
    let output = pvq(&last);
    let told = "18446744073709551615 to 18446744073709551615";
    assert!(
        output.status.success() || stderr(&output).contains(told),
        "{output:?}"
    );
}
