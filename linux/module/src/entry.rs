//! What the shim calls.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin::kvm::{Call, Features, Kernel, StealTime, Transport};
use pvqspin::mode::Mode;
use pvqspin::word::{LOCKED, PENDING, head_of};
use pvqspin::{
    Bounded, Cpu, Event, Fifo, FifoHalt, FifoHolder, Format, Idx3, Policy, QSpinLock, Tail, Token,
};

use crate::kernel::{Guest, HOST, Linux};
use crate::percpu::{self, PerCpu};

/// The policies, as the shim numbers them. Others are the shim's own affair.
const FIFO: u32 = 3;
const BOUNDED: u32 = 4;
const FIFO_HALT: u32 = 5;
const FIFO_HOLDER: u32 = 6;

/// Takes a lock that Linux's fast path found held.
///
/// # Safety
///
/// - `lock` points to a `struct qspinlock` that is not freed before this CPU has released it.
/// - Preemption is off, and stays off until then.
/// - Every CPU that holds or awaits a spinlock uses this policy. (The shim changes it inside
///   `stop_machine`, when none does.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_lock(lock: *const AtomicU32, policy: u32) {
    // SAFETY: the lock's word is all of a `struct qspinlock`, aligned as one, and Linux touches it
    // with atomic instructions alone. The caller keeps it for as long as this reference is used.
    let word = unsafe { &*lock };
    match policy {
        FIFO => take::<Fifo>(word),
        BOUNDED => take::<Bounded>(word),
        FIFO_HALT => take::<FifoHalt>(word),
        FIFO_HOLDER => take::<FifoHolder>(word),
        // The shim calls for its other policies what is theirs.
        _ => (),
    }
}

/// Releases a lock whose word is not what the fast path expects.
///
/// # Safety
///
/// As for [`pvq_lock`], and this CPU holds the lock: it is what Linux's caller of the release says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_unlock(lock: *const AtomicU32, policy: u32) {
    // SAFETY: as in `pvq_lock`. A lock that is held is not freed before its release has written the
    // word, and the release touches it no more after that.
    let word = unsafe { &*lock };
    // SAFETY: this CPU holds the lock, and took it by this policy or by a fast path, which is the
    // same in all policies: both are the caller's promise.
    unsafe {
        match policy {
            FIFO => release::<Fifo>(word),
            BOUNDED => release::<Bounded>(word),
            FIFO_HALT => release::<FifoHalt>(word),
            FIFO_HOLDER => release::<FifoHolder>(word),
            _ => (),
        }
    }
}

/// This CPU's time-stamp counter. It costs one instruction, where the kernel's clock costs a hundred, twice in
/// each slow path. It is not ordered with what stands before and after it: some 10 ns more or less.
#[inline]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and the kernel's own clock uses it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Linux's word as a lock of the crate.
#[inline]
fn lock_at<P: Policy>(word: &AtomicU32) -> &QSpinLock<Linux, P> {
    // SAFETY: without `lockdep`, which this object is built without, a `QSpinLock` is transparent
    // around one `AtomicU32`, and any value of the word is one that it accepts to read.
    unsafe { &*core::ptr::from_ref(word).cast() }
}

#[inline]
fn take<P: Policy>(word: &AtomicU32) {
    let lock = lock_at::<P>(word);
    let me = Guest::cpu();
    let own = percpu::of_cpu(me);
    own.names.count::<Linux>(lock.raw_word(), me);
    let began = ticks();
    let token = lock.lock().into_raw();
    own.note_wait(ticks().saturating_sub(began));
    if head_of(token).is_some() && !own.held.keep(address_of(word), token) {
        // No place for the token: it is used at once, and the lock taken as if it were free.
        // SAFETY: `lock` returned the token two lines above, so this CPU holds the lock, and nothing
        // has used the token since.
        unsafe { lock.unlock(Token::from_raw(token)) };
        // Acquire pairs with the release of the holder before.
        while word.compare_exchange(0, LOCKED, Acquire, Relaxed).is_err() {
            core::hint::spin_loop();
        }
    }
}

/// Releases it.
///
/// # Safety
///
/// This CPU holds the lock, and took it by this policy or by a fast path.
#[inline]
unsafe fn release<P: Policy>(word: &AtomicU32) {
    let lock = lock_at::<P>(word);
    let me = Guest::cpu();
    let seen = lock.raw_word();
    let passed = || percpu::of_cpu(me).held.take(address_of(word));
    let token = match Idx3::tail(seen) {
        // It may have been taken on another CPU: rare, and Linux allows it.
        Tail::SoleHolder(holder) => Idx3::sole_holder(holder) | LOCKED,
        // Taken by Linux's fast path, and found so again.
        Tail::Empty => LOCKED,
        Tail::Waiter(..) if seen & PENDING != 0 && head_of(seen) == Some(me) => {
            passed().unwrap_or(Idx3::sole_holder(me) | LOCKED)
        }
        Tail::Waiter(..) => Idx3::sole_holder(me) | LOCKED,
    };
    // SAFETY: the caller holds the lock, and this is the token that taking it returned: in order it
    // follows from the CPU's number, or stands in the word; past a head `take` kept it.
    unsafe { lock.unlock(Token::from_raw(token)) };
}

/// What a held lock is known by.
fn address_of(word: &AtomicU32) -> usize {
    core::ptr::from_ref(word).addr()
}

/// How many bytes each possible CPU needs; their alignment is 128.
#[unsafe(no_mangle)]
pub extern "C" fn pvq_percpu_bytes() -> usize {
    size_of::<PerCpu>()
}

/// What the host offers, as Linux found it: bits of `pvq_start`'s `features`.
mod feature {
    pub(super) const STEAL_TIME: u32 = 1 << 0;
    pub(super) const UNHALT: u32 = 1 << 1;
    pub(super) const SCHED_YIELD: u32 = 1 << 2;
    pub(super) const VMMCALL: u32 = 1 << 3;
}

/// Ticks of the time-stamp counter in a millisecond.
static TICKS_PER_MS: AtomicU32 = AtomicU32::new(0);

/// Sets what is kept for each CPU, how fast the time-stamp counter is, and what the host offers. Returns how
/// far the host is used: 0 not at all, 1 kicks and halts, 2 directed yields.
///
/// # Safety
///
/// `all` is zeroed memory for `count` CPUs of [`pvq_percpu_bytes`] each, aligned to 128, and stays
/// until no lock is used any more. No lock is used yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_start(
    all: *mut PerCpu,
    count: u32,
    ticks_per_ms: u32,
    features: u32,
) -> u32 {
    TICKS_PER_MS.store(ticks_per_ms, Relaxed);
    // SAFETY: a `PerCpu` is atomics and arrays of them, so zeroed memory is `count` valid ones. The
    // shim frees it in its exit, after `stop_machine` has seen that no CPU is in this object.
    unsafe { percpu::set(all, count) };
    let features = Features {
        hypervisor: true,
        kvm: true,
        steal_time: features & feature::STEAL_TIME != 0,
        unhalt: features & feature::UNHALT != 0,
        sched_yield: features & feature::SCHED_YIELD != 0,
        dedicated: false,
        call: if features & feature::VMMCALL != 0 {
            Call::Vmmcall
        } else {
            Call::Vmcall
        },
    };
    match HOST.set(features, features.choose(Mode::Paravirtual)) {
        Transport::Native => 0,
        Transport::KickAndHalt => 1,
        Transport::DirectedYield => 2,
    }
}

/// On each CPU: where Linux has its steal-time record, and how the host calls it. Once more before a CPU goes.
///
/// # Safety
///
/// On the CPU that both belong to, with preemption off. `record` is what that CPU's
/// `MSR_KVM_STEAL_TIME` holds, a per-CPU variable of Linux that is never freed; or null if the host
/// writes none. `apic_id` is the one by which the host knows the CPU. All ones are no CPU's: it has none from then on, and
/// does not halt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_cpu_is_up(apic_id: u32, record: *mut StealTime) {
    // Release: who sees the pointer sees what it points to.
    let me = Guest::cpu();
    percpu::of_cpu(me).record.store(record, Release);
    // SAFETY: the kernel runs in ring 0 on KVM (the shim does not load elsewhere). `Guest::record`
    // returns the pointer stored above, which Linux gave to the host; and the caller says that the
    // APIC id is this CPU's.
    unsafe { Linux::adopt_cpu(me, apic_id) };
}

/// The word that the fast path of this CPU writes to name itself.
#[unsafe(no_mangle)]
pub extern "C" fn pvq_name_of(cpu: u32) -> u32 {
    match Cpu::new(cpu as usize) {
        Some(cpu) => Idx3::sole_holder(cpu) | LOCKED,
        None => LOCKED,
    }
}

/// The rows of statistics that are not events of the lock.
const OWN_ROWS: u32 = 4;

/// How many rows of statistics there are.
#[unsafe(no_mangle)]
pub extern "C" fn pvq_stat_rows() -> u32 {
    OWN_ROWS + Event::ALL.len() as u32
}

/// The name of a row, and its length through `length`; null behind the last.
///
/// # Safety
///
/// `length` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_stat_name(row: u32, length: *mut u32) -> *const u8 {
    let name = match row {
        0 => "longest_wait_ns",
        1 => "named",
        2 => "nameless",
        3 => "found_free",
        _ => match Event::ALL.get((row - OWN_ROWS) as usize) {
            Some(event) => event.name(),
            None => return core::ptr::null(),
        },
    };
    // SAFETY: the caller passes a `u32` of its own, which may be written.
    unsafe { *length = name.len() as u32 };
    name.as_ptr()
}

/// A statistic of one CPU.
#[unsafe(no_mangle)]
pub extern "C" fn pvq_stat(row: u32, cpu: u32) -> u64 {
    let own = percpu::of(cpu as usize);
    match row {
        0 => ns_of(own.longest_ticks.load(Relaxed)),
        1 => own.names.named.load(Relaxed),
        2 => own.names.nameless.load(Relaxed),
        3 => own.names.free.load(Relaxed),
        _ => match Event::ALL.get((row - OWN_ROWS) as usize) {
            Some(&event) => own.nodes.events(event),
            None => 0,
        },
    }
}

/// In ns; 0 if Linux does not know how fast the counter is.
fn ns_of(ticks: u64) -> u64 {
    const NS_PER_MS: u64 = 1_000_000;
    let per_ms = u64::from(TICKS_PER_MS.load(Relaxed));
    match (ticks.checked_div(per_ms), ticks.checked_rem(per_ms)) {
        // In two parts: all of it at once leaves 64 bits after two hours.
        (Some(ms), Some(rest)) => ms
            .saturating_mul(NS_PER_MS)
            .saturating_add(rest * NS_PER_MS / per_ms),
        _ => 0,
    }
}

/// Whether the CPUs' values of a row add up; if not, the row is a maximum.
#[unsafe(no_mangle)]
pub extern "C" fn pvq_stat_is_sum(row: u32) -> bool {
    match row {
        0 => false,
        1..OWN_ROWS => true,
        _ => Event::ALL
            .get((row - OWN_ROWS) as usize)
            .is_none_or(|event| event.is_sum()),
    }
}

/// Sets the maxima of one CPU to 0. That CPU may record one at this instant, and undo it. Sums go on: the
/// shim subtracts what they were.
#[unsafe(no_mangle)]
pub extern "C" fn pvq_stat_reset(cpu: u32) {
    let own = percpu::of(cpu as usize);
    own.longest_ticks.store(0, Relaxed);
    own.nodes.reset_maxima();
}

#[cfg(test)]
mod tests;
