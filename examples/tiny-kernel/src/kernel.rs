//! The kernel: run queues, tasks that sleep, and the interrupt that wakes them. It knows a
//! `SpinLock` and nothing about it.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::sync::SpinLock;
use crate::machine::{self, CPUS};

/// How many tasks there are.
pub const TASKS: usize = 64;
/// How many steps each takes.
pub const STEPS: u32 = 200;
/// Each of so many steps ends with a sleep.
const SLEEPS_EACH: u32 = 5;

#[derive(Clone, Copy)]
struct Task {
    id: usize,
    left: u32,
}

/// Tasks in the order in which they came.
struct Queue {
    tasks: [Option<Task>; TASKS],
    first: usize,
    length: usize,
}

impl Queue {
    const fn new() -> Self {
        Self {
            tasks: [None; TASKS],
            first: 0,
            length: 0,
        }
    }

    fn push(&mut self, task: Task) {
        self.tasks[(self.first + self.length) % TASKS] = Some(task);
        // An interrupt here would find a task that is not counted yet, under a lock that is held.
        machine::between_instructions();
        self.length += 1;
    }

    fn pop(&mut self) -> Option<Task> {
        let task = self.tasks[self.first].take()?;
        self.first = (self.first + 1) % TASKS;
        self.length -= 1;
        Some(task)
    }
}

static RUNNABLE: [SpinLock<Queue>; CPUS] = [const { SpinLock::new(Queue::new()) }; CPUS];
static SLEEPING: SpinLock<Queue> = SpinLock::new(Queue::new());
static STEPS_DONE: [AtomicU32; TASKS] = [const { AtomicU32::new(0) }; TASKS];
static ENDED: AtomicU32 = AtomicU32::new(0);
static WAKE_UPS: AtomicU32 = AtomicU32::new(0);

/// What the kernel did, when every task has ended.
#[derive(Debug)]
pub struct Summary {
    /// How many steps each task took.
    pub steps: [u32; TASKS],
    /// How many tasks interrupts have woken.
    pub wake_ups: u32,
}

/// Boots the machine, runs all tasks to their end, and tells how it went. Once in a program.
pub fn run() -> Summary {
    for id in 0..TASKS {
        // All on one CPU: the others have to steal.
        RUNNABLE[0].lock().push(Task { id, left: STEPS });
    }
    machine::boot(schedule, wake_all);
    Summary {
        steps: core::array::from_fn(|id| STEPS_DONE[id].load(Relaxed)),
        wake_ups: WAKE_UPS.load(Relaxed),
    }
}

/// What each CPU does.
fn schedule(cpu: usize) {
    while ENDED.load(Relaxed) < TASKS as u32 {
        match next(cpu) {
            Some(task) => step(cpu, task),
            None => machine::relax(),
        }
    }
}

/// The next task of this CPU, or else of the nearest one that has any.
fn next(cpu: usize) -> Option<Task> {
    (0..CPUS).find_map(|distance| RUNNABLE[(cpu + distance) % CPUS].lock().pop())
}

fn step(cpu: usize, mut task: Task) {
    STEPS_DONE[task.id].fetch_add(1, Relaxed);
    task.left -= 1;
    if task.left == 0 {
        ENDED.fetch_add(1, Relaxed);
    } else if task.left.is_multiple_of(SLEEPS_EACH) {
        SLEEPING.lock().push(task);
        machine::send_interrupt((cpu + 1) % CPUS);
    } else {
        RUNNABLE[cpu].lock().push(task);
    }
}

/// The interrupt handler, for all that sleep: it comes on top of whatever this CPU does, and takes the same locks. A
/// lock that left interrupts enabled while it was held would wait for itself here.
fn wake_all() {
    loop {
        let Some(task) = SLEEPING.lock().pop() else {
            return;
        };
        WAKE_UPS.fetch_add(1, Relaxed);
        RUNNABLE[machine::cpu()].lock().push(task);
    }
}
