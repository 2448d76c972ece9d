//! What a guest of the VMM in `pvqspin-kvm` can do to it: leave for any reason and with anything, and
//! leave anything in the memory that the VMM reads when the guest is done.

use pvqspin_kvm::untrusted::{Exit, Leavings, PORT, VcpuExit, decode, errno};
use pvqspin_report::{LockFacts, Point, Record, summarise, table};

use crate::bytes::Bytes;

/// An exit is a ring of the doorbell, or no fault of the guest's, or its end with a sentence.
///
/// ```
/// pvqspin_hostile::vmm_exits(&[0, 1, 2]);
/// ```
pub fn vmm_exits(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let which = bytes.below(16);
    let number = bytes.u64();
    // Half of them at the doorbell, and half of those about what a guest says there.
    let port = match bytes.below(2) {
        0 => PORT,
        _ => number as u16,
    };
    let mut data = match bytes.below(2) {
        0 => [bytes.byte() % 8, 0, 0, 0, 0, 0, 0, 0],
        _ => [(); 8].map(|()| bytes.byte()),
    };
    let length = [4, bytes.below(9)][bytes.below(2)];
    let exit = match which {
        0..4 => VcpuExit::IoOut(port, &data[..length]),
        4 => VcpuExit::IoIn(port, &mut data[..length]),
        5 => VcpuExit::MmioRead(number, &mut data[..length]),
        6 => VcpuExit::MmioWrite(number, &data[..length]),
        7 => VcpuExit::MemoryFault {
            flags: number,
            gpa: number,
            size: number,
        },
        8 => VcpuExit::FailEntry(number, number as u32),
        9 => VcpuExit::SystemEvent(number as u32, &[number]),
        10 => VcpuExit::IoapicEoi(number as u8),
        11 => VcpuExit::Unsupported(number as u32),
        12 => VcpuExit::Exception,
        13 => VcpuExit::Shutdown,
        14 => VcpuExit::InternalError,
        _ => {
            let error = decode(Err(errno::Error::new(number as i32)));
            assert!(matches!(error, Exit::Interrupted | Exit::Fatal(_)));
            return;
        }
    };
    match decode(Ok(exit)) {
        Exit::Ring(_) => assert!(which < 4 && port == PORT && length == 4),
        Exit::Fatal(offence) => assert!(!offence.to_string().is_empty()),
        other => panic!("{other:?} of exit {which}"),
    }
}

/// Whatever stands in the memory of a guest, it is results, which can be shown, or an error.
///
/// ```
/// pvqspin_hostile::vmm_results(&[0xff; 100]);
/// ```
pub fn vmm_results(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let vcpus = 1 + bytes.below(4);
    let Ok(leavings) = Leavings::new(vcpus) else {
        return;
    };
    let mut piece = [0; 64];
    for _ in 0..bytes.below(40) {
        // Many of them into the results, which come first, and into what vCPUs keep of themselves,
        // which comes last: both are small beside the rest.
        let (first, bytes_there) = match bytes.below(4) {
            0 => (0, 1 << 10),
            1 | 2 => (leavings.read_bytes() - (8 << 10), 8 << 10),
            _ => (0, leavings.read_bytes()),
        };
        let at = first + u64::from(bytes.u32()) % bytes_there;
        // Few bytes of all ones make numbers that are too large, many zeros such as can be true.
        let kind = bytes.below(4);
        let piece = &mut piece[..1 + bytes.below(64)];
        piece.fill_with(|| match (kind, bytes.byte()) {
            (0, _) => 0xff,
            (1, any) => any,
            (_, any) => any.saturating_sub(253),
        });
        // Words lie at multiples of four.
        let written = leavings.write(at & !3, piece);
        assert!(written.is_ok(), "{written:?}");
    }
    match leavings.read_back(bytes.u64()) {
        Ok(outcome) => {
            assert_eq!(outcome.per_vcpu.len(), vcpus);
            let record = Record::new(&facts(), &point(vcpus), 0, &outcome);
            for at in summarise(&[record]) {
                let _ = table::render(&at);
            }
        }
        Err(error) => assert!(error.to_string().contains("make no sense"), "{error}"),
    }
}

fn facts() -> LockFacts {
    LockFacts {
        lock: "fifo".to_owned(),
        policy: None,
        word: None,
        fair: true,
    }
}

fn point(vcpus: usize) -> Point {
    Point {
        workload: "hot-lock".to_owned(),
        host_policy: "fair".to_owned(),
        yield_mode: "contract".to_owned(),
        pcpus: 1,
        vcpus,
        inside_ns: 1_000,
        outside_ns: 2_000,
        distribution: "fixed".to_owned(),
        slice_ns: 3_000_000,
    }
}
