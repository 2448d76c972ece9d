//! `mcslock`'s raw mutex, whose critical section is a closure, behind a trait that has a call before
//! the section and one after it.
//!
//! Each acquisition runs on a small stack of its own, which is suspended in the middle of the
//! closure while the section runs, and resumed to release. The two switches cost about 10 ns;
//! measured against sections of a microsecond, that is little, and it is in the throughput.

use std::cell::RefCell;

use corosensei::Coroutine;
use corosensei::stack::DefaultStack;
use mcslock::raw::{Mutex, MutexNode};
use mcslock::relax::Relax;

use crate::threads::rivals::UserMutex;

/// One acquisition: suspended while the lock is held, else a stack to run on.
#[derive(Default)]
pub(crate) struct Frame {
    suspended: Option<Coroutine<(), (), (), DefaultStack>>,
    stack: Option<DefaultStack>,
}

thread_local! {
    /// Frames of this thread that are not in use: nothing is allocated once there are enough.
    #[expect(clippy::vec_box, reason = "they go out as tokens, which are two words at most")]
    static FREE: RefCell<Vec<Box<Frame>>> = const { RefCell::new(Vec::new()) };
}

impl<R: Relax + 'static> UserMutex for Mutex<(), R> {
    type Guard = Box<Frame>;

    fn new() -> Self {
        Self::new(())
    }

    fn lock(&'static self) -> Box<Frame> {
        let mut frame = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        let stack = frame.stack.take().unwrap_or_default();
        let acquisition = frame
            .suspended
            .insert(Coroutine::with_stack(stack, |section, ()| {
                let mut node = MutexNode::new();
                self.lock_with_then(&mut node, |_guard| section.suspend(()));
            }));
        // Returns in the middle of the closure: the lock is held.
        acquisition.resume(());
        frame
    }

    fn unlock(mut frame: Box<Frame>) {
        let Some(mut acquisition) = frame.suspended.take() else {
            return;
        };
        acquisition.resume(());
        frame.stack = Some(acquisition.into_stack());
        FREE.with_borrow_mut(|free| free.push(frame));
    }
}
