//! The hosts that the lock runs on under loom, and what each says.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;

use loom::sync::{Condvar, Mutex};
use loom::thread;
use pvqspin::{
    Budget, Cpu, CpuNodes, Env, Generation, Hint, Point, RunSample, RunState, Sleep, Status,
};

/// How many CPUs there are at most.
pub(crate) const CPUS: usize = 4;

loom::thread_local! {
    static CPU: Cell<usize> = Cell::new(0);
}

/// From here on this thread is that CPU.
pub(crate) fn become_cpu(cpu: usize) {
    CPU.with(|cell| cell.set(cpu));
}

/// Closed until it is opened.
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
    pub(crate) static ref NODES: [CpuNodes; CPUS] = std::array::from_fn(|_| CpuNodes::new());
    static ref GATE: Gate = Gate {
        is_open: Mutex::new(false),
        bell: Condvar::new(),
    };
    static ref HALTS: [Halt; CPUS] = std::array::from_fn(|_| Halt {
        kicked: Mutex::new(false),
        bell: Condvar::new(),
    });
}

pub(crate) fn numbered(cpu: usize) -> Cpu {
    Cpu::new(cpu).expect("in range")
}

/// What the host knows in one execution. It is advice to the lock, so loom need not order it: all
/// threads of an execution are one thread of the test.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known {
    asleep: [bool; CPUS],
    /// How many have been asleep at once.
    most_asleep: usize,
    edges: [Option<Cpu>; CPUS],
    /// Who has taken the lock after a wait, and not released it.
    holds: [bool; CPUS],
    /// Whose last call was refused, and who has not waited since.
    refused: [bool; CPUS],
    /// Calls that asked to run a CPU.
    yields: usize,
}

impl Known {
    pub(crate) fn sleepers(&self) -> usize {
        self.asleep.iter().filter(|&&asleep| asleep).count()
    }
}

/// How often something happened in all executions of a test: what never happens was not checked.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Reached {
    pub(crate) halts: usize,
    /// Kicks by who holds the lock: `wake_in_time`.
    pub(crate) kicks_of_holders: usize,
    /// Kicks by who waits for it: `wake_head_in_time`.
    pub(crate) kicks_of_waiters: usize,
    /// Locks taken at once after a refusal: `overtake_refused`.
    pub(crate) taken_when_refused: usize,
    /// Locks taken without a node: by a look.
    pub(crate) taken_by_look: usize,
}

std::thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
    static REACHED: RefCell<Reached> = RefCell::default();
}

/// A new execution begins.
pub(crate) fn begin() {
    KNOWN.set(Known::default());
}

pub(crate) fn known() -> Known {
    KNOWN.with_borrow(|known| *known)
}

fn learn<R>(what: impl FnOnce(&mut Known) -> R) -> R {
    KNOWN.with_borrow_mut(what)
}

/// What this test has reached so far.
pub(crate) fn reached() -> Reached {
    REACHED.with_borrow(|reached| *reached)
}

fn note(what: impl FnOnce(&mut Reached)) {
    REACHED.with_borrow_mut(what);
}

/// What a host says.
pub(crate) trait Host: 'static {
    /// Of another CPU that is awake.
    const AWAKE: RunState;

    /// Of one that sleeps.
    const ASLEEP: RunState = RunState::Halted;

    /// How many have to sleep until none wants a pCPU any more.
    const CALM_AFTER: usize = usize::MAX;

    /// The answers to the calls that ask to run a CPU, in turns.
    const ANSWERS: &'static [Status] = &[Status::Ran];

    /// How much time such a call takes, in ns.
    const CALL_NS: u64 = 0;

    /// Whether CPUs lend their pCPUs.
    const LENDS: bool = true;

    /// How often a newcomer looks.
    const LOOKS: u32 = 0;
}

/// Every CPU runs.
pub(crate) struct AllRun;

impl Host for AllRun {
    const AWAKE: RunState = RunState::Running;
    const ASLEEP: RunState = RunState::Running;
}

/// Every CPU runs, and newcomers look before they queue.
pub(crate) struct NewcomersLook;

impl Host for NewcomersLook {
    const AWAKE: RunState = RunState::Running;
    const LOOKS: u32 = 2;
}

/// Every other CPU is preempted, always; yields run any thread that loom likes.
pub(crate) struct AllPreempted;

impl Host for AllPreempted {
    const AWAKE: RunState = RunState::Preempted;
    const ASLEEP: RunState = RunState::Preempted;
}

/// The same, and none lends its pCPU: those behind a head pass over it.
pub(crate) struct NoneLends;

impl Host for NoneLends {
    const AWAKE: RunState = RunState::Preempted;
    const ASLEEP: RunState = RunState::Preempted;
    const LENDS: bool = false;
}

/// Every CPU runs or sleeps, and none wants a pCPU once so many slept.
pub(crate) struct Calms<const AFTER: usize>;

impl<const AFTER: usize> Host for Calms<AFTER> {
    const AWAKE: RunState = RunState::Running;
    const CALM_AFTER: usize = AFTER;
}

/// Every other CPU is preempted or asleep, and the host runs none that is asked for. A call later
/// every wait is too old to be passed over.
pub(crate) struct Refuses<const CALM_AFTER: usize>;

impl<const CALM_AFTER: usize> Host for Refuses<CALM_AFTER> {
    const AWAKE: RunState = RunState::Preempted;
    const CALM_AFTER: usize = CALM_AFTER;
    const ANSWERS: &'static [Status] = &[Status::Refused];
    const CALL_NS: u64 = 2_000_000;
}

/// The same, but its answers differ.
pub(crate) struct Fickle;

impl Host for Fickle {
    const AWAKE: RunState = RunState::Preempted;
    const ANSWERS: &'static [Status] = &[
        Status::Stale,
        Status::Refused,
        Status::AlreadyRunning,
        Status::Refused,
        Status::Ran,
    ];
    const CALL_NS: u64 = 2_000_000;
}

/// `LATE`: where CPU 3 stands until CPU 2 has taken the lock, and CPU 1 since it joined: [`NOWHERE`],
/// or a number of [`Point`].
pub(crate) struct Model<H, const LATE: u8 = NOWHERE>(PhantomData<H>);

/// Each waiter has given its node back. Asked when all have ended.
pub(crate) fn all_nodes_are_given_back() {
    for nodes in NODES.iter() {
        assert_eq!(nodes.in_use(), 0, "a node was not given back");
    }
}

pub(crate) const NOWHERE: u8 = u8::MAX;

impl<H: Host, const LATE: u8> Env for Model<H, LATE> {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    const LOOKS: u32 = H::LOOKS;

    fn cpu() -> Cpu {
        numbered(CPU.with(Cell::get))
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        learn(|known| known.refused[Self::cpu().index()] = false);
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
        let state = if cpu == Self::cpu() {
            RunState::Running
        } else if known().asleep[cpu.index()] {
            H::ASLEEP
        } else {
            H::AWAKE
        };
        RunSample::new(state, Generation::new(0))
    }

    fn pressure() -> bool {
        known().most_asleep < H::CALM_AFTER
    }

    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        learn(|known| std::mem::replace(&mut known.edges[Self::cpu().index()], cpu))
    }

    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        known().edges[cpu.index()]
    }

    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        learn(|known| known.edges[cpu.index()] = to);
    }

    fn cpu_count() -> usize {
        CPUS
    }

    fn yield_to(_hint: Hint) -> Status {
        thread::yield_now();
        learn(|known| {
            let status = H::ANSWERS[known.yields % H::ANSWERS.len()];
            known.yields += 1;
            known.refused[Self::cpu().index()] = status == Status::Refused;
            status
        })
    }

    fn may_lend() -> bool {
        H::LENDS
    }

    fn now_ns() -> u64 {
        known().yields as u64 * H::CALL_NS
    }

    fn checkpoint(point: Point) {
        let me = Self::cpu().index();
        match point {
            Point::Taken => {
                let at_once = learn(|known| {
                    known.holds[me] = true;
                    known.refused[me]
                });
                note(|reached| {
                    reached.taken_when_refused += usize::from(at_once);
                    reached.taken_by_look += usize::from(NODES[me].in_use() == 0);
                });
            }
            Point::Released => learn(|known| known.holds[me] = false),
            _ => {}
        }
        if LATE == NOWHERE {
            return;
        }
        match (me, point) {
            (2, Point::Taken) => GATE.open(),
            (1, Point::Joined) => GATE.wait(),
            (3, late) if late as u8 == LATE => GATE.wait(),
            _ => {}
        }
    }
}

impl<H: Host, const LATE: u8> Model<H, LATE> {
    fn halt(_hint: Option<Hint>) {
        note(|reached| reached.halts += 1);
        let me = Self::cpu().index();
        let halt = &HALTS[me];
        let mut kicked = halt.kicked.lock().expect("no panics");
        while !*kicked {
            learn(|known| {
                known.asleep[me] = true;
                known.most_asleep = known.most_asleep.max(known.sleepers());
            });
            kicked = halt.bell.wait(kicked).expect("no panics");
        }
        learn(|known| known.asleep[me] = false);
        *kicked = false;
    }

    fn kick(cpu: Cpu) {
        let known = known();
        let me = Self::cpu().index();
        note(|reached| {
            reached.kicks_of_holders += usize::from(known.holds[me]);
            // A releaser's edge is gone.
            reached.kicks_of_waiters += usize::from(known.edges[me].is_some());
        });
        let halt = &HALTS[cpu.index()];
        *halt.kicked.lock().expect("no panics") = true;
        halt.bell.notify_one();
    }
}
