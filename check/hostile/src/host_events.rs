//! A hostile guest beside one that only computes, on one host.
//!
//! The hostile VM writes anything into its pages at any time, calls with any registers, blocks, and
//! ends vCPUs, all as the bytes say; the driver follows the host as a driver must. Four promises are
//! asserted:
//!
//! - **No panic**: whatever happens.
//! - **No loop**: an event looks at no more pages than there are vCPUs, a few times over.
//! - **No starving**: the hostile VM runs no longer than it is entitled to, but for a few slices: by
//!   the weights of its vCPUs, or under round robin, which knows no weights, by their number. Strict
//!   co-scheduling gives time to gangs by their weight, to each all pCPUs, whether it uses them or not;
//!   so there it is the turns of its gangs that are bounded, and its vCPUs run no longer than those.
//! - **Nothing told**: everything is done twice, once with garbage in the *other* VM's pages, and not
//!   one answer, page or decision differs. A number that is none of its own names no vCPU, and its pages
//!   tell its own vCPUs' states and nothing else. (One bit is told on purpose: whether any vCPU on this
//!   host waits for a pCPU. Guests need it to know when spinning is free.)

use std::cell::Cell;

use pvqspin_abi::{Cpu, Hypercall, Status, VcpuPage, VmPage};
use pvqspin_host::{
    Config, GuestPages, HeapPages, Host, Outcome, Pcpu, Run, Scheduling, VcpuId, VmConfig, VmId,
    YieldMode,
};

use crate::bytes::Bytes;

const SLICE: u64 = 1_000_000;

/// How long each schedule lasts, in slices. The slack is about 20 of them.
const SLICES: u64 = 120;

/// The VMs.
const HOSTILE: usize = 0;
const OTHER: usize = 1;

/// See the module. Panics if a promise is broken.
///
/// ```
/// pvqspin_hostile::host_events(b"anything at all");
/// ```
pub fn host_events(input: &[u8]) {
    let quiet = Machine::run(input, false);
    let noisy = Machine::run(input, true);
    assert_eq!(quiet, noisy, "the pages of one VM are told to another");
}

/// Pages that count how often they are looked at.
struct Watched<'a> {
    pages: HeapPages,
    looks: &'a Cell<u64>,
}

impl GuestPages for Watched<'_> {
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
        self.looks.set(self.looks.get() + 1);
        self.pages.vcpu(cpu)
    }
    fn vm(&self) -> &VmPage {
        self.pages.vm()
    }
}

/// All that any guest got to know, in order.
#[derive(PartialEq, Eq, Debug, Default)]
struct Told {
    statuses: Vec<Status>,
    samples: Vec<u32>,
    runs: Vec<(u64, Option<VcpuId>)>,
    ran_ns: [u64; 2],
}

struct Machine<'a> {
    host: Host<Watched<'a>>,
    vms: [VmId; 2],
    vcpus: [usize; 2],
    weights: [u32; 2],
    /// How many of its vCPUs the hostile VM has ended: never all, or none would be hostile.
    exits: usize,
    looks: &'a Cell<u64>,
    bytes: Bytes<'a>,
    now: u64,
    runs: Vec<Run>,
    next_call: Vec<u64>,
    next_rescue: u64,
    told: Told,
}

impl<'a> Machine<'a> {
    fn run(input: &'a [u8], noisy: bool) -> Told {
        let looks = Cell::new(0);
        Machine::new(&looks, Bytes::new(input)).play(noisy)
    }

    fn play(mut self, noisy: bool) -> Told {
        let end = self.now + SLICES * SLICE;
        let mut garbage = 0_u32;
        while self.step(end) {
            if noisy {
                garbage = garbage.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                self.write_over_other(garbage);
            }
        }
        self.now = end;
        for p in 0..self.runs.len() {
            self.reschedule(p);
        }
        self.deliver();
        self.check_shares();
        self.told
    }
}

impl<'a> Machine<'a> {
    fn new(looks: &'a Cell<u64>, mut bytes: Bytes<'a>) -> Self {
        let pcpus = 1 + bytes.below(3);
        let config = Config {
            pcpus,
            scheduling: Scheduling::ALL[bytes.below(Scheduling::ALL.len())],
            yields: YieldMode::ALL[bytes.below(YieldMode::ALL.len())],
            slice_ns: SLICE,
            min_loan_ns: SLICE / [2, 4, 50][bytes.below(3)],
            follow_chain: bytes.below(4) != 0,
            ordered: bytes.below(4) != 0,
        };
        // Enough vCPUs that none is entitled to more than a whole pCPU.
        let vcpus = [pcpus + bytes.below(4), pcpus + bytes.below(3)];
        let Ok(mut host) = Host::new(config) else {
            unreachable!("the configuration is a good one")
        };
        let weights = [(); 2].map(|()| 1 + bytes.below(3) as u32);
        let add = |(vcpus, weight): (usize, u32)| {
            let pages = Watched {
                pages: HeapPages::new(vcpus),
                looks,
            };
            let vm = host.add_vm(VmConfig { vcpus, weight }, pages);
            vm.unwrap_or_else(|error| unreachable!("the VM is a good one: {error}"))
        };
        let vms = [(vcpus[0], weights[0]), (vcpus[1], weights[1])].map(add);
        let mut machine = Self {
            host,
            vms,
            vcpus,
            weights,
            exits: 0,
            looks,
            bytes,
            now: 1_000,
            runs: vec![Run::IDLE; pcpus],
            next_call: vec![u64::MAX; pcpus],
            next_rescue: 0,
            told: Told::default(),
        };
        for vcpu in 0..machine.host.vcpus() {
            machine.start(vcpu);
        }
        machine.deliver();
        machine
    }

    // --- time ----------------------------------------------------------------------------------

    fn step(&mut self, end: u64) -> bool {
        let next = (0..self.runs.len())
            .filter_map(|p| Some((self.runs[p].until?.min(self.next_call[p]), p)))
            .min();
        let at = next.map_or(u64::MAX, |(at, _)| at).min(self.next_rescue);
        if at >= end {
            return false;
        }
        self.now = self.now.max(at);
        match next {
            Some((next, p)) if next < self.next_rescue => {
                if self.runs[p].until <= Some(next) {
                    self.reschedule(p);
                } else {
                    self.call(p);
                }
            }
            _ => self.rescue(),
        }
        self.deliver();
        true
    }

    /// Devices, and the safety net of a driver: sleepers are woken.
    fn rescue(&mut self) {
        self.next_rescue = self.now + SLICE / 3;
        for vcpu in 0..self.host.vcpus() {
            let id = VcpuId::new(vcpu as u32);
            let now = self.now;
            let halted = self.watch(|host| host.halt_timeout(now, id));
            if !halted {
                self.start(vcpu);
            }
        }
    }

    // --- what the host is told -----------------------------------------------------------------

    /// Every event goes through here.
    fn watch<R>(&mut self, event: impl FnOnce(&mut Host<Watched<'a>>) -> R) -> R {
        self.looks.set(0);
        let result = event(&mut self.host);
        let most = 4 * (self.host.vcpus() + self.runs.len()) as u64;
        let looks = self.looks.get();
        assert!(looks <= most, "{looks} pages looked at in one event");
        result
    }

    fn start(&mut self, vcpu: usize) {
        let now = self.now;
        self.watch(|host| host.start(now, VcpuId::new(vcpu as u32)));
    }

    fn reschedule(&mut self, p: usize) {
        let now = self.now;
        let run = self.watch(|host| host.reschedule(now, pcpu(p)));
        self.follow(p, run);
    }

    fn deliver(&mut self) {
        while let Some(poked) = self.host.next_poke() {
            self.reschedule(poked.index());
        }
    }

    fn follow(&mut self, p: usize, run: Run) {
        self.told.runs.push((self.now, run.vcpu));
        self.runs[p] = run;
        let hostile = run
            .vcpu
            .is_some_and(|vcpu| vcpu.index() < self.vcpus[HOSTILE]);
        self.next_call[p] = if hostile {
            self.now + 1 + u64::from(self.bytes.byte()) * SLICE / 1_500
        } else {
            u64::MAX
        };
    }

    // --- what the hostile guest does -----------------------------------------------------------

    fn call(&mut self, p: usize) {
        self.write_over_own();
        let (now, on) = (self.now, pcpu(p));
        let outcome = match self.bytes.below(64) {
            0 if self.exits < self.vcpus[HOSTILE] / 2 => {
                self.exits += 1;
                self.watch(|host| host.exit(now, on))
            }
            0..4 => self.watch(|host| host.block(now, on)),
            4..8 => self.watch(|host| host.preempt(now, on)),
            _ => self.hypercall(p),
        };
        self.told.statuses.push(outcome.status);
        self.note_pages();
        self.follow(p, outcome.run);
    }

    fn hypercall(&mut self, p: usize) -> Outcome {
        let target = self.bytes.below(self.vcpus[HOSTILE] + 3);
        let pages = self.pages(HOSTILE);
        let generation = Cpu::new(target)
            .filter(|cpu| cpu.index() < self.vcpus[HOSTILE])
            .map_or(0, |cpu| pages.pages.vcpu(cpu).run().generation().get());
        let registers = match self.bytes.below(8) {
            0 => [self.bytes.u64(), self.bytes.u64(), self.bytes.u64()],
            _ => [
                self.bytes.below(5) as u64,
                target as u64 + 1,
                u64::from(generation),
            ],
        };
        let [number, cpu, generation] = registers;
        let (now, on) = (self.now, pcpu(p));
        let Some(call) = Hypercall::from_registers(number, cpu, generation) else {
            // A driver refuses what is no call, and the guest runs on.
            return Outcome {
                status: Status::Refused,
                run: self.runs[p],
            };
        };
        let outcome = self.watch(|host| host.hypercall(now, on, call));
        let names = match call {
            Hypercall::Kick(cpu) => Some(cpu),
            Hypercall::YieldTo(hint) => Some(hint.cpu),
            Hypercall::Halt(_) => None,
        };
        if names.is_some_and(|cpu| cpu.index() >= self.vcpus[HOSTILE]) {
            assert_eq!(outcome.status, Status::Refused, "{call:?} names no vCPU");
        }
        outcome
    }

    fn write_over_own(&mut self) {
        for cpu in (0..self.vcpus[HOSTILE]).filter_map(Cpu::new) {
            let raw = match self.bytes.below(4) {
                0 => 0,
                1 => self.bytes.u32(),
                _ => self.bytes.below(self.vcpus[HOSTILE] + 3) as u32,
            };
            self.pages(HOSTILE).pages.vcpu(cpu).set_waiting_for_raw(raw);
        }
    }

    fn write_over_other(&self, garbage: u32) {
        for cpu in (0..self.vcpus[OTHER]).filter_map(Cpu::new) {
            let raw = garbage >> (cpu.index() % 16) & 7;
            self.pages(OTHER).pages.vcpu(cpu).set_waiting_for_raw(raw);
        }
    }

    // --- what is checked -----------------------------------------------------------------------

    fn pages(&self, vm: usize) -> &Watched<'a> {
        let Some(pages) = self.host.pages(self.vms[vm]) else {
            unreachable!("the VM is there")
        };
        pages
    }

    /// What the pages of the hostile VM say, which is about itself.
    fn note_pages(&mut self) {
        for cpu in (0..self.vcpus[HOSTILE]).filter_map(Cpu::new) {
            let sample = self.pages(HOSTILE).pages.vcpu(cpu).run();
            let own = VcpuId::new(cpu.index() as u32);
            assert_eq!(Some(sample.state()), self.host.run_state(own), "{own:?}");
            self.told.samples.push(sample.raw());
        }
        let pressure = self.pages(HOSTILE).pages.vm().pressure();
        self.told.samples.push(pressure.into());
    }

    fn check_shares(&mut self) {
        let mut first = 0;
        for (vm, vcpus) in self.vcpus.into_iter().enumerate() {
            let of = |vcpu| self.host.stats(VcpuId::new(vcpu as u32)).ran_ns;
            self.told.ran_ns[vm] = (first..first + vcpus).map(of).sum();
            first += vcpus;
        }
        let [hostile, other] = self.told.ran_ns;
        assert!(other > 0, "the other VM never ran");
        let config = *self.host.config();
        let weights = match config.scheduling {
            Scheduling::RoundRobin => [1, 1],
            _ => self.weights,
        };
        let gangs = |vm: usize| self.vcpus[vm].div_ceil(config.pcpus);
        let of = |vm: usize| match config.scheduling {
            Scheduling::CoScheduled => gangs(vm) as u64 * u64::from(weights[vm]),
            _ => self.vcpus[vm] as u64 * u64::from(weights[vm]),
        };
        let all = SLICES * SLICE * config.pcpus as u64;
        let share = all * of(HOSTILE) / (of(HOSTILE) + of(OTHER));
        let slices = match config.scheduling {
            // A turn for each gang, on all pCPUs.
            Scheduling::CoScheduled => (gangs(HOSTILE) + gangs(OTHER) + 2) * config.pcpus,
            // A slice for each vCPU and pCPU, and what the credit scheduler lets one save up.
            _ => self.vcpus[HOSTILE] + config.pcpus + 8,
        };
        let slack = slices as u64 * SLICE;
        assert!(
            hostile <= share + slack,
            "{} slices instead of {}: {config:?}, {:?} vCPUs, weights {weights:?}",
            hostile / SLICE,
            share / SLICE,
            self.vcpus
        );
    }
}

fn pcpu(p: usize) -> Pcpu {
    Pcpu::new(p as u32)
}
