//! `bpf/rules.h`, compiled for user space by the build script.

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CTerms {
    pub(crate) slice_ns: u64,
    pub(crate) min_loan_ns: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CAccount {
    pub(crate) vtime: u64,
    pub(crate) rest: u32,
    pub(crate) weight: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CClock {
    pub(crate) vtime: u64,
    pub(crate) weight: u32,
    unused: u32,
    pub(crate) wanted_ns: u64,
    seen: u64,
    looked_at: u64,
    like: [CLike; CLASSES],
}

const CLASSES: usize = 17;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct CLike {
    vtime: u64,
    picked: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CSlice {
    pub(crate) owner: u64,
    pub(crate) current: u64,
    pub(crate) began: u64,
    pub(crate) planned_end: u64,
    pub(crate) end: u64,
    pub(crate) charged_until: u64,
    pub(crate) wanted_until: u64,
    pub(crate) chargeable_ns: u64,
    pub(crate) free_ns: u64,
    pub(crate) first_loan: u64,
    pub(crate) lent: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CTicks {
    period_ns: u64,
    first_at: u64,
    first_jiffies: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CLimit {
    pub(crate) quota_ns: u64,
    pub(crate) period_ns: u64,
    pub(crate) burst_ns: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CBudget {
    began: u64,
    used_ns: i64,
    quota_ns: u64,
    period_ns: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CLook {
    at: u64,
    wanted_ns: u64,
}

// SAFETY: `tests/rules/rules.c` defines these functions with these types; they read and write what they are given, and nothing else.
unsafe extern "C" {
    safe fn c_charge(a: &mut CAccount, ns: u64);
    safe fn c_picked(c: &mut CClock, a: &CAccount);
    safe fn c_looks_for_overdue(c: &mut CClock, now: u64, most_wait_ns: u64) -> i32;
    safe fn c_goes_first(first: &mut u64, key: u64, waits: i64, period: u64, most: u64) -> i32;
    safe fn c_start(t: &CTerms, c: &CClock, a: &mut CAccount);
    safe fn c_wake(stand: u64, a: &mut CAccount);
    safe fn c_requeue(t: &CTerms, c: &CClock, a: &mut CAccount);
    safe fn c_preempts(t: &CTerms, woken: &CAccount, owner_vtime: u64) -> i32;
    safe fn c_pass(c: &mut CClock, now: u64, queued: i32);
    safe fn c_begin(s: &mut CSlice, now: u64, wanted: u64, task: u64, t: &CTerms);
    safe fn c_is_over(s: &CSlice, now: u64) -> i32;
    safe fn c_can_lend(s: &CSlice, now: u64, t: &CTerms) -> i32;
    safe fn c_is_protected(s: &CSlice, now: u64, t: &CTerms) -> i32;
    safe fn c_due(s: &mut CSlice, now: u64, wanted: u64, ran: &mut u64) -> u64;
    safe fn c_as_if_paid(s: &CSlice, now: u64, vtime: u64, weight: u32) -> u64;
    safe fn c_give_to(s: &mut CSlice, now: u64, task: u64, t: &CTerms);
    safe fn c_owner_goes_on(s: &CSlice, now: u64, waits: i32) -> i32;
    safe fn c_convert(s: &mut CSlice, now: u64, wanted: u64, t: &CTerms);
    safe fn c_note_tick(t: &mut CTicks, now: u64, jiffies: u64);
    safe fn c_until_tick(slice: u64, period: u64, since: u64) -> u64;
    safe fn c_ends_at_tick(
        s: &mut CSlice,
        now: u64,
        lent_at: u64,
        period: u64,
        spent: i32,
        t: &CTerms,
    ) -> i32;
    safe fn c_goes_on(s: &CSlice, now: u64, task: u64) -> i32;
    safe fn c_overran(s: &CSlice, now: u64, period: u64, t: &CTerms) -> i32;
    safe fn c_spend(b: &mut CBudget, l: &CLimit, now: u64, ns: u64, most: u64);
    safe fn c_held_until(b: &mut CBudget, l: &CLimit, now: u64) -> u64;
    safe fn c_waits_until(until: u64, since: u64, now: u64, most: u64) -> u64;
    safe fn c_ahead(stand: u64, vtime: u64) -> u64;
    safe fn c_is_crowded(last: &mut CLook, now: u64, wanted_ns: u64) -> i32;
}

impl CTicks {
    /// As if they had been measured.
    pub(crate) fn of(period_ns: u64) -> Self {
        Self {
            period_ns,
            ..Self::default()
        }
    }

    /// 0: not known.
    pub(crate) fn period_ns(&self) -> u64 {
        self.period_ns
    }

    pub(crate) fn note(&mut self, now: u64, jiffies: u64) {
        c_note_tick(self, now, jiffies);
    }

    /// How long a slice is that begins `since` after the last tick.
    pub(crate) fn slice_ns(&self, slice_ns: u64, since: u64) -> u64 {
        c_until_tick(slice_ns, self.period_ns, since)
    }
}

impl CBudget {
    pub(crate) fn new(began: u64, limit: &CLimit) -> Self {
        Self {
            began,
            used_ns: 0,
            quota_ns: limit.quota_ns,
            period_ns: limit.period_ns,
        }
    }

    /// Charges it, as any CPU does.
    pub(crate) fn spend(&mut self, limit: &CLimit, now: u64, ns: u64, most_wait_ns: u64) {
        c_spend(self, limit, now, ns, most_wait_ns);
    }

    /// When it has time again; `None` if it has some now.
    pub(crate) fn held_until(&mut self, limit: &CLimit, now: u64) -> Option<u64> {
        match c_held_until(self, limit, now) {
            0 => None,
            until => Some(until),
        }
    }
}

/// Until when a task waits; `None`: no longer.
pub(crate) fn waits_until(until: u64, since: u64, now: u64, most_wait_ns: u64) -> Option<u64> {
    match c_waits_until(until, since, now, most_wait_ns) {
        0 => None,
        until => Some(until),
    }
}

/// Whether a task that has waited for so many ticks is put before the first one, which is kept up to date.
pub(crate) fn goes_first(first: &mut u64, key: u64, waits: u64, ticks: &CTicks, most: u64) -> bool {
    c_goes_first(first, key, waits.cast_signed(), ticks.period_ns, most) != 0
}

/// By how much it is ahead.
pub(crate) fn ahead(stand: u64, vtime: u64) -> u64 {
    c_ahead(stand, vtime)
}

impl CLook {
    /// Looks again: whether tasks were queued for half of the time.
    pub(crate) fn is_crowded(&mut self, now: u64, wanted_ns: u64) -> bool {
        c_is_crowded(self, now, wanted_ns) != 0
    }
}

impl CAccount {
    pub(crate) fn new(weight: u32) -> Self {
        Self {
            vtime: 0,
            rest: 0,
            weight,
        }
    }

    pub(crate) fn charge(&mut self, ns: u64) {
        c_charge(self, ns);
    }

    pub(crate) fn start(&mut self, terms: &CTerms, clock: &CClock) {
        c_start(terms, clock, self);
    }

    pub(crate) fn wake(&mut self, stand: u64) {
        c_wake(stand, self);
    }

    pub(crate) fn requeue(&mut self, terms: &CTerms, clock: &CClock) {
        c_requeue(terms, clock, self);
    }

    pub(crate) fn preempts(&self, terms: &CTerms, owner_vtime: u64) -> bool {
        c_preempts(terms, self, owner_vtime) != 0
    }
}

impl CClock {
    pub(crate) fn of(vtime: u64, weight: u32) -> Self {
        Self {
            vtime,
            weight,
            unused: 0,
            wanted_ns: 0,
            seen: 0,
            looked_at: 0,
            like: Default::default(),
        }
    }

    pub(crate) fn pass(&mut self, now: u64, queued: bool) {
        c_pass(self, now, i32::from(queued));
    }

    pub(crate) fn picked(&mut self, account: &CAccount) {
        c_picked(self, account);
    }

    /// Whether all that are queued are looked at now.
    pub(crate) fn looks_for_overdue(&mut self, now: u64, most_wait_ns: u64) -> bool {
        c_looks_for_overdue(self, now, most_wait_ns) != 0
    }
}

impl CSlice {
    pub(crate) fn begin(&mut self, now: u64, wanted: u64, task: u64, terms: &CTerms) {
        c_begin(self, now, wanted, task, terms);
    }

    pub(crate) fn is_over(&self, now: u64) -> bool {
        c_is_over(self, now) != 0
    }

    pub(crate) fn can_lend(&self, now: u64, terms: &CTerms) -> bool {
        c_can_lend(self, now, terms) != 0
    }

    pub(crate) fn is_protected(&self, now: u64, terms: &CTerms) -> bool {
        c_is_protected(self, now, terms) != 0
    }

    /// What the owner pays, and for how long a task ran.
    pub(crate) fn due(&mut self, now: u64, wanted: u64) -> (u64, u64) {
        let mut ran = 0;
        let due = c_due(self, now, wanted, &mut ran);
        (due, ran)
    }

    pub(crate) fn as_if_paid(&self, now: u64, owner: &CAccount) -> u64 {
        c_as_if_paid(self, now, owner.vtime, owner.weight)
    }

    pub(crate) fn give_to(&mut self, now: u64, task: u64, terms: &CTerms) {
        c_give_to(self, now, task, terms);
    }

    pub(crate) fn owner_goes_on(&self, now: u64, waits: bool) -> bool {
        c_owner_goes_on(self, now, i32::from(waits)) != 0
    }

    /// Whether a tick at `now` ends it; the loan that it may be on began at `lent_at`.
    pub(crate) fn ends_at_tick(
        &mut self,
        now: u64,
        lent_at: u64,
        ticks: &CTicks,
        terms: &CTerms,
    ) -> bool {
        c_ends_at_tick(self, now, lent_at, ticks.period_ns, 0, terms) != 0
    }

    /// The same for an owner whose group has no time.
    pub(crate) fn is_cut_at_tick(
        &mut self,
        now: u64,
        lent_at: u64,
        ticks: &CTicks,
        terms: &CTerms,
    ) -> bool {
        c_ends_at_tick(self, now, lent_at, ticks.period_ns, 1, terms) != 0
    }

    /// Whether a kernel thread leaves the CPU to this task that it interrupts.
    pub(crate) fn goes_on(&self, now: u64, task: u64) -> bool {
        c_goes_on(self, now, task) != 0
    }

    /// Whether it ended a tick too late, if it ends now.
    pub(crate) fn overran(&self, now: u64, ticks: &CTicks, terms: &CTerms) -> bool {
        c_overran(self, now, ticks.period_ns, terms) != 0
    }

    pub(crate) fn convert(&mut self, now: u64, wanted: u64, terms: &CTerms) {
        c_convert(self, now, wanted, terms);
    }
}
