//! [`Env`] for a kernel that runs on KVM, on x86-64. Feature `kvm`.
//!
//! A kernel tells where it keeps things ([`Kernel`], six short functions), and [`Kvm`] is its
//! environment: it finds out what the host offers, and uses the hypercalls of a stock Linux host.
//!
//! ```
//! use pvqspin::kvm::{self, Features, Host, Kernel, Kvm, Vcpu, X86};
//! use pvqspin::mode::Mode;
//! use pvqspin::{AtomicCpu, Cpu, CpuNodes};
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
//! type Mutex<T> = kvm::Mutex<T, MyKernel>;
//!
//! static RUNNABLE: Mutex<u32> = Mutex::new(0);
//! # let _ = cpu_is_up;
//! boot(Mode::Native);
//! *RUNNABLE.lock() += 1;
//! ```
//!
//! # What is used, and what is not there
//!
//! | [`Env`] | on KVM |
//! | --- | --- |
//! | `spin_until` | spins; the budget is own time: what was stolen is subtracted. (Interrupt handlers in between count; without steal time, absences do.) |
//! | `run_sample` | the steal-time record, and what the vCPU itself wrote down (in `Vcpu`): preempted and halted are told apart |
//! | `pressure` | whether *this* vCPU was kept off its pCPU lately: Linux has a run queue for each pCPU, so a halt helps no vCPU elsewhere |
//! | `waiting_for` | in the guest's memory; the host never looks there |
//! | `yield_to` | the guest follows the chain of waiters, for 64 hops at most; then `KVM_HC_SCHED_YIELD` names the end of it |
//! | `halt` | `HLT`; with interrupts enabled any interrupt ends it as well, and its handler runs inside the halt: the CPU counts as awake once it is on a pCPU again ([`Kvm::interrupted`] says it at once) |
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
//! [`Bounded`]. `docs/kvm.md` says what that comes to, measured.
//!
//! # No lost wake-up
//!
//! Whether a vCPU sleeps, and whether it was kicked, stand in one word of the guest's memory. With
//! interrupts masked, a vCPU sets the first and looks at the second in one step; `HLT` follows with
//! nothing in between that could use the kick up. A kick sets the second and looks at the first in one
//! step. The second one sees the first: either there is no `HLT`, or there is a
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

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::compiler_fence;

use crate::env::{Budget, Env, Sleep};
use crate::nodes::CpuNodes;
use crate::policy::Bounded;
use crate::word::Idx3;
use pvqspin_abi::chain::{self, End, Look};
use pvqspin_abi::{Cpu, Hint, RunSample, RunState, Status};

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

/// How many vCPUs a yield looks at on its way along the chain. Each is a cache line of another CPU:
/// so many take about as long as the hypercall. A vCPU that far on names the next stretch itself.
const LONGEST_WALK: usize = 64;

/// What a kernel has to say. Everything it returns belongs to the kernel.
///
/// The contract is that of [`Env`]: [`cpu`](Self::cpu) is constant while a lock is taken or held, and
/// [`nodes`](Self::nodes) and [`vcpu`](Self::vcpu) are a place of its own for each CPU, always the same.
pub trait Kernel: 'static {
    /// [`Env::MAX_CPUS`], if there may be more than 8,190.
    const MAX_CPUS: usize = <crate::word::SpareBit as crate::word::Format>::MAX_CPUS;

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

    /// The record that KVM writes for a CPU: the one in [`vcpu`](Self::vcpu).
    ///
    /// A kernel that had a record before it had this lock returns that one, for KVM keeps a single
    /// record for each vCPU. Its CPUs then call [`Kvm::adopt_cpu`] and not [`Kvm::start_cpu`].
    /// (`RDMSR` of register 0x4b564d03 says where the running CPU's record is, and in bit 0 that KVM
    /// writes it.)
    #[inline]
    fn record(cpu: Cpu) -> &'static StealTime {
        Self::vcpu(cpu).record()
    }

    /// Monotonic time in nanoseconds, comparable between CPUs. It goes on while a vCPU is off its
    /// pCPU: what was stolen is subtracted here, where it must be.
    ///
    /// It must advance once the switch is on anything but [`Transport::Native`]: the budgets of
    /// waiters run out by it. Before that, 0 will do.
    fn now_ns() -> u64;

    /// [`Env::self_deadlock`]: this CPU is about to wait for the lock at this address, which it holds.
    #[inline]
    fn self_deadlock(lock: usize) {
        let _ = lock;
    }

    /// [`Env::interrupt_state`]: whether the running CPU could be interrupted. The default cannot tell.
    #[cfg(feature = "lockdep")]
    fn interrupt_state() -> crate::lockdep::InterruptState {
        crate::lockdep::InterruptState::Unknown
    }

    /// [`Env::order_violation`]: the order checker found something. By default nothing happens.
    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &crate::lockdep::Violation) {
        let _ = violation;
    }
}

/// The environment of a [`Kernel`] on KVM.
pub struct Kvm<K, I = X86>(PhantomData<fn() -> (K, I)>);

impl<K, I> fmt::Debug for Kvm<K, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kvm")
    }
}

/// Data behind a lock of the kernel `K`, with the policy for a host that takes hints. A kernel gives it
/// a name of its own, and then declares locks without a type:
///
/// ```
/// # use pvqspin::kvm::{self, Host, Kernel, Vcpu};
/// # use pvqspin::{Cpu, CpuNodes};
/// # struct MyKernel;
/// # static HOST: Host = Host::new();
/// # static NODES: CpuNodes = CpuNodes::new();
/// # static VCPU: Vcpu = Vcpu::new();
/// # impl Kernel for MyKernel {
/// #     fn host() -> &'static Host { &HOST }
/// #     fn cpu() -> Cpu { Cpu::ZERO }
/// #     fn cpu_count() -> usize { 1 }
/// #     fn nodes(_: Cpu) -> &'static CpuNodes { &NODES }
/// #     fn vcpu(_: Cpu) -> &'static Vcpu { &VCPU }
/// #     fn now_ns() -> u64 { 0 }
/// # }
/// type Mutex<T> = kvm::Mutex<T, MyKernel>;
///
/// let counts = Mutex::new([0; 4]);
/// counts.lock()[1] += 1;
/// ```
pub type Mutex<T, K> = crate::Mutex<T, Kvm<K>, Bounded>;

/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T, K> = crate::MutexGuard<'a, T, Kvm<K>, Bounded, Idx3>;

/// Data behind a reader-writer lock of the kernel `K`, in the same way.
pub type RwLock<T, K> = crate::RwLock<T, Kvm<K>, Bounded>;

/// The lock without data: four bytes, and a raw mutex of `lock_api`.
pub type RawMutex<K> = crate::QSpinLock<Kvm<K>, Bounded>;

/// The reader-writer lock without data: eight bytes, and a raw reader-writer lock of `lock_api`.
pub type RawRwLock<K> = crate::QRwLock<Kvm<K>, Bounded>;

/// The APIC id of the running CPU, as CPUID has it: for [`Kvm::start_cpu`].
#[must_use]
pub fn own_apic_id() -> u32 {
    features::own_apic_id::<X86>()
}

impl<K: Kernel, I: Instructions> Kvm<K, I> {
    /// Tells the host where the running CPU's record is, and others how the host calls this CPU. Until
    /// then the CPU never halts, and looks as if it ran.
    ///
    /// After [`Host::set`]. A host without steal time is told nothing. On [`Transport::Native`] the
    /// record is registered too: it still counts how often each vCPU was put on a pCPU.
    ///
    /// # Safety
    ///
    /// - CPL 0, on the CPU that [`Kernel::cpu`] returns.
    /// - `record` is the guest-physical address of this CPU's [`Vcpu::record`], a multiple of 64, and
    ///   stays that until [`stop_cpu`](Self::stop_cpu): the host writes there.
    /// - `apic_id` is the one by which the host knows this CPU, or the wrong one is run and woken.
    pub unsafe fn start_cpu(apic_id: u32, record: u64) {
        if K::host().has_steal_time() {
            // SAFETY: the host says that it has the register, and the caller vouches for the address.
            unsafe { I::write_msr(MSR_STEAL_TIME, record | ENABLED) };
        }
        // SAFETY: the caller's promise; the host writes the record as of the line above.
        unsafe { Self::adopt_cpu(K::cpu(), apic_id) };
    }

    /// As [`start_cpu`](Self::start_cpu), for a CPU whose record the kernel has registered already. Any
    /// CPU may say it of any other.
    ///
    /// # Safety
    ///
    /// - On KVM; `cpu` executes this environment's code at CPL 0 only.
    /// - The host writes [`Kernel::record`] of `cpu`, if it has steal time at all.
    /// - `apic_id` is the one by which the host knows `cpu`, or the wrong one is run and woken.
    pub unsafe fn adopt_cpu(cpu: Cpu, apic_id: u32) {
        K::vcpu(cpu).set_apic_id(Some(apic_id));
    }

    /// The first thing that an interrupt handler does which takes locks: an interrupt that ends a
    /// halt makes this CPU awake before the halt returns.
    ///
    /// It is optional. Without it others find out once the host has put the CPU on a pCPU again,
    /// which its record counts; but a host that polls before it lets a halted vCPU go (as Linux does,
    /// for 200 µs) does not count a halt that ends in that time. It costs one load where no
    /// halt was interrupted.
    #[inline]
    pub fn interrupted() {
        K::vcpu(K::cpu()).interrupt_halt();
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

    /// The running CPU's own time in ns: the clock without what was stolen. Only differences count.
    fn own_ns() -> u64 {
        let record = K::record(K::cpu());
        loop {
            // The host adds to the record while this vCPU is off, so it stands still between two
            // equal looks, and the clock was read in the same run.
            let stolen = record.steal_ns();
            compiler_fence(SeqCst);
            let now = K::now_ns();
            compiler_fence(SeqCst);
            if record.steal_ns() == stolen {
                return now.wrapping_sub(stolen);
            }
        }
    }

    /// Whether the host is told anything at all.
    fn is_paravirtual() -> bool {
        K::host().transport() != Transport::Native
    }

    fn sample(cpu: Cpu) -> RunSample {
        K::vcpu(cpu).sample_with(K::record(cpu))
    }

    fn hypercall(number: u64, first: u64, second: u64) {
        // SAFETY: a CPU has started (`start_cpu`, which vouches for CPL 0 on KVM), or there would be
        // no APIC id to pass; and both calls only ever schedule.
        //
        // What it returns says nothing: 0 for all that is understood.
        let _ = unsafe { I::hypercall(K::host().call(), number, first, second) };
    }

    /// The CPU to run for a hint, as far as the guest can tell.
    fn end_of_chain(hint: Hint) -> Result<Cpu, Status> {
        let me = Self::cpu();
        let vcpus = K::cpu_count();
        if hint.cpu == me || hint.cpu.index() >= vcpus {
            return Err(Status::Refused);
        }
        if Self::run_sample(hint.cpu).generation() != hint.generation {
            return Err(Status::Stale);
        }
        let looks = Cell::new(0);
        let (end, _) = chain::follow(vcpus, me.index(), hint.cpu.index(), |index| {
            looks.set(looks.get() + 1);
            // Every index is below the number of CPUs, all of which have a number.
            let cpu = Cpu::new(index).unwrap_or(hint.cpu);
            Look {
                state: Self::sample(cpu).state(),
                waits_for: K::vcpu(cpu)
                    .waiting_for()
                    .map(Cpu::index)
                    .filter(|_| looks.get() < LONGEST_WALK),
            }
        });
        match end {
            End::Run(index) => Cpu::new(index).ok_or(Status::Refused),
            End::Running => Err(Status::AlreadyRunning),
            End::NoTarget => Err(Status::Refused),
        }
    }
}

impl<K: Kernel, I: Instructions> Env for Kvm<K, I> {
    const MAX_CPUS: usize = K::MAX_CPUS;
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

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

    fn self_deadlock(lock: usize) {
        K::self_deadlock(lock);
    }

    #[cfg(feature = "lockdep")]
    fn interrupt_state() -> crate::lockdep::InterruptState {
        K::interrupt_state()
    }

    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &crate::lockdep::Violation) {
        K::order_violation(violation);
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
                let now = Self::own_ns();
                // A clock that differs a little between CPUs must not make a budget endless.
                let spent = now.wrapping_sub(*began.get_or_insert(now)) as i64;
                if spent >= budget.into() {
                    return condition();
                }
            }
        }
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let sample = Self::sample(cpu);
        if Self::is_paravirtual() {
            sample
        } else {
            RunSample::new(RunState::Running, sample.generation())
        }
    }

    fn pressure() -> bool {
        if !Self::is_paravirtual() {
            return false;
        }
        // A host that does not tell may be short of pCPUs at any time.
        !K::host().has_steal_time() || {
            let cpu = K::cpu();
            K::vcpu(cpu).lacks_pcpu(K::record(cpu), K::now_ns())
        }
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

    fn yield_to(hint: Hint) -> Status {
        if K::host().transport() < Transport::DirectedYield {
            return Status::Refused;
        }
        let target = match Self::end_of_chain(hint) {
            Ok(target) => target,
            Err(status) => return status,
        };
        let Some(apic_id) = K::vcpu(target).apic_id() else {
            return Status::Refused;
        };
        let vcpu = K::vcpu(K::cpu());
        let before = Self::sample(target);
        vcpu.begin_yield();
        Self::hypercall(HC_SCHED_YIELD, apic_id.into(), 0);
        vcpu.end_yield();
        let after = Self::sample(target);
        if after.is_preempted() && after.generation() == before.generation() {
            Status::Refused
        } else {
            Status::Ran
        }
    }
}

impl<K: Kernel, I: Instructions> Kvm<K, I> {
    fn halt(hint: Option<Hint>) {
        let cpu = K::cpu();
        let vcpu = K::vcpu(cpu);
        // Nothing could wake a CPU that has not started, or that the host calls it does not wake.
        if !Self::is_paravirtual() || vcpu.apic_id().is_none() {
            return;
        }
        // The hint first, while there is a pCPU to give it: perhaps the kick comes meanwhile.
        if let Some(hint) = hint {
            let _ = Self::yield_to(hint);
        }
        // SAFETY: CPL 0, as `start_cpu` was promised. Each way below unmasks what was masked here.
        let were_enabled = unsafe { I::mask() };
        if vcpu.begin_halt(K::record(cpu)) {
            if were_enabled {
                // SAFETY: as for `mask`; they were enabled.
                unsafe { I::halt_unmasked() };
            } else {
                // SAFETY: as for `mask`. A CPU that sees this one halt and does not kick it breaks
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
        if (sleeps || Self::sample(cpu).is_preempted())
            && let Some(apic_id) = vcpu.apic_id()
        {
            Self::hypercall(HC_KICK_CPU, 0, apic_id.into());
        }
    }
}
