//! The stock transports: KVM handles the hypercalls, and Linux schedules the vCPUs.
//!
//! ```text
//!   each vCPU: a thread, confined to the CPUs that are the pCPUs, in KVM_RUN from boot to Done
//!   vCPU 0 of each VM ── Ready ──► the others of that VM start
//! ```
//!
//! Nothing here schedules: that is what is being looked at. A halt ends by a kick or not at all,
//! so a lost wake-up is a run that makes no progress, which the watchdog ends.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use kvm_ioctls::VcpuFd;
use pvqspin_abi::{Cpu, RunState};
use pvqspin_driver_common::Run;
use pvqspin_kvm_boot::doorbell::Ring;
use pvqspin_load::Outcome;
use pvqspin_real_time::affinity;
use pvqspin_real_time::config::stall_after;
use pvqspin_real_time::timer::Timer;
use rustix::thread::gettid;

use crate::error::{Fatal, Registers, RunError, Stuck, StuckVcpu};
use crate::exit::{self, Exit, Offence};
use crate::kvm_stats::StatsFile;
use crate::memory::GuestMemory;
use crate::phases::{Counts, RunningVcpus, run_phases};
use crate::session::{Member, joined};
use crate::signal::{self, Registration};
use crate::summary::summarise;
use crate::thread_time;
use crate::watchdog::{Bite, Watched};

/// Runs VMs until they are done.
pub(crate) fn run(
    config: &Run,
    cpus: &[usize],
    members: Vec<Member>,
    memories: &[Arc<GuestMemory>],
) -> Result<Outcome, RunError> {
    let (duration_ns, counts) = watched(config, cpus, members, memories, |crowd| {
        run_phases(crowd, config, memories)
    })?;
    summarise(config, memories, duration_ns, &counts)
}

/// Lets the vCPUs of some VMs run while `body` runs on this thread.
pub(crate) fn watched<R>(
    config: &Run,
    cpus: &[usize],
    members: Vec<Member>,
    memories: &[Arc<GuestMemory>],
    body: impl FnOnce(&Crowd<'_>) -> Result<R, Bite>,
) -> Result<R, RunError> {
    signal::install().map_err(RunError::setup("signal handler"))?;
    let mut fds = Vec::new();
    let mut vcpus = Vec::new();
    for (vm, member) in members.into_iter().enumerate() {
        for (cpu, fd) in (0..).filter_map(Cpu::new).zip(member.vm.vcpus) {
            let stats = StatsFile::open(&fd);
            vcpus.push(Vcpu::new(vm, cpu, &memories[vm], stats));
            fds.push(fd);
        }
    }
    let crowd = Crowd::new(cpus, vcpus, memories.len());
    let (measured, registers) = on_threads(&crowd, fds, || body(&crowd))?;
    if let Some(fatal) = lock(&crowd.fatal).take() {
        return Err(fatal.into());
    }
    measured.map_err(|_| {
        RunError::Stuck(Box::new(Stuck {
            patience: stall_after(config),
            vcpus: crowd.stuck_vcpus(&registers),
        }))
    })
}

/// One vCPU, as every thread may know it.
pub(crate) struct Vcpu {
    vm: usize,
    cpu: Cpu,
    memory: Arc<GuestMemory>,
    stats: Option<StatsFile>,
    /// The thread that runs it, or 0.
    thread: AtomicU64,
}

impl Vcpu {
    pub(crate) fn new(
        vm: usize,
        cpu: Cpu,
        memory: &Arc<GuestMemory>,
        stats: Option<StatsFile>,
    ) -> Self {
        Self {
            vm,
            cpu,
            memory: Arc::clone(memory),
            stats,
            thread: AtomicU64::new(0),
        }
    }
}

/// All vCPUs, and how the run goes.
pub(crate) struct Crowd<'a> {
    cpus: &'a [usize],
    vcpus: Vec<Vcpu>,
    stop: AtomicBool,
    /// Of each VM, whether its boot CPU has prepared everything.
    ready: Mutex<Vec<bool>>,
    changed: Condvar,
    ended: AtomicU64,
    fatal: Mutex<Option<Fatal>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Crowd<'a> {
    /// No vCPU has started yet.
    pub(crate) fn new(cpus: &'a [usize], vcpus: Vec<Vcpu>, vms: usize) -> Self {
        Self {
            cpus,
            vcpus,
            stop: AtomicBool::new(false),
            ready: Mutex::new(vec![false; vms]),
            changed: Condvar::new(),
            ended: AtomicU64::new(0),
            fatal: Mutex::new(None),
        }
    }
}

impl Crowd<'_> {
    /// Waits until a VM is ready for its other vCPUs. False if the run is over.
    fn wait_for(&self, vm: usize) -> bool {
        let mut ready = lock(&self.ready);
        while !ready[vm] && !self.stop.load(Relaxed) {
            ready = self
                .changed
                .wait(ready)
                .unwrap_or_else(PoisonError::into_inner);
        }
        ready[vm]
    }

    fn is_ready(&self, vm: usize) {
        lock(&self.ready)[vm] = true;
        self.changed.notify_all();
    }

    fn stop(&self) {
        // Under the lock, so that no thread misses it between looking and waiting.
        let ready = lock(&self.ready);
        self.stop.store(true, Ordering::SeqCst);
        self.changed.notify_all();
        drop(ready);
        for vcpu in &self.vcpus {
            // A thread that has not said its number yet looks at the flag afterwards.
            let thread = vcpu.thread.load(Ordering::SeqCst);
            if thread != 0 {
                signal::interrupt(thread as i32);
            }
        }
    }

    fn fail(&self, fatal: Fatal) {
        lock(&self.fatal).get_or_insert(fatal);
        self.stop();
    }

    pub(crate) fn stuck_vcpus(&self, registers: &[Option<Registers>]) -> Vec<StuckVcpu> {
        let describe = |(index, vcpu): (usize, &Vcpu)| {
            let kept = &vcpu.memory.stock_area(vcpu.cpu).vcpu;
            StuckVcpu {
                vcpu: index,
                cpu: vcpu.cpu,
                state: if kept.apic_id().is_some() {
                    kept.sample().state()
                } else {
                    RunState::Idle
                },
                waiting_for: kept.waiting_for(),
                registers: registers.get(index).copied().flatten(),
            }
        };
        self.vcpus.iter().enumerate().map(describe).collect()
    }
}

impl Watched for Crowd<'_> {
    fn failed(&self) -> bool {
        lock(&self.fatal).is_some()
    }

    /// Only KVM wakes.
    fn check_halts(&self, _halt_timeout_ns: u64) {}
}

impl RunningVcpus for Crowd<'_> {
    fn ready(&self) -> u64 {
        lock(&self.ready).iter().filter(|&&ready| ready).count() as u64
    }

    fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    fn pcpu_ns(&self) -> Option<[u64; 2]> {
        let mut sums = [0; 2];
        for vcpu in &self.vcpus {
            sums[vcpu.vm] += thread_time::of_thread(vcpu.thread.load(Relaxed))?;
        }
        Some(sums)
    }

    fn counts(&self, memory: &GuestMemory) -> Counts {
        let mut counts = Counts::of_guest(memory);
        for vcpu in self.vcpus.iter().filter(|vcpu| vcpu.vm == 0) {
            if let Some(stats) = &vcpu.stats {
                stats.add_to(&mut counts.kvm);
            }
            let own = memory.stock_area(vcpu.cpu);
            // What the guest says of itself may be anything.
            let add = |sum: &mut u64, count: &AtomicU64| {
                *sum = sum.wrapping_add(count.load(Relaxed));
            };
            add(&mut counts.tally.halts, &own.halts);
            add(&mut counts.tally.kicks, &own.kicks);
            add(&mut counts.yield_calls, &own.yield_calls);
            counts.tally.add_yields(own.yields());
        }
        counts
    }
}

/// Runs all vCPUs while `body` runs on this thread. Returns their registers, too.
fn on_threads<R>(
    crowd: &Crowd<'_>,
    mut fds: Vec<VcpuFd>,
    body: impl FnOnce() -> R,
) -> Result<(R, Vec<Option<Registers>>), RunError> {
    thread::scope(|scope| {
        // A panic, or a thread that cannot be had, must not leave the others behind, for which the
        // scope would wait.
        let stopper = Stopper(crowd);
        let mut threads = Vec::with_capacity(fds.len());
        for (index, (fd, vcpu)) in fds.iter_mut().zip(&crowd.vcpus).enumerate() {
            let thread = thread::Builder::new()
                .name(format!("vcpu{index}"))
                .spawn_scoped(scope, move || run_vcpu(crowd, index, vcpu, fd));
            threads.push(thread.map_err(RunError::setup("a thread for each vCPU"))?);
        }
        let result = body();
        drop(stopper);
        let registers = joined(threads);
        Ok((result, registers))
    })
}

/// Ends all threads when dropped.
struct Stopper<'a>(&'a Crowd<'a>);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The thread of one vCPU.
fn run_vcpu(crowd: &Crowd<'_>, index: usize, vcpu: &Vcpu, fd: &mut VcpuFd) -> Option<Registers> {
    if let Err(error) = affinity::confine_caller(crowd.cpus) {
        crowd.fail(Fatal::Host(error));
    }
    // Never armed: Linux ends slices.
    let timer = Timer::new();
    let signals = Registration::new(fd, &timer);
    let thread = gettid().as_raw_nonzero().get();
    // Sequentially consistent, as the store and the loads in `stop`: either the flag is seen below,
    // or the number there.
    vcpu.thread.store(thread as u64, Ordering::SeqCst);
    if vcpu.cpu == Cpu::ZERO || crowd.wait_for(vcpu.vm) {
        run_guest(crowd, index, vcpu, fd, &signals);
    }
    vcpu.thread.store(0, Ordering::SeqCst);
    drop(signals);
    Registers::read(fd)
}

fn run_guest(
    crowd: &Crowd<'_>,
    index: usize,
    vcpu: &Vcpu,
    fd: &mut VcpuFd,
    signals: &Registration<'_>,
) {
    let fail = |fd: &VcpuFd, offence| {
        crowd.fail(Fatal::Guest {
            vcpu: index,
            cpu: vcpu.cpu,
            offence,
            registers: Registers::read(fd).map(Box::new),
        });
    };
    loop {
        signals.rearm();
        if crowd.stop.load(Ordering::SeqCst) {
            return;
        }
        match exit::decode(fd.run()) {
            Exit::Interrupted | Exit::Ring(Ring::Probe) => {}
            Exit::Ring(Ring::Ready) => crowd.is_ready(vcpu.vm),
            Exit::Ring(Ring::Done) => {
                crowd.ended.fetch_add(1, Relaxed);
                return;
            }
            Exit::Ring(Ring::Panic) => {
                return fail(fd, Offence::Panic(vcpu.memory.message()));
            }
            Exit::Ring(Ring::Hypercall) => {
                return fail(
                    fd,
                    Offence::BadRing((Ring::Hypercall as u32).to_le_bytes().to_vec()),
                );
            }
            Exit::Halted => {
                let what = "HLT left KVM, which should have kept it";
                return fail(fd, Offence::Kvm(what.to_owned()));
            }
            Exit::Fatal(offence) => return fail(fd, offence),
        }
    }
}
