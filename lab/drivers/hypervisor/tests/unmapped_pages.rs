//! The pages of a VM go away for good: they are unmapped under a host that was given others before.
//! One look at them, and this process is gone.

#![cfg(target_os = "linux")]

use core::mem::size_of;
use core::ptr::{self, NonNull};

use pvqspin_abi::{Cpu, Hint, Hypercall, RunState, VcpuPage, VmPage};
use pvqspin_host::{Config, GuestPages, Host, Pcpu, Scheduling, VcpuId, VmConfig, VmId, YieldMode};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

const VCPUS: usize = 4;
const BYTES: usize = 4096;
const SLICE_NS: u64 = 1_000_000;

/// The pages of one VM in a mapping of their own.
struct Mapped(NonNull<VcpuPage>);

/// Where the VM's own page lies: behind those of its vCPUs.
const VM_PAGE_AT: usize = VCPUS * size_of::<VcpuPage>();
const _: () = assert!(VM_PAGE_AT + size_of::<VmPage>() <= BYTES);

impl Mapped {
    fn new() -> Self {
        // SAFETY: an anonymous mapping at an address of the kernel's choice replaces nothing.
        let mapping = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        let mapping = mapping.expect("a page").cast::<VcpuPage>();
        let pages = NonNull::new(mapping).expect("not at 0");
        for cpu in 0..VCPUS {
            // SAFETY: inside the mapping, as checked above, aligned to a page, and not in use yet.
            unsafe { pages.add(cpu).write(VcpuPage::new()) };
        }
        // SAFETY: likewise.
        unsafe {
            pages
                .byte_add(VM_PAGE_AT)
                .cast::<VmPage>()
                .write(VmPage::new())
        };
        Self(pages)
    }

    /// Takes the memory away. An access afterwards ends the process.
    fn unmap(&self) {
        // SAFETY: the mapping of `new`. A reference that was handed out is not used again, or else
        // the test fails as it should.
        unsafe { mprotect(self.0.as_ptr().cast(), BYTES, MprotectFlags::empty()) }.expect("ours");
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, whose owner is gone.
        unsafe { munmap(self.0.as_ptr().cast(), BYTES) }.expect("ours");
    }
}

impl GuestPages for Mapped {
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
        assert!(cpu.index() < VCPUS);
        // SAFETY: written by `new`, inside the mapping, and made of atomics.
        unsafe { self.0.add(cpu.index()).as_ref() }
    }

    fn vm(&self) -> &VmPage {
        // SAFETY: likewise.
        unsafe { self.0.byte_add(VM_PAGE_AT).cast::<VmPage>().as_ref() }
    }
}

/// Ends slices and makes calls in turns: every vCPU that runs halts, kicks and yields to each vCPU of
/// its VM. Returns how long each VM ran meanwhile.
fn go_on(host: &mut Host<Mapped>, now: &mut u64) -> [u64; 2] {
    let ran = |host: &Host<Mapped>| {
        let of = |vcpu| host.stats(VcpuId::new(vcpu)).ran_ns;
        [0, VCPUS as u32].map(|first| (first..first + VCPUS as u32).map(of).sum::<u64>())
    };
    let before = ran(host);
    for round in 0..400_usize {
        *now += SLICE_NS / 3;
        let pcpu = Pcpu::new(round as u32 % 2);
        let cpu = Cpu::new(round / 2 % VCPUS).expect("small");
        let hint = Hint {
            cpu,
            generation: pvqspin_abi::Generation::default(),
        };
        let call = match round % 7 {
            0 => Hypercall::Halt(Some(hint)),
            1 | 2 => Hypercall::YieldTo(hint),
            _ => Hypercall::Kick(cpu),
        };
        if host.current(pcpu).is_some() {
            let _ = host.hypercall(*now, pcpu, call);
        }
        // The vCPU that the host names runs: nothing but the host decides.
        let _ = host.reschedule(*now, pcpu);
        // Devices: no vCPU sleeps for ever.
        for vcpu in (0..2 * VCPUS as u32).map(VcpuId::new) {
            host.halt_timeout(*now, vcpu);
        }
        while let Some(poked) = host.next_poke() {
            let _ = host.reschedule(*now, poked);
        }
    }
    let after = ran(host);
    [0, 1].map(|vm: usize| after[vm] - before[vm])
}

#[test]
fn a_host_never_looks_at_pages_that_it_gave_back() {
    for scheduling in Scheduling::ALL {
        let mut host = Host::new(Config {
            pcpus: 2,
            scheduling,
            yields: YieldMode::Contract,
            slice_ns: SLICE_NS,
            min_loan_ns: SLICE_NS / 4,
            ..Config::default()
        })
        .expect("a good configuration");
        let config = VmConfig {
            vcpus: VCPUS,
            weight: 1,
        };
        let vms = [(); 2].map(|()| host.add_vm(config, Mapped::new()).expect("a good VM"));
        let mut now = 1_000;
        for vcpu in 0..2 * VCPUS as u32 {
            host.start(now, VcpuId::new(vcpu));
        }
        go_on(&mut host, &mut now);

        // While some of it run and others are halted or preempted.
        let Ok(old) = host.replace_pages(vms[0], Mapped::new()) else {
            panic!("the VM is there")
        };
        old.unmap();
        let ran = go_on(&mut host, &mut now);
        assert!(ran.iter().all(|ran| *ran > 0), "{scheduling:?}: {ran:?}");

        let Ok(older) = host.replace_pages(vms[0], Mapped::new()) else {
            panic!("the VM is there")
        };
        older.unmap();
        host.kill_vm(now, vms[0]);
        let [killed, other] = go_on(&mut host, &mut now);
        assert!(other > 0 && killed <= 2 * SLICE_NS, "{scheduling:?}");
        assert_eq!(host.run_state(VcpuId::new(0)), Some(RunState::Idle));
        assert!(host.replace_pages(VmId::new(9), Mapped::new()).is_err());
    }
}
