//! A whole hypervisor around [`Host`], in virtual time: two pCPUs, one VM, one spinlock.
//!
//! The guest is a toy (`toy/guest.rs`). What is real is the driver: everything that a hypervisor has to tell
//! the host, and everything that it has to do with the answers.
//!
//! ```sh
//! cargo run -p pvqspin-host --example toy
//! ```

#[path = "toy/guest.rs"]
mod guest;

use guest::{Exit, Guest, INSIDE_NS, SECTIONS, VCPUS};
use pvqspin_abi::Cpu;
use pvqspin_host::{Config, ConfigError, HeapPages, Host, Pcpu, Run, VcpuId, VmConfig, YieldMode};

const PCPUS: usize = 2;

// excerpt: machine
struct Toy<'a> {
    host: Host<&'a HeapPages>,
    now: u64,
    vcpus: Vec<VcpuId>,
    /// What the host said last about each pCPU.
    running: [Run; PCPUS],
    /// The vCPUs' registers and memory.
    guest: Guest<'a>,
}
// end: machine

impl Toy<'_> {
    // excerpt: loop
    fn run(&mut self) {
        for vcpu in &self.vcpus {
            self.host.start(self.now, *vcpu);
        }
        loop {
            // 1. Every pCPU that the host wants to interrupt asks what to run.
            while let Some(pcpu) = self.host.next_poke() {
                self.running[pcpu.index()] = self.host.reschedule(self.now, pcpu);
            }
            // 2. Time passes until something happens on the first of them.
            let events = (0..PCPUS).filter_map(|p| Some((self.next_event(p)?, p)));
            let Some((at, p)) = events.min() else { return };
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
        match self.guest.step(vcpu.index()) {
            Exit::Looks => run,
            Exit::Ends => self.host.exit(self.now, pcpu).run,
            Exit::Calls(call) => {
                let outcome = self.host.hypercall(self.now, pcpu, call);
                // The status is for the caller, whenever it runs again.
                self.guest.returned(vcpu.index(), outcome.status);
                outcome.run
            }
        }
    }
    // end: loop

    /// When the vCPU on a pCPU has computed, or has to stop.
    fn next_event(&self, p: usize) -> Option<u64> {
        let Run { vcpu, until } = self.running[p];
        let computed = self.now + self.guest.left_ns(vcpu?.index());
        Some(until.map_or(computed, |until| computed.min(until.max(self.now))))
    }

    fn compute_until(&mut self, at: u64) {
        for vcpu in self.running.iter().filter_map(|run| run.vcpu) {
            self.guest.compute(vcpu.index(), at - self.now);
        }
        self.now = at;
    }
}

/// Runs the machine to its end; returns its virtual time, and how many yields ran their target.
fn machine(yields: Option<YieldMode>) -> Result<(u64, u64), ConfigError> {
    let pages = HeapPages::new(VCPUS);
    let mut host = Host::new(Config {
        pcpus: PCPUS,
        yields: yields.unwrap_or(YieldMode::Contract),
        ..Config::default()
    })?;
    let (vcpus, weight) = (VCPUS, 1);
    let vm = host.add_vm(VmConfig { vcpus, weight }, &pages)?;
    let ids = (0..VCPUS).filter_map(|cpu| host.vcpu_id(vm, Cpu::new(cpu)?));
    let mut toy = Toy {
        vcpus: ids.collect(),
        host,
        now: 0,
        running: [Run::IDLE; PCPUS],
        guest: Guest::new(&pages, yields.is_some()),
    };
    toy.run();
    assert!(toy.guest.is_done());
    let ran = |vcpu: &VcpuId| toy.host.stats(*vcpu).yields.ran;
    Ok((toy.now, toy.vcpus.iter().map(ran).sum()))
}

fn main() -> Result<(), ConfigError> {
    println!("{} sections of {INSIDE_NS} ns", VCPUS as u32 * SECTIONS);
    for (yields, what) in [
        (None, "no vCPU asks"),
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
