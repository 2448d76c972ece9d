//! One run of the VMM, from VMs to joined threads, whatever the guests do.
//!
//! ```text
//!   VMs, host -> threads in their parkers -> each pCPU's token to its idle thread
//!        -> body(machine)  the caller watches, on its own thread
//!        -> stop, join -> whatever remains
//! ```

use core::sync::atomic::{AtomicUsize, Ordering};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kvm_ioctls::VcpuFd;
use pvqspin_abi::{Cpu, RunState};
use pvqspin_host::{Config, GuestPages, Host, Run, VcpuId, VmConfig};
use pvqspin_real_time::clock;
use pvqspin_real_time::noise::caller_cpu_ns;

use crate::error::{ConfigProblem, Registers, RunError, StuckVcpu};
use crate::kvm_stats::StatsFile;
use crate::machine::{Machine, Vcpu};
use crate::memory::GuestMemory;
use crate::parker::Parker;
use crate::signal;
use crate::vcpu_thread;
use crate::vm::Vm;

/// A VM in a run.
pub(crate) struct Member {
    pub(crate) vm: Vm,
    pub(crate) weight: u32,
}

/// One run at a time: each pins threads to the same CPUs, and would only measure the other.
static RUNNING: Mutex<()> = Mutex::new(());

pub(crate) fn exclusive() -> MutexGuard<'static, ()> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs VMs on these CPUs while `body` runs, on the calling thread, and stops when that returns.
/// What ended the run before its time is an error.
pub(crate) fn execute<R>(
    cpus: &[usize],
    config: Config,
    members: Vec<Member>,
    body: impl FnOnce(&Machine) -> R,
) -> Result<(R, Remains), RunError> {
    signal::install().map_err(RunError::setup("signal handler"))?;
    let (machine, fds) = assemble(cpus, config, members)?;
    let (result, lasted, registers) = on_threads(&machine, fds, || body(&machine))?;
    if let Some(fatal) = machine.take_fatal() {
        return Err(fatal.into());
    }
    Ok((
        result,
        Remains {
            machine,
            lasted,
            registers,
        },
    ))
}

/// What is left of a run.
pub(crate) struct Remains {
    pub(crate) machine: Machine,
    /// How long its pCPUs were driven.
    lasted: Duration,
    /// Of every vCPU, where it stood at the end.
    registers: Vec<Option<Registers>>,
}

impl Remains {
    /// For how long something else had the CPUs, in nanoseconds, summed over pCPUs: at any time one
    /// thread of ours wants each of them, for those of idle pCPUs poll.
    pub(crate) fn lost_ns(&self) -> u64 {
        let lasted_ns = u64::try_from(self.lasted.as_nanos()).unwrap_or(u64::MAX);
        let wanted_ns = lasted_ns.saturating_mul(self.machine.pcpus.len() as u64);
        wanted_ns.saturating_sub(self.machine.busy_ns.load(Ordering::Relaxed))
    }

    /// What each vCPU waits for, and where.
    pub(crate) fn stuck_vcpus(&self) -> Vec<StuckVcpu> {
        let describe = |(index, vcpu): (usize, &Vcpu)| StuckVcpu {
            vcpu: index,
            cpu: vcpu.cpu,
            state: (self.machine.host().host)
                .run_state(VcpuId::new(index as u32))
                .unwrap_or(RunState::Idle),
            waiting_for: vcpu.memory.vcpu(vcpu.cpu).waiting_for(),
            registers: self.registers.get(index).copied().flatten(),
        };
        self.machine
            .vcpus
            .iter()
            .enumerate()
            .map(describe)
            .collect()
    }
}

/// The host with all its VMs, whose boot CPUs are started.
fn assemble(
    cpus: &[usize],
    config: Config,
    members: Vec<Member>,
) -> Result<(Machine, Vec<VcpuFd>), ConfigProblem> {
    let mut host: Host<Arc<GuestMemory>> = Host::new(config)?;
    let (mut vcpus, mut fds) = (Vec::new(), Vec::new());
    for Member { vm, weight } in members {
        let config = VmConfig {
            vcpus: vm.vcpus.len(),
            weight,
        };
        let id = host.add_vm(config, Arc::clone(&vm.memory))?;
        if let Some(boot) = host.vcpu_id(id, Cpu::ZERO) {
            host.start(clock::now_ns(), boot);
        }
        for (cpu, fd) in (0..).filter_map(Cpu::new).zip(vm.vcpus) {
            // The host numbers vCPUs in the order of their VMs; parkers rely on it.
            debug_assert_eq!(host.vcpu_id(id, cpu).map(VcpuId::index), Some(vcpus.len()));
            vcpus.push(Vcpu {
                vm: id,
                cpu,
                memory: Arc::clone(&vm.memory),
                stats: StatsFile::open(&fd),
                left_ticks: clock::ticks().into(),
            });
            fds.push(fd);
        }
    }
    // Every pCPU asks for work as its first act: none has to be poked.
    while host.next_poke().is_some() {}
    Ok((Machine::new(host, cpus, vcpus), fds))
}

/// Runs the machine's threads while `body` runs on this one.
fn on_threads<R>(
    machine: &Machine,
    mut fds: Vec<VcpuFd>,
    body: impl FnOnce() -> R,
) -> Result<(R, Duration, Vec<Option<Registers>>), RunError> {
    let seated = AtomicUsize::new(0);
    let sit = |parker: &Parker| {
        parker.take();
        // Release pairs with the acquire below: who has counted it can give it a token.
        seated.fetch_add(1, Ordering::Release);
    };
    let (sit, no_thread) = (&sit, RunError::setup::<io::Error>("a thread for each vCPU"));
    thread::scope(|scope| {
        // Whatever happens below, a panic included, the threads must end, or the scope would
        // wait for them for ever.
        let stopper = Stopper(machine);
        let mut threads = Vec::with_capacity(fds.len());
        for (index, fd) in fds.iter_mut().enumerate() {
            let id = VcpuId::new(index as u32);
            let thread = thread::Builder::new()
                .name(format!("vcpu{index}"))
                .spawn_scoped(scope, move || {
                    sit(machine.parker_of(id));
                    let registers = vcpu_thread::run(machine, id, fd);
                    machine
                        .busy_ns
                        .fetch_add(caller_cpu_ns(), Ordering::Relaxed);
                    registers
                });
            threads.push(thread.map_err(&no_thread)?);
        }
        for pcpu in 0..machine.pcpus.len() {
            thread::Builder::new()
                .name(format!("idle{pcpu}"))
                .spawn_scoped(scope, move || {
                    sit(machine.idle_parker(pcpu));
                    vcpu_thread::idle(machine, pcpu);
                    machine
                        .busy_ns
                        .fetch_add(caller_cpu_ns(), Ordering::Relaxed);
                })
                .map_err(&no_thread)?;
        }
        while seated.load(Ordering::Acquire) < threads.len() + machine.pcpus.len() {
            thread::yield_now();
        }
        for pcpu in &machine.pcpus {
            // It asks at once what to run: it was poked.
            pcpu.poke();
            machine.hand_over(pcpu, Run::IDLE);
        }
        let began = Instant::now();
        let result = body();
        let lasted = began.elapsed();
        drop(stopper);
        let registers = joined(threads);
        Ok((result, lasted, registers))
    })
}

/// Ends all threads when dropped.
struct Stopper<'a>(&'a Machine);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Waits for the threads of all vCPUs, and goes on with the panic of one that panicked.
pub(crate) fn joined<R>(threads: Vec<thread::ScopedJoinHandle<'_, R>>) -> Vec<R> {
    threads
        .into_iter()
        .map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
        .collect()
}
