//! The state in which every vCPU starts: 64-bit mode, everything mapped where it is, SSE on.
//!
//! ```text
//!   0x1000  segment descriptors     0x3000  level 4 of the page tables
//!   0x9000  task state              0x4000  level 3
//!   0xd000  gates                   0x5000  level 2, four pages: 4 GiB in pieces of 2 MiB
//! ```
//!
//! Code runs at CPL 0, or at CPL 3, which may write to ports all the same: the I/O privilege level
//! is 3, and the map of the task state allows every port (KVM on shadow-paged, nested hosts has been
//! seen to drop the privilege level at the first entry, and to keep to the map). An exception goes to the
//! stub that the image has for it, at the CPL at which all of the guest runs, and is the end of the VM. The one
//! interrupt that a guest can enable is its timer's, for a halt at CPL 0.

use std::io;

use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};

use pvqspin_kvm_boot::header::{EXCEPTION_STUB_BYTES, EXCEPTIONS_AT, TIMER_VECTOR};

use crate::memory::GuestMemory;

const DESCRIPTORS_AT: u64 = 0x1000;
const TASK_AT: u64 = 0x9000;
const GATES_AT: u64 = 0xd000;
const LEVEL_4_AT: u64 = 0x3000;
const LEVEL_3_AT: u64 = 0x4000;
const LEVEL_2_AT: u64 = 0x5000;

/// The task state proper; behind it a bit for each port, 0 where it is allowed, and a byte of ones
/// that ends the map.
const TASK_BYTES: u64 = 0x68;
const PORT_MAP_BYTES: u64 = 0x1_0000 / 8;
const TASK_LIMIT: u64 = TASK_BYTES + PORT_MAP_BYTES;

/// Where in the task state the place of the map is said: the highest 16 bits of this word.
const PORT_MAP_WORD: u64 = 96;

/// Present, writable, for every CPL.
const TABLE: u64 = 0b111;
/// The same, and the end of the walk: a page of 2 MiB.
const LARGE_PAGE: u64 = TABLE | 1 << 7;

/// For exceptions, and for the timer.
const GATES: u64 = TIMER_VECTOR as u64 + 1;

const GIB: u64 = 4;

/// At which privilege level guest code runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cpl {
    /// As kernels do.
    Zero,
    /// As programs do, with access to ports.
    Three,
}

impl Cpl {
    /// The descriptor of its code.
    const fn code_selector(self) -> u16 {
        match self {
            Self::Zero => 0x08,
            Self::Three => 0x18 | 3,
        }
    }

    /// The level as a number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::Three => 3,
        }
    }
}

/// Writes page tables, descriptors and gates.
pub(crate) fn write_tables(memory: &GuestMemory, cpl: Cpl) -> io::Result<()> {
    let task = [
        TASK_LIMIT | TASK_AT << 16 | 0x89 << 40, // present, available 64-bit task state
        0,
    ];
    memory.write_words(
        DESCRIPTORS_AT,
        &[
            0,
            0x00af_9b00_0000_ffff, // code, CPL 0, 64 bits
            0x00cf_9300_0000_ffff, // data, CPL 0
            0x00af_fb00_0000_ffff, // code, CPL 3, 64 bits
            0x00cf_f300_0000_ffff, // data, CPL 3
            task[0],
            task[1],
        ],
    )?;
    memory.write_words(TASK_AT + PORT_MAP_WORD, &[TASK_BYTES << 48])?;
    memory.write_words(TASK_AT + TASK_LIMIT, &[0xff])?;
    for vector in 0..GATES {
        let stub = EXCEPTIONS_AT + vector * EXCEPTION_STUB_BYTES;
        memory.write_words(GATES_AT + 16 * vector, &gate(stub, cpl))?;
    }
    memory.write_words(LEVEL_4_AT, &[LEVEL_3_AT | TABLE])?;
    let level_2 = |gib| LEVEL_2_AT + gib * 0x1000;
    let level_3: Vec<u64> = (0..GIB).map(|gib| level_2(gib) | TABLE).collect();
    memory.write_words(LEVEL_3_AT, &level_3)?;
    for gib in 0..GIB {
        let pages: Vec<u64> = (0..512)
            .map(|page| (gib << 30) | (page << 21) | LARGE_PAGE)
            .collect();
        memory.write_words(level_2(gib), &pages)?;
    }
    Ok(())
}

/// A gate to code at an address: present, the flag of interrupts cleared, no change of the stack.
fn gate(to: u64, cpl: Cpl) -> [u64; 2] {
    const INTERRUPT_GATE: u64 = 0x8e << 40;
    let selector = u64::from(cpl.code_selector()) << 16;
    let low = to & 0xffff | (to >> 16 & 0xffff) << 48;
    [low | selector | INTERRUPT_GATE, to >> 32]
}

/// Puts segments, control registers and tables into what KVM gave for a new vCPU.
pub(crate) fn set_system_registers(sregs: &mut kvm_sregs, cpl: Cpl, gs_base: u64) {
    let dpl = cpl.number();
    let code = cpl.code_selector();
    // The descriptor of data comes after that of code.
    let data = code + 8;
    let segment = |selector, type_, l| kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl,
        db: 1 - l,
        s: 1,
        l,
        g: 1,
        ..kvm_segment::default()
    };
    let data = segment(data, 3, 0);
    sregs.cs = segment(code, 11, 1);
    (sregs.ds, sregs.es, sregs.fs, sregs.ss) = (data, data, data, data);
    sregs.gs = kvm_segment {
        base: gs_base,
        ..data
    };
    sregs.tr = kvm_segment {
        base: TASK_AT,
        limit: TASK_LIMIT as u32,
        selector: 0x28,
        type_: 11,
        present: 1,
        ..kvm_segment::default()
    };
    sregs.gdt.base = DESCRIPTORS_AT;
    sregs.gdt.limit = 7 * 8 - 1;
    sregs.idt.base = GATES_AT;
    sregs.idt.limit = GATES as u16 * 16 - 1;
    const PROTECTED: u64 = 1 << 0;
    const MONITOR_COPROCESSOR: u64 = 1 << 1;
    const EXTENSION_TYPE: u64 = 1 << 4;
    const NUMERIC_ERROR: u64 = 1 << 5;
    const PAGING: u64 = 1 << 31;
    sregs.cr0 = PROTECTED | MONITOR_COPROCESSOR | EXTENSION_TYPE | NUMERIC_ERROR | PAGING;
    sregs.cr3 = LEVEL_4_AT;
    const PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
    const OS_FXSR: u64 = 1 << 9;
    const OS_XMM_EXCEPTIONS: u64 = 1 << 10;
    sregs.cr4 = PHYSICAL_ADDRESS_EXTENSION | OS_FXSR | OS_XMM_EXCEPTIONS;
    const LONG_MODE: u64 = 1 << 8;
    const LONG_MODE_ACTIVE: u64 = 1 << 10;
    sregs.efer = LONG_MODE | LONG_MODE_ACTIVE;
}

/// The general registers of a vCPU that is about to start: its number goes in RDI.
pub(crate) fn registers(entry: u64, stack_top: u64, number: u64) -> kvm_regs {
    const RESERVED: u64 = 1 << 1;
    const IO_PRIVILEGE_3: u64 = 3 << 12;
    kvm_regs {
        rip: entry,
        rsp: stack_top,
        rdi: number,
        rflags: RESERVED | IO_PRIVILEGE_3,
        ..kvm_regs::default()
    }
}
