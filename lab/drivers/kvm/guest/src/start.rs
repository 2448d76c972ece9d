//! From the boot block to the end of the work.

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicPtr, Ordering};

use pvqspin_kvm_boot::boot::{BOOT_AT, WORDS};
use pvqspin_kvm_boot::doorbell::Ring;
use pvqspin_kvm_boot::layout::STACK_BYTES;
use pvqspin_kvm_boot::{Boot, Layout, Results, Role, Transport};
use pvqspin_load::{Control, NeighbourRecord, Record, Workload, WorkloadConfig, catalog};
use pvqspin_rivals::Lock;
use pvqspin_rivals::visit::{Visitor, with_lock};

use crate::doorbell::{Doorbell, ring};
use crate::env::GuestEnv;
use crate::stock::{self, OnKvm};
use crate::transport;
use crate::{clock, cpu, greedy, heap, trial};

/// The workload, once vCPU 0 has built it.
static WORKLOAD: AtomicPtr<Box<dyn Workload>> = AtomicPtr::new(core::ptr::null_mut());

/// The first Rust code of every vCPU.
pub(crate) extern "C" fn start(number: usize) -> ! {
    let boot = boot();
    let layout = Layout::new(boot.vcpus);
    if number == 0 {
        clock::set(&boot.clock);
        cpu::set_layout(&layout);
        heap::set(layout.heap, layout.end);
    }
    touch_stack(&layout, number);
    match boot.transport {
        Transport::Doorbell => run::<Doorbell>(&boot, &layout, number),
        Transport::Stock | Transport::StockKicks | Transport::StockSilent => {
            if number == 0 {
                stock::set(boot.transport, &layout);
            }
            stock::start(number);
            run::<OnKvm>(&boot, &layout, number);
        }
    }
}

/// Touches what is left of this vCPU's stack. The host gives a page to a guest that touches it first, and a vCPU that Linux
/// preempts at that looks to the others as if it ran: KVM does not call it preempted. So not in the middle of a run.
fn touch_stack(layout: &Layout, number: usize) {
    const PAGE: usize = 4096;
    let bottom = layout.stacks as usize + number * STACK_BYTES as usize;
    let here = (&raw const number).addr() & !(PAGE - 1);
    for page in (bottom..here).step_by(PAGE) {
        // SAFETY: below the page in use lies the rest of this stack, which belongs to this vCPU and holds nothing yet.
        unsafe { core::ptr::with_exposed_provenance_mut::<u64>(page).write_volatile(0) };
    }
}

/// What the VMM wants done.
fn boot() -> Boot {
    let block = core::ptr::with_exposed_provenance::<[u64; WORDS]>(BOOT_AT as usize);
    // SAFETY: the VMM has written the block before it started any vCPU, and leaves it alone.
    let words = unsafe { block.read_volatile() };
    match Boot::from_words(&words) {
        Some(boot) => boot,
        None => panic!("the boot block makes no sense: {words:x?}"),
    }
}

fn run<T: transport::Transport>(boot: &Boot, layout: &Layout, number: usize) -> ! {
    let control: &Control = cpu::place(layout.control, 0);
    match boot.role {
        Role::Locks(lock, config) => {
            if number == 0 {
                let workload = with_lock::<GuestEnv<T>, _>(lock, Build(config, boot.vcpus));
                // Release pairs with the acquire below: who sees the workload sees what is in it.
                WORKLOAD.store(Box::into_raw(Box::new(workload)), Ordering::Release);
                ready();
            }
            let record: &Record = cpu::place(layout.records, number);
            let workload = WORKLOAD.load(Ordering::Acquire);
            // SAFETY: vCPU 0 has stored it before it rang, no other vCPU starts before that, and it
            // is never given back.
            let workload = unsafe { &*workload }.as_ref();
            workload.run_vcpu(control, record);
            finish(boot.vcpus, layout, Some(workload));
        }
        Role::Neighbour(kind) => {
            if number == 0 {
                ready();
            }
            let record: &NeighbourRecord = cpu::place(layout.neighbour_records, number);
            kind.run_vcpu::<GuestEnv<T>>(control, record);
            finish(boot.vcpus, layout, None);
        }
        Role::Trial(trial) => {
            if number == 0 {
                ready();
            }
            let ticks = trial::run::<T>(trial);
            let results: &Results = cpu::place(layout.results, 0);
            results.set_account(ticks, &[]);
            finish(boot.vcpus, layout, None);
        }
        Role::Greedy(programs) => {
            assert!(boot.transport.is_stock(), "greedy programs call KVM");
            if number == 0 {
                ready();
            }
            greedy::run(programs.of_vcpu(number), number);
        }
    }
}

/// Everything is prepared: the others may start. Shows the VMM this vCPU's clock.
fn ready() {
    cpu::area()
        .ready_ticks
        .store(clock::ticks(), Ordering::Relaxed);
    ring(Ring::Ready);
}

/// Builds a workload on locks of a type that only the boot block knows.
struct Build(WorkloadConfig, usize);

impl<T: transport::Transport> Visitor<GuestEnv<T>> for Build {
    type Output = Box<dyn Workload>;

    fn visit<L: Lock<GuestEnv<T>>>(self) -> Self::Output {
        let Self(config, vcpus) = self;
        catalog::build::<GuestEnv<T>, L>(&config, vcpus)
    }
}

/// This vCPU has done its work. The last one says what came of the locks.
fn finish(vcpus: usize, layout: &Layout, workload: Option<&dyn Workload>) -> ! {
    let results: &Results = cpu::place(layout.results, 0);
    // Acquire and release: the last one sees all that the others have done.
    let before = results.finished.fetch_add(1, Ordering::AcqRel);
    if before as usize + 1 == vcpus
        && let Some(workload) = workload
    {
        let account = workload.account();
        results.set_account(account.entered, &account.class_sizes);
    }
    loop {
        ring(Ring::Done);
    }
}
