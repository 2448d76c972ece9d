//! The loop of a pCPU: a thread pinned to a CPU, which enters vCPUs and brings their exits to `host`.
//!
//! ```text
//!            +------------------------- event -------------------------+
//!            v                                                         |
//!   [HOST] what does host say? -- nothing --> [IDLE] poll for a poke --+
//!            |                                                         |
//!            | a vCPU                                                  |
//!            v                                                         |
//!   [GUEST] set the timer, poked meanwhile? -- yes --------------------+
//!            | no                                                      |
//!            +-- enter ... guest code ... leave: signal, hypercall ----+
//! ```
//!
//! Two pCPUs agree about pokes without the lock of the host: see [`pcpu`](crate::pcpu).
//!
//! A vCPU has left its stack before its exit becomes an event, and becomes another pCPU's to run
//! only through `host`'s lock. After the lock is released this pCPU touches nothing of it.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use pvqspin_abi::{Hypercall, RunState, Status};
use pvqspin_host::{Host, Registration, Run, VcpuId};

use crate::context;
use crate::host_lock::HostLock;
use crate::pcpu::{Mode, Pcpu};
use crate::pcpu_signal::set_blocked;
use crate::vcb::{ExitReason, Vcb};
use pvqspin_driver_common::GuestMemory;
use pvqspin_driver_common::{Ring, TraceEvent, What};
use pvqspin_real_time::clock;

/// All that the pCPUs of a run share.
pub(crate) struct Shared {
    pub(crate) host: HostLock<Hosted>,
    /// What the guests have said about their pages, by VM.
    pub(crate) registrations: Mutex<Vec<Registration>>,
    pub(crate) pcpus: Box<[Pcpu]>,
    /// By number on the host.
    pub(crate) vcbs: Vec<&'static Vcb>,
    pub(crate) stop: AtomicBool,
    /// What a hypercall costs beside the switch, in nanoseconds.
    pub(crate) hypercall_ns: u64,
    /// How long a halt may last before it counts as a lost wake-up.
    pub(crate) halt_timeout_ns: u64,
    pub(crate) next_halt_check: AtomicU64,
    /// A halt is as long as the time since then, if it began before: see [`Driver::check_halts`].
    pub(crate) halts_count_from: AtomicU64,
    /// Where no pCPU has looked for so long, none of them ran.
    pub(crate) stood_still_ns: u64,
    pub(crate) halt_timeouts: AtomicU64,
    /// How many vCPUs have ended.
    pub(crate) ended: AtomicU64,
}

/// How often the pCPUs look for halts that last too long.
const HALT_CHECK_NS: u64 = 20_000_000;

/// The host, and the latest time it was told.
pub(crate) struct Hosted {
    pub(crate) host: Host<&'static GuestMemory>,
    now: u64,
}

impl Hosted {
    pub(crate) fn new(host: Host<&'static GuestMemory>) -> Self {
        Self { host, now: 0 }
    }

    /// The time, which never goes back for the host, whatever pCPU reads it.
    pub(crate) fn now(&mut self) -> u64 {
        self.now = self.now.max(clock::now_ns());
        self.now
    }
}

impl Shared {
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// The answer to a vCPU that asks what there is, or says where a page is. `None`: it makes a hypercall.
    fn answer(&self, vcb: &Vcb) -> Option<u64> {
        let mut registrations = (self.registrations.lock()).unwrap_or_else(PoisonError::into_inner);
        let pages_at = |from, to| vcb.memory.has_pages_at(from, to);
        (registrations.get_mut(vcb.vm)?).answer(vcb.registers(), pages_at)
    }

    /// Ends the run: every pCPU comes back from wherever it is.
    pub(crate) fn stop(&self) {
        // Before the pokes, whose accesses are sequentially consistent: who sees a poke sees it.
        self.stop.store(true, Ordering::SeqCst);
        self.pcpus.iter().for_each(Pcpu::poke);
    }
}

/// The loop of one pCPU, on its own thread.
pub(crate) struct Driver<'a> {
    shared: &'a Shared,
    me: &'a Pcpu,
    id: pvqspin_host::Pcpu,
    ring: Ring,
    /// The pCPUs to poke once the host's lock is released.
    pokes: Vec<usize>,
    /// The second half of a hypercall's cost, due at the next entry.
    cost_ns: u64,
    last: Option<VcpuId>,
    /// Whether the signal is blocked on this thread: see `signal`.
    signal_blocked: bool,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(shared: &'a Shared, me: &'a Pcpu, trace_events: usize) -> Self {
        Self {
            shared,
            me,
            id: pvqspin_host::Pcpu::new(me.index() as u32),
            ring: Ring::touched(trace_events),
            pokes: Vec::with_capacity(shared.pcpus.len()),
            cost_ns: 0,
            last: None,
            signal_blocked: false,
        }
    }

    /// Runs until the run is stopped.
    pub(crate) fn run(mut self) -> Ring {
        let mut run = self.reschedule();
        while !self.shared.stopped() {
            run = match run.vcpu {
                Some(vcpu) => self.guest(vcpu, run),
                None => self.idle(run.until),
            };
        }
        self.ring
    }

    fn idle(&mut self, until: Option<u64>) -> Run {
        self.record(What::Idle, None);
        self.last = None;
        self.me.set_mode(Mode::Idle);
        while !self.me.take_poke() && !self.shared.stopped() {
            let now = clock::now_ns();
            if until.is_some_and(|until| now >= until) {
                break;
            }
            self.check_halts(now);
            core::hint::spin_loop();
        }
        self.me.set_mode(Mode::Host);
        self.reschedule()
    }

    /// Lets a vCPU run until it exits, and brings the exit to the host.
    fn guest(&mut self, vcpu: VcpuId, run: Run) -> Run {
        if run.until.is_some_and(|until| clock::now_ns() >= until) {
            return self.reschedule();
        }
        let vcb = self.shared.vcbs[vcpu.index()];
        clock::busy_wait(core::mem::take(&mut self.cost_ns));
        if self.last != Some(vcpu) {
            self.last = Some(vcpu);
            self.record(What::Enter, Some(vcb.vcpu));
        }
        self.set_signal_blocked(vcb.left_by_signal());
        self.me.set_mode(Mode::Guest);
        if let Some(until) = run.until {
            self.me.timer.arm(until);
        }
        if self.me.take_poke() {
            self.me.set_mode(Mode::Host);
            return self.reschedule();
        }
        account_for_entry(vcb, self.me);
        // SAFETY: the host says that the vCPU is on this pCPU, and says so of one pCPU at a time;
        // the former pCPU left its stack before telling the host. Its stack was prepared by
        // the session. This is the thread's own stack.
        unsafe { context::enter(vcb) };
        vcb.left_ticks.store(clock::ticks(), Relaxed);
        self.me.set_mode(Mode::Host);
        self.signal_blocked = vcb.left_by_signal();
        self.exited(vcb, run)
    }

    fn set_signal_blocked(&mut self, blocked: bool) {
        if self.signal_blocked != blocked {
            self.signal_blocked = blocked;
            set_blocked(blocked);
        }
    }

    fn exited(&mut self, vcb: &Vcb, run: Run) -> Run {
        match vcb.exit_reason() {
            ExitReason::Timer => {
                let why = if self.me.is_poked() {
                    What::Poked
                } else {
                    What::SliceEnd
                };
                self.record(why, Some(vcb.vcpu));
                self.check_halts(clock::now_ns());
                self.reschedule()
            }
            ExitReason::Hypercall => self.hypercall(vcb, run),
            ExitReason::Fault => {
                self.record(What::Fault(None), Some(vcb.vcpu));
                let id = self.id;
                self.event(|host, now| host.preempt(now, id).run)
            }
            // No vCPU leaves as new: one that says so is treated as ended.
            ExitReason::Done | ExitReason::New => {
                self.record(What::Done, Some(vcb.vcpu));
                self.shared.ended.fetch_add(1, Relaxed);
                let id = self.id;
                self.event(|host, now| host.exit(now, id).run)
            }
        }
    }

    fn hypercall(&mut self, vcb: &Vcb, run: Run) -> Run {
        // Half the cost on the way in, half on the way out to the next vCPU.
        let half = self.shared.hypercall_ns / 2;
        clock::busy_wait(half);
        self.cost_ns = self.shared.hypercall_ns - half;

        if let Some(answer) = self.shared.answer(vcb) {
            vcb.set_answer(answer);
            return run;
        }
        let [number, cpu, generation] = vcb.registers();
        let Some(call) = Hypercall::from_registers(number, cpu, generation) else {
            vcb.set_status(Status::Refused);
            self.record(What::BadCall, Some(vcb.vcpu));
            return run;
        };
        let id = self.id;
        let vcpu = vcb.vcpu;
        let outcome = self.event(|host, now| {
            let outcome = host.hypercall(now, id, call);
            // Still under the lock: once it is free, the caller may run elsewhere, and be gone.
            vcb.set_status(outcome.status);
            vcb.calls.count(call, outcome.status);
            outcome
        });
        let status = outcome.status;
        let what = match call {
            Hypercall::Halt(hint) => What::Halt(hint.map(|hint| hint.cpu), status),
            Hypercall::Kick(cpu) => What::Kick(cpu, status),
            Hypercall::YieldTo(hint) => What::YieldTo(hint.cpu, status),
        };
        self.record(what, Some(vcpu));
        outcome.run
    }

    fn reschedule(&mut self) -> Run {
        let id = self.id;
        self.event(|host, now| host.reschedule(now, id))
    }

    /// Tells the host what happened, and pokes the pCPUs that it wants poked.
    fn event<R>(&mut self, tell: impl FnOnce(&mut Host<&'static GuestMemory>, u64) -> R) -> R {
        let result = {
            let mut hosted = self.shared.host.lock();
            let now = hosted.now();
            let result = tell(&mut hosted.host, now);
            while let Some(pcpu) = hosted.host.next_poke() {
                self.pokes.push(pcpu.index());
            }
            result
        };
        while let Some(pcpu) = self.pokes.pop() {
            self.record(What::Poke(pcpu as u32), None);
            if let Some(pcpu) = self.shared.pcpus.get(pcpu) {
                pcpu.poke();
            }
        }
        result
    }

    /// Wakes the vCPUs that have halted for too long: no kick was going to.
    ///
    /// If no pCPU has looked for a long time, none of them can have run. That time is not part of any
    /// halt, so all halts begin again.
    fn check_halts(&mut self, now: u64) {
        let due = self.shared.next_halt_check.load(Relaxed);
        let next = now + HALT_CHECK_NS;
        let is_mine = now >= due
            && (self.shared.next_halt_check)
                .compare_exchange(due, next, Relaxed, Relaxed)
                .is_ok();
        if !is_mine {
            return;
        }
        if due != 0 && now > due + self.shared.stood_still_ns {
            self.shared.halts_count_from.store(now, Relaxed);
        }
        for index in 0..self.shared.vcbs.len() {
            let vcb = self.shared.vcbs[index];
            if !self.halted_too_long(vcb, now) {
                continue;
            }
            let woken = self.event(|host, now| host.halt_timeout(now, VcpuId::new(vcb.vcpu)));
            if woken {
                self.shared.halt_timeouts.fetch_add(1, Relaxed);
                self.record(What::HaltTimeout, Some(vcb.vcpu));
            }
        }
    }

    fn halted_too_long(&self, vcb: &Vcb, now: u64) -> bool {
        let state = vcb.memory.page(vcb.cpu).run().state();
        let left_ns = clock::at_ns(vcb.left_ticks.load(Relaxed));
        let since = left_ns.max(self.shared.halts_count_from.load(Relaxed));
        state == RunState::Halted && now.saturating_sub(since) > self.shared.halt_timeout_ns
    }

    fn record(&mut self, what: What, vcpu: Option<u32>) {
        self.ring.push(TraceEvent {
            at_ns: clock::now_ns(),
            pcpu: Some(self.me.index() as u32),
            vcpu,
            what,
        });
    }
}

/// Brings a vCPU's clock up to date before it is entered.
pub(crate) fn account_for_entry(vcb: &Vcb, pcpu: &Pcpu) {
    vcb.pcpu
        .store(core::ptr::from_ref(pcpu).cast_mut(), Relaxed);
    let now = clock::ticks();
    let away = now.wrapping_sub(vcb.left_ticks.load(Relaxed));
    let stolen = vcb.time.stolen_ticks.load(Relaxed);
    vcb.time
        .stolen_ticks
        .store(stolen.wrapping_add(away), Relaxed);
    vcb.left_ticks.store(now, Relaxed);
    // A hypercall that comes straight back does not count as having been away.
    let generation = vcb.memory.page(vcb.cpu).run().generation().get();
    if vcb.generation.swap(generation, Relaxed) != generation {
        vcb.time.entered_ticks.store(now, Relaxed);
    }
}
