//! What the checker is told, and what it tells.

use core::fmt;
use core::panic::Location;

use pvqspin_abi::Cpu;

/// The most classes of an earlier order that a report names.
pub(crate) const CHAIN: usize = 8;

/// Whether the running CPU could be interrupted, as [`Env::interrupt_state`](crate::Env::interrupt_state) tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InterruptState {
    /// The environment cannot tell. Nothing is concluded.
    Unknown,
    /// A task, with interrupts enabled.
    Enabled,
    /// A task, with interrupts masked.
    Masked,
    /// An interrupt handler.
    Handler,
}

/// How a lock is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// Alone, waiting.
    Exclusive,
    /// Among readers, waiting.
    Shared,
    /// Among readers, past all waiters.
    Nested,
}

/// What kind of deadlock threatens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Taken in the opposite order before, directly or through others.
    Inversion,
    /// A lock of this class is held already.
    Recursion,
    /// Taken by interrupt handlers, and with interrupts enabled.
    Interrupt,
    /// A lock that interrupt handlers take is held while one is taken that is also taken with interrupts
    /// enabled, directly or through others.
    InterruptOrder,
    /// Released without being held.
    NotHeld,
    /// No room in the tables: from now on not everything is checked.
    TableFull,
}

/// A class of locks: where they were declared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClassName {
    /// Declared here.
    Site(&'static Location<'static>),
    /// One lock by its address.
    Address(usize),
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => site.fmt(f),
            Self::Address(address) => write!(f, "lock at {address:#x}"),
        }
    }
}

/// What was found. Its `Display` says it in a few lines, with both orders.
#[derive(Clone, Copy, Debug)]
pub struct Violation {
    /// What kind.
    pub kind: Kind,
    /// The CPU that did it.
    pub cpu: Cpu,
    /// The class of the lock that it takes, or releases.
    pub class: ClassName,
    /// The class of a lock that it holds meanwhile.
    pub held: Option<ClassName>,
    pub(super) chain: [Option<ClassName>; CHAIN],
}

impl Violation {
    /// The order that was seen before: from the class that is taken to the one that is held.
    pub fn earlier(&self) -> impl Iterator<Item = &ClassName> {
        self.chain.iter().flatten()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cpu, class) = (self.cpu.index(), self.class);
        match self.kind {
            Kind::Inversion => write!(f, "lock order: cpu{cpu} takes [{class}]")?,
            Kind::Recursion => write!(f, "lock recursion: cpu{cpu} takes [{class}]")?,
            Kind::Interrupt => {
                return write!(
                    f,
                    "lock and interrupts: [{class}] is taken by interrupt handlers, and by others \
                     with interrupts enabled (now on cpu{cpu})"
                );
            }
            Kind::InterruptOrder => {
                f.write_str("lock order and interrupts: ")?;
                for (at, class) in self.earlier().enumerate() {
                    let before = if at == 0 { "" } else { " before " };
                    write!(f, "{before}[{class}]")?;
                }
                return write!(
                    f,
                    "; interrupt handlers take the first, and others the last with interrupts enabled \
                     (now on cpu{cpu})"
                );
            }
            Kind::NotHeld => {
                return write!(
                    f,
                    "lock: cpu{cpu} releases [{class}], which it does not hold"
                );
            }
            Kind::TableFull => {
                return f.write_str("lock order: the tables are full, not everything is checked");
            }
        }
        if let Some(held) = self.held {
            write!(f, "\n  now:    [{held}] before [{class}]")?;
        }
        for (at, class) in self.earlier().enumerate() {
            let before = if at == 0 { "\n  before: " } else { " before " };
            write!(f, "{before}[{class}]")?;
        }
        Ok(())
    }
}
