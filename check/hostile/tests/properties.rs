//! The fuzz targets' bodies as bounded property tests.
//!
//! A failure prints its seed and the smallest input that fails; `PROPTEST_RNG_SEED=SEED` runs the same
//! inputs again. `PROPTEST_CASES=N` runs more of them.

use std::time::{SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use pvqspin_hostile::{
    grid_text, host_events, journals_text, lock_word, page_text, profile_text, results_text,
};
use pvqspin_sweep::journal::Head;
use pvqspin_sweep::output::write_csv;
use pvqspin_sweep::plan::{Plan, Shard};
use pvqspin_sweep::point::Row;
use pvqspin_sweep::source::Source;

/// Runs a body on inputs of a strategy, from a seed that is printed if it fails.
fn holds(cases: u32, inputs: impl Strategy<Value = Vec<u8>>, body: fn(&[u8])) {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let run = TestRunner::new(config).run(&inputs, |input| {
        body(&input);
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}\nagain: PROPTEST_RNG_SEED={seed}");
    }
}

/// Any bytes.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..most)
}

/// A good text with some of its pieces replaced, dropped or doubled.
fn nearly(text: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let text = text.as_bytes().to_vec();
    let replacements = prop::sample::select(vec![
        "",
        "0",
        "-1",
        "1e999",
        "nan",
        "[]",
        "{}",
        "\"\"",
        "\n",
        "=",
        "true",
        "null",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "[[grid]]\n",
        "\u{1f512}",
        "9999999999999",
        "\"8:1\"",
    ]);
    let edit = (any::<prop::sample::Index>(), 0_usize..12, replacements);
    vec(edit, 0..4).prop_map(move |edits| {
        let mut text = text.clone();
        for (at, length, with) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, with.bytes());
        }
        text
    })
}

#[test]
fn a_hostile_guest_breaks_no_promise() {
    holds(1_000, bytes(400), host_events);
}

#[test]
fn what_is_written_into_words_is_read() {
    holds(2_000, bytes(64), lock_word);
}

#[test]
fn any_grid_is_points_or_an_error() {
    let good = include_str!("../../../lab/sweep/grids/example.toml");
    holds(
        300,
        prop_oneof![1 => bytes(200), 5 => nearly(good)],
        grid_text,
    );
}

#[test]
fn any_profile_is_one_or_an_error() {
    let good = include_str!("../../../lab/sweep/profiles/server-2x32.toml");
    holds(
        300,
        prop_oneof![1 => bytes(200), 5 => nearly(good)],
        profile_text,
    );
}

#[test]
fn any_results_are_shown_or_an_error() {
    let good = include_str!("results.json");
    holds(
        300,
        prop_oneof![1 => bytes(200), 5 => nearly(good)],
        results_text,
    );
}

/// A good text with some of its numbers replaced by others of their type: what a reader that checks
/// types takes for good.
fn with_other_numbers(text: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    const WHOLE: [&str; 4] = ["0", "1", "1000000000000", "18446744073709551615"];
    const BROKEN: [&str; 4] = ["0.0", "1e-308", "1e308", "18446744073709551615"];
    let text = text.as_bytes().to_vec();
    let edit = (any::<prop::sample::Index>(), 0..4_usize);
    vec(edit, 0..12).prop_map(move |edits| {
        let mut text = text.clone();
        for (which, with) in edits {
            // A number begins where a digit follows what stands in no number and no word.
            let begins: Vec<usize> = (1..text.len())
                .filter(|at| text[*at].is_ascii_digit() && b":, [".contains(&text[at - 1]))
                .collect();
            let at = begins[which.index(begins.len())];
            let number = text[at..].iter();
            let number = number.take_while(|byte| byte.is_ascii_digit() || b".e-".contains(byte));
            let end = at + number.count();
            let with = match text[at..end].contains(&b'.') {
                true => BROKEN[with],
                false => WHOLE[with],
            };
            text.splice(at..end, with.bytes());
        }
        text
    })
}

/// The rows of a small sweep.
fn rows() -> (Plan, Vec<Row>) {
    let plan = Plan::read(Source {
        name: "grid.toml",
        text: "[[grid]]\nname = 'g'\nlocks = ['fifo', 'ticket']\nduration = '1ms'\nwarmup = '1ms'\n\
               overcommit = [1, 2]\n",
    });
    let plan = plan.expect("a good grid");
    let rows = (0..).zip(&plan.points);
    let rows = rows.map(|(index, point)| point.run(index).expect("it runs"));
    let rows = rows.collect();
    (plan, rows)
}

/// The file of a shard.
fn journal(plan: &Plan, rows: &[Row], index: usize, of: usize) -> String {
    let shard = Shard::new(index, of).expect("a part");
    let head = serde_json::to_string(&Head::new(plan, Some(shard))).expect("JSON");
    let rows = plan
        .part(Some(shard))
        .into_iter()
        .map(|number| serde_json::to_string(&rows[number]).expect("JSON") + "\n");
    head + "\n" + &rows.collect::<String>()
}

#[test]
fn any_results_are_a_page_or_an_error() {
    let (plan, rows) = rows();
    let mut csv = Vec::new();
    write_csv(&rows, &mut csv).expect("a vector takes everything");
    let csv = String::from_utf8(csv).expect("text");
    let shard = journal(&plan, &rows, 1, 2);
    let json = include_str!("results.json");
    holds(
        400,
        prop_oneof![
            nearly(json),
            nearly(&csv),
            nearly(&shard),
            with_other_numbers(json),
            with_other_numbers(&csv),
            with_other_numbers(&shard),
        ],
        page_text,
    );
}

#[test]
fn any_shards_are_rows_or_an_error() {
    let (plan, rows) = rows();
    let both = [1, 2]
        .map(|index| journal(&plan, &rows, index, 2))
        .join("\0");
    // What stands in the first line decides what lists are made.
    let (head, rest) = both.split_once('\n').expect("a line and more");
    let rest = format!("\n{rest}");
    let other_head = with_other_numbers(head).prop_map(move |mut text| {
        text.extend(rest.bytes());
        text
    });
    holds(
        600,
        prop_oneof![
            1 => bytes(200),
            4 => nearly(&both),
            4 => with_other_numbers(&both),
            4 => other_head,
        ],
        journals_text,
    );
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn any_exit_is_a_call_or_the_guests_end() {
    holds(2_000, bytes(32), pvqspin_hostile::vmm_exits);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn whatever_a_guest_leaves_is_results_or_an_error() {
    holds(1_000, bytes(400), pvqspin_hostile::vmm_results);
}
