//! Blocks of a made-up results file.

use super::*;

fn results() -> Results {
    let run = |lock: &str, policy: Option<&str>, overcommit: f64, throughput: f64, max: u64| Run {
        lock: lock.to_owned(),
        policy: policy.map(str::to_owned),
        overcommit,
        inside_ns: 1_000,
        outside_ns: 2_000,
        throughput_over_bound: throughput,
        jain: 1.0,
        wait_ns: Wait { max },
    };
    Results {
        results: vec![
            run("slow", None, 8.0, 0.004, 3_000_000),
            run("fifo", Some("fifo"), 1.0, 0.91, 12_300),
            run("fifo", Some("fifo"), 8.0, 0.9, 20_000),
            run("slow", None, 1.0, 0.92, 12_000),
        ],
    }
}

fn head() -> Head {
    Head {
        command: "pvq simulate --pcpus 2 --json docs/generated/x.json".to_owned(),
        driver: "simulator".to_owned(),
        seed: 1,
        started_unix_s: 86_400,
        machine: Machine {
            cpu: "a CPU".to_owned(),
            cpus_allowed: 2,
            virtual_machine: true,
        },
    }
}

#[test]
fn a_table_has_the_best_first_and_the_longest_wait_of_all() {
    let table = results().table();
    let rows: Vec<_> = table.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "| **`fifo`** | 0.91, 0.90 | 20 µs | 1.00 |",
            "| `slow` | 0.92, 0.004 | 3.0 ms | 1.00 |"
        ]
    );
}

#[test]
fn a_caption_has_command_place_seed_and_day() {
    let expected = "*`pvq simulate --pcpus 2`, in virtual time, the same on every machine; \
                    seed 1, 1970-01-02.*";
    assert_eq!(head().caption(), expected);
    let real = Head {
        driver: "hypervisor".to_owned(),
        ..head()
    };
    assert!(
        real.caption()
            .contains("on 2 CPUs of a CPU, a virtual machine")
    );
}

#[test]
fn the_picture_is_told_in_words() {
    assert_eq!(
        results().in_words(),
        "Throughput over the bound against the longest wait, at 8 vCPUs for each pCPU: \
         fifo 0.90 and 20 µs; slow 0.004 and 3.0 ms"
    );
}

#[test]
fn what_is_told_is_what_was_printed() {
    let printed = "targets: 40 reached, 2 missed, 14 not judged\n\nDISTURBED: in 6 of 288 runs other work took\n";
    assert_eq!(
        told(printed),
        "Of the figures that `--targets` lists: 40 reached, 2 missed, 14 not judged. In 6 of 288 runs other work took \
         more than 1 % of the CPUs' time, and those are not judged."
    );
    assert_eq!(told("a table\n"), "No run was disturbed by other work.");
}

#[test]
fn costs_are_those_at_the_gap() {
    let json = r#"{"results": [
        {"lock": "a", "gap": 0, "median_ns": 4.24, "over_native_ns": 0.1},
        {"lock": "a", "gap": 10, "median_ns": 9, "over_native_ns": -0.5}]}"#;
    let table = costs(json, 10, "a").expect("it is there");
    assert!(table.ends_with("| `a` | 9.0 ns | -0.5 ns |\n"), "{table}");
    assert!(costs(json, 30, "a").is_err());
}

#[test]
fn pictures_are_found_from_each_file() {
    let way = |path| to_pictures(Path::new(path));
    assert_eq!(way("README.md"), "docs/generated");
    assert_eq!(way("docs/a.md"), "generated");
    assert_eq!(way("docs/decisions/a.md"), "../generated");
    assert_eq!(way("crates/host/README.md"), "../../docs/generated");
}

#[test]
fn only_blocks_are_written_and_twice_is_once() {
    let text = "a\n<!-- results: x table -->\nold\n<!-- end of results -->\nb\n";
    let mut make = |name: &str, kind: &str| Ok(format!("{name} {kind}"));
    let once = fill(text, &mut make).expect("it is closed");
    assert_eq!(
        once,
        "a\n<!-- results: x table -->\n\nx table\n\n<!-- end of results -->\nb\n"
    );
    assert_eq!(fill(&once, &mut make).expect("still"), once);
    assert!(fill("<!-- results: x table -->\n", &mut make).is_err());
}

#[test]
fn output_is_these_lines_and_no_others() {
    assert_eq!(
        output("a\nb \nc\n", "2-3").expect("there"),
        "```text\nb\nc\n```"
    );
    assert!(output("a\n", "1-2").is_err());
    assert!(output("a\n", "0-1").is_err());
}
