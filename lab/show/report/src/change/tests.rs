use super::*;
use crate::estimate::LEVEL;
use crate::load::Source;
use crate::samples;
use crate::schema::Record;

/// Two locks at two points, with so much noise and a factor of `fifo`'s throughput.
fn set(seed: u64, repeats: u32, (noise, factor): (f64, f64)) -> Set {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let mut report = samples::report();
    report.results.clear();
    for repeat in 0..repeats {
        for vcpus in [2, 8] {
            for lock in ["fifo", "test-and-set"] {
                let factor = if lock == "fifo" { factor } else { 1.0 };
                let mut record: Record = samples::record(lock, vcpus, 500_000.0);
                record.repeat = repeat;
                record.throughput_per_s *= factor * (1.0 + noise * random());
                record.wait_ns.p9999 = (20_000.0 * (1.0 + noise * random())) as u64;
                report.results.push(record);
            }
        }
    }
    let source = Source::of_report(&report, "set").expect("our own");
    Set::of(vec![source]).remove(0)
}

/// What changed between two files of one set each.
fn of_one(before: &Set, after: &Set) -> Changes {
    let mut all = changes(
        std::slice::from_ref(before),
        std::slice::from_ref(after),
        LEVEL,
    );
    assert_eq!(all.len(), 1);
    all.remove(0).1
}

#[test]
fn the_same_program_twice_is_noise() {
    let wrong = (0..200)
        .filter(|seed| {
            let noise = (0.3, 1.0);
            let (before, after) = (set(2 * seed, 3, noise), set(2 * seed + 1, 3, noise));
            let changes = of_one(&before, &after);
            let differences = changes.count(Outcome::Faster) + changes.count(Outcome::Slower);
            differences + changes.waits(Outcome::Slower) > 0
        })
        .count();
    assert!(
        wrong <= 10,
        "{wrong} of 200 comparisons of the same found a change"
    );
}

#[test]
fn a_slower_lock_is_found_and_named() {
    let before = set(1, 5, (0.02, 1.0));
    let after = set(2, 5, (0.02, 0.7));
    let changes = of_one(&before, &after);
    assert_eq!(changes.count(Outcome::Slower), 2, "{changes:#?}");
    assert_eq!(changes.count(Outcome::Faster), 0);
    let text = changes.render();
    assert!(text.contains("fifo at overcommit 4, 1 µs/2 µs"), "{text}");
    assert!(text.contains("0 faster, 2 slower"), "{text}");
    assert!(!text.contains("test-and-set at"), "{text}");
}

#[test]
fn few_repeats_and_other_points_are_not_judged() {
    let before = set(1, 2, (0.02, 1.0));
    let mut after = set(2, 2, (0.02, 0.5));
    let changes_of_two = of_one(&before, &after);
    assert_eq!(changes_of_two.count(Outcome::NotJudged), 4);
    after.points.remove(0);
    let fewer = of_one(&before, &after);
    assert_eq!((fewer.both.len(), fewer.missing.len()), (2, 2));
    let only = "only before: fifo at 1 point, test-and-set at 1 point";
    assert!(fewer.render().contains(only), "{}", fewer.render());
    let more = of_one(&after, &before);
    assert_eq!((more.missing.len(), more.added.len()), (0, 2));
    assert!(
        more.render().contains("only afterwards: fifo"),
        "{}",
        more.render()
    );
    for at in &mut after.points {
        at.point.slice_ns += 1;
    }
    let none = of_one(&before, &after);
    assert!(none.render().contains("no point in common"));
}

#[test]
fn simulations_are_exact() {
    let mut before = set(1, 1, (0.0, 1.0));
    let mut after = set(1, 1, (0.0, 0.9));
    for set in [&mut before, &mut after] {
        let mut about = (*set.about).clone();
        about.driver = "simulator".to_owned();
        set.about = std::sync::Arc::new(about);
    }
    let changes = of_one(&before, &after);
    assert_eq!(changes.count(Outcome::Slower), 2);
    assert_eq!(changes.count(Outcome::Same), 2);
    assert_eq!(changes.asked, []);
    // Of another seed, or another length, one run says nothing of a change.
    let mut other_seed = after.clone();
    let about = std::sync::Arc::make_mut(&mut other_seed.about);
    about.seed = Some(43);
    about
        .options
        .insert("duration_ns".to_owned(), 2_000_000.into());
    let changes = of_one(&before, &other_seed);
    assert_eq!(changes.count(Outcome::NotJudged), 4);
    let text = changes.render();
    assert!(
        text.contains("asked for differently: seed 42, now 43"),
        "{text}"
    );
    for at in &mut after.points {
        for lock in &mut at.locks {
            lock.each[0].duration_ns *= 2;
        }
    }
    assert_eq!(of_one(&before, &after).count(Outcome::NotJudged), 4);
}

#[test]
fn what_was_asked_for_differently_is_told_in_units() {
    let mut before = set(1, 3, (0.0, 1.0));
    let mut after = before.clone();
    let with = |set: &mut Set, ns: u64| {
        let about = std::sync::Arc::make_mut(&mut set.about);
        about.options = [
            ("duration_ns".to_owned(), ns.into()),
            ("vcpus".to_owned(), ns.into()),
        ]
        .into();
    };
    with(&mut before, 1_000_000);
    with(&mut after, 200_000_000);
    let text = of_one(&before, &after).render();
    assert!(
        text.ends_with("asked for differently: duration 1 ms, now 200 ms\n"),
        "{text}"
    );
}

/// As from a sweep over these profiles.
fn profiles(names: &[&'static str], seed: u64) -> Vec<Set> {
    let of = |name: &&'static str| Set {
        label: (*name).to_owned(),
        facts: [("grid", format!("{seed}")), ("profile", (*name).to_owned())].into(),
        ..set(seed, 3, (0.02, 1.0))
    };
    names.iter().map(of).collect()
}

#[test]
fn a_part_of_a_sweep_that_is_there_no_more_is_missing() {
    let (before, after) = (
        profiles(&["flat", "small", "server"], 1),
        profiles(&["flat", "server"], 2),
    );
    let told = |all: &[(String, Changes)]| -> Vec<(String, usize, usize, usize)> {
        all.iter()
            .map(|(label, c)| (label.clone(), c.both.len(), c.missing.len(), c.added.len()))
            .collect()
    };
    let row = |name: &str, both, missing, added| (name.to_owned(), both, missing, added);
    assert_eq!(
        told(&changes(&before, &after, LEVEL)),
        [
            row("flat", 4, 0, 0),
            row("small", 0, 4, 0),
            row("server", 4, 0, 0)
        ]
    );
    assert_eq!(
        told(&changes(&after, &before, LEVEL)),
        [
            row("flat", 4, 0, 0),
            row("server", 4, 0, 0),
            row("small", 0, 0, 4)
        ]
    );
    // One set is left: it is told from the others by what told them apart.
    let one = changes(&before, &after[..1], LEVEL);
    assert_eq!(told(&one)[0], row("flat", 4, 0, 0));
    assert_eq!(one.iter().map(|(_, c)| c.missing.len()).sum::<usize>(), 8);
}

#[test]
fn intervals_hold_together_over_all_sets() {
    let width = |names: &[&'static str]| {
        let all = changes(&profiles(names, 1), &profiles(names, 2), LEVEL);
        let estimate = all[0].1.both[0].throughput.expect("three repeats");
        estimate.high - estimate.low
    };
    let (alone, of_three) = (width(&["flat"]), width(&["flat", "small", "server"]));
    assert!(of_three > alone, "{of_three} {alone}");
}
