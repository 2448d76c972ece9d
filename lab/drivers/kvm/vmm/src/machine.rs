//! All that the threads of a run share: the host, its pCPUs, the parkers, and how it ends.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pvqspin_abi::{Cpu, RunState};
use pvqspin_host::{Host, Run, VcpuId, VmId};
use pvqspin_real_time::clock;

use crate::error::Fatal;
use crate::kvm_stats::StatsFile;
use crate::memory::GuestMemory;
use crate::parker::{Parker, Pcpu};
use crate::watchdog::Watched;

/// The host, and the latest time it was told.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) host: Host<Arc<GuestMemory>>,
    now: u64,
}

impl Hosted {
    /// The time, which never goes back for the host, whatever thread reads it.
    pub(crate) fn now(&mut self) -> u64 {
        self.now = self.now.max(clock::now_ns());
        self.now
    }
}

/// One vCPU, as every thread may know it.
#[derive(Debug)]
pub(crate) struct Vcpu {
    pub(crate) vm: VmId,
    pub(crate) cpu: Cpu,
    pub(crate) memory: Arc<GuestMemory>,
    /// What KVM counts of it, if it tells.
    pub(crate) stats: Option<StatsFile>,
    /// When it left its guest last, in ticks.
    pub(crate) left_ticks: AtomicU64,
}

/// What the threads of a run share.
#[derive(Debug)]
pub(crate) struct Machine {
    host: Mutex<Hosted>,
    pub(crate) pcpus: Box<[Pcpu]>,
    /// By number on the host.
    pub(crate) vcpus: Box<[Vcpu]>,
    /// Of the vCPUs, by number on the host; then those of the pCPUs that idle.
    parkers: Box<[Parker]>,
    pub(crate) stop: AtomicBool,
    /// When it was made, in ticks.
    pub(crate) began_ticks: u64,
    /// How many VMs have prepared their work.
    pub(crate) ready: AtomicU64,
    /// How many vCPUs have ended.
    pub(crate) ended: AtomicU64,
    pub(crate) halt_timeouts: AtomicU64,
    /// The CPU time that its threads have had, of those that have ended, in nanoseconds.
    pub(crate) busy_ns: AtomicU64,
    fatal: Mutex<Option<Fatal>>,
}

impl Machine {
    pub(crate) fn new(host: Host<Arc<GuestMemory>>, cpus: &[usize], vcpus: Vec<Vcpu>) -> Self {
        let parkers = vcpus.len() + cpus.len();
        Self {
            host: Mutex::new(Hosted { host, now: 0 }),
            pcpus: (cpus.iter().enumerate())
                .map(|(index, &cpu)| Pcpu::new(index, cpu))
                .collect(),
            vcpus: vcpus.into(),
            parkers: (0..parkers).map(|_| Parker::new()).collect(),
            stop: AtomicBool::new(false),
            began_ticks: clock::ticks(),
            ready: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            halt_timeouts: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            fatal: Mutex::new(None),
        }
    }

    /// The host. For a short look or an event; [`event`](Self::event) is what most need.
    pub(crate) fn host(&self) -> MutexGuard<'_, Hosted> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parker of a vCPU's thread.
    pub(crate) fn parker_of(&self, vcpu: VcpuId) -> &Parker {
        &self.parkers[vcpu.index()]
    }

    /// The parker of the thread that idles on a pCPU.
    pub(crate) fn idle_parker(&self, pcpu: usize) -> &Parker {
        &self.parkers[self.vcpus.len() + pcpu]
    }

    /// Tells the host what happened, and pokes the pCPUs that it wants poked.
    pub(crate) fn event<R>(&self, tell: impl FnOnce(&mut Host<Arc<GuestMemory>>, u64) -> R) -> R {
        let mut pokes = PokeList::default();
        let result = {
            let mut hosted = self.host();
            let now = hosted.now();
            let result = tell(&mut hosted.host, now);
            while let Some(pcpu) = hosted.host.next_poke() {
                pokes.push(pcpu.index());
            }
            result
        };
        for pcpu in pokes.iter() {
            if let Some(pcpu) = self.pcpus.get(pcpu) {
                pcpu.poke();
            }
        }
        result
    }

    /// Lets the one that the host has chosen run on a pCPU, whose token the caller holds and gives
    /// away.
    pub(crate) fn hand_over(&self, pcpu: &Pcpu, run: Run) {
        let parker = match run.vcpu {
            Some(vcpu) => self.parker_of(vcpu),
            None => self.idle_parker(pcpu.index()),
        };
        parker.give(pcpu, run.until);
    }

    /// Starts all vCPUs of a VM that wait for its boot CPU.
    pub(crate) fn start_others(&self, vm: VmId) {
        self.event(|host, now| {
            // The boot CPU runs: a second start would end its next halt.
            let boot = host.vcpu_id(vm, Cpu::ZERO);
            for (index, vcpu) in self.vcpus.iter().enumerate() {
                let id = VcpuId::new(index as u32);
                if vcpu.vm == vm && Some(id) != boot {
                    host.start(now, id);
                }
            }
        });
        self.ready.fetch_add(1, Relaxed);
    }

    /// Ends the run: every thread comes back from wherever it is.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        // Pokes reach those on their way into a guest, wakes those who are in one or asleep.
        self.pcpus.iter().for_each(Pcpu::poke);
        self.parkers.iter().for_each(Parker::wake);
    }

    /// Whether it was stopped.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// A vCPU has done something that ends its VM, and the run with it. The first one counts.
    pub(crate) fn fail(&self, fatal: Fatal) {
        {
            let mut first = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(fatal);
        }
        self.stop();
    }

    /// What ended the run, if anything did.
    pub(crate) fn take_fatal(&self) -> Option<Fatal> {
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.take()
    }
}

impl Watched for Machine {
    fn failed(&self) -> bool {
        let fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.is_some()
    }

    /// Wakes vCPUs that have halted for too long: their wake-up was lost.
    fn check_halts(&self, halt_timeout_ns: u64) {
        let now = clock::now_ns();
        for (index, vcpu) in self.vcpus.iter().enumerate() {
            let id = VcpuId::new(index as u32);
            let halted_ns = now.saturating_sub(clock::at_ns(vcpu.left_ticks.load(Relaxed)));
            if halted_ns <= halt_timeout_ns {
                continue;
            }
            let halted = self.host().host.run_state(id) == Some(RunState::Halted);
            if halted && self.event(|host, now| host.halt_timeout(now, id)) {
                self.halt_timeouts.fetch_add(1, Relaxed);
            }
        }
    }
}

/// The pCPUs to poke, without an allocation in the common case of a few.
#[derive(Default)]
struct PokeList {
    few: [usize; 8],
    count: usize,
    many: Vec<usize>,
}

impl PokeList {
    fn push(&mut self, pcpu: usize) {
        match self.few.get_mut(self.count) {
            Some(place) => {
                *place = pcpu;
                self.count += 1;
            }
            None => self.many.push(pcpu),
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let few = self.few.iter().take(self.count);
        few.chain(&self.many).copied()
    }
}
