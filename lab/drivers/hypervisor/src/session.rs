//! One run of the hypervisor, from mapped stacks to joined threads, whatever its guests do.
//!
//! ```text
//!   lock the process -> handler, memory, arena, host -> threads pinned -> go
//!        -> body(live)  the caller watches, on its own thread
//!        -> stop, join -> whatever remains
//! ```
//!
//! Contexts are abandoned where they stand when the run is stopped: guests own nothing that
//! would have to be given back.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, Ordering::Relaxed};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use pvqspin_abi::Cpu;
use pvqspin_host::{Config, Host, Registration, VmConfig};

use crate::arena::Arena;
use crate::context;
use crate::error::{RunError, Unsupported};
use crate::host_lock::HostLock;
use crate::marks::Marks;
use crate::pcpu::Pcpu;
use crate::pcpu_loop::{Driver, Hosted, Shared};
use crate::signal::Handler;
use crate::vcb::{self, Body, Identity, Vcb};
use crate::vcpu_side::vcpu_main;
use pvqspin_driver_common::{GuestMemory, Loan};
use pvqspin_driver_common::{Ring, Trace};
use pvqspin_load::Faults;
use pvqspin_real_time::ConfigProblem;
use pvqspin_real_time::affinity;
use pvqspin_real_time::clock;
use pvqspin_real_time::compute;
use pvqspin_real_time::noise::{Listener, Noise, stolen_ns};

/// One VM to run.
pub(crate) struct VmPlan<'a> {
    pub(crate) vcpus: usize,
    pub(crate) weight: u32,
    pub(crate) body: &'a Body<'a>,
    pub(crate) faults: Faults,
}

/// Everything to run.
pub(crate) struct Plan<'a> {
    /// The CPUs to use, one for each pCPU.
    pub(crate) cpus: &'a [usize],
    pub(crate) host: Config,
    pub(crate) vms: Vec<VmPlan<'a>>,
    pub(crate) hypercall_ns: u64,
    pub(crate) halt_timeout_ns: u64,
    pub(crate) trace: bool,
    /// How many marks of each vCPU to keep.
    pub(crate) trace_marks: usize,
}

/// A run in progress, for the thread that conducts it.
pub(crate) struct Live<'a> {
    pub(crate) shared: &'a Shared,
    vms: &'a [LiveVm],
}

struct LiveVm {
    memory: Loan,
    vcpus: Range<usize>,
}

impl Live<'_> {
    /// The control blocks of a VM.
    pub(crate) fn vcbs(&self, vm: usize) -> &[&'static Vcb] {
        &self.shared.vcbs[self.vms[vm].vcpus.clone()]
    }

    /// The memory of a VM.
    pub(crate) fn memory(&self, vm: usize) -> &'static GuestMemory {
        self.vms[vm].memory.get()
    }

    /// How many vCPUs have ended.
    #[cfg(test)]
    pub(crate) fn ended(&self) -> u64 {
        self.shared.ended.load(Relaxed)
    }
}

/// What is left of a run.
pub(crate) struct Remains {
    pub(crate) trace: Trace,
    pub(crate) halt_timeouts: u64,
    pub(crate) faults_fired: u64,
    pub(crate) noise: Noise,
    /// The host, for its statistics.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at its statistics"))]
    pub(crate) host: Host<&'static GuestMemory>,
}

/// One run at a time: the signal handler and the arena belong to the whole process.
static RUNNING: Mutex<()> = Mutex::new(());

/// Waits until nothing else in this process uses the signal and the arena.
pub(crate) fn exclusive() -> MutexGuard<'static, ()> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What pCPU threads wait for before they start.
const WAIT: u8 = 0;
const GO: u8 = 1;
const GIVE_UP: u8 = 2;

/// Runs a plan while `body` runs, on the calling thread, and stops when that returns.
pub(crate) fn execute<R>(
    plan: &Plan<'_>,
    body: impl FnOnce(&Live<'_>) -> R,
) -> Result<(R, Remains), RunError> {
    let _only_one = exclusive();
    compute::calibrate(clock::calibrate());
    let _handler =
        Handler::install().map_err(|error| RunError::from(Unsupported::Timers(error)))?;

    let vcpus: usize = plan.vms.iter().map(|vm| vm.vcpus).sum();
    let arena = Arena::new(vcpus).map_err(|error| RunError::Setup(error.into()))?;
    let marks: Vec<_> = (0..if plan.trace { vcpus } else { 0 })
        .map(|_| Marks::new(plan.trace_marks))
        .collect();
    let (host, vms) = assemble_host(plan)?;
    let vcbs = write_vcbs(plan, &arena, &vms, &marks);
    let registrations = (plan.vms.iter())
        .map(|vm| Registration::new(&plan.host, vm.vcpus))
        .collect();
    let shared = Shared {
        host: HostLock::new(Hosted::new(host)),
        pcpus: (0..plan.cpus.len()).map(Pcpu::new).collect(),
        vcbs,
        registrations: Mutex::new(registrations),
        stop: AtomicBool::new(false),
        hypercall_ns: plan.hypercall_ns,
        halt_timeout_ns: plan.halt_timeout_ns,
        next_halt_check: AtomicU64::new(0),
        halts_count_from: AtomicU64::new(0),
        stood_still_ns: STOOD_STILL_NS.max(plan.host.slice_ns.saturating_mul(4)),
        halt_timeouts: AtomicU64::new(0),
        ended: AtomicU64::new(0),
    };
    arena.publish();
    let live = Live {
        shared: &shared,
        vms: &vms,
    };
    let stolen_before = stolen_ns(plan.cpus);
    let (result, returns) = on_pinned_threads(plan, &shared, || body(&live))?;
    arena.withdraw();

    let mut noise = Noise {
        lost_ns: stolen_ns(plan.cpus).saturating_sub(stolen_before),
        ..Noise::default()
    };
    returns.iter().for_each(|returned| noise += returned.noise);
    let rings = returns.into_iter().map(|returned| returned.ring);
    let remains = Remains {
        trace: collect(rings, &marks),
        halt_timeouts: shared.halt_timeouts.load(Relaxed),
        faults_fired: (shared.vcbs.iter())
            .map(|vcb| u64::from(vcb.faults_fired.load(Relaxed)))
            .sum(),
        noise,
        host: shared.host.into_inner().host,
    };
    Ok((result, remains))
}

/// Where no pCPU has looked for halts for so long, none of them can have run: the process was stopped, or
/// the machine was. Each looks every 20 ms, and at the end of a slice.
const STOOD_STILL_NS: u64 = 150_000_000;

/// How many events of a pCPU are kept with tracing on (some 10 MB), and off: enough for the watchdog to
/// show what came last.
const TRACING: usize = 1 << 18;
const LAST_WORDS: usize = 128;

/// Puts together what the pCPUs recorded and what the vCPUs marked.
fn collect(rings: impl Iterator<Item = Ring>, marks: &[Marks]) -> Trace {
    let mut numbers: HashMap<usize, u32> = HashMap::new();
    let mut number = |lock: usize| {
        let next = numbers.len() as u32;
        *numbers.entry(lock).or_insert(next)
    };
    let marks: Vec<Ring> = (marks.iter().zip(0..))
        .map(|(marks, vcpu)| marks.to_ring(vcpu, &mut number))
        .collect();
    Trace::collect(rings.chain(marks))
}

/// The host with all its VMs, every vCPU started.
fn assemble_host(
    plan: &Plan<'_>,
) -> Result<(Host<&'static GuestMemory>, Vec<LiveVm>), ConfigProblem> {
    let mut host = Host::new(plan.host)?;
    let mut vms = Vec::new();
    let mut first = 0;
    for vm in &plan.vms {
        let memory = Loan::new(vm.vcpus);
        let config = VmConfig {
            vcpus: vm.vcpus,
            weight: vm.weight,
        };
        let id = host.add_vm(config, memory.get())?;
        for cpu in (0..vm.vcpus).filter_map(Cpu::new) {
            let vcpu = host.vcpu_id(id, cpu);
            // The host numbers vCPUs in the order of their VMs; control blocks rely on it.
            debug_assert_eq!(vcpu.map(|vcpu| vcpu.index()), Some(first + cpu.index()));
            if let Some(vcpu) = vcpu {
                host.start(clock::now_ns(), vcpu);
            }
        }
        let vcpus = first..first + vm.vcpus;
        first = vcpus.end;
        vms.push(LiveVm { memory, vcpus });
    }
    // Every pCPU asks for work as its first act: none has to be poked.
    while host.next_poke().is_some() {}
    Ok((host, vms))
}

/// Writes the control block and the first stack frame of every vCPU.
fn write_vcbs(
    plan: &Plan<'_>,
    arena: &Arena,
    vms: &[LiveVm],
    marks: &[Marks],
) -> Vec<&'static Vcb> {
    let mut vcbs = Vec::new();
    for (number, (vm, live)) in plan.vms.iter().zip(vms).enumerate() {
        for (index, slot) in live.vcpus.clone().enumerate() {
            let cpu = Cpu::new(index).expect("the host has accepted the number of vCPUs");
            let marked_points = if plan.trace { vcb::ALL_MARKS } else { 0 };
            let identity = Identity {
                vcpu: slot as u32,
                vm: number,
                cpu,
                memory: live.memory.get(),
                body: erase_lifetime(vm.body),
                faults: &vm.faults,
                watched_points: vm.faults.points_of(cpu) | marked_points,
                marks: marks
                    .get(slot)
                    .map_or(core::ptr::null(), core::ptr::from_ref),
            };
            // SAFETY: the top of a stack in our own arena, which nothing uses yet.
            let rsp = unsafe { context::prepare(arena.stack_top(slot), vcpu_main) };
            let vcb = arena.vcb(slot);
            // SAFETY: the place for a control block, aligned, in our own arena. 'static stands
            // for the life of the arena: `execute` drops all users of it first.
            vcbs.push(unsafe {
                vcb.write(Vcb::new(identity, rsp));
                &*vcb
            });
        }
    }
    vcbs
}

fn erase_lifetime<'a>(body: &'a Body<'a>) -> *const Body<'static> {
    // SAFETY: only the lifetime changes. `execute` borrows the plan until every thread that
    // could call the body has been joined.
    unsafe { core::mem::transmute::<*const Body<'a>, *const Body<'static>>(body) }
}

/// Runs the pCPUs on threads of their own while `body` runs on this one.
fn on_pinned_threads<R>(
    plan: &Plan<'_>,
    shared: &Shared,
    body: impl FnOnce() -> R,
) -> Result<(R, Vec<Returned>), RunError> {
    let gate = AtomicU8::new(WAIT);
    thread::scope(|scope| {
        // Whatever happens below, a panic included, the threads must end, or the scope would
        // wait for them for ever.
        let stopper = Stopper {
            shared,
            gate: &gate,
        };
        let (ready, readiness) = mpsc::channel();
        let mut threads = Vec::new();
        for (pcpu, &cpu) in shared.pcpus.iter().zip(plan.cpus) {
            let (ready, gate) = (ready.clone(), &gate);
            let thread = thread::Builder::new()
                .name(format!("pcpu{}", pcpu.index()))
                .spawn_scoped(scope, move || {
                    pcpu_thread(
                        shared,
                        pcpu,
                        cpu,
                        if plan.trace { TRACING } else { LAST_WORDS },
                        &ready,
                        gate,
                    )
                })
                .map_err(RunError::Setup)?;
            threads.push(thread);
        }
        drop(ready);
        readiness
            .iter()
            .take(threads.len())
            .collect::<Result<(), _>>()?;
        gate.store(GO, Ordering::Release);
        let result = body();
        drop(stopper);
        let returns = threads
            .into_iter()
            .filter_map(|thread| match thread.join() {
                Ok(returned) => returned,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect();
        Ok((result, returns))
    })
}

/// Ends all pCPU threads when dropped.
struct Stopper<'a> {
    shared: &'a Shared,
    gate: &'a AtomicU8,
}

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        // Those who wait at the gate give up; for those who have passed it, this is nothing.
        let _ = (self.gate).compare_exchange(WAIT, GIVE_UP, Ordering::AcqRel, Ordering::Relaxed);
        self.shared.stop();
    }
}

/// What a pCPU thread brings back. `None` instead if it never started.
struct Returned {
    ring: Ring,
    noise: Noise,
}

fn pcpu_thread(
    shared: &Shared,
    pcpu: &Pcpu,
    cpu: usize,
    trace_events: usize,
    ready: &mpsc::Sender<Result<(), Unsupported>>,
    gate: &AtomicU8,
) -> Option<Returned> {
    let become_pcpu = || -> Result<_, Unsupported> {
        affinity::pin_caller(cpu).map_err(|error| Unsupported::Pinning { cpu, error })?;
        pcpu.adopt_caller().map_err(Unsupported::Timers)
    };
    let driver = Driver::new(shared, pcpu, trace_events);
    let adopted = become_pcpu();
    // A failed send means that the receiver has seen another failure and left.
    let (adopted, report) = match adopted {
        Ok(adopted) => (Some(adopted), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let _ = ready.send(report);
    let _adopted = adopted?;
    loop {
        match gate.load(Ordering::Acquire) {
            GO => {
                let listener = Listener::start();
                let ring = driver.run();
                let noise = listener.heard();
                return Some(Returned { ring, noise });
            }
            GIVE_UP => return None,
            _ => thread::yield_now(),
        }
    }
}

/// Turns an error of the operating system that `execute` may meet into words for `probe`.
pub(crate) fn as_unsupported(error: RunError) -> Unsupported {
    match error {
        RunError::Unsupported(unsupported) => unsupported,
        RunError::Setup(error) => Unsupported::Timers(error),
        other => Unsupported::Trial(other.to_string()),
    }
}
