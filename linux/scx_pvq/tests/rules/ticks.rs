//! Slices end at ticks: at the one nearest to their end, whenever they begin and however late ticks come.
//!
//! A failure prints its seed; `RULES_SEED=SEED` runs the same cases again.

use crate::c::{CSlice, CTerms, CTicks};
use crate::random::{Random, seeds};

const CASES: u32 = 100;

/// 1 to 10 ms from tick to tick, slices of 0.1 to 20 ms.
fn case(random: &mut Random) -> (CTicks, CTerms) {
    let ticks = CTicks::of(1_000_000 + random.below(9_000_000));
    let slice_ns = 100_000 + random.below(20_000_000);
    let min_loan_ns = 1_000 + random.below(slice_ns / 2);
    let terms = CTerms {
        slice_ns,
        min_loan_ns,
    };
    (ticks, terms)
}

fn each(mut check: impl FnMut(&mut Random, u64)) {
    for seed in seeds() {
        let mut random = Random::new(seed);
        for _ in 0..CASES {
            check(&mut random, seed);
        }
    }
}

#[test]
fn a_slice_lasts_until_the_nearest_tick() {
    each(|random, seed| {
        let (ticks, terms) = case(random);
        let (period, slice) = (ticks.period_ns(), terms.slice_ns);
        let since = random.below(64 * period);
        let length = ticks.slice_ns(slice, since) - period / 2;
        let told = format!("RULES_SEED={seed}: {terms:?}, {ticks:?}, {since} after a tick");
        assert_eq!((since + length) % period, 0, "{told}: ends at no tick");
        assert!(length > slice / 4, "{told}: {length} is too short");
        let off = length.abs_diff(slice);
        // Nearer is only one that is too early.
        let earlier = length
            .checked_sub(period)
            .is_none_or(|earlier| earlier <= slice / 4);
        assert!(
            off <= period / 2 || earlier,
            "{told}: {length} is not the nearest"
        );
    });
}

#[test]
fn without_a_tick_a_slice_has_its_length() {
    each(|random, seed| {
        let (ticks, terms) = case(random);
        let idle = 64 * ticks.period_ns() + random.any() / 4;
        let length = ticks.slice_ns(terms.slice_ns, idle);
        assert_eq!(
            length,
            terms.slice_ns + ticks.period_ns() / 2,
            "RULES_SEED={seed}"
        );
        let unknown = CTicks::default();
        assert_eq!(
            unknown.slice_ns(terms.slice_ns, random.any()),
            terms.slice_ns
        );
    });
}

#[test]
fn ticks_that_come_early_or_late_end_it_where_it_was_meant_to_end() {
    each(|random, seed| {
        let (ticks, terms) = case(random);
        let period = ticks.period_ns();
        let first = 1 + random.below(1 << 50);
        let since = random.below(period);
        let began = first + since;
        let planned = CTerms {
            slice_ns: ticks.slice_ns(terms.slice_ns, since),
            ..terms
        };
        let mut slice = CSlice::default();
        slice.begin(began, 0, 1, &planned);
        let meant = began + planned.slice_ns - period / 2;
        for tick in 1.. {
            // Less than half a period off, in both directions.
            let on_time = first + tick * period;
            let now = on_time + random.below(period - 2) - (period / 2 - 1);
            let interrupted = slice.goes_on(now, 1);
            let ends = slice.ends_at_tick(now, 0, &ticks, &terms);
            assert_eq!(
                ends,
                on_time >= meant,
                "RULES_SEED={seed}: {planned:?}, {ticks:?}, tick {tick} at {now}, meant {meant}"
            );
            assert!(ends || interrupted, "RULES_SEED={seed}: {slice:?}");
            if ends {
                assert!(!slice.overran(on_time, &ticks, &terms), "RULES_SEED={seed}");
                assert!(
                    slice.overran(on_time + period + terms.slice_ns, &ticks, &terms),
                    "RULES_SEED={seed}"
                );
                // Not even for a kernel thread that wakes at this very tick.
                assert!(!slice.goes_on(now, 1), "RULES_SEED={seed}: {slice:?}");
                break;
            }
        }
    });
}

#[test]
fn a_loan_that_began_just_now_has_its_least_time() {
    each(|random, seed| {
        let (ticks, terms) = case(random);
        let mut slice = CSlice::default();
        slice.begin(1000, 0, 1, &terms);
        let lent_at = 1000 + random.below(terms.slice_ns);
        slice.give_to(lent_at, 2, &terms);
        let now = lent_at + random.below(2 * terms.min_loan_ns);
        // Over at the next tick, whatever became of its end.
        let late = CTicks::of(ticks.period_ns() + slice.end);
        assert_eq!(
            slice.ends_at_tick(now, lent_at, &late, &terms),
            now - lent_at >= terms.min_loan_ns,
            "RULES_SEED={seed}: {terms:?}, lent at {lent_at}, tick at {now}"
        );
        // Given back, it is no loan.
        slice.give_to(now, 1, &terms);
        assert!(
            slice.ends_at_tick(now, lent_at, &late, &terms),
            "RULES_SEED={seed}"
        );
    });
}

#[test]
fn the_period_is_measured_to_a_thousandth() {
    each(|random, seed| {
        let period = 1_000_000 + random.below(9_000_000);
        let (began, jiffies) = (1 + random.below(1 << 50), random.any());
        let mut ticks = CTicks::default();
        for tick in 0..=2000_u64 {
            // Some are late, by a tenth of a period at most.
            let late = random.below(period / 10);
            ticks.note(began + tick * period + late, jiffies.wrapping_add(tick));
            if tick < 16 {
                assert_eq!(ticks.period_ns(), 0, "RULES_SEED={seed}: known too early");
            }
        }
        let off = ticks.period_ns().abs_diff(period);
        assert!(
            off <= period / 1000,
            "RULES_SEED={seed}: {ticks:?} of {period}"
        );
    });
}

#[test]
fn ticks_that_stop_for_seconds_are_measured_later() {
    const TICK: u64 = 4_000_000;
    // A quiet host: the next CPU that is met by a tick is met after eight seconds.
    let mut ticks = CTicks::default();
    ticks.note(TICK, 1);
    for jiffies in (2001..2101).chain(5000..5100) {
        ticks.note(jiffies * TICK, jiffies);
    }
    assert_eq!(ticks.period_ns(), TICK);
}
