//! Numbers that name virtual machines, virtual CPUs and physical CPUs inside one host.

use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The one with this number, from 0. Whether it exists is for the host to say.
            #[must_use]
            #[inline]
            pub const fn new(index: u32) -> Self {
                Self(index)
            }

            /// The number, from 0.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id! {
    /// A virtual machine.
    VmId, "vm"
}
id! {
    /// A virtual CPU, numbered through the whole host. Inside its own VM it is a
    /// [`Cpu`](pvqspin_abi::Cpu); see [`Host::locate`](crate::Host::locate).
    VcpuId, "vcpu"
}
id! {
    /// A physical CPU.
    Pcpu, "pcpu"
}
