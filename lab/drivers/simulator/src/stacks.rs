//! The stacks of vCPUs, kept for the next run of the same thread: thousands of short runs would
//! spend half their time on mapping and unmapping them.

use std::cell::RefCell;
use std::io;

use corosensei::stack::{DefaultStack, Stack, StackPointer};

/// How large a stack is, its guard page aside: debug builds use a few kilobytes.
const STACK_BYTES: usize = 64 * 1024;

/// How many a thread keeps.
const KEPT: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// A stack that returns to its thread's spare ones when it is dropped.
pub(crate) struct PooledStack(Option<DefaultStack>);

impl PooledStack {
    pub(crate) fn new() -> io::Result<Self> {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        spare
            .map_or_else(|| DefaultStack::new(STACK_BYTES), Ok)
            .map(|stack| Self(Some(stack)))
    }

    fn stack(&self) -> &DefaultStack {
        match &self.0 {
            Some(stack) => stack,
            None => unreachable!("only dropping takes it out"),
        }
    }
}

// SAFETY: base and limit are those of the stack within, which lives as long as this.
unsafe impl Stack for PooledStack {
    fn base(&self) -> StackPointer {
        self.stack().base()
    }

    fn limit(&self) -> StackPointer {
        self.stack().limit()
    }
}

impl Drop for PooledStack {
    fn drop(&mut self) {
        let Some(stack) = self.0.take() else { return };
        // A thread that is ending has no spare ones any more.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(stack);
            }
        });
    }
}
