//! What a host answers to a guest that asks what it offers and says where its pages are.
//!
//! A driver keeps a [`Registration`] for each VM, and shows it the registers of every hypercall first. Until it
//! is complete the host has other pages for the VM, which the guest cannot see; then the driver maps what was
//! registered and gives it to [`Host::replace_pages`](crate::Host::replace_pages).
//!
//! ```
//! use pvqspin_abi::discovery::{Features, Page, Registered, discover, register};
//! use pvqspin_abi::{Cpu, Hypercall};
//! use pvqspin_host::{Config, Registration};
//!
//! // A guest of one vCPU with 64 KiB of memory at 0.
//! let mut registration = Registration::new(&Config::default(), 1);
//! let mut call = |[number, a, b]: [u64; 3]| {
//!     let is_memory = |from, to| from < to && to <= 0x1_0000;
//!     match registration.answer([number, a, b], is_memory) {
//!         Some(answer) => answer,
//!         // For `Host::hypercall`.
//!         None => Hypercall::from_registers(number, a, b).map_or(3, |_| 0),
//!     }
//! };
//! let offer = discover(&mut call).unwrap();
//! assert!(offer.features.has(Features::CONTRACT | Features::REGISTRATION));
//! assert_eq!(register(&mut call, Page::Vm, 0x1_0000), Registered::BadAddress);
//! assert_eq!(register(&mut call, Page::Vm, 0x2000), Registered::Done);
//! assert_eq!(register(&mut call, Page::Vcpu(Cpu::ZERO), 0x2080), Registered::Done);
//! assert!(registration.is_complete());
//! assert_eq!(registration.address(Page::Vm), Some(0x2000));
//! ```

use alloc::boxed::Box;
use alloc::vec;

use pvqspin_abi::discovery::{Features, Offer, Page, Registered, Request};

use crate::config::{Config, Scheduling, YieldMode};

impl Config {
    /// What a host of this configuration offers its guests, but for [`Features::REGISTRATION`], which is its
    /// driver's business.
    #[must_use]
    pub const fn features(&self) -> Features {
        let contract = matches!(self.yields, YieldMode::Contract);
        // Gangs switch together: no loan may hold that up, and a sleeping gang leaves pCPUs idle.
        let ordered = !matches!(self.scheduling, Scheduling::CoScheduled) && self.ordered;
        Features::PRESSURE
            .with(Features::CONTRACT, contract)
            .with(Features::CHAINS, contract && self.follow_chain)
            .with(Features::ORDERED, contract && ordered)
    }
}

/// Where the pages of a VM are, as far as its guest has said. Allocates when it is made, and not afterwards.
#[derive(Clone, Debug)]
pub struct Registration {
    features: Features,
    vm: Option<u64>,
    vcpus: Box<[Option<u64>]>,
    missing: usize,
}

impl Registration {
    /// Of a VM with so many vCPUs, none of whose pages is registered, on a host of this configuration.
    #[must_use]
    pub fn new(config: &Config, vcpus: usize) -> Self {
        Self {
            features: config.features() | Features::REGISTRATION,
            vm: None,
            vcpus: vec![None; vcpus].into(),
            missing: vcpus + 1,
        }
    }

    /// Answers a request in these three registers. `None`, if they hold no request: a hypercall, or nonsense.
    ///
    /// `is_memory` says whether all addresses from the first up to the second, exclusively, are memory of the
    /// guest, which the host may write, and which stays mapped until the VM is removed or its pages are replaced.
    /// A page that is registered again has moved.
    pub fn answer(
        &mut self,
        registers: [u64; 3],
        is_memory: impl FnOnce(u64, u64) -> bool,
    ) -> Option<u64> {
        Some(match Request::from_registers(registers)? {
            Request::Discover { version } => Offer::new(version, self.features).to_register(),
            Request::Register(page, address) => self.register(page, address, is_memory) as u64,
        })
    }

    fn register(
        &mut self,
        page: Page,
        address: u64,
        is_memory: impl FnOnce(u64, u64) -> bool,
    ) -> Registered {
        let place = match page {
            Page::Vm => &mut self.vm,
            Page::Vcpu(cpu) => match self.vcpus.get_mut(cpu.index()) {
                Some(place) => place,
                None => return Registered::NoSuchPage,
            },
        };
        if !(page.end(address)).is_some_and(|end| is_memory(address, end)) {
            return Registered::BadAddress;
        }
        self.missing -= usize::from(place.replace(address).is_none());
        Registered::Done
    }

    /// Whether every page is registered.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The guest-physical address at which a page is registered.
    #[must_use]
    pub fn address(&self, page: Page) -> Option<u64> {
        match page {
            Page::Vm => self.vm,
            Page::Vcpu(cpu) => *self.vcpus.get(cpu.index())?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pvqspin_abi::Cpu;

    #[test]
    fn a_host_offers_what_it_does() {
        let whole = Config::default();
        let all = Features::CONTRACT | Features::CHAINS | Features::ORDERED | Features::PRESSURE;
        assert_eq!(whole.features(), all);
        type Change = (fn(&mut Config), Features);
        let changes: [Change; 4] = [
            (|c| c.yields = YieldMode::Hint, Features::PRESSURE),
            (|c| c.follow_chain = false, Features::CHAINS),
            (|c| c.ordered = false, Features::ORDERED),
            (
                |c| c.scheduling = Scheduling::CoScheduled,
                Features::ORDERED,
            ),
        ];
        for (change, bits) in changes {
            let mut config = whole;
            change(&mut config);
            let left = if bits == Features::PRESSURE {
                bits
            } else {
                Features::from_bits(all.bits() & !bits.bits())
            };
            assert_eq!(config.features(), left, "{config:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_a_guest_says_only_its_own_memory_is_believed(
            calls in prop::collection::vec(
                (14_u64..20, prop_oneof![0_u64..6, any::<u64>()], prop_oneof![0_u64..0x4000, any::<u64>()]),
                0..60,
            ),
        ) {
            let mut registration = Registration::new(&Config::default(), 3);
            let (begin, end) = (0x1000, 0x3000);
            for (number, what, address) in calls {
                let is_memory = |from, to| begin <= from && from <= to && to <= end;
                let answer = registration.answer([number, what, address], is_memory);
                prop_assert_eq!(answer.is_some(), Request::from_registers([number, what, address]).is_some());
            }
            let cpus = (0..3).filter_map(Cpu::new).map(Page::Vcpu);
            let pages: alloc::vec::Vec<_> = cpus.chain([Page::Vm]).collect();
            for &page in &pages {
                if let Some(address) = registration.address(page) {
                    prop_assert!(address >= begin && page.end(address).is_some_and(|to| to <= end));
                }
            }
            let all = pages.iter().all(|&page| registration.address(page).is_some());
            prop_assert_eq!(registration.is_complete(), all);
        }
    }

    #[test]
    fn a_page_that_moves_is_counted_once() {
        let mut registration = Registration::new(&Config::default(), 2);
        let cpu = |n| Page::Vcpu(Cpu::new(n).expect("small"));
        let mut to = |page, address| {
            let registers = Request::Register(page, address).to_registers();
            let answer = registration.answer(registers, |from, to| from >= 0x1000 && to <= 0x2000);
            (
                answer.map(Registered::from_register),
                registration.is_complete(),
            )
        };
        assert_eq!(to(Page::Vm, 0x1000), (Some(Registered::Done), false));
        for address in [0x1000, 0x1100, 0x1f00] {
            assert_eq!(to(cpu(0), address), (Some(Registered::Done), false));
        }
        for address in [0, 0x1f80, 0x1001, 0xf00, !127] {
            assert_eq!(to(cpu(1), address), (Some(Registered::BadAddress), false));
        }
        assert_eq!(to(cpu(2), 0x1000), (Some(Registered::NoSuchPage), false));
        assert_eq!(to(cpu(1), 0x1000), (Some(Registered::Done), true));
        assert_eq!(registration.address(cpu(0)), Some(0x1f00));
        assert_eq!(registration.answer([1, 0, 0], |_, _| true), None, "a halt");
    }
}
