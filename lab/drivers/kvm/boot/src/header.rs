//! What an image says about itself: the VMM reads it before anything of it runs.

use core::mem::{offset_of, size_of};

use pvqspin::CpuNodes;
use pvqspin_load::{NeighbourRecord, Record};

use crate::area::CpuArea;
use crate::boot::Boot;
use crate::results::Results;
use crate::stock::StockArea;

/// Where images are loaded, and where their header lies.
pub const IMAGE_AT: u64 = 0x10_0000;

/// Where every image has its stubs for exceptions: one after the other, from exception 0 on, each
/// an entry for the processor.
pub const EXCEPTIONS_AT: u64 = IMAGE_AT + 0x100;

/// How many of them there are.
pub const EXCEPTIONS: usize = 32;

/// The interrupt of a vCPU's timer. Its stub comes after those of the exceptions, and is as long.
pub const TIMER_VECTOR: usize = EXCEPTIONS;

/// They are apart by this.
pub const EXCEPTION_STUB_BYTES: u64 = 16;

/// The first eight bytes of every image.
pub const MAGIC: [u8; 8] = *b"pvqguest";

/// Goes up whenever anything in this crate, or in what lies in the shared memory, changes its
/// meaning without changing its size.
pub const LAYOUT: u32 = 4;

/// The longest version that a header has room for.
const VERSION_BYTES: usize = 16;

/// The header of an image.
///
/// ```
/// use pvqspin_kvm_boot::Header;
///
/// let here = Header::CURRENT;
/// assert_eq!(here.refusal(), None);
/// let old = Header { layout: 0, ..here };
/// assert!(old.refusal().is_some());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`LAYOUT`].
    pub layout: u32,
    /// A sum over the sizes of everything that both sides touch: it differs if one of them was
    /// built with another set of features.
    pub sizes: u32,
    /// The version of the crate, padded with zero bytes.
    pub version: [u8; VERSION_BYTES],
}

/// Why an image is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is none of ours.
    Magic,
    /// It is of another version.
    Version,
    /// It is of this version, and was built from other sources or with other features.
    Layout,
}

impl Header {
    /// How many bytes a header has.
    pub const BYTES: usize = size_of::<Self>();

    /// The header of an image that is built from these sources.
    pub const CURRENT: Self = Self {
        magic: MAGIC,
        layout: LAYOUT,
        sizes: sizes(),
        version: version(),
    };

    /// The header in these bytes. Every value of them is one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(word)
        };
        let mut header = Self {
            layout: word(offset_of!(Self, layout)),
            sizes: word(offset_of!(Self, sizes)),
            ..Self::CURRENT
        };
        header.magic.copy_from_slice(&bytes[..MAGIC.len()]);
        let version = offset_of!(Self, version);
        header
            .version
            .copy_from_slice(&bytes[version..version + VERSION_BYTES]);
        header
    }

    /// Why an image with this header cannot be run; `None` if it can.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let current = &Self::CURRENT;
        if self.magic != current.magic {
            Some(Refusal::Magic)
        } else if self.version != current.version {
            Some(Refusal::Version)
        } else if (self.layout, self.sizes) != (current.layout, current.sizes) {
            Some(Refusal::Layout)
        } else {
            None
        }
    }

    /// The version as text, as far as it is some.
    #[must_use]
    pub fn version(&self) -> &str {
        let end = self.version.iter().position(|&byte| byte == 0);
        let bytes = &self.version[..end.unwrap_or(VERSION_BYTES)];
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}

const fn version() -> [u8; VERSION_BYTES] {
    let from = env!("CARGO_PKG_VERSION").as_bytes();
    let mut version = [0; VERSION_BYTES];
    let mut at = 0;
    while at < from.len() && at < VERSION_BYTES {
        version[at] = from[at];
        at += 1;
    }
    version
}

const fn sizes() -> u32 {
    let all = [
        size_of::<CpuNodes>(),
        size_of::<Record>(),
        size_of::<NeighbourRecord>(),
        size_of::<CpuArea>(),
        size_of::<StockArea>(),
        size_of::<Results>(),
        size_of::<Boot>(),
        // New locks and workloads go to the end of their lists, and change how long those are.
        pvqspin_rivals::catalog::CATALOG.len(),
        pvqspin_load::catalog::CATALOG.len(),
    ];
    let mut sum = 0_u32;
    let mut at = 0;
    while at < all.len() {
        // A multiplier that is odd and large: sizes that swap, or move together, change the sum.
        sum = sum.wrapping_mul(0x9e37_79b1).wrapping_add(all[at] as u32);
        at += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_its_bytes() {
        let header = Header {
            layout: 0x0102_0304,
            sizes: 0x0506_0708,
            ..Header::CURRENT
        };
        let mut bytes = [0; Header::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&header.layout.to_le_bytes());
        bytes[12..16].copy_from_slice(&header.sizes.to_le_bytes());
        bytes[16..].copy_from_slice(&header.version);
        assert_eq!(Header::from_bytes(&bytes), header);
        assert_eq!(header.version(), env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn each_difference_has_its_own_refusal() {
        let mut other = Header::CURRENT;
        other.sizes ^= 1;
        assert_eq!(other.refusal(), Some(Refusal::Layout));
        other.version[0] ^= 1;
        assert_eq!(other.refusal(), Some(Refusal::Version));
        other.magic[0] ^= 1;
        assert_eq!(other.refusal(), Some(Refusal::Magic));
    }
}
