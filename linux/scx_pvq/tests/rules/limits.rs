//! Limits on CPU time (`bpf/limits.h`): no group runs for longer than its quotas, and a group that may run does.
//!
//! A failure prints its seed; `RULES_SEED=SEED` runs the same cases again.

use crate::c::{CBudget, CLimit, CSlice, CTerms, CTicks, ahead, waits_until};
use crate::random::{Random, seeds};

const MS: u64 = 1_000_000;
/// Half of the watchdog's time.
const MOST_WAIT: u64 = 5_000 * MS;
const TICK: u64 = 4 * MS;

/// A group of 1 to 400 % of a CPU, with periods of 1 ms to 1 s.
fn limit(random: &mut Random) -> CLimit {
    let period_ns = (1 + random.below(1000)) * MS;
    let quota_ns = MS.max(period_ns / 100 * (1 + random.below(400)));
    let burst_ns = random.below(2) * random.below(quota_ns + 1);
    CLimit {
        quota_ns,
        period_ns,
        burst_ns,
    }
}

/// What is left, with a refill at each period's beginning: as the words of the kernel's manual have it.
struct Exact {
    next: u64,
    left: i64,
}

impl Exact {
    fn new(began: u64, limit: &CLimit) -> Self {
        Self {
            next: began + limit.period_ns,
            left: limit.quota_ns as i64,
        }
    }

    fn pass(&mut self, limit: &CLimit, now: u64) {
        while self.next <= now {
            self.next += limit.period_ns;
            self.left =
                (self.left + limit.quota_ns as i64).min((limit.quota_ns + limit.burst_ns) as i64);
        }
    }

    /// Period by period.
    fn held_until(&self, limit: &CLimit) -> Option<u64> {
        let (mut left, mut next) = (self.left, self.next);
        if left > 0 {
            return None;
        }
        loop {
            left += limit.quota_ns as i64;
            if left > 0 {
                return Some(next);
            }
            next += limit.period_ns;
        }
    }
}

#[test]
fn accounts_are_those_of_a_refill_at_each_period() {
    for seed in seeds() {
        let mut random = Random::new(seed);
        let limit = limit(&mut random);
        let mut now = 1 + random.below(1 << 50);
        let mut budget = CBudget::new(now, &limit);
        let mut exact = Exact::new(now, &limit);
        for step in 0..100 {
            let bits = random.below(31);
            now += random.below(1 << bits);
            exact.pass(&limit, now);
            let told = format!("RULES_SEED={seed}, step {step}: {limit:?}, {budget:?}");
            assert_eq!(
                budget.held_until(&limit, now),
                exact.held_until(&limit),
                "{told}"
            );
            let ns = random.below(3 * TICK);
            budget.spend(&limit, now, ns, u64::MAX);
            exact.left -= ns as i64;
        }
    }
}

/// CPUs that run a group at every tick that it may have, each with ticks of its own. What it ran in all, and in how much time.
fn greedy(random: &mut Random, limit: &CLimit, cpus: usize, ns: u64) -> u64 {
    let began = random.below(1 << 50);
    let mut budget = CBudget::new(began, limit);
    let mut ticks: Vec<u64> = (0..cpus).map(|_| began + random.below(TICK)).collect();
    let mut runs = vec![false; cpus];
    let mut ran = 0;
    loop {
        let cpu = (0..cpus).min_by_key(|&cpu| ticks[cpu]).expect("a CPU");
        let now = ticks[cpu];
        if now >= began + ns {
            return ran;
        }
        if runs[cpu] {
            budget.spend(limit, now, TICK, MOST_WAIT);
            ran += TICK;
        }
        runs[cpu] = budget.held_until(limit, now).is_none();
        ticks[cpu] += TICK;
    }
}

#[test]
fn a_group_has_its_quota_and_no_more_than_a_tick_of_each_cpu_beyond_it() {
    for seed in seeds() {
        let mut random = Random::new(seed);
        let limit = limit(&mut random);
        let cpus = 1 + random.below(8) as usize;
        let periods = 1 + random.below(20);
        let time = periods * limit.period_ns;
        let ran = greedy(&mut random, &limit, cpus, time);
        let told = format!("RULES_SEED={seed}: {limit:?}, {cpus} CPUs, {ran} in {time}");
        let most = periods * limit.quota_ns;
        let beyond = (cpus as u64 + 1) * TICK;
        assert!(ran <= most + beyond, "{told}: more than its quotas");
        // A CPU looks at its ticks alone, so a period may begin up to a tick before it does.
        let each = (limit.quota_ns / cpus as u64).min(limit.period_ns);
        let least = (periods * (each * cpus as u64)).saturating_sub((periods + 1) * beyond);
        assert!(ran >= least, "{told}: less than its quotas");
    }
}

#[test]
fn a_quota_of_less_than_a_tick_is_kept_over_many_periods() {
    let limit = CLimit {
        quota_ns: MS,
        period_ns: 100 * MS,
        burst_ns: 0,
    };
    // A turn of 4 ms is four periods' worth.
    let ran = greedy(&mut Random::new(1), &limit, 4, 100_000 * MS);
    assert!((950 * MS..=1_020 * MS).contains(&ran), "{ran}");
}

#[test]
fn all_levels_have_to_have_time() {
    let outer = CLimit {
        quota_ns: 30 * MS,
        period_ns: 100 * MS,
        burst_ns: 0,
    };
    let inner = CLimit {
        quota_ns: 20 * MS,
        period_ns: 50 * MS,
        burst_ns: 0,
    };
    let (mut above, mut own) = (CBudget::new(0, &outer), CBudget::new(0, &inner));
    let mut ran = 0;
    for tick in 1..=2500 {
        let now = tick * TICK;
        let until = above
            .held_until(&outer, now)
            .max(own.held_until(&inner, now));
        if until.is_some() {
            continue;
        }
        ran += TICK;
        above.spend(&outer, now, TICK, MOST_WAIT);
        own.spend(&inner, now, TICK, MOST_WAIT);
    }
    // 10 s: the outer one gives 3 of them, the inner one would give 4.
    assert!((2_980 * MS..=3_020 * MS).contains(&ran), "{ran}");
}

#[test]
fn what_is_saved_up_is_the_burst() {
    let limit = CLimit {
        quota_ns: 10 * MS,
        period_ns: 100 * MS,
        burst_ns: 5 * MS,
    };
    let mut budget = CBudget::new(0, &limit);
    // Idle for a hundred periods.
    let now = 10_001 * MS;
    assert_eq!(budget.held_until(&limit, now), None);
    budget.spend(&limit, now, 15 * MS - 1, MOST_WAIT);
    assert_eq!(budget.held_until(&limit, now), None);
    budget.spend(&limit, now, 1, MOST_WAIT);
    assert_eq!(budget.held_until(&limit, now), Some(10_100 * MS));
}

#[test]
fn a_limit_that_is_changed_begins_anew() {
    let large = CLimit {
        quota_ns: 400 * MS,
        period_ns: 100 * MS,
        burst_ns: 0,
    };
    let small = CLimit {
        quota_ns: 10 * MS,
        ..large
    };
    let mut budget = CBudget::new(0, &large);
    // 64 CPUs ran for a tick too long.
    budget.spend(&large, MS, 656 * MS, MOST_WAIT);
    assert_eq!(budget.held_until(&large, 2 * MS), Some(100 * MS));
    // What it owes would be 65 periods of the small one.
    assert_eq!(budget.held_until(&small, 3 * MS), None);
    budget.spend(&small, 4 * MS, 10 * MS, MOST_WAIT);
    assert_eq!(budget.held_until(&small, 5 * MS), Some(103 * MS));
    // A burst is not a part of it.
    let burst = CLimit {
        burst_ns: MS,
        ..small
    };
    assert_eq!(budget.held_until(&burst, 6 * MS), Some(103 * MS));
}

#[test]
fn no_task_waits_for_longer_than_the_watchdog_allows() {
    for seed in seeds() {
        let mut random = Random::new(seed);
        let limit = limit(&mut random);
        let began = random.below(1 << 50);
        let mut budget = CBudget::new(began, &limit);
        let mut now = began;
        let mut since = None;
        // It owes more and more, as 200 busy threads of a small group do.
        for _ in 0..50 {
            budget.spend(&limit, now, 1_000 * MS, MOST_WAIT);
            let until = budget.held_until(&limit, now);
            let told = format!("RULES_SEED={seed}: {limit:?}, {budget:?}");
            let owes = until.map_or(0, |until| until - now);
            let charge = 1_000 * MS / limit.quota_ns + 2;
            assert!(
                owes <= MOST_WAIT + charge * limit.period_ns,
                "{told}: it owes {owes}"
            );
            let Some(until) = until else { continue };
            let from = *since.get_or_insert(now);
            match waits_until(until, from, now, MOST_WAIT) {
                Some(until) => {
                    assert!(until > now && until <= from + MOST_WAIT, "{told}");
                    now = until;
                }
                None => {
                    assert!(now >= from + MOST_WAIT, "{told}");
                    since = None;
                }
            }
        }
    }
}

#[test]
fn the_one_that_ran_goes_after_those_that_wait() {
    // Two that a limit lets run in turns, beside others whose clock goes on.
    let mut clock = 1000;
    let (ran, waited) = (ahead(clock, clock + 30), ahead(clock, clock - 50));
    clock += 1_000_000;
    assert!(clock + waited < clock + ran);
    assert_eq!(waited, 0, "nothing is saved up");
}

#[test]
fn a_slice_of_a_group_without_time_ends_at_the_next_tick() {
    let ticks = CTicks::of(TICK);
    let terms = CTerms {
        slice_ns: 100 * MS,
        min_loan_ns: 50_000,
    };
    let mut slice = CSlice::default();
    slice.begin(0, 0, 7, &terms);
    assert!(!slice.ends_at_tick(TICK, 0, &ticks, &terms));
    assert!(slice.is_cut_at_tick(TICK, 0, &ticks, &terms));
    assert!(slice.is_over(TICK));
    // But for a loan that began just now.
    slice.begin(0, 0, 7, &terms);
    slice.give_to(TICK - 1, 8, &terms);
    assert!(!slice.is_cut_at_tick(TICK, TICK - 1, &ticks, &terms));
    assert!(slice.is_cut_at_tick(2 * TICK, TICK - 1, &ticks, &terms));
}
