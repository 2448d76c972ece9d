//! No task is queued for so long that the kernel takes it for stalled, whatever the weights are.
//!
//! A failure prints its seed; `RULES_SEED=SEED` runs the same cases again.

use crate::c::{CAccount, CClock, CTerms, CTicks, goes_first};
use crate::random::{Random, seeds};

const MS: u64 = 1_000_000;
/// After which the kernel ejects the scheduler, by default.
const WATCHDOG: u64 = 10_000 * MS;
const TICK: u64 = 4 * MS;
const TERMS: CTerms = CTerms {
    slice_ns: 3 * MS,
    min_loan_ns: 50_000,
};

/// Busy loops on one CPU.
struct Loops {
    clock: CClock,
    accounts: Vec<CAccount>,
    /// Where each stands: of those at one place the one that came there last is the last. And since when.
    queued: Vec<Option<((u64, u64), u64)>>,
    came: u64,
    now: u64,
    /// A task that is alone on a CPU of its own.
    elsewhere: Option<CAccount>,
}

impl Loops {
    fn new(weights: &[u32]) -> Self {
        let mut loops = Self {
            clock: CClock::of(1 << 40, 100),
            accounts: weights
                .iter()
                .map(|&weight| CAccount::new(weight))
                .collect(),
            queued: vec![None; weights.len()],
            came: 0,
            now: 0,
            elsewhere: None,
        };
        for task in 0..weights.len() {
            loops.accounts[task].start(&TERMS, &loops.clock);
            loops.enqueue(task);
        }
        loops
    }

    fn enqueue(&mut self, task: usize) {
        self.came += 1;
        self.queued[task] = Some(((self.accounts[task].vtime, self.came), self.now));
    }

    fn look_for_overdue(&mut self) {
        if !self.clock.looks_for_overdue(self.now, WATCHDOG / 2) {
            return;
        }
        let ticks = CTicks::of(TICK);
        let mut first = self.clock.vtime;
        let mut all: Vec<_> = (0..self.queued.len())
            .filter_map(|task| self.queued[task].map(|(key, since)| (key, since, task)))
            .collect();
        all.sort_unstable();
        for ((vtime, _), since, task) in all {
            let waits = (self.now - since) / TICK;
            if goes_first(&mut first, vtime, waits, &ticks, WATCHDOG / 2) {
                self.accounts[task].vtime = first;
                self.came += 1;
                self.queued[task] = Some(((first, self.came), since));
            }
        }
    }

    /// Runs the first one for a tick. Which one it was, and how long it had waited.
    fn turn(&mut self) -> (usize, u64) {
        self.look_for_overdue();
        let waiting = |task: &usize| self.queued[*task].is_some();
        let first = (0..self.queued.len())
            .filter(waiting)
            .min_by_key(|&task| self.queued[task].map(|(key, _)| key))
            .expect("they are all busy");
        let (_, since) = self.queued[first].take().expect("it waits");
        let waited = self.now - since;
        self.clock.picked(&self.accounts[first]);
        // Another CPU of the domain, on which none of these may run.
        if let Some(elsewhere) = &mut self.elsewhere {
            self.clock.picked(elsewhere);
            elsewhere.charge(TICK);
        }
        self.now += TICK;
        self.clock.pass(self.now, true);
        self.accounts[first].charge(TICK);
        self.accounts[first].requeue(&TERMS, &self.clock);
        self.enqueue(first);
        (first, waited)
    }

    /// The longest that one was queued, in so much time: up to now for those that still are.
    fn longest(&mut self, ns: u64) -> u64 {
        let mut longest = 0;
        while self.now < ns {
            longest = longest.max(self.turn().1);
        }
        let waiting = (self.queued.iter().flatten()).map(|(_, since)| self.now - since);
        waiting.max().unwrap_or(0).max(longest)
    }
}

#[test]
fn the_lightest_has_its_turn_before_the_watchdog_comes() {
    // A job of the night, `nice 19`, beside virtual machines that are preferred.
    for (weights, name) in [
        (vec![10_000, 1], "one of weight 10,000"),
        (vec![1000, 1000, 1000, 1], "three of weight 1000"),
        (vec![8867, 1], "nice -20 and nice 19"),
        ([vec![100; 26], vec![1]].concat(), "26 ordinary ones"),
        (vec![65_536, 65_536, 1, 2, 3], "the heaviest there are"),
    ] {
        let longest = Loops::new(&weights).longest(60_000 * MS);
        assert!(longest < WATCHDOG / 2, "{name}: {longest} ns");
    }
}

#[test]
fn no_weights_make_a_task_wait_for_the_watchdog() {
    for seed in seeds() {
        let mut random = Random::new(seed);
        let weights: Vec<u32> = (0..2 + random.below(30))
            .map(|_| {
                let bits = random.below(17);
                1 + random.below(1 << bits) as u32
            })
            .collect();
        let longest = Loops::new(&weights).longest(30_000 * MS);
        assert!(
            longest < WATCHDOG / 2,
            "RULES_SEED={seed}: {longest} ns with {weights:?}"
        );
    }
}

#[test]
fn ordinary_weights_are_kept() {
    let mut loops = Loops::new(&[100, 100, 100, 10]);
    let mut turns = [0; 4];
    for _ in 0..3100 {
        turns[loops.turn().0] += 1;
    }
    assert!((95..=105).contains(&turns[3]), "{turns:?}");
    assert!(
        turns[..3].iter().all(|&n| (995..=1005).contains(&n)),
        "{turns:?}"
    );
}

#[test]
fn tasks_of_a_crowded_cpu_keep_their_order() {
    // The clock is that of the other CPU, and far ahead of all that are queued.
    let mut loops = Loops::new(&[100; 1100]);
    let mut elsewhere = CAccount::new(100);
    elsewhere.start(&TERMS, &loops.clock);
    loops.elsewhere = Some(elsewhere);
    let longest = loops.longest(30_000 * MS);
    assert!(longest < 1110 * TICK, "{longest} ns");
}
