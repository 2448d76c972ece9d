//! The thread of one vCPU: it waits for a pCPU's token, runs its guest, and brings exits to the
//! host.
//!
//! ```text
//!   [waits] <──────────────────────────────── another vCPU runs here: hand the token over ───┐
//!      │ token                                                                               │
//!      v                                                                                     │
//!   [drives a pCPU] arm the timer, poked meanwhile? ─ no ─► KVM_RUN ─► exit ─► host: and now? ┤
//!      ^                        │ yes                                                        │
//!      │                        └─► host: what shall I run? ──► me: go on ───────────────────┘
//!      └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! `KVM_RUN` comes back at the end of the slice, because the thread's timer sends it a signal; when
//! the pCPU is poked, for the same reason; and when the guest rings.

use core::sync::atomic::Ordering::Relaxed;

use kvm_ioctls::VcpuFd;
use pvqspin_abi::{Generation, Status};
use pvqspin_host::{Run, VcpuId};
use pvqspin_kvm_boot::doorbell::Ring;
use pvqspin_real_time::clock;
use pvqspin_real_time::timer::Timer;
use rustix::thread::gettid;

use crate::error::{Fatal, Registers};
use crate::exit::{self, Exit, Offence};
use crate::machine::{Machine, Vcpu};
use crate::parker::Pcpu;
use crate::signal::{Registration, SIGNAL};

/// A vCPU's thread, from its first token to the end of the run.
pub(crate) struct VcpuThread<'a> {
    machine: &'a Machine,
    id: VcpuId,
    vcpu: &'a Vcpu,
    fd: &'a mut VcpuFd,
    timer: &'a Timer,
    signals: Registration<'a>,
    thread: i32,
    /// Which generation its `entered_ticks` belong to.
    generation: Option<Generation>,
    /// Whether it has done its work.
    done: bool,
}

/// Runs a vCPU on the calling thread until the run is stopped or the vCPU is done. Returns its
/// registers.
pub(crate) fn run(machine: &Machine, id: VcpuId, fd: &mut VcpuFd) -> Option<Registers> {
    let timer = Timer::new();
    if let Err(error) = timer.create(SIGNAL) {
        machine.fail(Fatal::Host(error));
    }
    let signals = Registration::new(fd, &timer);
    let mut thread = VcpuThread {
        machine,
        id,
        vcpu: &machine.vcpus[id.index()],
        fd,
        timer: &timer,
        signals,
        thread: gettid().as_raw_nonzero().get(),
        generation: None,
        done: false,
    };
    thread.work();
    drop(thread);
    timer.delete();
    Registers::read(fd)
}

impl VcpuThread<'_> {
    fn work(&mut self) {
        let parker = self.machine.parker_of(self.id);
        while !self.done
            && let Some((pcpu, until)) = parker.wait(&self.machine.stop)
        {
            self.drive(&self.machine.pcpus[pcpu], until);
        }
    }

    /// Drives a pCPU as long as the host wants this vCPU on it.
    fn drive(&mut self, pcpu: &Pcpu, until: Option<u64>) {
        let mut run = Run {
            vcpu: Some(self.id),
            until,
        };
        while run.vcpu == Some(self.id) {
            if self.machine.stopped() {
                return;
            }
            run = match self.enter(pcpu, run.until) {
                None => self.reschedule(pcpu),
                Some(exit) => self.exited(pcpu, exit, run),
            };
        }
        self.machine.hand_over(pcpu, run);
    }

    /// Lets the guest run until it exits. `None`: there was no time, or something to do first.
    fn enter(&mut self, pcpu: &Pcpu, until: Option<u64>) -> Option<Exit> {
        if until.is_some_and(|until| clock::now_ns() >= until) {
            return None;
        }
        // First of all: a signal from here on counts.
        self.signals.rearm();
        if let Some(until) = until {
            self.timer.arm(until);
        }
        if !pcpu.enter_guest(self.thread) {
            return None;
        }
        self.account_for_entry();
        let exit = exit::decode(self.fd.run());
        self.vcpu.left_ticks.store(clock::ticks(), Relaxed);
        pcpu.leave_guest();
        Some(exit)
    }

    /// Brings the guest's clock up to date before it is entered.
    fn account_for_entry(&mut self) {
        let Vcpu { cpu, memory, .. } = self.vcpu;
        let time = &memory.cpu_area(*cpu).time;
        let now = clock::ticks();
        let away = now.wrapping_sub(self.vcpu.left_ticks.load(Relaxed));
        let stolen = time.stolen_ticks.load(Relaxed);
        time.stolen_ticks.store(stolen.wrapping_add(away), Relaxed);
        self.vcpu.left_ticks.store(now, Relaxed);
        // A ring that comes straight back does not count as having been away.
        let generation = pvqspin_host::GuestPages::vcpu(memory.as_ref(), *cpu)
            .run()
            .generation();
        if self.generation.replace(generation) != Some(generation) {
            time.entered_ticks.store(now, Relaxed);
        }
    }

    fn exited(&mut self, pcpu: &Pcpu, exit: Exit, run: Run) -> Run {
        match exit {
            Exit::Interrupted => self.reschedule(pcpu),
            Exit::Ring(Ring::Hypercall) => self.hypercall(pcpu, run),
            Exit::Ring(Ring::Ready) => self.ready(run),
            Exit::Ring(Ring::Done) => {
                self.done = true;
                self.machine.ended.fetch_add(1, Relaxed);
                self.machine
                    .event(|host, now| host.exit(now, pcpu.id()).run)
            }
            Exit::Ring(Ring::Probe) => run,
            Exit::Ring(Ring::Panic) => self.fail(Offence::Panic(self.vcpu.memory.message())),
            Exit::Halted => self.fail(Offence::Kvm(
                "HLT in a guest that has a doorbell to ring".to_owned(),
            )),
            Exit::Fatal(offence) => self.fail(offence),
        }
    }

    /// The boot CPU has prepared everything. Its clock must be ours, or no time would mean anything.
    fn ready(&mut self, run: Run) -> Run {
        let memory = self.vcpu.memory.cpu_area(self.vcpu.cpu);
        let theirs = memory.ready_ticks.load(Relaxed);
        if !(self.machine.began_ticks..=clock::ticks()).contains(&theirs) {
            return self.fail(Offence::Kvm(
                "its time-stamp counter is not this machine's; KVM_VCPU_TSC_OFFSET (Linux 5.16) is \
                 needed"
                    .to_owned(),
            ));
        }
        self.machine.start_others(self.vcpu.vm);
        run
    }

    fn hypercall(&mut self, pcpu: &Pcpu, run: Run) -> Run {
        let memory = self.vcpu.memory.cpu_area(self.vcpu.cpu);
        let Some(call) = memory.call() else {
            memory.set_status(Status::Refused);
            return run;
        };
        self.machine.event(|host, now| {
            let outcome = host.hypercall(now, pcpu.id(), call);
            // Still under the lock: once it is free, the caller may be told to run elsewhere.
            memory.set_status(outcome.status);
            outcome.run
        })
    }

    fn reschedule(&self, pcpu: &Pcpu) -> Run {
        self.machine
            .event(|host, now| host.reschedule(now, pcpu.id()))
    }

    /// Ends the run. No thread needs this pCPU's token any more.
    fn fail(&mut self, offence: Offence) -> Run {
        self.machine.fail(Fatal::Guest {
            vcpu: self.id.index(),
            cpu: self.vcpu.cpu,
            offence,
            registers: Registers::read(self.fd).map(Box::new),
        });
        Run::IDLE
    }
}

/// The loop of the thread that drives an idle pCPU.
pub(crate) fn idle(machine: &Machine, pcpu: usize) {
    let parker = machine.idle_parker(pcpu);
    let pcpu = &machine.pcpus[pcpu];
    while let Some((_, until)) = parker.wait(&machine.stop) {
        let mut run = Run { vcpu: None, until };
        while run.vcpu.is_none() {
            if machine.stopped() {
                return;
            }
            let due = |until: Option<u64>| until.is_some_and(|until| clock::now_ns() >= until);
            if pcpu.take_poke() || due(run.until) {
                run = machine.event(|host, now| host.reschedule(now, pcpu.id()));
            } else {
                core::hint::spin_loop();
            }
        }
        machine.hand_over(pcpu, run);
    }
}
