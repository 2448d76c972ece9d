//! The lock word, the registers of a hypercall and the samples in the pages: what is written is read
//! again, and no other value causes a panic.

use pvqspin::word::head_of;
use pvqspin::{Format, Idx3, SpareBit, Tail};
use pvqspin_abi::{Cpu, Hypercall, RunSample, Status, VcpuPage};

use crate::bytes::Bytes;

/// See the module. Panics if anything comes back as something else.
///
/// ```
/// pvqspin_hostile::lock_word(&[0xff; 32]);
/// ```
pub fn lock_word(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    tail::<Idx3>(bytes.u32());
    tail::<SpareBit>(bytes.u32());
    let _ = head_of(bytes.u32());
    registers(&mut bytes);
    page(&mut bytes);
}

/// The bits of the tail field.
const TAIL: u32 = 0xffff_0000;

fn tail<W: Format>(word: u32) {
    match W::tail(word) {
        Tail::Empty => {}
        // A damaged word may name a CPU that the format cannot: it is never written back.
        Tail::SoleHolder(cpu) | Tail::Waiter(cpu, _) if cpu.index() >= W::MAX_CPUS => {}
        Tail::SoleHolder(cpu) => assert_eq!(W::tail(W::sole_holder(cpu)), Tail::SoleHolder(cpu)),
        Tail::Waiter(cpu, context) => {
            assert!(context < W::CONTEXTS, "{word:#010x}");
            assert_eq!(W::waiter(cpu, context), word & TAIL, "{word:#010x}");
        }
    }
}

fn registers(bytes: &mut Bytes<'_>) {
    // Small numbers too, or hardly any call would make sense.
    let mut register = |small: usize| match bytes.below(2) {
        0 => bytes.below(small) as u64,
        _ => bytes.u64(),
    };
    let registers = [register(5), register(256), register(256)];
    let [number, cpu, generation] = registers;
    if let Some(call) = Hypercall::from_registers(number, cpu, generation) {
        let [number, cpu, generation] = call.to_registers();
        let again = Hypercall::from_registers(number, cpu, generation);
        assert_eq!(again, Some(call), "{registers:?}");
    }
    let _ = Status::from_register(bytes.u64());
}

fn page(bytes: &mut Bytes<'_>) {
    let sample = RunSample::from_raw(bytes.u32());
    let again = RunSample::new(sample.state(), sample.generation());
    assert_eq!(again.state(), sample.state());
    assert_eq!(again.generation(), sample.generation());
    let page = VcpuPage::new();
    page.set_run(sample);
    assert_eq!(page.run(), sample);
    let raw = bytes.u32();
    page.set_waiting_for_raw(raw);
    assert_eq!(page.waiting_for(), Cpu::from_plus_one(raw));
}
