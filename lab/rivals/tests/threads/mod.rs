//! An environment for locks in which every CPU is a thread, and the host is a few lines.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pvqspin::{
    Budget, Cpu, CpuNodes, Env, Generation, Hint, Point, RunSample, RunState, Sleep, Status,
};

/// The host gives every wait the budget that the lock asks for, and preempts no vCPU.
pub(crate) const PATIENT: u8 = 0;
/// Every budget is a few looks, there is always pressure, and halts are the rule.
pub(crate) const HASTY: u8 = 1;
/// As hasty; besides, samples are random, and some halts end by themselves.
pub(crate) const LYING: u8 = 2;

/// How long a halt may last before its wake-up counts as lost.
const HALT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_CPUS: usize = 8;

/// The environment under a host of this mood.
pub(crate) struct Threads<const MOOD: u8>;

/// What was asked of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) halts: u64,
    pub(crate) kicks: u64,
    pub(crate) yields: u64,
    /// Halts that no kick ended.
    pub(crate) timeouts: u64,
}

static NODES: [CpuNodes; MAX_CPUS] = [const { CpuNodes::new() }; MAX_CPUS];
static KICKED: [Mutex<bool>; MAX_CPUS] = [const { Mutex::new(false) }; MAX_CPUS];
static WAKE: [Condvar; MAX_CPUS] = [const { Condvar::new() }; MAX_CPUS];
static HALTS: AtomicU64 = AtomicU64::new(0);
static KICKS: AtomicU64 = AtomicU64::new(0);
static YIELDS: AtomicU64 = AtomicU64::new(0);
static TIMEOUTS: AtomicU64 = AtomicU64::new(0);
/// All of the above belongs to one run at a time.
static RUN: Mutex<()> = Mutex::new(());

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// Runs `body` on so many CPUs, to the end of all of them.
pub(crate) fn run<const MOOD: u8>(cpus: usize, body: impl Fn(usize) + Sync) -> Calls {
    let _one_at_a_time = locked(&RUN);
    for counter in [&HALTS, &KICKS, &YIELDS, &TIMEOUTS] {
        counter.store(0, Relaxed);
    }
    KICKED.iter().for_each(|kicked| *locked(kicked) = false);
    NODES.iter().for_each(CpuNodes::reset);
    let seed = std::env::var("PVQSPIN_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0x5eed);
    println!("PVQSPIN_SEED={seed}");
    let all_started = Barrier::new(cpus);
    std::thread::scope(|scope| {
        for cpu in 0..cpus {
            let (body, all_started) = (&body, &all_started);
            scope.spawn(move || {
                CPU.set(cpu);
                RANDOM.set((seed + cpu as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                all_started.wait();
                body(cpu);
            });
        }
    });
    Calls {
        halts: HALTS.load(Relaxed),
        kicks: KICKS.load(Relaxed),
        yields: YIELDS.load(Relaxed),
        timeouts: TIMEOUTS.load(Relaxed),
    }
}

/// In a critical section: lets other threads run now and then, so that the lock is contended even
/// where there are few CPUs.
pub(crate) fn maybe_preempted(section: u64) {
    if section.is_multiple_of(8) {
        std::thread::yield_now();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// xorshift64: a different sequence on each thread.
fn random_below(limit: u64) -> u64 {
    let mut x = RANDOM.get() | 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    RANDOM.set(x);
    (x >> 32) % limit
}

impl<const MOOD: u8> Env for Threads<MOOD> {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    fn cpu() -> Cpu {
        Cpu::new(CPU.get()).expect("in range")
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let looks = match (budget.get(), MOOD) {
            (None, _) => u64::MAX,
            // A look is a trip through the scheduler here, about a microsecond.
            (Some(ns), PATIENT) => u64::from(ns) / 500 + 1,
            (Some(_), _) => 2,
        };
        for _ in 0..looks {
            if condition() {
                return true;
            }
            std::thread::yield_now();
        }
        let held = condition();
        if !held && MOOD != PATIENT {
            // What the caller waits for may happen right here: the race that halting must survive.
            std::thread::yield_now();
        }
        held
    }

    fn run_sample(_cpu: Cpu) -> RunSample {
        if MOOD != LYING || random_below(3) > 0 {
            return RunSample::RUNNING;
        }
        RunSample::new(
            RunState::Preempted,
            Generation::new(random_below(100) as u32),
        )
    }

    fn pressure() -> bool {
        MOOD != PATIENT
    }

    fn yield_to(_hint: Hint) -> Status {
        YIELDS.fetch_add(1, Relaxed);
        std::thread::yield_now();
        Status::from_register(random_below(4))
    }

    fn now_ns() -> u64 {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        // Never 0, which stands for an environment without a clock.
        START.elapsed().as_nanos() as u64 + 1
    }

    fn checkpoint(_point: Point) {
        if MOOD != PATIENT && random_below(4) == 0 {
            std::thread::yield_now();
        }
    }
}

impl<const MOOD: u8> Threads<MOOD> {
    fn halt(_hint: Option<Hint>) {
        HALTS.fetch_add(1, Relaxed);
        let me = CPU.get();
        let mut kicked = locked(&KICKED[me]);
        if MOOD == LYING && random_below(4) == 0 {
            return;
        }
        let until = Instant::now() + HALT_TIMEOUT;
        while !*kicked {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                TIMEOUTS.fetch_add(1, Relaxed);
                return;
            }
            kicked = WAKE[me]
                .wait_timeout(kicked, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *kicked = false;
    }

    fn kick(cpu: Cpu) {
        KICKS.fetch_add(1, Relaxed);
        *locked(&KICKED[cpu.index()]) = true;
        WAKE[cpu.index()].notify_one();
    }
}
