//! An environment with one CPU that has to look up its number, as a kernel would.

use pvqspin::{AtomicCpu, Budget, Cpu, CpuNodes, Env};

/// One CPU. Its number is a load away, as from a kernel's per-CPU segment.
pub(crate) struct OneCpu;

static CPU: AtomicCpu = AtomicCpu::new(Cpu::ZERO);
static NODES: CpuNodes = CpuNodes::new();

impl OneCpu {
    /// Makes the number something that the compiler has to load.
    pub(crate) fn start() {
        CPU.store(std::hint::black_box(Cpu::ZERO));
    }
}

impl Env for OneCpu {
    #[inline]
    fn cpu() -> Cpu {
        CPU.load()
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
