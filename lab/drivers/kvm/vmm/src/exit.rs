//! What an exit means: from whatever KVM says to the few things that a well-behaved guest does.
//!
//! Everything else is the guest's end, with a sentence that says what it did. Nothing that a guest
//! can bring about is a panic here: `pvqspin-hostile` tries.

use kvm_ioctls::VcpuExit;
use pvqspin_kvm_boot::doorbell::{PORT, Ring};
use vmm_sys_util::errno;

/// Why `KVM_RUN` came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exit {
    /// The doorbell.
    Ring(Ring),
    /// A signal, or nothing at all.
    Interrupted,
    /// `HLT` without an interrupt controller in the kernel.
    Halted,
    /// The VM cannot go on.
    Fatal(Offence),
}

/// What a guest did that ends it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Offence {
    /// An exception, and no stack or no code to handle it.
    #[error("triple fault: an exception that the guest could not even report")]
    TripleFault,
    /// An access to an address at which there is no memory.
    #[error("{kind} of {bytes} byte(s) at {address:#x}, where no memory is", kind = if *write { "write" } else { "read" })]
    Unmapped {
        /// Where.
        address: u64,
        /// How much.
        bytes: usize,
        /// Whether it was to be written.
        write: bool,
    },
    /// An access to a port that does not exist.
    #[error("{kind} port {port:#x}, which does not exist", kind = if *write { "write to" } else { "read of" })]
    BadPort {
        /// Which port.
        port: u16,
        /// Whether it was written.
        write: bool,
    },
    /// A word that means nothing at the doorbell.
    #[error("nonsense at the doorbell: {0:02x?}")]
    BadRing(Vec<u8>),
    /// A panic in guest code.
    #[error("the guest panicked: {0}")]
    Panic(String),
    /// KVM could not enter the guest, or go on.
    #[error("KVM cannot run it: {0}")]
    Kvm(String),
}

/// Decodes an exit.
pub fn decode(exit: Result<VcpuExit<'_>, errno::Error>) -> Exit {
    let fatal = |offence| Exit::Fatal(offence);
    let kvm = |what: String| Exit::Fatal(Offence::Kvm(what));
    match exit {
        Ok(VcpuExit::IoOut(PORT, data)) => ring(data),
        Ok(VcpuExit::IoOut(port, _)) => fatal(Offence::BadPort { port, write: true }),
        Ok(VcpuExit::IoIn(port, _)) => fatal(Offence::BadPort { port, write: false }),
        Ok(VcpuExit::MmioRead(address, data)) => fatal(Offence::Unmapped {
            address,
            bytes: data.len(),
            write: false,
        }),
        Ok(VcpuExit::MmioWrite(address, data)) => fatal(Offence::Unmapped {
            address,
            bytes: data.len(),
            write: true,
        }),
        Ok(VcpuExit::MemoryFault { gpa, size, .. }) => fatal(Offence::Unmapped {
            address: gpa,
            bytes: usize::try_from(size).unwrap_or(usize::MAX),
            write: false,
        }),
        Ok(VcpuExit::Shutdown) => fatal(Offence::TripleFault),
        Ok(VcpuExit::Hlt) => Exit::Halted,
        Ok(VcpuExit::Intr) => Exit::Interrupted,
        Ok(VcpuExit::FailEntry(reason, cpu)) => kvm(format!(
            "the processor refuses to enter it (reason {reason:#x}, CPU {cpu})"
        )),
        Ok(VcpuExit::InternalError) => kvm("internal error, most likely an instruction that it \
                                            cannot emulate"
            .to_owned()),
        Ok(other) => kvm(format!("unexpected exit {other:?}")),
        Err(error) => match error.errno() {
            libc::EINTR | libc::EAGAIN => Exit::Interrupted,
            _ => kvm(error.to_string()),
        },
    }
}

fn ring(data: &[u8]) -> Exit {
    let word = <[u8; 4]>::try_from(data).map(u32::from_le_bytes);
    match word.ok().and_then(Ring::from_word) {
        Some(ring) => Exit::Ring(ring),
        None => Exit::Fatal(Offence::BadRing(data.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_a_word_and_nothing_else() {
        let out = |data: &[u8]| decode(Ok(VcpuExit::IoOut(PORT, data)));
        assert_eq!(out(&[1, 0, 0, 0]), Exit::Ring(Ring::Hypercall));
        for nonsense in [
            &[1][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 1],
            &[1, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let expected = Exit::Fatal(Offence::BadRing(nonsense.to_vec()));
            assert_eq!(out(nonsense), expected);
        }
    }

    #[test]
    fn a_signal_is_no_offence_and_a_broken_kvm_is() {
        let error = |number| decode(Err(errno::Error::new(number)));
        assert_eq!(error(libc::EINTR), Exit::Interrupted);
        assert_eq!(error(libc::EAGAIN), Exit::Interrupted);
        assert!(matches!(error(libc::EFAULT), Exit::Fatal(Offence::Kvm(_))));
    }
}
