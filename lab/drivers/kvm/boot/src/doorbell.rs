//! The doorbell: one port, and the words that a guest writes to it.
//!
//! What goes with a word lies in the vCPU's [`CpuArea`](crate::CpuArea), so that the VMM needs no
//! registers of the guest to answer it.

/// The port.
pub const PORT: u16 = 0x5056;

/// What a vCPU wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Ring {
    /// A hypercall, in its area. The status comes back there.
    Hypercall = 1,
    /// The boot CPU has prepared everything: the others may start.
    Ready = 2,
    /// This vCPU has done its work, and never runs again.
    Done = 3,
    /// The guest has panicked; its message is in [`Results`](crate::Results).
    Panic = 4,
    /// Nothing: what an exit costs is being measured.
    Probe = 5,
}

impl Ring {
    /// The ring of this word; `None` if it is none.
    ///
    /// ```
    /// use pvqspin_kvm_boot::doorbell::Ring;
    ///
    /// assert_eq!(Ring::from_word(Ring::Done as u32), Some(Ring::Done));
    /// assert_eq!(Ring::from_word(77), None);
    /// ```
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        Some(match word {
            1 => Self::Hypercall,
            2 => Self::Ready,
            3 => Self::Done,
            4 => Self::Panic,
            5 => Self::Probe,
            _ => return None,
        })
    }
}
