//! A whole hypervisor around [`Host`], in virtual time: two pCPUs, one VM, one spinlock.
//!
//! The "guest" is a test-and-set lock whose waiters yield to a preempted holder; its registers are a
//! few numbers. What is real is the driver: everything that a hypervisor has to tell the host, and
//! everything that it has to do with the answers.
//!
//! ```sh
//! cargo run -p pvqspin-host --example toy
//! ```

use pvqspin_abi::{Cpu, Hint, Hypercall, Status};
use pvqspin_host::{Config, ConfigError, GuestPages, HeapPages, Host};
use pvqspin_host::{Pcpu, Run, VcpuId, VmConfig, YieldMode};

const PCPUS: usize = 2;
const VCPUS: usize = 8;
const SECTIONS: u32 = 10_000;
const INSIDE_NS: u64 = 1_000;
const OUTSIDE_NS: u64 = 2_000;
const LOOK_NS: u64 = 100;
const HYPERCALL_NS: u64 = 1_000;
const RETRY_NS: u64 = 15_000;

// excerpt: machine
/// What a vCPU would have in registers and memory: how long it still computes, and what comes then.
struct Vcpu {
    id: VcpuId,
    left_ns: u64,
    sections: u32,
}

struct Toy<'a> {
    host: Host<&'a HeapPages>,
    pages: &'a HeapPages,
    now: u64,
    vcpus: Vec<Vcpu>,
    /// What the host said last about each pCPU.
    running: [Run; PCPUS],
    /// The guest's lock.
    holder: Option<Cpu>,
    /// Whether its waiters ask for a preempted holder.
    asks: bool,
}

/// Why a vCPU stopped computing.
enum Exit {
    Looks,
    Calls(Hypercall),
    Ends,
}
// end: machine

impl Toy<'_> {
    // excerpt: loop
    fn run(&mut self) {
        for vcpu in &self.vcpus {
            self.host.start(self.now, vcpu.id);
        }
        loop {
            // 1. Every pCPU that the host wants to interrupt asks what to run.
            while let Some(pcpu) = self.host.next_poke() {
                self.running[pcpu.index()] = self.host.reschedule(self.now, pcpu);
            }
            // 2. Time passes until something happens on the first of them.
            let Some((at, p)) = (0..PCPUS)
                .filter_map(|p| Some((self.next_event(p)?, p)))
                .min()
            else {
                return;
            };
            self.compute_until(at);
            // 3. A timer or an exit: the host decides who goes on here.
            self.running[p] = self.event(p);
        }
    }

    /// What has happened on a pCPU, and what it runs from now on.
    fn event(&mut self, p: usize) -> Run {
        let (pcpu, run) = (Pcpu::new(p as u32), self.running[p]);
        if run.until.is_some_and(|until| until <= self.now) {
            return self.host.reschedule(self.now, pcpu);
        }
        let Some(vcpu) = run.vcpu else { return run };
        match self.guest(vcpu.index()) {
            Exit::Looks => run,
            Exit::Ends => self.host.exit(self.now, pcpu).run,
            Exit::Calls(call) => {
                let outcome = self.host.hypercall(self.now, pcpu, call);
                // The status is for the caller, whenever it runs again.
                self.vcpus[vcpu.index()].left_ns = match outcome.status {
                    Status::Ran | Status::Stale => HYPERCALL_NS,
                    Status::AlreadyRunning | Status::Refused => RETRY_NS,
                };
                outcome.run
            }
        }
    }
    // end: loop

    /// When the vCPU on a pCPU has computed, or has to stop.
    fn next_event(&self, p: usize) -> Option<u64> {
        let Run { vcpu, until } = self.running[p];
        let computed = self.now + self.vcpus[vcpu?.index()].left_ns;
        Some(until.map_or(computed, |until| computed.min(until.max(self.now))))
    }

    fn compute_until(&mut self, at: u64) {
        for run in self.running {
            if let Some(vcpu) = run.vcpu {
                self.vcpus[vcpu.index()].left_ns -= at - self.now;
            }
        }
        self.now = at;
    }

    // excerpt: guest
    /// One step of guest code: release, take, or look at whoever holds the lock.
    fn guest(&mut self, index: usize) -> Exit {
        let me = Cpu::new(index).expect("the host knows it by this number");
        let vcpu = &mut self.vcpus[index];
        let Some(holder) = self.holder else {
            self.pages.vcpu(me).set_waiting_for(None);
            self.holder = Some(me);
            vcpu.left_ns = INSIDE_NS;
            return Exit::Looks;
        };
        if holder == me {
            self.holder = None;
            vcpu.sections += 1;
            vcpu.left_ns = OUTSIDE_NS;
            return if vcpu.sections == SECTIONS {
                Exit::Ends
            } else {
                Exit::Looks
            };
        }
        // For the host, which follows these edges from whomever a hint names.
        self.pages.vcpu(me).set_waiting_for(Some(holder));
        vcpu.left_ns = LOOK_NS;
        let seen = self.pages.vcpu(holder).run();
        if !self.asks || !seen.is_preempted() {
            return Exit::Looks;
        }
        let generation = seen.generation();
        Exit::Calls(Hypercall::YieldTo(Hint {
            cpu: holder,
            generation,
        }))
    }
    // end: guest
}

/// Runs the machine to its end; returns its virtual time, and how many yields ran their target.
fn machine(yields: Option<YieldMode>) -> Result<(u64, u64), ConfigError> {
    let pages = HeapPages::new(VCPUS);
    let mut host = Host::new(Config {
        pcpus: PCPUS,
        yields: yields.unwrap_or(YieldMode::Contract),
        ..Config::default()
    })?;
    let vm = host.add_vm(
        VmConfig {
            vcpus: VCPUS,
            weight: 1,
        },
        &pages,
    )?;
    let ids = (0..VCPUS).filter_map(|cpu| host.vcpu_id(vm, Cpu::new(cpu)?));
    let vcpus = ids.map(|id| Vcpu {
        id,
        left_ns: OUTSIDE_NS,
        sections: 0,
    });
    let mut toy = Toy {
        vcpus: vcpus.collect(),
        host,
        pages: &pages,
        now: 0,
        running: [Run::IDLE; PCPUS],
        holder: None,
        asks: yields.is_some(),
    };
    toy.run();
    assert!(toy.vcpus.iter().all(|vcpu| vcpu.sections == SECTIONS));
    let ran = |vcpu: &Vcpu| toy.host.stats(vcpu.id).yields.ran;
    Ok((toy.now, toy.vcpus.iter().map(ran).sum()))
}

fn main() -> Result<(), ConfigError> {
    println!("{} sections of {INSIDE_NS} ns", VCPUS as u32 * SECTIONS);
    for (yields, what) in [
        (None, "nobody asks"),
        (Some(YieldMode::Hint), "a yield is a hint"),
        (Some(YieldMode::Contract), "a yield is a contract"),
    ] {
        let (ns, ran) = machine(yields)?;
        let ms = ns / 1_000_000;
        println!("{what:<22} {ms:>4} ms, {ran} yields ran their target");
    }
    Ok(())
}

#[test]
fn a_host_that_knows_the_holder_is_faster() {
    let [silent, contract] = [None, Some(YieldMode::Contract)].map(machine);
    assert!(contract.unwrap().0 < silent.unwrap().0 * 3 / 4);
    assert_eq!(
        machine(Some(YieldMode::Contract)),
        contract,
        "deterministic"
    );
}
