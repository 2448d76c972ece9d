//! The hypervisor's side of pvqspin: run queues, halt, kick and directed yield as a pure state
//! machine.
//!
//! [`Host`] has no clock, no thread and no randomness. Events and the time go in, and what each
//! pCPU shall run comes out, so the same code drives vCPUs on real CPUs, in virtual time, and
//! inside anybody's own hypervisor.
//!
//! ```text
//!                  start
//!   +------+ ----------------> +---------+   in the run order;
//!   | idle |                   | waiting |   its page says `Preempted`
//!   +------+        +--------> +---------+
//!       ^           |            |     ^
//!       |      kick |     picked,|     | slice over,
//!       |           |     or lent|     | lent away,
//!       |           |     a slice|     | or displaced
//!       |           |            v     |
//!       |       +--------+     +---------+       +-------+
//!       |       | halted | <-- | running | ----> | ended |
//!       |       +--------+ halt+---------+ exit  +-------+
//!       |                           |
//!       +---------------------------+              (killing a VM ends all its
//!                   block                           vCPUs, from every state)
//! ```
//!
//! # What a driver does
//!
//! 1. Every pCPU calls [`Host::reschedule`] when it comes up, when it is poked, and when the
//!    time in [`Run::until`] has come.
//! 2. Whatever the vCPU on a pCPU does that concerns the host ([`Host::hypercall`],
//!    [`Host::block`], [`Host::exit`]) is passed on, *after* its registers are saved: the answer
//!    may be that another one runs here from now on, and this one elsewhere.
//! 3. After every event, [`Host::next_poke`] is drained, and those pCPUs are interrupted.
//!
//! pCPUs come and go by [`Host::offline`] and [`Host::online`], pages by [`Host::replace_pages`].
//!
//! A switch is only ever decided in an event of the pCPU it concerns. What happens elsewhere
//! pokes it, and it decides when it comes.
//!
//! ```
//! use pvqspin_abi::{Cpu, Hint, Hypercall, Status};
//! use pvqspin_host::{
//!     Config, GuestPages, HeapPages, Host, Pcpu, Scheduling, VmConfig, YieldMode,
//! };
//!
//! let pages = HeapPages::new(2);
//! let mut host = Host::new(Config {
//!     pcpus: 1,
//!     scheduling: Scheduling::RoundRobin,
//!     yields: YieldMode::Contract,
//!     slice_ns: 3_000_000,
//!     min_loan_ns: 100_000,
//!     ..Config::default()
//! })?;
//! let vm = host.add_vm(VmConfig { vcpus: 2, weight: 1 }, &pages)?;
//! let [holder, waiter] = [0, 1].map(|n| Cpu::new(n).unwrap());
//! let [vcpu_h, vcpu_w] = [holder, waiter].map(|cpu| host.vcpu_id(vm, cpu).unwrap());
//! let pcpu = Pcpu::new(0);
//!
//! // The machine comes up. What is poked asks what to run.
//! host.start(0, vcpu_h);
//! host.start(0, vcpu_w);
//! assert_eq!(host.next_poke(), Some(pcpu));
//! let run = host.reschedule(0, pcpu);
//! assert_eq!((run.vcpu, run.until), (Some(vcpu_h), Some(3_000_000)));
//!
//! // The holder takes a lock, and loses its pCPU inside: its slice is over.
//! let run = host.reschedule(3_000_000, pcpu);
//! assert_eq!(run.vcpu, Some(vcpu_w));
//!
//! // The waiter finds the lock taken, sees that the holder is preempted, and yields to it. The
//! // holder runs at once, until the waiter's slice would have ended.
//! pages.vcpu(waiter).set_waiting_for(Some(holder));
//! let seen = pages.vcpu(holder).run();
//! assert!(seen.is_preempted());
//! let hint = Hint { cpu: holder, generation: seen.generation() };
//! let outcome = host.hypercall(3_010_000, pcpu, Hypercall::YieldTo(hint));
//! assert_eq!(outcome.status, Status::Ran);
//! assert_eq!(outcome.run.vcpu, Some(vcpu_h));
//! assert_eq!(outcome.run.until, Some(6_000_000));
//!
//! // It releases the lock, sees the waiter preempted, and gives the pCPU back.
//! let seen = pages.vcpu(waiter).run();
//! let hint = Hint { cpu: waiter, generation: seen.generation() };
//! let outcome = host.hypercall(3_011_000, pcpu, Hypercall::YieldTo(hint));
//! assert_eq!(outcome.run.vcpu, Some(vcpu_w));
//!
//! // The waiter has paid for the microsecond that the holder ran on its slice.
//! assert_eq!(host.stats(vcpu_h).ran_ns, 3_001_000);
//! assert_eq!(host.stats(vcpu_h).charged_ns, 3_000_000);
//! assert_eq!(host.stats(vcpu_w).charged_ns, 11_000);
//! # Ok::<(), pvqspin_host::ConfigError>(())
//! ```
//!
//! # What is promised
//!
//! - **A yield is a contract** ([`YieldMode::Contract`]). The host follows the wait-for edges in
//!   the pages from the hint to the vCPU that everybody waits for. If that one could run and
//!   does not, it runs *now*, on the caller's pCPU, on what is left of the caller's slice, and
//!   it is not preempted before that is over. The caller stays runnable.
//! - **Fair to others.** All time of a slice is charged to the vCPU that the slice was given to,
//!   whichever vCPU runs on it; borrowed time costs the borrower neither time nor place. Whatever a
//!   guest calls or writes, other VMs lose nothing by it. (Near its end a slice may be stretched
//!   by one [`min_loan_ns`](Config::min_loan_ns); that is charged, and under round robin taken
//!   from the owner's next slice.)
//! - **No lost wake-up.** A kick that comes before the halt ends that halt. There is one run
//!   order for all pCPUs, so no vCPU waits while a pCPU idles (strict co-scheduling apart, where
//!   that is the point).
//! - **A guest is not trusted.** Numbers that name no vCPU, stale generations, cycles and garbage
//!   in the pages come back as a status. A chain is followed for at most as many hops as the VM
//!   has vCPUs, and never leaves the VM.
//!
//! # What faults do
//!
//! | fault | what becomes of it |
//! | --- | --- |
//! | a vCPU ends while others wait for it | it is no target any more: hints that name it are refused, chains end before it. A vCPU that waits in a lock for it waits for ever: that is between the guest and itself, and takes no more than the VM's share |
//! | a VM is killed while its vCPUs hold locks, wait, or lend | its pCPUs are poked and run other vCPUs; what it lent runs out; no other VM has known it |
//! | a pCPU goes offline | who ran there waits and keeps its place; no other vCPU is moved |
//! | a timer comes late, or not at all | the time is charged to the owner of the slice, and under round robin taken from its next; with the next event of that pCPU everything is as it should be. Until then nobody else has that pCPU: keep time, or poke |
//! | a storm of kicks | each VM has one remembered kick for each vCPU; a kick wakes only siblings, and takes a pCPU only from siblings, or from the kicker |
//! | the pages of a VM go away | [`Host::replace_pages`] gives it others; hints go on without chains |
//!
//! [`YieldMode::Hint`] is the host to compare with: a yield only marks its target as next on the
//! pCPU where it ran last, and is ignored if the target has had its share, as in stock Linux
//! since EEVDF.
//!
//! # Scheduling policies
//!
//! | policy | next is | weights |
//! | --- | --- | --- |
//! | [`RoundRobin`](Scheduling::RoundRobin) | who waits longest | **ignored**: every vCPU has the same slices |
//! | [`Fair`](Scheduling::Fair) | who has the least charged time over weight | of each vCPU |
//! | [`Credit`](Scheduling::Credit) | who woke with credit, then who has credit, then the others | of each vCPU |
//! | [`CoScheduled`](Scheduling::CoScheduled) | the gang with the least time over weight | of each gang |
//!
//! A VM's [weight](VmConfig::weight) is that of each of its vCPUs, so a VM with more of them has
//! a larger share.
//!
//! Most events take time logarithmic in the number of waiting vCPUs, plus a look at each pCPU
//! when a vCPU wakes. A directed yield also looks at every vCPU on its chain. Credit accounting
//! looks at every vCPU once in a slice, and a gang switch at every gang.

#![no_std]
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod accounting;
mod config;
mod cosched;
mod credit;
mod halt;
mod host;
mod hotplug;
mod ids;
mod kick;
mod order;
mod pages;
mod pcpu;
mod stats;
mod switch;
mod vcpu;
mod yielding;

pub use config::{
    Config, ConfigError, MAX_PCPUS, MAX_SLICE_NS, Scheduling, UnknownName, VmConfig, YieldMode,
};
pub use host::{Host, Outcome, Run};
pub use ids::{Pcpu, VcpuId, VmId};
pub use pages::{GuestPages, HeapPages};
pub use stats::{StatusCounts, VcpuStats};
