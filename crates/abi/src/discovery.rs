//! What a guest asks before it relies on anything: does this host speak this interface, which version, what
//! does it do, and where shall the pages be.
//!
//! ```text
//!   guest                                               host
//!   Discover { version }  ----------------------------> the least of both versions, feature bits
//!   Register(Page::Vm, address)  ---------------------> Registered::Done, or why not
//!   Register(Page::Vcpu(cpu), address)  for each vCPU > ...
//!                                                       all there: the host uses these pages from now on
//! ```
//!
//! Requests come in the three registers of a [`Hypercall`](crate::Hypercall), with numbers of their own. Another
//! hypervisor answers an unknown call with some error; none of those looks like an [`Offer`]. Nothing here has to
//! be true for a lock to be correct: a guest that believes a wrong offer is slower, and one that gets none
//! spins as on bare metal.
//!
//! ```
//! use pvqspin_abi::discovery::{Features, Offer, Page, Registered, Request, discover, register};
//! use pvqspin_abi::Cpu;
//!
//! // The hypercall instruction of a guest; here, a host that offers one feature.
//! let mut call = |registers: [u64; 3]| match Request::from_registers(registers) {
//!     Some(Request::Discover { version }) => Offer::new(version, Features::CONTRACT).to_register(),
//!     Some(Request::Register(..)) => Registered::Done as u64,
//!     None => u64::MAX,
//! };
//! let offer = discover(&mut call).expect("it speaks this interface");
//! assert!(offer.features.has(Features::CONTRACT) && !offer.features.has(Features::PRESSURE));
//! let page = Page::Vcpu(Cpu::ZERO);
//! assert_eq!(register(&mut call, page, 0x1000), Registered::Done);
//!
//! // Another hypervisor: "no such call".
//! assert_eq!(discover(|_| -38_i64 as u64), None);
//! ```

use core::ops::BitOr;

use crate::cpu::Cpu;
use crate::page::{VcpuPage, VmPage};

/// The version of calls and pages in this crate.
pub const VERSION: u16 = 1;

/// What a host does, a bit each. Bits that a guest does not know mean nothing to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(u32);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);
    /// A directed yield is a contract: the target runs at once, on the caller's pCPU. Without it a yield is a
    /// hint, and a guest takes a lock policy that does not depend on more.
    pub const CONTRACT: Self = Self(1);
    /// The host goes on from a hint along the wait-for edges in the pages.
    pub const CHAINS: Self = Self(1 << 1);
    /// A kicked vCPU takes the place of one that only spins, and a borrower that sleeps leaves the rest of the
    /// slice to its owner.
    pub const ORDERED: Self = Self(1 << 2);
    /// [`VmPage::pressure`] is written.
    pub const PRESSURE: Self = Self(1 << 3);
    /// The pages are where the guest [registers](Request::Register) them. Without it they are where the host
    /// says by other means.
    pub const REGISTRATION: Self = Self(1 << 4);

    /// Features from their bits, also those that have no meaning yet.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of some features are among these.
    #[must_use]
    pub const fn has(self, features: Self) -> bool {
        self.0 & features.0 == features.0
    }

    /// These, and others if `condition` holds.
    #[must_use]
    pub const fn with(self, features: Self, condition: bool) -> Self {
        if condition {
            Self(self.0 | features.0)
        } else {
            self
        }
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a host answers to [`Request::Discover`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The version that both speak.
    pub version: u16,
    /// What the host does.
    pub features: Features,
}

/// In the highest 16 bits of an answer: no error number of a hypervisor looks like it.
const MAGIC: u64 = 0x7071;

impl Offer {
    /// The offer of a host that speaks [`VERSION`] to a guest that speaks `version`.
    #[must_use]
    pub const fn new(version: u16, features: Features) -> Self {
        let version = if version < VERSION { version } else { VERSION };
        Self { version, features }
    }

    /// The register that carries it.
    #[must_use]
    pub const fn to_register(self) -> u64 {
        MAGIC << 48 | (self.version as u64) << 32 | self.features.0 as u64
    }

    /// Reads that register. `None`: what answered speaks another interface, or no version that both know.
    #[must_use]
    pub const fn from_register(raw: u64) -> Option<Self> {
        let version = (raw >> 32) as u16;
        if raw >> 48 != MAGIC || version == 0 || version > VERSION {
            return None;
        }
        Some(Self {
            version,
            features: Features(raw as u32),
        })
    }
}

/// A page that guest and host share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// The [`VmPage`].
    Vm,
    /// The [`VcpuPage`] of a vCPU.
    Vcpu(Cpu),
}

impl Page {
    /// How long it is, in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Vm => size_of::<VmPage>() as u64,
            Self::Vcpu(_) => size_of::<VcpuPage>() as u64,
        }
    }

    /// Where it ends if it begins at an address. `None` if it cannot begin there: the address has to be a multiple
    /// of 128, and the end has to be an address.
    #[must_use]
    pub const fn end(self, address: u64) -> Option<u64> {
        if address % align_of::<VcpuPage>() as u64 == 0 {
            address.checked_add(self.bytes())
        } else {
            None
        }
    }
}

/// A request from a guest to a host: not for its scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The guest speaks up to this version. The answer is an [`Offer`].
    Discover {
        /// The latest version that the guest speaks, from 1.
        version: u16,
    },
    /// A page is at this guest-physical address. The answer is [`Registered`].
    Register(Page, u64),
}

const DISCOVER: u64 = 16;
const REGISTER: u64 = 17;

impl Request {
    /// Number, version or page (`cpu + 1`; 0: the VM's), address: the three registers of the call.
    #[must_use]
    pub const fn to_registers(self) -> [u64; 3] {
        match self {
            Self::Discover { version } => [DISCOVER, version as u64, 0],
            Self::Register(Page::Vm, address) => [REGISTER, 0, address],
            Self::Register(Page::Vcpu(cpu), address) => [REGISTER, cpu.plus_one() as u64, address],
        }
    }

    /// Reads the three registers of a call. `None` if it is no request: a hypercall, or nonsense.
    #[must_use]
    pub fn from_registers([number, what, address]: [u64; 3]) -> Option<Self> {
        match number {
            DISCOVER => {
                // A later guest may speak a version that does not fit: it speaks the latest that does, too.
                let version = u16::try_from(what).unwrap_or(u16::MAX);
                (version > 0).then_some(Self::Discover { version })
            }
            REGISTER if what == 0 => Some(Self::Register(Page::Vm, address)),
            REGISTER => {
                let cpu = Cpu::from_plus_one(u32::try_from(what).ok()?)?;
                Some(Self::Register(Page::Vcpu(cpu), address))
            }
            _ => None,
        }
    }
}

/// What a host answers to [`Request::Register`]. The register that carries it holds the number of the variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Registered {
    /// The page is there.
    Done = 0,
    /// It cannot be at that address: see [`Page::end`], or there is no memory that the host may write.
    BadAddress = 1,
    /// The VM has no such vCPU.
    NoSuchPage = 2,
    /// The host takes no registrations.
    Refused = 3,
}

impl Registered {
    /// Reads the register. Anything unknown is [`Registered::Refused`].
    #[must_use]
    pub const fn from_register(raw: u64) -> Self {
        match raw {
            0 => Self::Done,
            1 => Self::BadAddress,
            2 => Self::NoSuchPage,
            _ => Self::Refused,
        }
    }
}

/// Guest side: asks what this host offers. `call` is the guest's hypercall instruction: three registers go in,
/// one comes out. `None`: a guest goes on as on bare metal.
pub fn discover(mut call: impl FnMut([u64; 3]) -> u64) -> Option<Offer> {
    Offer::from_register(call(Request::Discover { version: VERSION }.to_registers()))
}

/// Guest side: says where a page is.
pub fn register(mut call: impl FnMut([u64; 3]) -> u64, page: Page, address: u64) -> Registered {
    Registered::from_register(call(Request::Register(page, address).to_registers()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hypercall;

    #[test]
    fn every_request_survives_its_registers_and_is_no_hypercall() {
        for request in [
            Request::Discover { version: 1 },
            Request::Discover { version: u16::MAX },
            Request::Register(Page::Vm, 0),
            Request::Register(Page::Vm, u64::MAX),
            Request::Register(Page::Vcpu(Cpu::ZERO), 0x1000),
        ] {
            let registers = request.to_registers();
            assert_eq!(Request::from_registers(registers), Some(request));
            let [number, cpu, generation] = registers;
            assert_eq!(Hypercall::from_registers(number, cpu, generation), None);
        }
        for call in [Hypercall::Halt(None), Hypercall::Kick(Cpu::ZERO)] {
            assert_eq!(Request::from_registers(call.to_registers()), None);
        }
    }

    #[test]
    fn nonsense_is_no_request() {
        for registers in [
            [0, 0, 0],
            [DISCOVER, 0, 0],
            [REGISTER, 16_383, 0],
            [REGISTER, 1 << 32 | 1, 0],
            [REGISTER, u64::MAX, 0],
            [18, 1, 0],
            [u64::MAX; 3],
        ] {
            assert_eq!(Request::from_registers(registers), None, "{registers:?}");
        }
        let later = Request::from_registers([DISCOVER, u64::MAX, 7]);
        assert_eq!(later, Some(Request::Discover { version: u16::MAX }));
    }

    #[test]
    fn a_wrong_answer_is_no_offer() {
        for version in [1, 2, u16::MAX] {
            let offer = Offer::new(version, Features::CONTRACT | Features::PRESSURE);
            assert_eq!(offer.version, VERSION);
            assert_eq!(Offer::from_register(offer.to_register()), Some(offer));
        }
        let unknown = Features::from_bits(u32::MAX);
        let offer = Offer::new(1, unknown).to_register();
        assert_eq!(
            Offer::from_register(offer).map(|offer| offer.features),
            Some(unknown)
        );
        // Errors of other hypervisors, statuses of this one, an offer without or with too late a version.
        let errors = (-200_i64..0).map(|error| error as u64);
        let wrong = [MAGIC << 48, MAGIC << 48 | 2 << 32, 0x7072 << 48 | 1 << 32];
        for raw in errors.chain(0..200).chain(wrong) {
            assert_eq!(Offer::from_register(raw), None, "{raw:#x}");
        }
        for raw in 0..4 {
            assert_eq!(Registered::from_register(raw) as u64, raw);
        }
        assert_eq!(Registered::from_register(u64::MAX), Registered::Refused);
    }

    #[test]
    fn a_page_begins_where_it_can() {
        assert_eq!(Page::Vm.end(0x1000), Some(0x1080));
        assert_eq!(Page::Vcpu(Cpu::ZERO).end(0), Some(256));
        for address in [1, 64, u64::MAX, u64::MAX - 127, u64::MAX - 255] {
            assert_eq!(Page::Vcpu(Cpu::ZERO).end(address), None, "{address:#x}");
        }
    }
}
