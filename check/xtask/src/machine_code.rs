//! What kind of x86 instruction stands at an address: one that locks its cache line (those with
//! the prefix, and `xchg` with memory), a conditional branch, or any other.
//!
//! Read from the code bytes of the object file. Callgrind's own count of branches is of no use
//! here: it simulates some locked instructions by a loop, and counts that loop's branch as well.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSegment};

/// What an instruction does, as far as its cost is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Locks its cache line: the expensive ones.
    Locked,
    /// Goes on elsewhere, or not.
    Branch,
    /// Anything else.
    Plain,
}

/// Object files, read when they are first asked about.
#[derive(Default)]
pub(crate) struct Objects(BTreeMap<PathBuf, Vec<u8>>);

impl Objects {
    /// The kind of the instruction at this address of this file.
    pub(crate) fn kind(&mut self, path: &Path, address: u64) -> Result<Kind> {
        let bytes = match self.0.entry(path.to_owned()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry
                .insert(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        };
        let file = object::File::parse(bytes.as_slice())
            .with_context(|| format!("{} is no object file", path.display()))?;
        for segment in file.segments() {
            let Some(at) = address.checked_sub(segment.address()) else {
                continue;
            };
            if at < segment.size() {
                let data = segment.data()?;
                let code = data.get(usize::try_from(at)?..).unwrap_or_default();
                ensure!(!code.is_empty(), "no code at {address:#x}");
                return Ok(kind(code));
            }
        }
        bail!("{} has nothing at {address:#x}", path.display())
    }
}

/// The kind of the instruction that starts here.
fn kind(code: &[u8]) -> Kind {
    const LOCK: u8 = 0xf0;
    const PREFIXES: [u8; 10] = [0x66, 0x67, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0xf2, 0xf3];
    let mut rest = code;
    while let [first, after @ ..] = rest {
        match first {
            &LOCK => return Kind::Locked,
            prefix if PREFIXES.contains(prefix) => rest = after,
            _ => break,
        }
    }
    if let [0x40..=0x4f, after @ ..] = rest {
        rest = after; // REX
    }
    match rest {
        // `xchg`: with a memory operand (mod is not 3) it locks without being told.
        [0x86 | 0x87, modrm, ..] if modrm >> 6 != 3 => Kind::Locked,
        [0x70..=0x7f, ..] | [0x0f, 0x80..=0x8f, ..] => Kind::Branch,
        _ => Kind::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_from_their_likes() {
        use Kind::{Branch, Locked, Plain};
        let cases: [(&[u8], Kind, &str); 14] = [
            (&[0xf0, 0x0f, 0xb1, 0x0f], Locked, "lock cmpxchg [rdi], ecx"),
            (
                &[0x66, 0xf0, 0x0f, 0xc1, 0x07],
                Locked,
                "lock xadd [rdi], ax",
            ),
            (&[0x87, 0x07], Locked, "xchg [rdi], eax"),
            (&[0x48, 0x87, 0x07], Locked, "xchg [rdi], rax"),
            (&[0x86, 0x07], Locked, "xchg [rdi], al"),
            (&[0x48, 0x87, 0xc3], Plain, "xchg rbx, rax"),
            (&[0x66, 0x90], Plain, "xchg ax, ax"),
            (&[0x0f, 0xb1, 0x0f], Plain, "cmpxchg [rdi], ecx"),
            (&[0xc7, 0x07, 0, 0, 0, 0xf0], Plain, "mov [rdi], imm"),
            (&[0x75, 0x10], Branch, "jne, near by"),
            (&[0x0f, 0x85, 0, 1, 0, 0], Branch, "jne, far away"),
            (&[0xeb, 0x10], Plain, "jmp"),
            (&[0x0f, 0x95, 0xc0], Plain, "setne al"),
            (&[0xc3], Plain, "ret"),
        ];
        for (code, expected, text) in cases {
            assert_eq!(kind(code), expected, "{text}");
        }
    }
}
