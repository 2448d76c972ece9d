//! Where a VM keeps the pages that it shares with the host.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pvqspin_abi::{Cpu, VcpuPage, VmPage};

/// The shared pages of one VM.
///
/// The host asks only for vCPUs that the VM has, and expects the same page every time, for as long
/// as the host lives. All access is by the atomics of the pages: guests may write at any time.
///
/// ```
/// use pvqspin_abi::{Cpu, VcpuPage, VmPage};
/// use pvqspin_host::GuestPages;
///
/// /// At fixed places in memory that the guest has, too.
/// struct Mapped {
///     vcpus: &'static [VcpuPage],
///     vm: &'static VmPage,
/// }
///
/// impl GuestPages for Mapped {
///     fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
///         &self.vcpus[cpu.index()]
///     }
///     fn vm(&self) -> &VmPage {
///         self.vm
///     }
/// }
/// # let _: Option<Mapped> = None;
/// ```
pub trait GuestPages {
    /// The page of a vCPU.
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage;
    /// The page of the VM.
    fn vm(&self) -> &VmPage;
}

impl<P: GuestPages + ?Sized> GuestPages for &P {
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
        (**self).vcpu(cpu)
    }
    fn vm(&self) -> &VmPage {
        (**self).vm()
    }
}

impl<P: GuestPages + ?Sized> GuestPages for Arc<P> {
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
        (**self).vcpu(cpu)
    }
    fn vm(&self) -> &VmPage {
        (**self).vm()
    }
}

/// Pages on the heap, for guests that share the host's address space, and for tests.
#[derive(Debug)]
pub struct HeapPages {
    vcpus: Box<[VcpuPage]>,
    vm: VmPage,
}

impl HeapPages {
    /// Fresh pages for so many vCPUs.
    #[must_use]
    pub fn new(vcpus: usize) -> Self {
        Self {
            vcpus: (0..vcpus)
                .map(|_| VcpuPage::new())
                .collect::<Vec<_>>()
                .into(),
            vm: VmPage::new(),
        }
    }

    /// How many vCPUs there are pages for.
    #[must_use]
    pub fn vcpus(&self) -> usize {
        self.vcpus.len()
    }
}

impl GuestPages for HeapPages {
    /// # Panics
    ///
    /// If there are fewer pages than the VM has vCPUs.
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
        &self.vcpus[cpu.index()]
    }
    fn vm(&self) -> &VmPage {
        &self.vm
    }
}
