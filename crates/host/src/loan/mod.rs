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
//! | all time of a slice is charged to its owner, but for time that no other task wanted | [`charge`] |
//! | a borrower that lends on ends its own loan, and the slice stays the same | [`lend`] |
//! | a borrower that sleeps leaves the rest to the owner, if that waits | [`leave`] |
//! | an owner that wakes takes back what is left | [`wake`], [`take_back`] |
//! | where a pCPU idles, the borrower goes on at its own cost, and the lender is free | [`convert`] |
//! | for a while after the first loan of a slice nothing takes its pCPU | [`Slice::is_protected`] |
//!
//! `examples/own_queue.rs` adopts it for a run queue of fifty lines.

mod slice;

pub use slice::{Loan, Slice, Terms};

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

    /// For how long, in all, some task was queued, in nanoseconds. Time in which none is costs nothing,
    /// or it would be held against the task that used it: see [`crate::fair`]. By default all time costs.
    fn wanted_ns(&self, now: u64) -> u64 {
        now
    }

    /// `current` ran for `ran_ns` on a slice of `owner`, which pays for `charged_ns`: what was
    /// [wanted](Self::wanted_ns) of it, and on a machine that stood still no more than the terms say.
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
    let wanted_ns = q.wanted_ns(now);
    *q.slice(pcpu) = Some(Slice::new(task, now, wanted_ns, terms));
}

/// Charges the slice on a pCPU up to now.
pub fn charge<Q: RunQueue>(q: &mut Q, now: u64, pcpu: usize) {
    let wanted_ns = q.wanted_ns(now);
    let Some(slice) = q.slice(pcpu) else {
        return;
    };
    if let Some((ran_ns, charged_ns)) = slice.due(now, wanted_ns) {
        let (owner, current) = (slice.owner(), slice.current());
        q.charge(owner, current, ran_ns, charged_ns);
    }
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
    if to == slice.current() || !q.is_waiting(to) {
        return None;
    }
    if stays {
        wait_again(q, slice.current());
    }
    q.runs(to);
    slice.give_to(now, to);
    *q.slice(pcpu) = Some(slice);
    Some((to, slice.end()))
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
            if slice.loan().is_some() && !slice.is_over(now) && q.is_waiting(slice.owner()) =>
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
    q.runs(slice.owner());
    slice.give_to(now, slice.owner());
    *q.slice(pcpu) = Some(slice);
    Next::Run(slice.owner(), slice.end())
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
    *q.owns(slice.owner()) = None;
    let how = match current_stays {
        Some(Why::Displaced) => Waits::Displaced,
        _ => Waits::AfterSlice,
    };
    if slice.loan().is_none() {
        if current_stays.is_some() {
            q.waits(slice.owner(), how);
        }
        return;
    }
    if q.is_waiting(slice.owner()) {
        q.waits(slice.owner(), Waits::AfterSlice);
    }
    if current_stays.is_some() {
        wait_again(q, slice.current());
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
    if !q.is_waiting(slice.owner()) {
        return None;
    }
    wait_again(q, slice.current());
    match resume(q, now, pcpu, slice) {
        Next::Run(task, until) => Some((task, until)),
        Next::Pick => None,
    }
}

/// The loan on a pCPU ends because another pCPU idles: the borrower goes on on a slice of its own, the same
/// for the borrowers on slices that those own. The lender owns nothing any more; if it waits, it is queued.
///
/// With accounts of [`crate::fair`] call [`Clock::picked`](crate::fair::Clock::picked) for these borrowers first:
/// each begins a slice, as one that is picked does, and could owe any number of them otherwise.
pub fn convert<Q: RunQueue>(q: &mut Q, now: u64, pcpu: usize, terms: &Terms) {
    let Some(lender) = (*q.slice(pcpu))
        .and_then(|slice| slice.loan())
        .map(|loan| loan.lender)
    else {
        return;
    };
    *q.owns(lender) = None;
    let wanted_ns = q.wanted_ns(now);
    let mut next = Some(pcpu);
    while let Some(pcpu) = next {
        charge(q, now, pcpu);
        let Some(slice) = *q.slice(pcpu) else {
            break;
        };
        let borrower = slice.current();
        // It owns a slice that yet another task runs on: that one becomes the owner there.
        next = q.owns(borrower).replace(pcpu);
        *q.slice(pcpu) = Some(Slice::new(borrower, now, wanted_ns, terms));
    }
    if q.is_waiting(lender) {
        q.waits(lender, Waits::AfterSlice);
    }
}
