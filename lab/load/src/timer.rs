//! A timer interrupt that comes while a virtual CPU waits for a lock.
//!
//! ```text
//!   during(due, handler, body)
//!     body ── lock() ── slow path: checkpoint, spin ─┐ due?          ┌─ spin on ── held ── ...
//!                                                    └─ handler() ───┘ once, on the same stack
//! ```
//!
//! An environment looks at it in [`Env::spin_until`], and in
//! [`Env::checkpoint`] at those points of a slow path at which a kernel
//! has interrupts enabled: see [`Timer::may_come_at`].

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU64};

use pvqspin::{Env, Point};

const NEVER: u64 = u64::MAX;

/// The one-shot timer of one virtual CPU. Only that CPU uses it.
#[derive(Debug)]
#[repr(C)]
pub struct Timer {
    /// When it goes off, on the clock of [`Env::now_ns`].
    due_ns: AtomicU64,
    /// A `&&dyn Fn()` on the stack of `during`. Valid while `due_ns` is not [`NEVER`].
    handler: AtomicPtr<()>,
}

impl Timer {
    /// A timer that is not set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            due_ns: AtomicU64::new(NEVER),
            handler: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Whether a kernel could take an interrupt at this point of a slow path.
    ///
    /// Not between the wish to be kicked and the halt: a handler that halts would use up the kick.
    /// Kernels mask interrupts there, and halt and unmask in one step. Nor once the lock is held,
    /// or free again: what comes there comes after the slow path.
    #[must_use]
    #[inline]
    pub const fn may_come_at(point: Point) -> bool {
        match point {
            Point::Joining | Point::Joined | Point::Linked | Point::Fallback => true,
            Point::Halting | Point::Taken | Point::Released => false,
        }
    }

    /// Does `body`. If it waits for a lock at `due_ns` or later, `handler` runs on top of it, once.
    pub fn during<R>(&self, due_ns: u64, handler: &dyn Fn(), body: impl FnOnce() -> R) -> R {
        let handler: *const &dyn Fn() = &raw const handler;
        self.handler.store(handler.cast_mut().cast(), Relaxed);
        self.due_ns.store(due_ns.min(NEVER - 1), Relaxed);
        let _until_here = Unset(self);
        body()
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.due_ns.load(Relaxed) != NEVER
    }

    /// How long it is until it goes off; `None` if it is not set.
    #[inline]
    pub fn left_ns(&self, now_ns: u64) -> Option<u64> {
        match self.due_ns.load(Relaxed) {
            NEVER => None,
            due_ns => Some(due_ns.saturating_sub(now_ns)),
        }
    }

    /// Runs the handler, if the timer is due.
    ///
    /// The wait-for edge of the interrupted wait is withdrawn meanwhile: this CPU works.
    ///
    /// # Safety
    ///
    /// This CPU is the one that the timer belongs to: [`during`](Self::during), if it runs, runs
    /// further down on this very stack.
    #[inline]
    #[expect(unsafe_code, reason = "the handler is on the stack of `during`")]
    pub unsafe fn fire_if_due<E: Env>(&self) {
        if self.left_ns(E::now_ns()) == Some(0) {
            // SAFETY: the timer is set, and this is its CPU, by the caller's promise.
            unsafe { self.fire::<E>() };
        }
    }

    /// # Safety
    ///
    /// As for [`fire_if_due`](Self::fire_if_due), and the timer is set.
    #[cold]
    #[expect(unsafe_code, reason = "the handler is on the stack of `during`")]
    unsafe fn fire<E: Env>(&self) {
        self.due_ns.store(NEVER, Relaxed);
        let handler = self.handler.load(Relaxed).cast::<&dyn Fn()>();
        // SAFETY: the timer was set, so `during` has not returned: it unsets it first. It runs
        // on this stack, by the caller's promise, so its argument is alive while this runs.
        let handler = unsafe { *handler };
        let interrupted = E::set_waiting_for(None);
        handler();
        E::set_waiting_for(interrupted);
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

/// Unsets the timer when `during` ends, also by unwinding.
struct Unset<'a>(&'a Timer);

impl Drop for Unset<'_> {
    fn drop(&mut self) {
        self.0.due_ns.store(NEVER, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::{self, Alone};
    use core::cell::Cell;

    #[expect(unsafe_code, reason = "a timer is fired by its own CPU")]
    fn look(timer: &Timer) {
        // SAFETY: the only CPU there is.
        unsafe { timer.fire_if_due::<Alone>() };
    }

    #[test]
    fn it_comes_once_when_it_is_due_and_not_after_its_time() {
        let (timer, came) = (Timer::new(), Cell::new(0));
        let handler = || came.set(came.get() + 1);
        let now = |ns| test_env::set_now(ns);
        now(100);
        timer.during(200, &handler, || {
            now(199);
            look(&timer);
            assert_eq!((came.get(), timer.left_ns(199)), (0, Some(1)));
            now(200);
            look(&timer);
            look(&timer);
            assert_eq!((came.get(), timer.is_set()), (1, false));
        });
        timer.during(200, &handler, || ());
        look(&timer);
        assert_eq!(came.get(), 1, "its time is over");
    }

    #[test]
    fn nothing_comes_between_the_wish_for_a_kick_and_the_halt() {
        assert!(!Timer::may_come_at(Point::Halting));
        assert!(Timer::may_come_at(Point::Joined));
    }
}
