//! Grid files: what they mean, and what is wrong with them.

use pvqspin_sweep::plan::Plan;
use pvqspin_sweep::source::Source;

fn plan(text: &str) -> Result<Plan, String> {
    let name = "grid.toml";
    Plan::read(Source { name, text }).map_err(|error| error.to_string())
}

fn lines(text: &str) -> Vec<String> {
    let plan = plan(text).expect("a good grid");
    plan.points.iter().map(|point| point.line()).collect()
}

#[test]
fn axes_multiply_and_locks_vary_first() {
    let lines = lines(
        "[[grid]]\nname = 'g'\nlocks = ['unfair-hinted', 'fifo']\novercommit = [1, 1.5]\n\
         yields = ['contract', 'hint']\nfollow_chain = false\nseeds = [7, 8]",
    );
    assert_eq!(lines.len(), 2 * 2 * 2 * 2);
    let first = "g: fifo under hot-lock on 2 pCPUs, 2 vCPUs, 1 µs/2 µs uniform, fair contract, chain off, \
                 costs flat, seed 7";
    assert_eq!(lines[0], first);
    assert_eq!(lines[1], first.replace("fifo", "unfair-hinted"));
    assert_eq!(lines[2], first.replace("seed 7", "seed 8"));
    assert_eq!(lines[4], first.replace("contract", "hint"));
    assert_eq!(lines[8], first.replace("2 vCPUs", "3 vCPUs"));
}

#[test]
fn a_grid_goes_before_what_is_common() {
    let lines = lines(
        "[common]\nlocks = 'fifo'\novercommit = 4\npcpus = 8\n\
         [[grid]]\nname = 'a'\n[[grid]]\nname = 'b'\npcpus = 3",
    );
    assert!(
        lines[0].contains("fifo under hot-lock on 8 pCPUs, 32 vCPUs"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("fifo under hot-lock on 3 pCPUs, 12 vCPUs"),
        "{lines:?}"
    );
}

#[test]
fn groups_and_constants_name_locks() {
    let grid = |locks: &str| lines(&format!("[[grid]]\nname = 'g'\nvcpus = 2\nlocks = {locks}"));
    let all = grid("'all'").len();
    assert_eq!(
        grid("['pvqspin', 'rivals', 'fifo']").len(),
        all,
        "each once"
    );
    let tuned = grid("['bounded@wait=1ms', 'fifo']");
    assert_eq!(tuned.len(), 2);
    assert!(
        tuned[1].starts_with("g: bounded@wait=1ms under"),
        "{tuned:?}"
    );
}

#[test]
fn costs_change_a_profile() {
    let text = |costs: &str| {
        format!("[[grid]]\nname = 'g'\nlocks = 'fifo'\nprofile = ['flat', 'small']\n{costs}")
    };
    let plain = plan(&text("")).expect("good");
    let changed = plan(&text("costs = { switch_ns = 7, line.same_core_ns = 3 }")).expect("good");
    let last = changed.points.last().expect("points");
    assert_eq!(last.config.costs.switch_ns, 7);
    assert_eq!(last.config.costs.line.same_core_ns, 3);
    let before = plain.points.last().expect("points").config.costs;
    assert_eq!(last.config.costs.poke_ns, before.poke_ns, "the rest stays");
    assert!(last.profile.contains("small, "), "{}", last.profile);
    assert!(last.profile.contains("switch_ns = 7"), "{}", last.profile);
    assert_ne!(plain.fingerprint(), changed.fingerprint());
}

#[test]
fn the_fingerprint_is_of_what_is_run_not_of_how_it_is_said() {
    let one = plan("[[grid]]\nname='g'\nlocks='fifo'\nslice='3ms'").expect("good");
    let same =
        plan("# said otherwise\n[common]\nlocks=['fifo']\n[[grid]]\nname='g'").expect("good");
    assert_eq!(one.fingerprint(), same.fingerprint());
    let other = plan("[[grid]]\nname='g'\nlocks='fifo'\nslice='2ms'").expect("good");
    assert_ne!(one.fingerprint(), other.fingerprint());
}

#[test]
fn every_point_belongs_to_one_shard() {
    let plan = plan("[[grid]]\nname='g'\nlocks='all'").expect("good");
    let mut all: Vec<usize> = (1..=5)
        .flat_map(|index| plan.part(format!("{index}/5").parse().ok()))
        .collect();
    all.sort_unstable();
    assert_eq!(all, plan.part(None));
}

/// What is appended to a good grid, in which line that is, and what is said about it.
#[test]
fn what_cannot_be_run_is_refused_with_its_line() {
    let good = "[[grid]]\nname = 'g'\nlocks = 'fifo'\n";
    plan(good).expect("it is");
    for (more, line, parts) in [
        ("lokcs = 'fifo'", 4, &["key", "did you mean 'locks'?"][..]),
        ("follow-chain = true", 4, &["did you mean 'follow_chain'?"]),
        ("overcommit = [1, 0]", 4, &["overcommit", "zero vCPUs"]),
        (
            "\n\novercommit = [1,\n  1.25]",
            7,
            &["2.5 vCPUs, and they come whole"],
        ),
        ("overcommit = 100000", 4, &["a lock word names"]),
        (
            "overcommit = 2\nvcpus = 4",
            5,
            &["vcpus", "give one of the two"],
        ),
        (
            "vcpus = 6\nvms = [2, 4]",
            5,
            &["vms", "cannot be shared evenly by 4"],
        ),
        ("vcpus = 0", 4, &["vcpus", "1 at least"]),
        ("duration = '0ms'", 4, &["duration", "more than 0"]),
        ("duration = 'long'", 4, &["\"long\"", "a number and a unit"]),
        ("duration = ['1ms', '2ms']", 4, &["one value, not a list"]),
        ("slice = '2h'", 4, &["slice", "a number and a unit"]),
        (
            "workload = 'hotlock'",
            4,
            &["workload", "did you mean 'hot-lock'?"],
        ),
        ("sections = '1us'", 4, &["sections", "\"1us/2us\""]),
        ("sections = '0/2us'", 4, &["more than 0"]),
        ("scheduling = 'fare'", 4, &["did you mean 'fair'?"]),
        ("yields = []", 4, &["an empty list"]),
        ("seeds = [1, 2, 1]", 4, &["stands here twice"]),
        ("ordered = 'perhaps'", 4, &["ordered", "true, false"]),
        ("pcpus = { many = 3 }", 4, &["pcpus", "not a table"]),
        ("seeds = [1, -2]", 4, &["seeds", "whole number"]),
        ("profile = 'smal'", 4, &["profile", "did you mean 'small'?"]),
        (
            "costs = { swich_ns = 7 }",
            4,
            &["did you mean `costs.switch_ns`?"],
        ),
        (
            "costs = { switch_ns = 'slow' }",
            4,
            &["switch_ns must be a number"],
        ),
        (
            "min_loan = '5ms'",
            2,
            &["must not be longer than half a slice"],
        ),
        (
            "[[grid]]\nname = 'g'\nlocks = 'fifo'",
            5,
            &["another grid has this name"],
        ),
        ("[[grid]]\nname = 'h'", 5, &["locks", "pvqspin, rivals"]),
        ("[[grid]]\nlocks = 'fifo'", 5, &["name", "needs one"]),
        ("[[gird]]", 4, &["did you mean 'grid'?"]),
        ("[common]\nname = 'c'", 5, &["common", "name"]),
        ("oops", 4, &[]),
    ] {
        let error = plan(&format!("{good}{more}")).expect_err(more);
        let place = format!("grid.toml, line {line}: ");
        assert!(error.starts_with(&place), "{more}: {error}");
        for part in parts {
            assert!(error.contains(part), "{more}: no {part} in: {error}");
        }
    }
}

#[test]
fn unknown_locks_are_refused_with_the_nearest() {
    for (lock, nearest) in [("fofo", "fifo"), ("bounded@wait=2ms", "bounded@wait=")] {
        let error = plan(&format!(
            "[[grid]]\nname = 'g'\nlocks = ['pvqspin', '{lock}']"
        ))
        .expect_err("a typo");
        assert!(
            error.contains(&format!("did you mean '{nearest}")),
            "{error}"
        );
        assert!(error.starts_with("grid.toml, line 3"), "{error}");
    }
}

#[test]
fn too_many_points_are_refused_before_they_are_made() {
    let seeds: Vec<String> = (0..9_000).map(|seed| seed.to_string()).collect();
    let text = format!(
        "[[grid]]\nname = 'g'\nlocks = 'all'\nseeds = [{}]",
        seeds.join(",")
    );
    let error = plan(&text).expect_err("too many");
    assert!(error.contains("100000"), "{error}");
}

#[test]
fn a_file_without_grids_is_refused() {
    assert!(
        plan("[common]\nlocks = 'fifo'")
            .expect_err("none")
            .contains("no [[grid]]")
    );
    assert!(plan("grid = 3").expect_err("none").contains("[[grid]]"));
}
