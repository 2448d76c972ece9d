//! The hypervisor's side of pvqspin: run queues, halt, kick and directed yield as a pure state
//! machine.
//!
//! [`Host`] has no clock, no thread and no randomness. Events and the time go in, and what each
//! pCPU shall run comes out, so the same code drives vCPUs on real CPUs, in virtual time, and
//! inside any other hypervisor. A scheduler with run queues of its own takes [`loan`] alone.
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
//! Where vCPUs are capped, a pCPU without a vCPU may have a time in [`Run::until`], too.
//!
//! VMs come and go by [`Host::add_vm`] and [`Host::remove_vm`], pCPUs by [`Host::offline`] and
//! [`Host::online`]. [`Host::hold`] takes a vCPU off from outside, [`Host::restart`] starts one that ended.
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
//!   the pages from the hint to the vCPU that all wait for in the end. If that one could run and
//!   does not, it runs *now*, on the caller's pCPU, on what is left of the caller's slice. For
//!   [`min_loan_ns`](Config::min_loan_ns) nothing takes the pCPU from it; after that a vCPU that wakes
//!   does so if it would take it from the caller. The caller stays runnable.
//! - **Lending gains nothing.** A vCPU owns one slice at a time, and does not stand in the queue while that
//!   slice is lent. All time of a slice is charged to its owner, but for time in which no vCPU was queued:
//!   that costs nothing. Borrowed time costs the borrower neither time nor place. The rules are those of [`loan`], and hold under every policy.
//! - **Shares.** Under fair and credit a VM that could always run gets its share by weight, but for a
//!   constant number of slices, whatever other VMs call, write, or sleep through. What the
//!   other policies promise is in the table below. `check/greedy` searches for programs that break it.
//! - **Caps.** A [capped](Cap) vCPU is charged no more than its quota in each period, what it lends included.
//! - **No lost wake-up.** A kick or an interrupt that comes before a halt ends that halt. No pCPU idles
//!   while a vCPU waits that may run there (but for a lender whose borrower is over its cap, and under strict
//!   co-scheduling, where that is the point).
//! - **A guest is not trusted.** Numbers that name no vCPU, stale generations, cycles and garbage
//!   in the pages come back as a status. A chain never leaves the VM.
//! - **What a guest can cause is bounded.** An event costs a logarithm of the vCPUs, at most
//!   [`MOST_HOPS`](pvqspin_abi::chain::MOST_HOPS) looks along a chain, four pCPUs looked at for preemption and sixteen
//!   for one that only spins. It touches pages of its own VM and of the one that runs next, and allocates nothing.
//!   (A pick of the gang scheduler looks at one gang; vCPUs with affinity cost a step for each different set.)
//!
//! # What faults do
//!
//! | fault | what becomes of it |
//! | --- | --- |
//! | a vCPU ends while others wait for it | hints that name it are refused, chains end before it. A waiter in a lock waits for ever: that is between the guest and itself, and takes no more than the VM's share |
//! | a VM is killed while its vCPUs hold locks, wait, or lend | its pCPUs are poked and run other vCPUs; no other VM has known it |
//! | the pages of a VM go away | [`Host::remove_vm`] and [`Host::replace_pages`] return them: from that instant they are not touched |
//! | a pCPU goes offline | the vCPU there waits and keeps its place; no other is moved |
//! | a timer comes late, or not at all | the time is charged to the owner of the slice, at most four slices of it: a machine that stood still makes no vCPU wait for as long again. Until the pCPU's next event no other vCPU has it: keep time, or poke |
//! | a storm of kicks | a vCPU remembers one kick; a kick wakes siblings only, and takes a pCPU from siblings only, or from the kicker |
//! | pokes that are not drained | each pCPU stands for one poke at most |
//! | a time that goes back | it counts as the latest one; at `u64::MAX` slices end at once |
//!
//! [`YieldMode::Hint`] is the host to compare with: a yield only marks its target as next on the
//! pCPU where it ran last, and is ignored if the target has had its share, as in stock Linux
//! since EEVDF.
//!
//! # Scheduling policies
//!
//! | policy | next is | weights | promised |
//! | --- | --- | --- | --- |
//! | [`Fair`](Scheduling::Fair), the default | the least charged time over weight | of each vCPU | shares by weight |
//! | [`Credit`](Scheduling::Credit) | the same; one that wakes without debt preempts at once | of each vCPU | shares by weight |
//! | [`RoundRobin`](Scheduling::RoundRobin) | the vCPU that waits longest | **ignored** | a slice each, in turn; shares only beside VMs that never nap |
//! | [`CoScheduled`](Scheduling::CoScheduled) | the gang with the least time over weight | of each gang | turns of gangs |
//!
//! A VM's [weight](VmConfig::weight) is that of each of its vCPUs, so a VM with more of them has
//! a larger share. A vCPU that its weight entitles to more than a whole pCPU may have to wait for a slice when more
//! vCPUs wake than there are pCPUs.
//!
//! # Modules
//!
//! ```text
//!   host, life, hotplug        events: what a driver calls
//!   yielding, kick             what a call decides
//!   switch, finish             the only place where a vCPU changes pCPU; the end of each event
//!   lending                    what may be lent
//!   cap, budget                at most so much pCPU time in each period
//!   policy/                    fair, credit, round robin, gangs: who is next
//!   groups/, moving            a host for each group of pCPUs (targets with 64-bit atomics), and VMs that move
//!                              between them
//!   discovery                  what a guest asks first
//!   loan, fair                 the rules by themselves, for other schedulers
//!   state/, heap, bits         data
//!   invariants                 what holds after every event, checked in debug builds
//! ```

#![no_std]
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bits;
mod budget;
mod cap;
mod config;
mod discovery;
pub mod fair;
mod finish;
#[cfg(target_has_atomic = "64")]
pub mod groups;
mod heap;
mod host;
mod hotplug;
mod ids;
#[cfg(debug_assertions)]
mod invariants;
mod kick;
mod lending;
mod life;
pub mod loan;
mod moving;
mod pages;
mod policy;
mod state;
mod stats;
mod switch;
mod yielding;

pub use budget::Cap;
pub use config::{
    Config, ConfigError, MAX_PCPUS, MAX_SLICE_NS, Scheduling, UnknownName, VmConfig, YieldMode,
};
pub use discovery::Registration;
pub use host::{Host, Outcome, Run};
pub use ids::{Pcpu, VcpuId, VmId};
pub use moving::Moved;
pub use pages::{GuestPages, HeapPages};
pub use stats::{StatusCounts, VcpuStats};
