//! What the rivals ask of the host, step by step, on a single thread that plays all CPUs.
//!
//! When the lock under test halts or yields, the script takes over: it notes the call, plays the
//! other CPUs, and returns.

use std::cell::{Cell, RefCell};

use pvqspin::{Budget, Cpu, CpuNodes, Env, Generation, Hint, RunSample, RunState, Sleep, Status};
use pvqspin_rivals::Lock;
use pvqspin_rivals::linux_pv::LinuxPv;
use pvqspin_rivals::malthusian::Malthusian;
use pvqspin_rivals::powerpc::Powerpc;
use pvqspin_rivals::pv_ticket::PvTicket;
use pvqspin_rivals::s390_queued::S390Queued;
use pvqspin_rivals::unfair_hinted::UnfairHinted;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    Halt(Option<Hint>),
    Kick(Cpu),
    YieldTo(Hint),
    /// Waited in vain, for a budget of so many ns.
    Waited(u32),
}

type Script = Box<dyn FnMut(Call) -> Status>;

thread_local! {
    static ME: Cell<usize> = const { Cell::new(0) };
    static SAMPLES: Cell<[RunSample; 3]> = const { Cell::new([RunSample::RUNNING; 3]) };
    static BUDGET_WAS_GONE: Cell<bool> = const { Cell::new(false) };
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

static NODES: [CpuNodes; 3] = [const { CpuNodes::new() }; 3];

struct Scripted;

fn cpu(index: usize) -> Cpu {
    Cpu::new(index).expect("in range")
}

fn host(call: Call) -> Status {
    CALLS.with_borrow_mut(|calls| calls.push(call));
    // Taken out while it runs: what it plays may call the host again.
    let script = SCRIPT.take();
    let Some(mut script) = script else {
        return Status::Refused;
    };
    let status = script(call);
    SCRIPT.set(Some(script));
    status
}

impl Env for Scripted {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    fn cpu() -> Cpu {
        cpu(ME.get())
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        if condition() {
            return true;
        }
        let ns = budget.get().expect("would wait for ever");
        host(Call::Waited(ns));
        // What the script did came too late for this wait.
        !BUDGET_WAS_GONE.get() && condition()
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        SAMPLES.get()[cpu.index()]
    }

    fn yield_to(hint: Hint) -> Status {
        host(Call::YieldTo(hint))
    }
}

impl Scripted {
    fn halt(hint: Option<Hint>) {
        host(Call::Halt(hint));
    }

    fn kick(cpu: Cpu) {
        host(Call::Kick(cpu));
    }
}

/// Plays `cpu` for a moment.
fn as_cpu<T>(cpu: usize, play: impl FnOnce() -> T) -> T {
    let before = ME.replace(cpu);
    let result = play();
    ME.set(before);
    result
}

fn set_sample(cpu: usize, state: RunState, generation: u32) {
    let mut samples = SAMPLES.get();
    samples[cpu] = RunSample::new(state, Generation::new(generation));
    SAMPLES.set(samples);
}

/// CPU 0 takes the lock, then CPU 1 does, with this script in charge whenever it stalls. The
/// script is told how CPU 0 releases. Returns the calls until CPU 1 has the lock.
fn contend<L: Lock<Scripted>>(
    script: impl FnMut(Call, &mut dyn FnMut()) -> Status + 'static,
) -> Vec<Call> {
    let lock: &'static L = Box::leak(Box::new(L::new(3)));
    let mut script = script;
    let mut token = Some(as_cpu(0, || lock.lock()));
    SCRIPT.set(Some(Box::new(move |call| {
        let mut release = || {
            let token = token.take().expect("released twice");
            // SAFETY: CPU 0 holds the lock since the start, with this token.
            as_cpu(0, || unsafe { lock.unlock(token) });
        };
        script(call, &mut release)
    })));
    let token = as_cpu(1, || lock.lock());
    let calls = CALLS.take();
    // SAFETY: taken in the line before the last.
    as_cpu(1, || unsafe { lock.unlock(token) });
    SCRIPT.set(None);
    assert_eq!(CALLS.take(), [], "an uncontended release makes no call");
    calls
}

fn hint(index: usize, generation: u32) -> Hint {
    Hint {
        cpu: cpu(index),
        generation: Generation::new(generation),
    }
}

/// What a lock does under a preempted owner, which releases as soon as it is run.
fn calls_under_a_preempted_owner<L: Lock<Scripted>>() -> Vec<Call> {
    set_sample(0, RunState::Preempted, 7);
    contend::<L>(|_call, release| {
        set_sample(0, RunState::Running, 8);
        release();
        Status::Ran
    })
}

#[test]
fn those_who_know_the_owner_name_it_and_its_generation() {
    let expected = [Call::YieldTo(hint(0, 7))];
    assert_eq!(
        calls_under_a_preempted_owner::<UnfairHinted<Scripted>>(),
        expected
    );
    assert_eq!(
        calls_under_a_preempted_owner::<Powerpc<Scripted>>(),
        expected
    );
    assert_eq!(
        calls_under_a_preempted_owner::<S390Queued<Scripted>>(),
        expected
    );
}

#[test]
fn a_power_newcomer_is_patient_for_32_rounds_and_then_a_head_for_256() {
    let mut waits = 0;
    let calls = contend::<Powerpc<Scripted>>(move |_call, release| {
        waits += 1;
        if waits == 2 {
            release();
        }
        Status::Ran
    });
    use pvqspin_rivals::powerpc::{HEAD_NS, STEAL_NS};
    assert_eq!(calls, [Call::Waited(STEAL_NS), Call::Waited(HEAD_NS)]);
}

#[test]
fn hinted_asks_again_at_once_after_a_stale_hint() {
    set_sample(0, RunState::Preempted, 7);
    let mut tries = 0;
    let calls = contend::<UnfairHinted<Scripted>>(move |_call, release| {
        tries += 1;
        if tries == 1 {
            set_sample(0, RunState::Preempted, 9);
            return Status::Stale;
        }
        release();
        Status::Ran
    });
    assert_eq!(
        calls,
        [Call::YieldTo(hint(0, 7)), Call::YieldTo(hint(0, 9))]
    );
}

#[test]
fn hinted_backs_off_when_the_host_would_not() {
    for status in [Status::AlreadyRunning, Status::Refused] {
        set_sample(0, RunState::Preempted, 7);
        let calls = contend::<UnfairHinted<Scripted>>(move |call, release| {
            if matches!(call, Call::Waited(_)) {
                release();
            }
            status
        });
        let backed_off = Call::Waited(pvqspin_rivals::unfair_hinted::RETRY_NS);
        assert_eq!(calls, [Call::YieldTo(hint(0, 7)), backed_off]);
    }
}

#[test]
fn hinted_does_not_sleep_on_news_of_the_owner() {
    set_sample(0, RunState::Preempted, 7);
    let mut yields = 0;
    let calls = contend::<UnfairHinted<Scripted>>(move |_call, release| {
        yields += 1;
        // It ran between our look and the call, and is preempted again: no reason to wait.
        set_sample(0, RunState::Preempted, 7 + yields);
        if yields == 2 {
            release();
        }
        Status::AlreadyRunning
    });
    assert_eq!(
        calls,
        [Call::YieldTo(hint(0, 7)), Call::YieldTo(hint(0, 8))]
    );
}

/// The script of the halting locks: the owner releases while CPU 1 is halted.
fn release_in_halt(call: Call, release: &mut dyn FnMut()) -> Status {
    if matches!(call, Call::Halt(_)) {
        release();
    }
    Status::Ran
}

#[test]
fn pv_ticket_halts_blindly_and_kicks_the_next_ticket() {
    let calls = contend::<PvTicket<Scripted>>(release_in_halt);
    let spun = Call::Waited(pvqspin_rivals::pv_ticket::SPIN_NS);
    assert_eq!(calls, [spun, Call::Halt(None), Call::Kick(cpu(1))]);
}

#[test]
fn linux_pv_hashes_a_halted_front_and_its_unlock_kicks() {
    let calls = contend::<LinuxPv<Scripted>>(release_in_halt);
    let spun = Call::Waited(pvqspin_rivals::linux_pv::SPIN_NS);
    assert_eq!(calls, [spun, Call::Halt(None), Call::Kick(cpu(1))]);
}

#[test]
fn a_malthusian_waiter_parks_and_the_grant_kicks_it() {
    let calls = contend::<Malthusian<Scripted>>(release_in_halt);
    let spun = Call::Waited(pvqspin_rivals::malthusian::SPIN_NS);
    assert_eq!(calls, [spun, Call::Halt(None), Call::Kick(cpu(1))]);
}

#[test]
fn a_release_before_the_halt_makes_the_halt_unnecessary() {
    // Released at the very end of the budget of CPU 1, which sees it in time, or does not.
    let released_in_time = |call: Call, release: &mut dyn FnMut()| {
        assert!(matches!(call, Call::Waited(_)));
        release();
        Status::Ran
    };
    for too_late in [false, true] {
        BUDGET_WAS_GONE.set(too_late);
        assert_eq!(contend::<PvTicket<Scripted>>(released_in_time).len(), 1);
        assert_eq!(contend::<LinuxPv<Scripted>>(released_in_time).len(), 1);
        assert_eq!(contend::<Malthusian<Scripted>>(released_in_time).len(), 1);
    }
}

#[test]
fn a_thief_passes_a_halted_front() {
    let lock: &'static LinuxPv<Scripted> = Box::leak(Box::new(LinuxPv::new(3)));
    as_cpu(0, || lock.lock());
    let mut halts = 0;
    SCRIPT.set(Some(Box::new(move |call| {
        match call {
            Call::Halt(_) if halts == 0 => {
                halts += 1;
                // SAFETY: CPU 0 took it first.
                as_cpu(0, || unsafe { lock.unlock(()) });
                // The front sleeps, kicked but not running: CPU 2 comes and just takes it.
                as_cpu(2, || lock.lock());
            }
            Call::Halt(_) => {
                // SAFETY: CPU 2 took it in the branch above.
                as_cpu(2, || unsafe { lock.unlock(()) });
            }
            _ => {}
        }
        Status::Ran
    })));
    as_cpu(1, || lock.lock());
    let spun = Call::Waited(pvqspin_rivals::linux_pv::SPIN_NS);
    let round = [spun, Call::Halt(None), Call::Kick(cpu(1))];
    assert_eq!(CALLS.take(), [round, round].concat());
    SCRIPT.set(None);
}
