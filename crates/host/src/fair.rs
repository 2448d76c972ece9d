//! The rules of fair time, by themselves: pure functions of accounts and a clock.
//!
//! A scheduler with queues of its own takes these for who is next, and [`loan`](crate::loan) for what
//! is lent. All arithmetic is modulo 2^64, so that a twin in C follows to the bit.
//!
//! ```text
//!                       <- lag: at most 3 slices ->   <- debt: a slice and a loan ->
//!   virtual time  ------|---------------------------V------------------------------|--->
//!                                                   the clock: the latest pick, and where one
//!                                                   stands that wakes and owes nothing
//! ```
//!
//! Charge an owner only for time in which some vCPU was queued, as [`loan::charge`](crate::loan::charge) does.
//! While none is queued each one that could run does, and gains nothing on the others. If it paid, one that always runs
//! would have to wait when others come that slept meanwhile, and would get less than its share.
//!
//! ```
//! use pvqspin_host::fair::{Account, Clock, Rules};
//!
//! let rules = Rules { slice_ns: 3_000_000, min_loan_ns: 100_000 };
//! let mut clock = Clock::default();
//! let (mut heavy, mut light) = (Account::new(2), Account::new(1));
//! rules.start(&clock, 0, &mut heavy);
//! rules.start(&clock, 0, &mut light);
//! assert!(heavy.is_before(&light), "its slice in advance cost it half as much");
//!
//! for _ in 0..2 {
//!     clock.picked(&heavy, 0);
//!     heavy.charge(3_000_000);
//!     rules.requeue(&clock, &mut heavy);
//! }
//! assert!(light.is_before(&heavy), "two slices of one are one of the other");
//! ```

/// Virtual time units in a nanosecond at weight 1.
pub const SCALE: u64 = 1 << 16;

/// The largest weight. The least is 1.
pub const MAX_WEIGHT: u32 = 1 << 16;

/// The lag that a vCPU may have when it is queued, in slices.
pub const LAG_SLICES: u64 = 3;

/// How long ago, in slices of wanted time, a vCPU may have been picked to count as one that runs or waits.
pub const LIKE_SLICES: u64 = 2;

/// How much of one slice counts for virtual time, in slices, however late its end comes.
pub const LATE_SLICES: u64 = 4;

/// The most nanoseconds of one charge: more than three days.
const MOST_NS: u64 = 1 << 47;

/// Whether a virtual time is before another, modulo 2^64.
#[must_use]
pub const fn is_before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

const fn later(a: u64, b: u64) -> u64 {
    if is_before(a, b) { b } else { a }
}

/// How much virtual time some nanoseconds are at a weight.
#[must_use]
pub const fn span(ns: u64, weight: u32) -> u64 {
    let ns = if ns > MOST_NS { MOST_NS } else { ns };
    ns * SCALE / at_least_one(weight)
}

const fn at_least_one(weight: u32) -> u64 {
    if weight == 0 { 1 } else { weight as u64 }
}

/// What a vCPU has been charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// Charged time over weight.
    pub vtime: u64,
    /// What the division by the weight left over, below the weight.
    pub rest: u32,
    /// From 1 to [`MAX_WEIGHT`].
    pub weight: u32,
}

impl Account {
    /// An account that was never charged.
    #[must_use]
    pub const fn new(weight: u32) -> Self {
        Self {
            vtime: 0,
            rest: 0,
            weight,
        }
    }

    /// Charges nanoseconds. Nothing is lost by rounding. Returns by how much virtual time moved.
    pub const fn charge(&mut self, ns: u64) -> u64 {
        let ns = if ns > MOST_NS { MOST_NS } else { ns };
        let weight = at_least_one(self.weight);
        let sum = ns * SCALE + self.rest as u64;
        let step = sum / weight;
        self.vtime = self.vtime.wrapping_add(step);
        self.rest = (sum % weight) as u32;
        step
    }

    /// Whether it goes before another one. Of equals, the one that was queued earlier does.
    #[must_use]
    pub const fn is_before(&self, other: &Self) -> bool {
        is_before(self.vtime, other.vtime)
    }
}

/// The latest pick among vCPUs of about the same weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Like {
    vtime: u64,
    /// The wanted time then, and one; 0: there was none.
    picked: u64,
}

/// How many powers of two weights lie between.
const CLASSES: usize = MAX_WEIGHT.ilog2() as usize + 1;

/// Vcpus whose weights differ by less than a factor of two are alike.
const fn class(weight: u32) -> usize {
    let class = at_least_one(weight).ilog2() as usize;
    if class < CLASSES { class } else { CLASSES - 1 }
}

/// The latest virtual time that was picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    /// It never goes back.
    pub vtime: u64,
    /// The weight of the vCPU that was picked then.
    pub weight: u32,
    like: [Like; CLASSES],
}

impl Clock {
    /// A clock at some time, with the weight of the vCPU that was picked then.
    #[must_use]
    pub const fn new(vtime: u64, weight: u32) -> Self {
        let none = Like {
            vtime: 0,
            picked: 0,
        };
        Self {
            vtime,
            weight,
            like: [none; CLASSES],
        }
    }

    /// The first of the queue is put on a pCPU. `wanted_ns`: for how long, in all, a vCPU was queued.
    pub const fn picked(&mut self, account: &Account, wanted_ns: u64) {
        if !is_before(account.vtime, self.vtime) {
            self.vtime = account.vtime;
            self.weight = account.weight;
        }
        self.like[class(account.weight)] = Like {
            vtime: account.vtime,
            picked: wanted_ns.wrapping_add(1),
        };
    }
}

/// When the sums are made relative to a newer time.
const REBASE: u64 = 1 << 40;

/// Sums over all vCPUs that have a pCPU or wait for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    weight: u64,
    /// Virtual times are summed relative to this one, so that the sums stay small.
    base: u64,
    /// Sum of weight times virtual time since `base`.
    sum: i128,
}

impl Sums {
    fn relative(&self, vtime: u64) -> i128 {
        i128::from(vtime.wrapping_sub(self.base) as i64)
    }

    /// A vCPU wants to run.
    pub fn add(&mut self, account: &Account) {
        if self.weight == 0 {
            (self.base, self.sum) = (account.vtime, 0);
        }
        self.weight += u64::from(account.weight);
        self.sum += i128::from(account.weight) * self.relative(account.vtime);
    }

    /// A vCPU does not want to run any more.
    pub fn remove(&mut self, account: &Account) {
        self.weight -= u64::from(account.weight);
        self.sum -= i128::from(account.weight) * self.relative(account.vtime);
    }

    /// An account in the sums has changed.
    pub fn changed(&mut self, before: &Account, after: &Account) {
        let moved = after.vtime.wrapping_sub(before.vtime) as i64;
        self.sum += i128::from(after.weight) * i128::from(moved);
        let since = after.vtime.wrapping_sub(self.base);
        if since > REBASE && (since as i64) > 0 {
            self.sum -= i128::from(self.weight) * i128::from(since);
            self.base = after.vtime;
        }
    }

    /// The average virtual time, by weight. `None` if none wants to run.
    #[must_use]
    pub fn average(&self) -> Option<u64> {
        let average = self.sum.div_euclid(i128::from(self.weight.max(1)));
        (self.weight > 0).then(|| self.base.wrapping_add(average as u64))
    }

    /// Whether an account has had no more than the average: what EEVDF calls a lag of at least zero.
    #[must_use]
    pub fn is_eligible(&self, account: &Account) -> bool {
        self.relative(account.vtime) * i128::from(self.weight) <= self.sum
    }
}

/// The rules' parameters, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// How long a slice is.
    pub slice_ns: u64,
    /// How long a loan is at least; at most half a slice.
    pub min_loan_ns: u64,
}

impl Rules {
    /// A vCPU starts for the first time. It stands where its like do, and its first slice and loan are paid in
    /// advance, so that a VM that comes and goes gains nothing. `wanted_ns` is that of [`Clock::picked`].
    pub const fn start(&self, clock: &Clock, wanted_ns: u64, account: &mut Account) {
        let advance = span(self.slice_ns + self.min_loan_ns, account.weight);
        account.vtime = (self.like(clock, wanted_ns, account)).wrapping_add(advance);
        account.rest = 0;
    }

    /// Where the latest pick of about the same weight stood, or of a lighter one that stood further back, with no more
    /// lag than any may have. The clock, if there was none of late: none of such a weight wants to run.
    const fn like(&self, clock: &Clock, wanted_ns: u64, account: &Account) -> u64 {
        let (mut stand, mut at) = (clock.vtime, 0);
        while at <= class(account.weight) {
            let like = clock.like[at];
            let ago_ns = wanted_ns.wrapping_add(1).wrapping_sub(like.picked);
            let counts = like.picked != 0 && ago_ns <= LIKE_SLICES * self.slice_ns;
            if counts && is_before(like.vtime, stand) {
                stand = like.vtime;
            }
            at += 1;
        }
        later(stand, self.least(clock, account))
    }

    /// A vCPU that slept wakes: sleep saves nothing up.
    pub const fn wake(&self, stand: u64, account: &mut Account) {
        account.vtime = later(account.vtime, stand);
    }

    /// A vCPU that ran, or lent its slice, is queued again: what it saved up without competition is bounded.
    /// The bound is in slices of the lighter of the two, because the clock moves by whole slices of the vCPUs
    /// that it follows.
    pub const fn requeue(&self, clock: &Clock, account: &mut Account) {
        account.vtime = later(account.vtime, self.least(clock, account));
    }

    const fn least(&self, clock: &Clock, account: &Account) -> u64 {
        let weight = if clock.weight < account.weight {
            clock.weight
        } else {
            account.weight
        };
        (clock.vtime).wrapping_sub(span(LAG_SLICES * self.slice_ns, weight))
    }

    /// Whether a vCPU that wakes takes the pCPU from the owner of a slice, charged up to now: only with a
    /// quarter of a slice between them, or all would preempt all.
    #[must_use]
    pub const fn preempts(&self, woken: &Account, owner: &Account) -> bool {
        let advantage = span(self.slice_ns / 4, woken.weight);
        is_before(woken.vtime.wrapping_add(advantage), owner.vtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        slice_ns: 3_000_000,
        min_loan_ns: 100_000,
    };

    #[test]
    fn small_steps_cost_as_much_as_one_large_one() {
        for weight in [1, 3, 7, 1_000, 65_535, MAX_WEIGHT] {
            let (mut once, mut often) = (Account::new(weight), Account::new(weight));
            once.charge(999_999);
            (0..999_999).for_each(|_| {
                often.charge(1);
            });
            assert_eq!(once, often);
        }
    }

    #[test]
    fn times_wrap() {
        let average = u64::MAX - 5;
        let mut account = Account::new(1);
        RULES.start(&Clock::new(average, 1), 0, &mut account);
        assert!(is_before(average, account.vtime));
        let before = account;
        RULES.wake(average, &mut account);
        assert_eq!(account, before, "it is ahead of the average");
    }

    #[test]
    fn lag_is_bounded_and_debt_is_kept() {
        let clock = Clock::new(span(100 * RULES.slice_ns, 2), 2);
        for weight in [2, 8] {
            let mut account = Account::new(weight);
            RULES.requeue(&clock, &mut account);
            assert_eq!(account.vtime, clock.vtime - span(3 * RULES.slice_ns, 2));
            RULES.wake(clock.vtime, &mut account);
            assert_eq!(account.vtime, clock.vtime);
            account.charge(4 * RULES.slice_ns);
            let owes = account;
            RULES.requeue(&clock, &mut account);
            RULES.wake(clock.vtime, &mut account);
            assert_eq!(account, owes);
        }
    }

    #[test]
    fn one_that_starts_stands_where_its_like_do() {
        let (slice, light) = (RULES.slice_ns, span(RULES.slice_ns, 1));
        let started = |clock: &Clock, wanted_ns, weight| {
            let mut account = Account::new(weight);
            RULES.start(clock, wanted_ns, &mut account);
            (account.vtime).wrapping_sub(span(slice + RULES.min_loan_ns, weight))
        };
        let at = |vtime, weight| Account {
            vtime,
            ..Account::new(weight)
        };
        let now = 100 * light;
        let mut clock = Clock::default();
        clock.picked(&at(now, 1), 7);
        assert_eq!(started(&clock, 7, 100), now, "there is none like it");
        clock.picked(&at(now - 2 * light, 100), 7);
        assert_eq!(started(&clock, 7, 100), now - 2 * light);
        assert_eq!(started(&clock, 7, 90), now - 2 * light);
        assert_eq!(
            started(&clock, 7, 1),
            now,
            "a light one gains nothing by it"
        );
        assert_eq!(started(&clock, 7 + 2 * slice, 100), now - 2 * light);
        assert_eq!(started(&clock, 8 + 2 * slice, 100), now, "it is gone");
        clock.picked(&at(now - 9 * light, 100), 7);
        assert_eq!(started(&clock, 7, 100), now - 3 * light);
        clock.picked(&at(now - 2 * light, 10), 7);
        clock.picked(&at(now - light, 100), 7);
        assert_eq!(started(&clock, 7, 100), now - 2 * light, "lighter ones do");
        assert_eq!(started(&clock, 7, 10), now - 2 * light);
        clock.picked(&at(now + light, 1), 8);
        assert_eq!(started(&clock, 8, 1), now + light);
    }

    #[test]
    fn sums_follow_every_change() {
        let mut sums = Sums::default();
        let mut accounts = [1, 3, 100].map(Account::new);
        accounts[1].vtime = 4_000;
        accounts.iter().for_each(|account| sums.add(account));
        for step in 0..10_000 {
            let account = &mut accounts[step % 3];
            let before = *account;
            account.charge(3_000_000);
            sums.changed(&before, account);
        }
        let weights: u128 = accounts.iter().map(|a| u128::from(a.weight)).sum();
        let of = |a: &Account| u128::from(a.weight) * u128::from(a.vtime);
        let average = accounts.iter().map(of).sum::<u128>() / weights;
        assert_eq!(sums.average(), Some(average as u64));
        assert!(sums.is_eligible(&accounts[2]) && !sums.is_eligible(&accounts[0]));
        accounts.iter().for_each(|account| sums.remove(account));
        assert_eq!(sums.average(), None);
    }
}
