//! What the host offers, as CPUID tells it, and what to make of it.

use core::fmt;

use super::instructions::{Call, Instructions};
use crate::mode::{Detected, Mode};

/// The lowest leaf at which a hypervisor may present itself.
const FIRST_LEAF: u32 = 0x4000_0000;
/// A hypervisor that also plays another one (Hyper-V, usually) moves up by so many leaves.
const LEAF_STEP: u32 = 0x100;
/// Nothing looks beyond it.
const LAST_LEAF: u32 = 0x4001_0000;

// KVM's leaf 1, as in its public `kvm_para.h` and `Documentation/virt/kvm/x86/cpuid.rst`.
const STEAL_TIME: u32 = 1 << 5;
const PV_UNHALT: u32 = 1 << 7;
const PV_SCHED_YIELD: u32 = 1 << 13;
/// A hint, in EDX: vCPUs are never preempted for an unlimited time. One pCPU for each, that is.
const REALTIME: u32 = 1 << 0;

/// What CPUID says about the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// There is a hypervisor, whichever.
    pub hypervisor: bool,
    /// It is KVM.
    pub kvm: bool,
    /// It publishes for each vCPU whether it is preempted, and for how long it was.
    pub steal_time: bool,
    /// `HLT` ends by a hypercall of another vCPU, even with interrupts masked.
    pub unhalt: bool,
    /// There is a hypercall for a directed yield.
    pub sched_yield: bool,
    /// The host dedicates a pCPU to each vCPU.
    pub dedicated: bool,
    /// The instruction for hypercalls.
    pub call: Call,
}

/// How far the lock makes use of the host. Each level does what those before it do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Transport {
    /// No hypercall, no CPU is ever preempted, none halts: bare metal, or as good.
    Native = 0,
    /// A waiter halts and is kicked. Needs `PV_UNHALT`; `STEAL_TIME` is used if there.
    KickAndHalt = 1,
    /// A waiter also names the CPU to run. Needs `STEAL_TIME` and `PV_SCHED_YIELD` on top.
    DirectedYield = 2,
}

impl Features {
    /// Asks CPUID. Cheap, but each leaf is a VM exit: once, at boot.
    #[must_use]
    pub fn detect<I: Instructions>() -> Self {
        let [_, ebx, ecx, edx] = I::cpuid(0, 0);
        let vendor = text([ebx, edx, ecx]);
        let hypervisor = I::cpuid(1, 0)[2] >> 31 != 0;
        let base = if hypervisor { find::<I>() } else { None };
        let [eax, _, _, edx] = base.map_or([0; 4], |base| I::cpuid(base + 1, 0));
        Self {
            hypervisor,
            kvm: base.is_some(),
            steal_time: eax & STEAL_TIME != 0,
            unhalt: eax & PV_UNHALT != 0,
            sched_yield: eax & PV_SCHED_YIELD != 0,
            dedicated: edx & REALTIME != 0,
            call: match &vendor {
                b"AuthenticAMD" | b"HygonGenuine" => Call::Vmmcall,
                _ => Call::Vmcall,
            },
        }
    }

    /// The most that the host offers.
    #[must_use]
    pub const fn best(&self) -> Transport {
        match (self.unhalt, self.steal_time && self.sched_yield) {
            (true, true) => Transport::DirectedYield,
            (true, false) => Transport::KickAndHalt,
            // Without `PV_UNHALT` (KVM withholds it where guests may `HLT` for real) vCPUs have
            // pCPUs of their own, and there is no CPU to name.
            (false, _) => Transport::Native,
        }
    }

    /// What to use, for what the administrator asked for.
    ///
    /// ```
    /// use pvqspin::kvm::{Features, Transport, X86};
    /// use pvqspin::mode::Mode;
    ///
    /// let features = Features::detect::<X86>();
    /// assert_eq!(features.choose(Mode::Native), Transport::Native);
    /// assert!(features.choose(Mode::Auto) <= features.best());
    /// ```
    #[must_use]
    pub const fn choose(&self, mode: Mode) -> Transport {
        match mode {
            Mode::Native => Transport::Native,
            Mode::Auto if self.dedicated => Transport::Native,
            Mode::Auto | Mode::Paravirtual => self.best(),
        }
    }
}

/// For [`Mode::choose`], whose answer has the reason in words.
impl From<Features> for Detected {
    fn from(features: Features) -> Self {
        Self {
            hypervisor: features.hypervisor,
            directed_yield: features.best() == Transport::DirectedYield,
            dedicated: features.dedicated,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::KickAndHalt => "kick and halt",
            Self::DirectedYield => "directed yield",
        })
    }
}

/// A line for the boot log.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.kvm {
            return f.write_str(if self.hypervisor {
                "a hypervisor, but not KVM"
            } else {
                "no hypervisor"
            });
        }
        let with = |there| if there { "with" } else { "without" };
        write!(
            f,
            "KVM {} PV_UNHALT, {} STEAL_TIME, {} PV_SCHED_YIELD{}: {}",
            with(self.unhalt),
            with(self.steal_time),
            with(self.sched_yield),
            if self.dedicated {
                ", dedicated pCPUs"
            } else {
                ""
            },
            self.best()
        )
    }
}

/// The leaf at which KVM presents itself.
fn find<I: Instructions>() -> Option<u32> {
    (FIRST_LEAF..LAST_LEAF)
        .step_by(LEAF_STEP as usize)
        .find(|&leaf| {
            let [_, ebx, ecx, edx] = I::cpuid(leaf, 0);
            text([ebx, ecx, edx]) == *b"KVMKVMKVM\0\0\0"
        })
}

fn text(registers: [u32; 3]) -> [u8; 12] {
    let mut text = [0; 12];
    for (four, register) in text.chunks_exact_mut(4).zip(registers) {
        four.copy_from_slice(&register.to_le_bytes());
    }
    text
}

/// The APIC id of the running CPU, as CPUID has it: from the x2APIC leaf, else the 8-bit one.
pub(super) fn own_apic_id<I: Instructions>() -> u32 {
    let x2apic = if I::cpuid(0, 0)[0] >= 0xb {
        I::cpuid(0xb, 0)
    } else {
        [0; 4]
    };
    // A leaf that is not filled in has no threads in its first level.
    if x2apic[1] & 0xffff != 0 {
        x2apic[3]
    } else {
        I::cpuid(1, 0)[1] >> 24
    }
}
