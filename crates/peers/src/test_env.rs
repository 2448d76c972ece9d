//! One CPU, alone: for tests of what a lock does uncontended. Waiting in it is a bug.

use pvqspin::{Budget, Cpu, CpuNodes, Env};

pub(crate) struct Alone;

static NODES: CpuNodes = CpuNodes::new();

impl Env for Alone {
    fn cpu() -> Cpu {
        Cpu::new(0).expect("in range")
    }

    fn nodes(_cpu: Cpu) -> &'static CpuNodes {
        &NODES
    }

    fn spin_until(mut condition: impl FnMut() -> bool, _budget: Budget) -> bool {
        assert!(condition(), "nobody else can make it true");
        true
    }
}
