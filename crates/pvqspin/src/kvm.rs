//! [`Env`] for a kernel that runs on KVM, on x86-64. Feature `kvm`.
//!
//! A kernel tells where it keeps things ([`Kernel`], six short functions), and [`Kvm`] is its
//! environment: it finds out what the host offers, and uses the hypercalls of a stock Linux host.
//!
//! ```
//! use pvqspin::kvm::{self, Features, Host, Kernel, Kvm, Vcpu, X86};
//! use pvqspin::mode::Mode;
//! use pvqspin::{AtomicCpu, Bounded, Cpu, CpuNodes, Mutex};
//!
//! struct MyKernel;
//!
//! const MAX_CPUS: usize = 64;
//! static HOST: Host = Host::new();
//! static NODES: [CpuNodes; MAX_CPUS] = [const { CpuNodes::new() }; MAX_CPUS];
//! static VCPUS: [Vcpu; MAX_CPUS] = [const { Vcpu::new() }; MAX_CPUS];
//! // A per-CPU variable, in your kernel.
//! static THIS_CPU: AtomicCpu = AtomicCpu::new(Cpu::ZERO);
//!
//! impl Kernel for MyKernel {
//!     fn host() -> &'static Host {
//!         &HOST
//!     }
//!     fn cpu() -> Cpu {
//!         THIS_CPU.load()
//!     }
//!     fn cpu_count() -> usize {
//!         MAX_CPUS
//!     }
//!     fn nodes(cpu: Cpu) -> &'static CpuNodes {
//!         &NODES[cpu.index()]
//!     }
//!     fn vcpu(cpu: Cpu) -> &'static Vcpu {
//!         &VCPUS[cpu.index()]
//!     }
//!     fn now_ns() -> u64 {
//!         0 // kvmclock, or the TSC and its frequency
//!     }
//! }
//!
//! /// On the boot CPU, before it starts the others.
//! fn boot(command_line: Mode) {
//!     let features = Features::detect::<X86>();
//!     let transport = HOST.set(features, features.choose(command_line));
//!     println!("pvqspin: {features}; used: {transport}");
//! }
//!
//! /// On each CPU, the boot CPU too, once `MyKernel::cpu()` works.
//! fn cpu_is_up(physical_address: fn(*const kvm::StealTime) -> u64) {
//!     use pvqspin::Env;
//!     let record = VCPUS[Kvm::<MyKernel>::cpu().index()].record();
//!     // SAFETY: this is CPU 0 or was started by it, in ring 0; the record is a static, and this is
//!     // where it is in the guest's physical memory.
//!     unsafe { Kvm::<MyKernel>::start_cpu(kvm::own_apic_id(), physical_address(record)) };
//! }
//!
//! static RUNNABLE: Mutex<u32, Kvm<MyKernel>, Bounded> = Mutex::new(0);
//! # let _ = cpu_is_up;
//! boot(Mode::Native);
//! *RUNNABLE.lock() += 1;
//! ```
//!
//! # What is used, and what is not there
//!
//! | [`Env`] | on KVM |
//! | --- | --- |
//! | `run_sample` | the steal-time record, and what the vCPU itself wrote down (in `Vcpu`): preempted and halted are told apart |
//! | `pressure` | whether *this* vCPU was kept off its pCPU lately: Linux has a run queue for each pCPU, so a halt helps nobody elsewhere |
//! | `waiting_for` | in the guest's memory; the host never looks there |
//! | `yield_to` | the guest follows the chain of waiters, then `KVM_HC_SCHED_YIELD` names the end of it |
//! | `halt` | `HLT`; with interrupts enabled any interrupt ends it as well |
//! | `kick` | `KVM_HC_KICK_CPU`, if the target sleeps or is preempted; the host yields to it, too |
//!
//! The host decides in a defined order how much of this there is ([`Transport`]): directed yield; kick
//! and halt only; native, where the lock makes no hypercall and believes that all vCPUs run. A kernel
//! that wants less than the host offers asks [`Host::set`] for less.
//!
//! # What a stock host gives
//!
//! A *hint*: `KVM_HC_SCHED_YIELD` asks Linux's scheduler to prefer the target on the target's own run
//! queue, which it may decline, and returns 0 always. So [`yield_to`](Env::yield_to) looks at the
//! record before the call, for what the host of the contract would drop
//! ([`Stale`](Status::Stale), [`AlreadyRunning`](Status::AlreadyRunning)), and after it: `Ran` if the
//! target has been put on a pCPU since, else `Refused`. The policy for such a host is
//! [`Bounded`](crate::Bounded). `docs/kvm.md` says what that comes to, measured.
//!
//! # No lost wake-up
//!
//! Whether a vCPU sleeps, and whether it was kicked, stand in one word of the guest's memory. With
//! interrupts masked, a vCPU sets the first and looks at the second in one step; `HLT` follows with
//! nothing in between that could use the kick up. A kick sets the second and looks at the first in one
//! step. Whoever comes second sees the other: either there is no `HLT`, or there is a
//! hypercall, and KVM remembers it for a vCPU that has not executed its `HLT` yet. (It does not carry
//! that memory along when the machine is migrated, in this window of a few instructions. A vCPU
//! that halted with interrupts enabled then wakes at its next tick.)
//!
//! # Limits
//!
//! The kernel runs at CPL 0. Its records must be in memory that the host can write: under SEV or TDX,
//! shared memory. When a CPU goes away, or the kernel is replaced, [`Kvm::stop_cpu`] comes first, or
//! the host goes on writing. An NMI takes no lock, so it never gets here.

mod features;
mod host;
mod instructions;
mod vcpu;

pub use features::{Features, Transport};
pub use host::Host;
pub use instructions::{Call, Instructions, X86};
pub use vcpu::{StealTime, Vcpu};

use core::fmt;
use core::marker::PhantomData;

use crate::env::{Budget, Env};
use crate::nodes::CpuNodes;
use pvqspin_abi::chain::{self, End, Look};
use pvqspin_abi::{Cpu, Hint, RunSample, Status};

/// Where KVM looks for the guest-physical address of the steal-time record, and for whether it is
/// wanted.
const MSR_STEAL_TIME: u32 = 0x4b56_4d03;
const ENABLED: u64 = 1 << 0;

// As in `Documentation/virt/kvm/x86/hypercalls.rst`.
/// The hypercall that wakes a vCPU.
pub const HC_KICK_CPU: u64 = 5;
/// The hypercall that is a directed yield.
pub const HC_SCHED_YIELD: u64 = 11;

/// How often a spinning waiter looks at its condition between two looks at the clock.
const LOOKS_PER_TICK: u32 = 16;

/// What a kernel has to say. Everything it returns belongs to the kernel.
///
/// The contract is that of [`Env`]: [`cpu`](Self::cpu) is constant while a lock is taken or held, and
/// [`nodes`](Self::nodes) and [`vcpu`](Self::vcpu) are a place of its own for each CPU, always the same.
pub trait Kernel: 'static {
    /// The switch.
    fn host() -> &'static Host;

    /// The CPU that executes this: from a per-CPU variable. On every fast path.
    fn cpu() -> Cpu;

    /// How many CPUs there are at most: their numbers are below.
    fn cpu_count() -> usize;

    /// The queue nodes of a CPU.
    fn nodes(cpu: Cpu) -> &'static CpuNodes;

    /// What is kept of a CPU for the host's sake.
    fn vcpu(cpu: Cpu) -> &'static Vcpu;

    /// Monotonic time in nanoseconds, comparable between CPUs.
    ///
    /// It must advance once the switch is on anything but [`Transport::Native`]: the budgets of
    /// waiters run out by it. Before that, 0 will do.
    fn now_ns() -> u64;
}

/// The environment of a [`Kernel`] on KVM.
pub struct Kvm<K, I = X86>(PhantomData<fn() -> (K, I)>);

impl<K, I> fmt::Debug for Kvm<K, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kvm")
    }
}

/// The APIC id of the running CPU, as CPUID has it: for [`Kvm::start_cpu`].
#[must_use]
pub fn own_apic_id() -> u32 {
    features::own_apic_id::<X86>()
}

impl<K: Kernel, I: Instructions> Kvm<K, I> {
    /// Tells the host where the running CPU's record is, and others how the host calls this CPU. Until
    /// then the CPU never halts, and looks as if it ran.
    ///
    /// After [`Host::set`]. Nothing happens if the switch is on [`Transport::Native`].
    ///
    /// # Safety
    ///
    /// - CPL 0, on the CPU that [`Kernel::cpu`] returns.
    /// - `record` is the guest-physical address of this CPU's [`Vcpu::record`], a multiple of 64, and
    ///   stays that until [`stop_cpu`](Self::stop_cpu): the host writes there.
    /// - `apic_id` is the one by which the host knows this CPU, or the wrong one is run and woken.
    pub unsafe fn start_cpu(apic_id: u32, record: u64) {
        let host = K::host();
        if host.transport() == Transport::Native {
            return;
        }
        if host.has_steal_time() {
            // SAFETY: the host says that it has the register, and the caller vouches for the address.
            unsafe { I::write_msr(MSR_STEAL_TIME, record | ENABLED) };
        }
        K::vcpu(K::cpu()).set_apic_id(Some(apic_id));
    }

    /// The host stops writing the running CPU's record, and others stop naming it.
    ///
    /// # Safety
    ///
    /// CPL 0, on the CPU that [`Kernel::cpu`] returns, which takes no lock any more.
    pub unsafe fn stop_cpu() {
        let vcpu = K::vcpu(K::cpu());
        if vcpu.apic_id().is_none() {
            return;
        }
        vcpu.set_apic_id(None);
        if K::host().has_steal_time() {
            // SAFETY: the host says that it has the register; 0 turns the record off.
            unsafe { I::write_msr(MSR_STEAL_TIME, 0) };
        }
    }

    /// Whether the host is told anything at all.
    fn is_paravirtual() -> bool {
        K::host().transport() != Transport::Native
    }

    fn hypercall(number: u64, first: u64, second: u64) {
        // SAFETY: a CPU has started (`start_cpu`, which vouches for CPL 0 on KVM), or there would be
        // no APIC id to pass; and both calls only ever schedule.
        //
        // What it returns says nothing: 0 for all that is understood.
        let _ = unsafe { I::hypercall(K::host().call(), number, first, second) };
    }

    /// Whom to run for a hint, as far as the guest can tell.
    fn end_of_chain(hint: Hint) -> Result<Cpu, Status> {
        let me = Self::cpu();
        let vcpus = K::cpu_count();
        if hint.cpu == me || hint.cpu.index() >= vcpus {
            return Err(Status::Refused);
        }
        if Self::run_sample(hint.cpu).generation() != hint.generation {
            return Err(Status::Stale);
        }
        let (end, _) = chain::follow(vcpus, me.index(), hint.cpu.index(), |index| {
            // Every index is below the number of CPUs, all of which have a number.
            let vcpu = K::vcpu(Cpu::new(index).unwrap_or(hint.cpu));
            Look {
                state: vcpu.sample().state(),
                waits_for: vcpu.waiting_for().map(Cpu::index),
            }
        });
        match end {
            End::Run(index) => Cpu::new(index).ok_or(Status::Refused),
            End::Running => Err(Status::AlreadyRunning),
            End::Nobody => Err(Status::Refused),
        }
    }
}

impl<K: Kernel, I: Instructions> Env for Kvm<K, I> {
    #[inline]
    fn cpu() -> Cpu {
        K::cpu()
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        K::nodes(cpu)
    }

    #[inline]
    fn cpu_count() -> usize {
        K::cpu_count()
    }

    #[inline]
    fn now_ns() -> u64 {
        K::now_ns()
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let mut began = None;
        loop {
            for _ in 0..LOOKS_PER_TICK {
                if condition() {
                    return true;
                }
                core::hint::spin_loop();
            }
            if let Some(budget) = budget.get() {
                let now = K::now_ns();
                if now.saturating_sub(*began.get_or_insert(now)) >= budget.into() {
                    return condition();
                }
            }
        }
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        if Self::is_paravirtual() {
            K::vcpu(cpu).sample()
        } else {
            RunSample::RUNNING
        }
    }

    fn pressure() -> bool {
        if !Self::is_paravirtual() {
            return false;
        }
        // A host that does not tell may be short of pCPUs at any time.
        !K::host().has_steal_time() || K::vcpu(K::cpu()).lacks_pcpu(K::now_ns())
    }

    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        if !Self::is_paravirtual() {
            return None;
        }
        let vcpu = K::vcpu(K::cpu());
        let before = vcpu.waiting_for();
        vcpu.set_waiting_for(cpu);
        before
    }

    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        K::vcpu(cpu).waiting_for()
    }

    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        K::vcpu(cpu).set_waiting_for(to);
    }

    fn halt(hint: Option<Hint>) {
        let vcpu = K::vcpu(K::cpu());
        // Nobody could wake a CPU that has not started, or that the host calls it does not wake.
        if !Self::is_paravirtual() || vcpu.apic_id().is_none() {
            return;
        }
        // The hint first, while there is somebody to give it: perhaps the kick comes meanwhile.
        if let Some(hint) = hint {
            let _ = Self::yield_to(hint);
        }
        // SAFETY: CPL 0, as `start_cpu` was promised. Each way below unmasks what was masked here.
        let were_enabled = unsafe { I::mask() };
        if vcpu.begin_halt() {
            if were_enabled {
                // SAFETY: as for `mask`; they were enabled.
                unsafe { I::halt_unmasked() };
            } else {
                // SAFETY: as for `mask`. Whoever sees that this CPU halts and does not kick it breaks
                // the contract of the lock, which kicks each waiter that it finds halted.
                unsafe { I::halt_masked() };
            }
            vcpu.end_halt();
        } else if were_enabled {
            // SAFETY: as for `mask`; they were enabled.
            unsafe { I::unmask() };
        }
    }

    fn kick(cpu: Cpu) {
        if !Self::is_paravirtual() {
            return;
        }
        let vcpu = K::vcpu(cpu);
        let sleeps = vcpu.note_kick();
        // A preempted one has the host's favour from the same call.
        if (sleeps || vcpu.sample().is_preempted())
            && let Some(apic_id) = vcpu.apic_id()
        {
            Self::hypercall(HC_KICK_CPU, 0, apic_id.into());
        }
    }

    fn yield_to(hint: Hint) -> Status {
        if K::host().transport() < Transport::DirectedYield {
            return Status::Refused;
        }
        let target = match Self::end_of_chain(hint) {
            Ok(target) => K::vcpu(target),
            Err(status) => return status,
        };
        let Some(apic_id) = target.apic_id() else {
            return Status::Refused;
        };
        let vcpu = K::vcpu(K::cpu());
        let before = target.sample();
        vcpu.begin_yield();
        Self::hypercall(HC_SCHED_YIELD, apic_id.into(), 0);
        vcpu.end_yield();
        let after = target.sample();
        if after.is_preempted() && after.generation() == before.generation() {
            Status::Refused
        } else {
            Status::Ran
        }
    }
}
