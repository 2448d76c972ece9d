//! The fuzz targets' bodies as bounded property tests.
//!
//! A failure prints its seed and the smallest input that fails; `PROPTEST_RNG_SEED=SEED` runs the same
//! inputs again. `PROPTEST_CASES=N` runs more of them.

use std::time::{SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use pvqspin_hostile::{grid_text, host_events, lock_word, profile_text, results_text};

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
        "18446744073709551616",
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
    let good = include_str!("../../../grids/example.toml");
    holds(
        300,
        prop_oneof![1 => bytes(200), 5 => nearly(good)],
        grid_text,
    );
}

#[test]
fn any_profile_is_one_or_an_error() {
    let good = include_str!("../../../profiles/server-2x32.toml");
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
