//! One VM: its memory, its image, and its vCPUs in the state in which they start.

use std::io;
use std::sync::Arc;

use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, KVM_MP_STATE_RUNNABLE, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
    KVMIO, kvm_device_attr, kvm_mp_state, kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use pvqspin_kvm_boot::Boot;
use pvqspin_kvm_boot::boot::BOOT_AT;

use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

use crate::error::{ConfigProblem, RunError, Unavailable, io_error};
use crate::image::Image;
use crate::memory::GuestMemory;
use crate::setup::{self, Cpl};

/// KVM, opened and found fit.
#[derive(Debug)]
pub struct KvmHost {
    kvm: Kvm,
    cpuid: CpuId,
}

impl KvmHost {
    /// Opens `/dev/kvm`, and checks that it has what is needed.
    ///
    /// # Errors
    ///
    /// What is missing, and what can be done about it.
    pub fn open() -> Result<Self, Unavailable> {
        let kvm = Kvm::new().map_err(|error| {
            let error = io_error(error);
            match error.kind() {
                io::ErrorKind::NotFound => Unavailable::NoDevice,
                io::ErrorKind::PermissionDenied => Unavailable::NoPermission(error),
                _ => Unavailable::Broken(error),
            }
        })?;
        match kvm.get_api_version() {
            12 => {}
            other => return Err(Unavailable::ApiVersion(other)),
        }
        for (capability, name) in [
            (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
            (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
            (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
        ] {
            if !kvm.check_extension(capability) {
                return Err(Unavailable::Missing(name));
            }
        }
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(|error| Unavailable::Broken(io_error(error)))?;
        Ok(Self { kvm, cpuid })
    }

    /// What KVM would have to offer for the stock transports and does not.
    #[must_use]
    pub fn missing_for_stock(&self) -> Option<&'static str> {
        const FEATURES: u32 = 0x4000_0001;
        if !self.kvm.check_extension(Cap::Irqchip) {
            return Some("KVM_CAP_IRQCHIP");
        }
        let entries = self.cpuid.as_slice().iter();
        let offered = (entries.filter(|entry| entry.function == FEATURES))
            .map(|entry| entry.eax)
            .fold(0, |all, bits| all | bits);
        // As in KVM's public `kvm_para.h`.
        [(5, "STEAL_TIME"), (7, "PV_UNHALT"), (13, "PV_SCHED_YIELD")]
            .into_iter()
            .find_map(|(bit, name)| (offered >> bit & 1 == 0).then_some(name))
    }

    /// How many vCPUs a VM may have.
    #[must_use]
    pub fn max_vcpus(&self) -> usize {
        self.kvm.get_max_vcpus()
    }
}

/// A VM, ready to run.
#[derive(Debug)]
pub(crate) struct Vm {
    // Before the memory that KVM was told of.
    pub(crate) vcpus: Vec<VcpuFd>,
    #[expect(dead_code, reason = "a VM lives as long as its file")]
    fd: VmFd,
    pub(crate) memory: Arc<GuestMemory>,
}

impl Vm {
    /// Makes a VM.
    pub(crate) fn new(
        host: &KvmHost,
        image: &Image,
        cpl: Cpl,
        boot: &Boot,
    ) -> Result<Self, RunError> {
        let memory = GuestMemory::new(boot.vcpus).map_err(RunError::setup("guest memory"))?;
        let entry = image.load_into(&memory).map_err(ConfigProblem::Image)?;
        setup::write_tables(&memory, cpl).map_err(RunError::setup("page tables"))?;
        memory
            .write_words(BOOT_AT, &boot.to_words())
            .map_err(RunError::setup("boot block"))?;

        let step = |what: &'static str| move |error| RunError::setup(what)(io_error(error));
        let fd = host.kvm.create_vm().map_err(step("KVM_CREATE_VM"))?;
        for (slot, (guest_phys_addr, memory_size, userspace_addr)) in memory.regions().enumerate() {
            let region = kvm_userspace_memory_region {
                slot: slot as u32,
                flags: 0,
                guest_phys_addr,
                memory_size,
                userspace_addr,
            };
            // SAFETY: the region is a mapping that `memory` owns. Guest code runs in `KVM_RUN` only,
            // on threads that the session joins while it holds the memory.
            unsafe { fd.set_user_memory_region(region) }
                .map_err(step("KVM_SET_USER_MEMORY_REGION"))?;
        }
        let is_stock = boot.transport.is_stock();
        if is_stock {
            // Without it KVM has no vCPU to wake, and `HLT` comes back here.
            fd.create_irq_chip().map_err(step("KVM_CREATE_IRQCHIP"))?;
        }
        let mut vcpus = Vec::with_capacity(boot.vcpus);
        for number in 0..boot.vcpus {
            let vcpu = fd
                .create_vcpu(number as u64)
                .map_err(step("KVM_CREATE_VCPU"))?;
            vcpu.set_cpuid2(&cpuid_of(&host.cpuid, number))
                .map_err(step("KVM_SET_CPUID2"))?;
            let mut sregs = vcpu.get_sregs().map_err(step("KVM_GET_SREGS"))?;
            setup::set_system_registers(&mut sregs, cpl, memory.layout().area(number));
            vcpu.set_sregs(&sregs).map_err(step("KVM_SET_SREGS"))?;
            let stack_top = memory.layout().stack_top(number);
            vcpu.set_regs(&setup::registers(entry, stack_top, number as u64))
                .map_err(step("KVM_SET_REGS"))?;
            if is_stock {
                // All but the first wait for a start-up interrupt otherwise.
                let runnable = kvm_mp_state {
                    mp_state: KVM_MP_STATE_RUNNABLE,
                };
                vcpu.set_mp_state(runnable)
                    .map_err(step("KVM_SET_MP_STATE"))?;
            }
            clear_tsc_offset(&vcpu);
            vcpus.push(vcpu);
        }
        if is_stock {
            enable_apics(&vcpus).map_err(step("KVM_SET_LAPIC"))?;
        }
        Ok(Self {
            vcpus,
            fd,
            memory: Arc::new(memory),
        })
    }
}

/// Switches the interrupt controllers on, as firmware does, once all vCPUs exist.
///
/// KVM finds the target of a hypercall in a map of APIC ids, which it makes anew when a controller
/// changes. It does so *before* a new vCPU is listed: without a change afterwards the last one is not
/// in the map, and neither kicks nor yields ever reach it (seen with Linux 6.1).
fn enable_apics(vcpus: &[VcpuFd]) -> Result<(), vmm_sys_util::errno::Error> {
    /// In the spurious-interrupt register, at 0xf0: bit 8.
    const SWITCH: (usize, i8) = (0xf1, 1);
    for vcpu in vcpus {
        let mut apic = vcpu.get_lapic()?;
        apic.regs[SWITCH.0] |= SWITCH.1;
        vcpu.set_lapic(&apic)?;
    }
    Ok(())
}

/// What KVM offers, as one vCPU is to see it: with its own APIC id, and with the bit that says that
/// there is a hypervisor, which KVM leaves to us.
fn cpuid_of(offered: &CpuId, number: usize) -> CpuId {
    const HYPERVISOR: u32 = 1 << 31;
    let mut cpuid = offered.clone();
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            1 => {
                entry.ecx |= HYPERVISOR;
                entry.ebx = entry.ebx & 0x00ff_ffff | (number as u32) << 24;
            }
            // The topology leaves: the id in full.
            0xb | 0x1f => entry.edx = number as u32,
            _ => {}
        }
    }
    cpuid
}

// `kvm-ioctls` has this for Arm only.
ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);

/// Lets the guest read the same time-stamp counter as this process.
///
/// KVM starts a new VM's counter at 0, by an offset. Kernels before 5.16 cannot be told another:
/// what came of it shows when the boot CPU tells its time.
fn clear_tsc_offset(vcpu: &VcpuFd) {
    let offset = 0_u64;
    let attribute = kvm_device_attr {
        flags: 0,
        group: KVM_VCPU_TSC_CTRL,
        attr: u64::from(KVM_VCPU_TSC_OFFSET),
        addr: (&raw const offset) as u64,
    };
    // SAFETY: KVM reads the attribute, and 8 bytes at the address in it; both live through the call.
    unsafe { ioctl_with_ref(vcpu, KVM_SET_DEVICE_ATTR(), &attribute) };
}
