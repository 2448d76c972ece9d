//! Slices and loans, for any run queue.
//!
//! A *slice* is a stretch of time on one pCPU, charged to its *owner*. A [`Loan`] is its use by another
//! vCPU, the *borrower*. This module decides what is lent, until when, at whose cost, what ends a loan,
//! and what comes next. It has no queue and no accounts: those are the adopter's, behind [`RunQueue`].
//! It allocates nothing. `Host` uses it as any adopter does.
//!
//! ```text
//!   begin                                        planned end       limit
//!     |--------------- slice of the owner ------------|-- min_loan --|
//!     |  owner runs | lend: the borrower runs, the owner pays        |
//!                                           end moves up to the limit, if a loan begins so late
//! ```
//!
//! | rule | function |
//! | --- | --- |
//! | a task owns at most one slice; while it is lent, its owner is not queued | [`begin`], [`lend`], [`wake`] |
//! | all time of a slice is charged to its owner | [`charge`] |
//! | a borrower that lends on ends its own loan, and the slice stays the same | [`lend`] |
//! | a borrower that sleeps leaves the rest to the owner, if that waits | [`leave`] |
//! | an owner that wakes takes back what is left | [`wake`], [`take_back`] |
//! | where a pCPU idles, the borrower goes on at its own cost, and the lender is free | [`convert`] |
//! | for a while after the first loan of a slice nothing takes its pCPU | [`Slice::is_protected`] |
//!
//! `examples/own_queue.rs` adopts it for a run queue of fifty lines.

/// What a slice is granted, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// How long it is.
    pub slice_ns: u64,
    /// How long a loan is at least, and by how much loans may stretch the slice.
    pub min_loan_ns: u64,
    /// How much of it is charged at most, however late its end comes. Above `slice_ns + min_loan_ns` this
    /// matters only on a machine that stood still.
    pub most_charged_ns: u64,
}

/// A stretch of time on a pCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slice<T> {
    owner: T,
    current: T,
    began: u64,
    planned_end: u64,
    end: u64,
    min_loan_ns: u64,
    charged_until: u64,
    chargeable_ns: u64,
    first_loan: Option<u64>,
}

/// The use of a slice by another task than its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loan<T> {
    /// Owns the slice, and pays for it.
    pub lender: T,
    /// Runs on it, and pays nothing.
    pub borrower: T,
    /// When it ends at the latest, in nanoseconds on the caller's clock.
    pub until: u64,
}

impl<T: Copy + Eq> Slice<T> {
    fn new(owner: T, now: u64, terms: &Terms) -> Self {
        let end = now.saturating_add(terms.slice_ns);
        Self {
            owner,
            current: owner,
            began: now,
            planned_end: end,
            end,
            min_loan_ns: terms.min_loan_ns,
            charged_until: now,
            chargeable_ns: terms.most_charged_ns,
            first_loan: None,
        }
    }

    /// The task that pays.
    #[must_use]
    pub const fn owner(&self) -> T {
        self.owner
    }

    /// The task that runs.
    #[must_use]
    pub const fn current(&self) -> T {
        self.current
    }

    /// When it began.
    #[must_use]
    pub const fn began(&self) -> u64 {
        self.began
    }

    /// When it ends, loans near its end included.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// When it was to end when it began.
    #[must_use]
    pub const fn planned_end(&self) -> u64 {
        self.planned_end
    }

    /// The loan that it is used by, if it is.
    #[must_use]
    pub fn loan(&self) -> Option<Loan<T>> {
        (self.current != self.owner).then_some(Loan {
            lender: self.owner,
            borrower: self.current,
            until: self.end,
        })
    }

    /// Whether its time is up.
    #[must_use]
    pub const fn is_over(&self, now: u64) -> bool {
        now >= self.end
    }

    /// Whether any of it can be lent.
    #[must_use]
    pub const fn can_lend(&self, now: u64) -> bool {
        now < self.limit()
    }

    /// Whether nothing may take its pCPU now: for the shortest loan from its first loan on.
    #[must_use]
    pub fn is_protected(&self, now: u64) -> bool {
        self.protected_until(now).is_some()
    }

    /// Until when nothing may take its pCPU, if that is so now.
    #[must_use]
    pub fn protected_until(&self, now: u64) -> Option<u64> {
        let until = self.first_loan?.saturating_add(self.min_loan_ns);
        (self.loan().is_some() && now < until).then_some(until)
    }

    const fn limit(&self) -> u64 {
        self.planned_end.saturating_add(self.min_loan_ns)
    }

    fn give_to(&mut self, now: u64, to: T) {
        let at_least = now.saturating_add(self.min_loan_ns);
        self.end = self.end.max(at_least.min(self.limit()));
        self.current = to;
        if to != self.owner {
            self.first_loan.get_or_insert(now);
        }
    }
}

/// How a task waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waits {
    /// In the queue: it woke.
    Woken,
    /// In the queue: its slice is over.
    AfterSlice,
    /// In the queue: it lost its slice before the end, to another task that goes first.
    Displaced,
    /// In the queue, where it stood before: it ran on a loan, which cost it no place.
    AfterLoan,
    /// Not in the queue: another task runs on its slice.
    ForItsSlice,
}

/// An adopter's run queue, accounts and per-pCPU state.
///
/// A task *waits* if it could run and has no pCPU. The adopter keeps, for each pCPU, the slice that is used
/// there, and for each task, the pCPU of the slice that it owns.
pub trait RunQueue {
    /// A vCPU, by number, pointer or handle.
    type Task: Copy + Eq;

    /// The place of a pCPU's slice.
    fn slice(&mut self, pcpu: usize) -> &mut Option<Slice<Self::Task>>;

    /// The place of the pCPU where the slice of a task is.
    fn owns(&mut self, task: Self::Task) -> &mut Option<usize>;

    /// Whether a task could run and has no pCPU.
    fn is_waiting(&self, task: Self::Task) -> bool;

    /// A task waits from now on: in the queue, but for [`Waits::ForItsSlice`].
    fn waits(&mut self, task: Self::Task, how: Waits);

    /// A waiting task is about to run: it leaves the queue, if it is there.
    fn runs(&mut self, task: Self::Task);

    /// `current` ran for `ran_ns` on a slice of `owner`, which pays for `charged_ns`: the same, but on a
    /// machine that stood still.
    fn charge(&mut self, owner: Self::Task, current: Self::Task, ran_ns: u64, charged_ns: u64);
}

/// What a pCPU does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next<T> {
    /// It runs this task, until then.
    Run(T, u64),
    /// The slice is over: the scheduler picks.
    Pick,
}

/// A picked task begins a slice on a pCPU that has none. The adopter has called [`RunQueue::runs`].
///
/// The task must own no slice.
pub fn begin<Q: RunQueue>(q: &mut Q, now: u64, pcpu: usize, task: Q::Task, terms: &Terms) {
    debug_assert!(q.owns(task).is_none(), "a task owns one slice at most");
    *q.owns(task) = Some(pcpu);
    *q.slice(pcpu) = Some(Slice::new(task, now, terms));
}

/// Charges the slice on a pCPU up to now.
pub fn charge<Q: RunQueue>(q: &mut Q, now: u64, pcpu: usize) {
    let Some(slice) = q.slice(pcpu) else {
        return;
    };
    let ran_ns = now.saturating_sub(slice.charged_until);
    if ran_ns == 0 {
        return;
    }
    slice.charged_until = now;
    let charged_ns = ran_ns.min(slice.chargeable_ns);
    slice.chargeable_ns -= charged_ns;
    let (owner, current) = (slice.owner, slice.current);
    q.charge(owner, current, ran_ns, charged_ns);
}

/// Runs a waiting task on what is left of the slice of a pCPU. `stays`: whether the one that runs there now
/// still could run. `None`, and nothing done, if there is nothing left to lend.
///
/// A task that lends to the owner of the slice gives it back.
pub fn lend<Q: RunQueue>(
    q: &mut Q,
    now: u64,
    pcpu: usize,
    to: Q::Task,
    stays: bool,
) -> Option<(Q::Task, u64)> {
    charge(q, now, pcpu);
    let mut slice = (*q.slice(pcpu)).filter(|slice| slice.can_lend(now))?;
    if to == slice.current || !q.is_waiting(to) {
        return None;
    }
    if stays {
        wait_again(q, slice.current);
    }
    q.runs(to);
    slice.give_to(now, to);
    *q.slice(pcpu) = Some(slice);
    Some((to, slice.end))
}

/// A borrower that could run on waits again: for its own slice, if another task runs on that.
fn wait_again<Q: RunQueue>(q: &mut Q, task: Q::Task) {
    let how = match q.owns(task) {
        Some(_) => Waits::ForItsSlice,
        None => Waits::AfterLoan,
    };
    q.waits(task, how);
}

/// The task on a pCPU has gone to sleep, or ended. If it was on a loan and the owner of the slice waits, the
/// owner has the rest; otherwise the slice is over.
pub fn leave<Q: RunQueue>(q: &mut Q, now: u64, pcpu: usize) -> Next<Q::Task> {
    charge(q, now, pcpu);
    let slice = *q.slice(pcpu);
    match slice {
        Some(slice)
            if slice.loan().is_some() && !slice.is_over(now) && q.is_waiting(slice.owner) =>
        {
            resume(q, now, pcpu, slice)
        }
        _ => {
            end(q, now, pcpu, None);
            Next::Pick
        }
    }
}

fn resume<Q: RunQueue>(
    q: &mut Q,
    now: u64,
    pcpu: usize,
    mut slice: Slice<Q::Task>,
) -> Next<Q::Task> {
    q.runs(slice.owner);
    slice.give_to(now, slice.owner);
    *q.slice(pcpu) = Some(slice);
    Next::Run(slice.owner, slice.end)
}

/// Why the slice of a pCPU ends although the task that runs there could go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Its time is up, or is given up.
    Over,
    /// Another task goes first.
    Displaced,
}

/// The slice of a pCPU is over. Its owner and the one that runs there wait in the queue, if they could run.
/// `current_stays`: why it ends, or `None` if the one that ran there sleeps.
pub fn end<Q: RunQueue>(q: &mut Q, now: u64, pcpu: usize, current_stays: Option<Why>) {
    charge(q, now, pcpu);
    let Some(slice) = q.slice(pcpu).take() else {
        return;
    };
    *q.owns(slice.owner) = None;
    let how = match current_stays {
        Some(Why::Displaced) => Waits::Displaced,
        _ => Waits::AfterSlice,
    };
    if slice.loan().is_none() {
        if current_stays.is_some() {
            q.waits(slice.owner, how);
        }
        return;
    }
    if q.is_waiting(slice.owner) {
        q.waits(slice.owner, Waits::AfterSlice);
    }
    if current_stays.is_some() {
        wait_again(q, slice.current);
    }
}

/// A task that slept can run again. `Some(pcpu)`: it owns the slice of that pCPU, which has to be interrupted
/// and to call [`take_back`]. `None`: it is queued.
pub fn wake<Q: RunQueue>(q: &mut Q, task: Q::Task) -> Option<usize> {
    let owns = *q.owns(task);
    let how = match owns {
        Some(_) => Waits::ForItsSlice,
        None => Waits::Woken,
    };
    q.waits(task, how);
    owns
}

/// A pCPU was interrupted because the owner of its slice woke: the owner has what is left. `None`, and
/// nothing done, if the owner does not wait, or nothing is left.
pub fn take_back<Q: RunQueue>(q: &mut Q, now: u64, pcpu: usize) -> Option<(Q::Task, u64)> {
    charge(q, now, pcpu);
    let slice = (*q.slice(pcpu)).filter(|slice| slice.loan().is_some() && !slice.is_over(now))?;
    if !q.is_waiting(slice.owner) {
        return None;
    }
    wait_again(q, slice.current);
    match resume(q, now, pcpu, slice) {
        Next::Run(task, until) => Some((task, until)),
        Next::Pick => None,
    }
}

/// The loan on a pCPU ends because another pCPU idles: the borrower goes on on a slice of its own, the same
/// for the borrowers on slices that those own. The lender owns nothing any more; if it waits, it is queued.
pub fn convert<Q: RunQueue>(q: &mut Q, now: u64, pcpu: usize, terms: &Terms) {
    let Some(lender) = (*q.slice(pcpu))
        .and_then(|slice| slice.loan())
        .map(|loan| loan.lender)
    else {
        return;
    };
    *q.owns(lender) = None;
    let mut next = Some(pcpu);
    while let Some(pcpu) = next {
        charge(q, now, pcpu);
        let Some(slice) = *q.slice(pcpu) else {
            break;
        };
        let borrower = slice.current;
        // It owns a slice that yet another task runs on: that one becomes the owner there.
        next = q.owns(borrower).replace(pcpu);
        *q.slice(pcpu) = Some(Slice::new(borrower, now, terms));
    }
    if q.is_waiting(lender) {
        q.waits(lender, Waits::AfterSlice);
    }
}
