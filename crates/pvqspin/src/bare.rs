//! [`Env`] for bare metal, and for virtual CPUs that have pCPUs of their own.
//!
//! A kernel says which CPU it runs on and where it keeps the nodes, and declares its locks without a
//! type:
//!
//! ```
//! use pvqspin::bare::{self, Kernel};
//! use pvqspin::{AtomicCpu, Cpu, CpuNodes};
//!
//! struct MyKernel;
//!
//! const MAX_CPUS: usize = 64;
//! static NODES: [CpuNodes; MAX_CPUS] = [const { CpuNodes::new() }; MAX_CPUS];
//! // A per-CPU variable, in your kernel.
//! static THIS_CPU: AtomicCpu = AtomicCpu::new(Cpu::ZERO);
//!
//! impl Kernel for MyKernel {
//!     fn cpu() -> Cpu {
//!         THIS_CPU.load()
//!     }
//!     fn nodes(cpu: Cpu) -> &'static CpuNodes {
//!         &NODES[cpu.index()]
//!     }
//! }
//!
//! type Mutex<T> = bare::Mutex<T, MyKernel>;
//!
//! let run_queue = Mutex::new([0; 8]);
//! run_queue.lock()[3] = 1;
//! ```
//!
//! # One CPU
//!
//! [`bare::uniprocessor`](uniprocessor) has a world with one CPU in it, which needs nothing of the
//! kernel. A lock there excludes contexts of that CPU from each other, so it is of use under
//! [`irq::Mutex`](crate::irq::Mutex), or with `try_lock`; a `lock` that has to wait would wait
//! for ever.
//!
//! # Waiting
//!
//! A waiter spins with the processor's pause instruction. There is no clock: budgets are counted in
//! looks, of about 10 ns each, and [`Native`] has none.

use core::fmt;
use core::marker::PhantomData;

use crate::env::{Budget, Env};
use crate::nodes::CpuNodes;
use crate::policy::Native;
use crate::word::Idx3;
use crate::{Guard, MutexOf, QRwLock, QSpinLock, RwLockOf};
use pvqspin_abi::Cpu;

/// What a look at a condition takes, in ns, pause included. It need not be exact.
const NS_PER_LOOK: u32 = 10;

/// What a kernel on bare metal has to say. The contract is that of [`Env`].
pub trait Kernel: 'static {
    /// The CPU that executes this: from a per-CPU variable. On every fast path.
    fn cpu() -> Cpu;

    /// The queue nodes of a CPU.
    fn nodes(cpu: Cpu) -> &'static CpuNodes;

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

/// The environment of a [`Kernel`] on bare metal.
pub struct Bare<K>(PhantomData<fn() -> K>);

impl<K> fmt::Debug for Bare<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bare")
    }
}

impl<K: Kernel> Env for Bare<K> {
    #[inline]
    fn cpu() -> Cpu {
        K::cpu()
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        K::nodes(cpu)
    }

    #[cfg(feature = "lockdep")]
    fn interrupt_state() -> crate::lockdep::InterruptState {
        K::interrupt_state()
    }

    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &crate::lockdep::Violation) {
        K::order_violation(violation);
    }

    #[inline]
    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let mut looks = budget.get().map(|ns| ns / NS_PER_LOOK);
        loop {
            if condition() {
                return true;
            }
            match &mut looks {
                None => {}
                Some(0) => return false,
                Some(left) => *left -= 1,
            }
            core::hint::spin_loop();
        }
    }
}

/// Data behind a lock of the kernel `K`.
pub type Mutex<T, K> = MutexOf<T, RawMutex<K>>;

/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T, K> = Guard<'a, T, RawMutex<K>>;

/// Data behind a reader-writer lock of the kernel `K`.
pub type RwLock<T, K> = RwLockOf<T, RawRwLock<K>>;

/// The lock without data: four bytes, and a raw mutex of `lock_api`.
pub type RawMutex<K> = QSpinLock<Bare<K>, Native, Idx3>;

/// The reader-writer lock without data: eight bytes, and a raw reader-writer lock of `lock_api`.
pub type RawRwLock<K> = QRwLock<Bare<K>, Native, Idx3>;

/// A world with one CPU.
pub mod uniprocessor {
    use super::{Bare, Kernel};
    use crate::nodes::CpuNodes;
    use crate::policy::Native;
    use pvqspin_abi::Cpu;

    /// The kernel of one CPU.
    #[derive(Clone, Copy, Debug)]
    pub struct OneCpu;

    static NODES: CpuNodes = CpuNodes::new();

    impl Kernel for OneCpu {
        #[inline]
        fn cpu() -> Cpu {
            Cpu::ZERO
        }

        #[inline]
        fn nodes(_cpu: Cpu) -> &'static CpuNodes {
            &NODES
        }
    }

    /// Data that one context at a time has, with the interrupts of `I` masked.
    ///
    /// ```
    /// use pvqspin::bare::uniprocessor::IrqMutex;
    /// # struct Flag;
    /// # impl pvqspin::irq::Interrupts for Flag {
    /// #     type State = ();
    /// #     fn mask() {}
    /// #     unsafe fn restore(_: ()) {}
    /// # }
    ///
    /// static TICKS: IrqMutex<u64, Flag> = IrqMutex::new(0);
    /// *TICKS.lock() += 1;
    /// ```
    pub type IrqMutex<T, I> = crate::irq::Mutex<T, Bare<OneCpu>, I, Native>;

    /// Data that one context at a time has.
    pub type Mutex<T> = super::Mutex<T, OneCpu>;
}
