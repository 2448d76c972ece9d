//! Model checks: every interleaving of two CPUs, and the bounded ones of three, under C11's memory
//! model as far as loom has it.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p pvqspin --test loom
//! ```
//!
//! The host is the worst that the contract allows. It reports every other CPU as preempted, always,
//! so that each waiter takes its paravirtual steps whenever it may; its yields run whomever loom
//! likes; its halts end by a kick, or never. A lost wake-up is a deadlock, which loom reports.

#![cfg(loom)]

use std::cell::Cell;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use pvqspin::{
    Bounded, Budget, Cpu, CpuNodes, Env, Fifo, FifoHalt, FifoHolder, Format, Generation, Hint,
    Idx3, Native, Point, Policy, QRwLock, QSpinLock, RunSample, RunState, SpareBit, Status, Tail,
};

const CPUS: usize = 4;

loom::thread_local! {
    static CPU: Cell<usize> = Cell::new(0);
}

/// Closed until somebody opens it.
struct Gate {
    is_open: Mutex<bool>,
    bell: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().expect("no panics") = true;
        self.bell.notify_all();
    }

    fn wait(&self) {
        let mut is_open = self.is_open.lock().expect("no panics");
        while !*is_open {
            is_open = self.bell.wait(is_open).expect("no panics");
        }
    }
}

struct Halt {
    kicked: Mutex<bool>,
    bell: Condvar,
}

loom::lazy_static! {
    static ref NODES: [CpuNodes; CPUS] = std::array::from_fn(|_| CpuNodes::new());
    static ref GATE: Gate = Gate {
        is_open: Mutex::new(false),
        bell: Condvar::new(),
    };
    static ref HALTS: [Halt; CPUS] = std::array::from_fn(|_| Halt {
        kicked: Mutex::new(false),
        bell: Condvar::new(),
    });
}

fn numbered(cpu: usize) -> Cpu {
    Cpu::new(cpu).expect("in range")
}

/// `PREEMPTED`: what the host says of all other CPUs. `LATE`: where CPU 3 stands until CPU 2 has taken
/// the lock, and CPU 1 since it joined: [`NOWHERE`], or a number of [`Point`].
struct Model<const PREEMPTED: bool, const LATE: u8 = NOWHERE>;

const NOWHERE: u8 = u8::MAX;

impl<const PREEMPTED: bool, const LATE: u8> Env for Model<PREEMPTED, LATE> {
    fn cpu() -> Cpu {
        numbered(CPU.with(Cell::get))
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        // A finite budget is spent after one look: the shortest patience finds the most.
        loop {
            if condition() {
                return true;
            }
            thread::yield_now();
            if budget != Budget::FOREVER {
                return condition();
            }
        }
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let state = if PREEMPTED && cpu != Self::cpu() {
            RunState::Preempted
        } else {
            RunState::Running
        };
        RunSample::new(state, Generation::new(0))
    }

    fn pressure() -> bool {
        true
    }

    fn cpu_count() -> usize {
        CPUS
    }

    fn halt(_hint: Option<Hint>) {
        let halt = &HALTS[Self::cpu().index()];
        let mut kicked = halt.kicked.lock().expect("no panics");
        while !*kicked {
            kicked = halt.bell.wait(kicked).expect("no panics");
        }
        *kicked = false;
    }

    fn kick(cpu: Cpu) {
        let halt = &HALTS[cpu.index()];
        *halt.kicked.lock().expect("no panics") = true;
        halt.bell.notify_one();
    }

    fn yield_to(_hint: Hint) -> Status {
        thread::yield_now();
        Status::Ran
    }

    fn checkpoint(point: Point) {
        if LATE == NOWHERE {
            return;
        }
        match (Self::cpu().index(), point) {
            (2, Point::Taken) => GATE.open(),
            (1, Point::Joined) => GATE.wait(),
            (3, late) if late as u8 == LATE => GATE.wait(),
            _ => {}
        }
    }
}

struct Shared<E, P, W> {
    lock: QSpinLock<E, P, W>,
    // Not atomic: loom reports any access that the lock does not order.
    count: UnsafeCell<usize>,
}

fn contend<E: Env, P: Policy, W: Format>(shared: &Shared<E, P, W>, cpu: usize, times: usize) {
    CPU.with(|cell| cell.set(cpu));
    for _ in 0..times {
        let token = shared.lock.lock();
        // SAFETY: the lock is held; loom checks that it orders the accesses.
        shared.count.with_mut(|count| unsafe { *count += 1 });
        // SAFETY: the token is from above.
        unsafe { shared.lock.unlock(token) };
    }
}

fn explore<E: Env, P: Policy, W: Format>(cpus: usize, times: usize, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 100_000;
    model.check(move || {
        let shared = Arc::new(Shared::<E, P, W> {
            lock: QSpinLock::new(),
            count: UnsafeCell::new(0),
        });
        let others: Vec<_> = (1..cpus)
            .map(|cpu| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || contend(&*shared, cpu, times))
            })
            .collect();
        contend(&*shared, 0, times);
        for other in others {
            other.join().expect("no panics");
        }
        assert!(!shared.lock.is_locked(), "{:#010x}", shared.lock.raw_word());
        // SAFETY: everybody else has ended.
        shared
            .count
            .with(|count| assert_eq!(unsafe { *count }, cpus * times));
        for nodes in NODES.iter() {
            assert_eq!(nodes.in_use(), 0, "a node was not given back");
        }
    });
}

/// Behind a holder stands a queue of three, and only then it releases. The first and the last are off
/// their pCPUs until the one in the middle has taken the lock past the first: it leaves the queue
/// while somebody is behind it: linked (`LATE` is `Linked`), about to link itself (`Joined`), or only
/// about to join (`Joining`).
fn explore_the_middle_leaves<W: Format, const LATE: u8>() {
    const WAITERS: usize = 3;
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(extra_preemptions());
    model.max_branches = 100_000;
    model.check(|| {
        let shared = Arc::new(Shared::<Model<true, LATE>, Bounded<1_000>, W> {
            lock: QSpinLock::new(),
            count: UnsafeCell::new(0),
        });
        CPU.with(|cell| cell.set(0));
        let token = shared.lock.lock();
        let waiters: Vec<_> = (1..=WAITERS)
            .map(|cpu| {
                let joins = Arc::clone(&shared);
                let waiter = thread::spawn(move || contend(&*joins, cpu, 1));
                let joins_late = cpu == WAITERS && LATE == Point::Joining as u8;
                let joined = Tail::Waiter(numbered(cpu), 0);
                while !joins_late && W::tail(shared.lock.raw_word()) != joined {
                    thread::yield_now();
                }
                waiter
            })
            .collect();
        // SAFETY: the token is from above.
        unsafe { shared.lock.unlock(token) };
        for waiter in waiters {
            waiter.join().expect("no panics");
        }
        assert!(!shared.lock.is_locked(), "{:#010x}", shared.lock.raw_word());
        // SAFETY: everybody else has ended.
        shared
            .count
            .with(|count| assert_eq!(unsafe { *count }, WAITERS));
    });
}

#[test]
fn the_middle_leaves() {
    explore_the_middle_leaves::<Idx3, { Point::Linked as u8 }>();
}

#[test]
fn the_middle_leaves_bit() {
    explore_the_middle_leaves::<SpareBit, { Point::Linked as u8 }>();
}

#[test]
fn the_middle_leaves_while_somebody_links() {
    explore_the_middle_leaves::<Idx3, { Point::Joined as u8 }>();
}

#[test]
fn the_middle_leaves_while_somebody_joins() {
    explore_the_middle_leaves::<Idx3, { Point::Joining as u8 }>();
}

struct SharedRw<E, P, W> {
    lock: QRwLock<E, P, W>,
    count: UnsafeCell<usize>,
}

impl<E: Env, P: Policy, W: Format> SharedRw<E, P, W> {
    fn write(&self) {
        let token = self.lock.write();
        // SAFETY: the lock is held; loom checks that it orders the accesses.
        self.count.with_mut(|count| unsafe { *count += 1 });
        // SAFETY: the token is from above.
        unsafe { self.lock.unlock_write(token) };
    }

    fn read(&self) {
        let token = self.lock.read();
        // SAFETY: nobody writes; loom checks it.
        self.count.with(|count| assert!(unsafe { *count } <= CPUS));
        // SAFETY: the token is from above.
        unsafe { self.lock.unlock_read(token) };
    }
}

/// What each CPU does, a letter for each turn: `w` writes, `r` reads.
fn explore_rw<E: Env, P: Policy, W: Format>(turns: &[&'static str], preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions + extra_preemptions());
    model.max_branches = 100_000;
    let turns = turns.to_vec();
    model.check(move || {
        let shared = Arc::new(SharedRw::<E, P, W> {
            lock: QRwLock::new(),
            count: UnsafeCell::new(0),
        });
        let act = |shared: &SharedRw<E, P, W>, cpu: usize, turns: &str| {
            CPU.with(|cell| cell.set(cpu));
            for turn in turns.chars() {
                if turn == 'w' {
                    shared.write();
                } else {
                    shared.read();
                }
            }
        };
        let others: Vec<_> = (1..turns.len())
            .map(|cpu| {
                let (shared, mine) = (Arc::clone(&shared), turns[cpu]);
                thread::spawn(move || act(&shared, cpu, mine))
            })
            .collect();
        act(&shared, 0, turns[0]);
        for other in others {
            other.join().expect("no panics");
        }
        assert!(!shared.lock.is_locked(), "{:?}", shared.lock);
        let written = turns.concat().matches('w').count();
        // SAFETY: everybody else has ended.
        shared
            .count
            .with(|count| assert_eq!(unsafe { *count }, written));
        for nodes in NODES.iter() {
            assert_eq!(nodes.in_use(), 0, "a node was not given back");
        }
    });
}

macro_rules! explore_all_rw {
    ($($name:ident: $env:ty, $policy:ty, $two:literal, $three:literal;)*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn reader_and_writer() {
                explore_rw::<$env, $policy, Idx3>(&["wr", "rw"], $two);
            }

            #[test]
            fn two_writers_and_a_reader() {
                explore_rw::<$env, $policy, Idx3>(&["w", "w", "r"], $three);
            }

            #[test]
            fn two_readers_and_a_writer() {
                explore_rw::<$env, $policy, Idx3>(&["r", "w", "r"], $three);
            }
        }
    )* };
}

explore_all_rw! {
    rw_native: Model<false>, Native, 2, 2;
    rw_fifo: Model<true>, Fifo, 2, 1;
    rw_fifo_halt: Model<false>, FifoHalt, 2, 2;
    rw_bounded: Model<true>, Bounded<1_000>, 1, 1;
}

macro_rules! explore_all {
    ($($name:ident: $env:ty, $policy:ty, $word:ty, $two:literal, $three:literal;)*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn two_cpus_twice_each() {
                explore::<$env, $policy, $word>(2, 2, Some($two + extra_preemptions()));
            }

            #[test]
            fn three_cpus() {
                explore::<$env, $policy, $word>(3, 1, Some($three + extra_preemptions()));
            }
        }
    )* };
}

/// `LOOM_EXTRA=1` allows one more preemption everywhere: hours instead of seconds.
fn extra_preemptions() -> usize {
    let extra = std::env::var("LOOM_EXTRA").unwrap_or_default();
    extra.parse().unwrap_or(0)
}

// The numbers bound the preemptions for two CPUs that take the lock twice each, and for three that
// take it once each: as many as a few seconds allow.
explore_all! {
    native: Model<false>, Native, Idx3, 3, 1;
    native_bit: Model<false>, Native, SpareBit, 3, 1;
    fifo: Model<true>, Fifo, Idx3, 2, 1;
    fifo_bit: Model<true>, Fifo, SpareBit, 2, 1;
    fifo_undisturbed: Model<false>, Fifo, Idx3, 2, 1;
    fifo_halt: Model<false>, FifoHalt, Idx3, 3, 2;
    fifo_halt_bit: Model<false>, FifoHalt, SpareBit, 3, 2;
    fifo_holder: Model<false>, FifoHolder, Idx3, 3, 2;
    fifo_holder_bit: Model<false>, FifoHolder, SpareBit, 3, 2;
    bounded: Model<true>, Bounded<1_000>, Idx3, 1, 1;
    bounded_bit: Model<true>, Bounded<1_000>, SpareBit, 1, 1;
}
