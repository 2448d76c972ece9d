//! The privileged instructions that a KVM guest needs, behind a trait so that tests can fake them.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// The instruction that enters the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Call {
    /// `VMCALL`: Intel, and compatible processors.
    Vmcall = 0,
    /// `VMMCALL`: AMD and Hygon. KVM patches the wrong one at its first use, unless its code cannot
    /// be written, so it is better to choose right.
    Vmmcall = 1,
}

/// What this environment executes on the processor. [`X86`] is the real thing.
pub trait Instructions: 'static {
    /// `CPUID`: EAX, EBX, ECX, EDX.
    fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4];

    /// Writes a model specific register.
    ///
    /// # Safety
    ///
    /// CPL 0; the register exists, and the value does what the caller wants.
    unsafe fn write_msr(register: u32, value: u64);

    /// A hypercall of KVM with two arguments. Returns what the host did.
    ///
    /// # Safety
    ///
    /// CPL 0 on KVM, and the host may do what the call asks for.
    unsafe fn hypercall(call: Call, number: u64, first: u64, second: u64) -> i64;

    /// Masks interrupts; says whether they were enabled.
    ///
    /// # Safety
    ///
    /// CPL 0, and the caller enables them again with [`unmask`](Self::unmask) or
    /// [`halt_unmasked`](Self::halt_unmasked) if they were enabled.
    unsafe fn mask() -> bool;

    /// Enables interrupts.
    ///
    /// # Safety
    ///
    /// CPL 0, and the caller's [`mask`](Self::mask) found them enabled.
    unsafe fn unmask();

    /// `HLT` with interrupts masked: only a kick ends it, or an NMI.
    ///
    /// # Safety
    ///
    /// CPL 0, and a kick is going to come.
    unsafe fn halt_masked();

    /// Enables interrupts and executes `HLT`, with nothing in between: a kick or any interrupt ends
    /// it.
    ///
    /// # Safety
    ///
    /// As for [`unmask`](Self::unmask).
    unsafe fn halt_unmasked();
}

/// The processor itself.
#[derive(Clone, Copy, Debug)]
pub struct X86;

const INTERRUPT_FLAG: u64 = 1 << 9;

impl Instructions for X86 {
    fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
        // Unsafe to call until Rust 1.94, and safe since.
        let cpuid: unsafe fn(u32, u32) -> CpuidResult = __cpuid_count;
        // SAFETY: every x86-64 processor has the instruction, and it changes nothing.
        let found = unsafe { cpuid(leaf, subleaf) };
        [found.eax, found.ebx, found.ecx, found.edx]
    }

    unsafe fn write_msr(register: u32, value: u64) {
        // SAFETY: the caller's promise. It is no `nomem`: the host may write where the value says
        // from now on.
        unsafe {
            asm!(
                "wrmsr",
                in("ecx") register,
                in("eax") value as u32,
                in("edx") (value >> 32) as u32,
                options(nostack, preserves_flags)
            );
        }
    }

    unsafe fn hypercall(call: Call, number: u64, first: u64, second: u64) -> i64 {
        let status: i64;
        // RBX is the first argument and belongs to the compiler: it is put back.
        match call {
            // SAFETY: the caller's promise. KVM changes RAX and nothing else; memory that other
            // CPUs write in the meantime is why it is no `nomem`.
            Call::Vmcall => unsafe {
                asm!(
                    "xchg rbx, {first}",
                    "vmcall",
                    "xchg rbx, {first}",
                    first = inout(reg) first => _,
                    inout("rax") number => status,
                    in("rcx") second,
                    options(nostack)
                );
            },
            // SAFETY: the caller's promise; KVM treats the other vendor's instruction in the same way.
            Call::Vmmcall => unsafe {
                asm!(
                    "xchg rbx, {first}",
                    "vmmcall",
                    "xchg rbx, {first}",
                    first = inout(reg) first => _,
                    inout("rax") number => status,
                    in("rcx") second,
                    options(nostack)
                );
            },
        }
        status
    }

    unsafe fn mask() -> bool {
        let flags: u64;
        // SAFETY: CPL 0 is the caller's promise. The push needs the stack, so no `nostack`; memory
        // accesses must not move out of the masked section, so no `nomem`.
        unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags) };
        flags & INTERRUPT_FLAG != 0
    }

    unsafe fn unmask() {
        // SAFETY: the caller's promise.
        unsafe { asm!("sti", options(nostack)) };
    }

    unsafe fn halt_masked() {
        // SAFETY: the caller's promise. Other CPUs write memory meanwhile, so no `nomem`.
        unsafe { asm!("hlt", options(nostack, preserves_flags)) };
    }

    unsafe fn halt_unmasked() {
        // SAFETY: the caller's promise. Interrupts stay masked for one instruction after `sti`, so
        // none comes before the `hlt`, which it would then not end. A handler uses the stack below
        // the pointer, which kernels compile for (no red zone).
        unsafe { asm!("sti", "hlt", options(nostack)) };
    }
}
