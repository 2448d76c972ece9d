//! One fault of QEMU's emulation of SVM, mended in a copy of the program.
//!
//! When a hypervisor enters its guest with an interrupt to deliver, QEMU delivers it at once
//! (`helper_vmrun`), but leaves the vector in `exception_index`. If the emulated processor's turn ends
//! before the guest exits, QEMU takes that for an exception and delivers it again, in the handler, where
//! interrupts are off. A Linux guest then waits for a lock that it holds. Decision 30 has the trace.
//!
//! The vector that is left serves a log alone, so the one instruction that stores it is replaced by one
//! that does nothing.

use anyhow::{Context, Result, bail, ensure};
use object::{Object as _, ObjectSymbol as _};

/// Enters a guest.
const ENTRY: &str = "helper_vmrun";
/// Delivers an interrupt; the entry calls it in one place.
const DELIVER: &str = "do_interrupt_x86_hardirq";
/// The store stands among five others right before that call.
const NEAR: usize = 80;
/// An instruction of six bytes that does nothing.
const NOTHING: [u8; 6] = [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00];

/// The program without the fault.
pub(crate) fn mended(program: &[u8]) -> Result<Vec<u8>> {
    let (at, size) = symbol(program, ENTRY)?;
    let (deliver, _) = symbol(program, DELIVER)?;
    let code = (program.get(at..at + size)).context("a symbol lies outside of the program")?;
    let store = store_in(code, at, deliver)?;
    let mut mended = program.to_vec();
    mended[at + store..at + store + NOTHING.len()].copy_from_slice(&NOTHING);
    Ok(mended)
}

/// Where a function is in the file, and how long it is.
fn symbol(program: &[u8], name: &str) -> Result<(usize, usize)> {
    use object::ObjectSection as _;
    let file = object::File::parse(program).context("QEMU is no program that can be read")?;
    let symbol = (file.dynamic_symbols())
        .find(|symbol| symbol.name() == Ok(name))
        .with_context(|| format!("QEMU has no symbol {name}"))?;
    let section = (symbol.section_index())
        .and_then(|index| file.section_by_index(index).ok())
        .with_context(|| format!("QEMU's {name} is in no section"))?;
    let (start, _) = (section.file_range()).context("QEMU's code is not in its file")?;
    let at = symbol.address() - section.address() + start;
    Ok((usize::try_from(at)?, usize::try_from(symbol.size())?))
}

/// Where the store is in the code of the entry, which begins at `at`.
///
/// `mov %reg, offset(%env)` with an offset below 0: of all that is stored there `exception_index` alone
/// lies before the registers' structure.
fn store_in(code: &[u8], at: usize, deliver: usize) -> Result<usize> {
    let calls: Vec<usize> = (0..code.len().saturating_sub(4))
        .filter(|&here| code[here] == 0xe8 && target(code, at, here) == deliver as i64)
        .collect();
    let [call] = calls[..] else {
        bail!(
            "QEMU calls {DELIVER} in {} places of {ENTRY}, and not in one",
            calls.len()
        );
    };
    let stores: Vec<usize> = (call.saturating_sub(NEAR)..call.saturating_sub(NOTHING.len() - 1))
        .filter(|&here| {
            let (opcode, place) = (code[here], code[here + 1]);
            // A register to memory, with an offset of four bytes from another register.
            opcode == 0x89
                && place & 0xc0 == 0x80
                && place & 0x07 != 0x04
                && is_negative(code, here + 2)
        })
        .collect();
    ensure!(
        stores.len() == 1,
        "{} stores of QEMU could be the one that is a fault",
        stores.len()
    );
    Ok(stores[0])
}

fn number(code: &[u8], here: usize) -> i32 {
    i32::from_le_bytes([code[here], code[here + 1], code[here + 2], code[here + 3]])
}

/// Some thousands below 0: an offset, and not the middle of another instruction.
fn is_negative(code: &[u8], here: usize) -> bool {
    (-0x1_0000..0).contains(&number(code, here))
}

/// Where a call leads.
fn target(code: &[u8], at: usize, here: usize) -> i64 {
    (at + here + 5) as i64 + i64::from(number(code, here + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As GCC 14 compiled it in Debian's QEMU 11.1.3, from the vector to the call; at 0x100, with the
    /// function that is called at 0x1000.
    fn code() -> Vec<u8> {
        let mut code = vec![
            0x41, 0x0f, 0xb6, 0xf4, 0x44, 0x89, 0xab, 0x80, 0x34, 0, 0, // the error's number
            0x89, 0xb3, 0x50, 0xc2, 0xff, 0xff, // the vector
            0xc7, 0x83, 0x84, 0x34, 0, 0, 0, 0, 0, 0, // exception_is_int
            0xba, 1, 0, 0, 0, 0x48, 0x89, 0xdf, 0xe8,
        ];
        let distance = 0x1000 - (0x100 + code.len() as i32 + 4);
        code.extend(distance.to_le_bytes());
        code.extend([0xc3; 8]);
        code
    }

    #[test]
    fn the_store_is_the_one_before_the_registers() {
        assert_eq!(store_in(&code(), 0x100, 0x1000).unwrap(), 11);
    }

    #[test]
    fn what_is_not_as_known_is_left_alone() {
        let mut twice = code();
        twice.splice(17..17, twice[11..17].to_vec());
        let distance = number(&twice, 42) - 6;
        twice[42..46].copy_from_slice(&distance.to_le_bytes());
        assert!(store_in(&twice, 0x100, 0x1000).is_err());
        assert!(store_in(&code(), 0x100, 0x2000).is_err());
        let mut none = code();
        none[11..17].copy_from_slice(&NOTHING);
        assert!(store_in(&none, 0x100, 0x1000).is_err());
        assert!(mended(b"no program").is_err());
    }
}
