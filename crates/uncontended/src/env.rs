//! An environment with one CPU that has to look up its number, as a kernel would.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pvqspin::{Budget, Cpu, CpuNodes, Env};

/// One CPU. Its number is a load away, as from a kernel's per-CPU segment.
pub(crate) struct OneCpu;

static CPU: AtomicUsize = AtomicUsize::new(0);
static NODES: CpuNodes = CpuNodes::new();

impl OneCpu {
    /// Makes the number something that the compiler has to load.
    pub(crate) fn start() {
        CPU.store(std::hint::black_box(0), Relaxed);
    }
}

impl Env for OneCpu {
    #[inline]
    fn cpu() -> Cpu {
        // The fallback is never taken: the number is 0. It spares the fast path a panic.
        Cpu::new(CPU.load(Relaxed)).unwrap_or(const { Cpu::new(0).expect("0 is a CPU number") })
    }

    fn nodes(_cpu: Cpu) -> &'static CpuNodes {
        &NODES
    }

    fn spin_until(mut condition: impl FnMut() -> bool, _budget: Budget) -> bool {
        while !condition() {
            core::hint::spin_loop();
        }
        true
    }
}
