//! [`Env`](crate::Env) for a kernel that runs on KVM, on x86-64. Feature `kvm`.
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
//! | [`Env`](crate::Env) | on KVM |
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
//! queue, which it may decline, and returns 0 always. So [`yield_to`](crate::Env::yield_to) looks at the
//! record before the call, for what the host of the contract would drop
//! ([`Stale`](crate::Status::Stale), [`AlreadyRunning`](crate::Status::AlreadyRunning)), and after it: `Ran` if the
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
//! the host goes on writing. Where NMI handlers release locks that
//! they tried, [`Kernel::may_lend`] has to say that none of them lends.

mod env;
mod features;
mod host;
mod instructions;
mod steal_time;
mod vcpu;

pub use features::{Features, Transport};
pub use host::Host;
pub use instructions::{Call, Instructions, X86};
pub use steal_time::StealTime;
pub use vcpu::Vcpu;

use core::fmt;
use core::marker::PhantomData;

use crate::nodes::CpuNodes;
use crate::policy::Bounded;
use crate::word::Idx3;
use pvqspin_abi::Cpu;

/// Where KVM looks for the guest-physical address of the steal-time record, and for whether it is
/// wanted.
const MSR_STEAL_TIME: u32 = 0x4b56_4d03;
const ENABLED: u64 = 1 << 0;

// As in `Documentation/virt/kvm/x86/hypercalls.rst`.
/// The hypercall that wakes a vCPU.
pub const HC_KICK_CPU: u64 = 5;
/// The hypercall that is a directed yield.
pub const HC_SCHED_YIELD: u64 = 11;

/// What a kernel has to say. Everything it returns belongs to the kernel.
///
/// The contract is that of [`Env`](crate::Env): [`cpu`](Self::cpu) is constant while a lock is taken or held, and
/// [`nodes`](Self::nodes) and [`vcpu`](Self::vcpu) are a place of its own for each CPU, always the same.
pub trait Kernel: 'static {
    /// [`Env::MAX_CPUS`](crate::Env::MAX_CPUS), if there may be more than 8,190.
    const MAX_CPUS: usize = <crate::word::SpareBit as crate::word::Format>::MAX_CPUS;

    /// [`Env::LOOKS`](crate::Env::LOOKS), if a CPU is to look at a held lock before it queues.
    const LOOKS: u32 = 0;

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

    /// Whether the running CPU may lend its pCPU: not in an NMI handler. See [`Env::may_lend`](crate::Env::may_lend).
    #[inline]
    fn may_lend() -> bool {
        true
    }

    /// [`Env::self_deadlock`](crate::Env::self_deadlock): this CPU is about to wait for the lock at this address, which it holds.
    #[inline]
    fn self_deadlock(lock: usize) {
        let _ = lock;
    }

    /// [`Env::interrupt_state`](crate::Env::interrupt_state): whether the running CPU could be interrupted. The default cannot tell.
    #[cfg(feature = "lockdep")]
    fn interrupt_state() -> crate::lockdep::InterruptState {
        crate::lockdep::InterruptState::Unknown
    }

    /// [`Env::order_violation`](crate::Env::order_violation): the order checker found something. By default nothing happens.
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
    ///
    /// Not from a handler of an NMI or a machine check: it can come between the mark and the `HLT`, and
    /// the kick would then make no call.
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
}
