//! CPUs that are coroutines of one thread hand a lock around: the same steps in every run.

use std::cell::Cell;
use std::ptr;

use corosensei::{Coroutine, CoroutineResult, Yielder};
use pvqspin::{Bounded, Budget, Cpu, CpuNodes, Env, Fifo, FifoHalt, Native, Policy, QSpinLock};

const CPUS: usize = 4;

static NODES: [CpuNodes; CPUS] = [const { CpuNodes::new() }; CPUS];

thread_local! {
    static RUNS: Cell<usize> = const { Cell::new(0) };
    static YIELDERS: [Cell<*const Yielder<(), ()>>; CPUS] =
        const { [const { Cell::new(ptr::null()) }; CPUS] };
    static WAITS_FOR: [Cell<Option<Cpu>>; CPUS] = const { [const { Cell::new(None) }; CPUS] };
}

/// The next CPU goes on.
fn pause() {
    let yielder = YIELDERS.with(|yielders| yielders[RUNS.get()].get());
    // SAFETY: each coroutine notes its own before it runs anything else, and outlives this call.
    unsafe { (*yielder).suspend(()) };
}

struct Turns;

impl Env for Turns {
    fn cpu() -> Cpu {
        Cpu::new(RUNS.get()).expect("in range")
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }

    // Every CPU runs, so that no budget ends.
    fn spin_until(mut condition: impl FnMut() -> bool, _budget: Budget) -> bool {
        while !condition() {
            pause();
        }
        true
    }

    fn pressure() -> bool {
        true
    }

    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        WAITS_FOR.with(|edges| edges[RUNS.get()].replace(cpu))
    }

    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        WAITS_FOR.with(|edges| edges[cpu.index()].get())
    }

    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        WAITS_FOR.with(|edges| edges[cpu.index()].set(to));
    }
}

/// Each CPU takes the lock so often, and gives it away when all others wait for it.
fn hand_around<P: Policy>(cpus: usize, times: usize) {
    let lock: &'static _ = Box::leak(Box::new(QSpinLock::<Turns, P>::new()));
    let mut all: Vec<_> = (0..cpus)
        .map(|cpu| {
            Coroutine::<(), (), ()>::new(move |yielder, ()| {
                YIELDERS.with(|yielders| yielders[cpu].set(yielder));
                for _ in 0..times {
                    let token = lock.lock();
                    pause();
                    // SAFETY: taken above, on this CPU.
                    unsafe { lock.unlock(token) };
                }
            })
        })
        .collect();
    let mut running = true;
    while running {
        running = false;
        for (cpu, coroutine) in all.iter_mut().enumerate() {
            if !coroutine.done() {
                RUNS.set(cpu);
                running |= matches!(coroutine.resume(()), CoroutineResult::Yield(()));
            }
        }
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [policy, cpus, times] = &arguments[..] else {
        panic!("policy, CPUs, times");
    };
    let number = |text: &str| text.parse().expect("a number");
    let (cpus, times) = (number(cpus), number(times));
    match policy.as_str() {
        "native" => hand_around::<Native>(cpus, times),
        "fifo" => hand_around::<Fifo>(cpus, times),
        "fifo-halt" => hand_around::<FifoHalt>(cpus, times),
        "bounded" => hand_around::<Bounded<1_000>>(cpus, times),
        _ => panic!("no policy '{policy}'"),
    }
}
