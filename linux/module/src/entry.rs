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
/// `lock` is a `struct qspinlock`, preemption is off, and every CPU uses the same policy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_lock(lock: *const AtomicU32, policy: u32) {
    match policy {
        // SAFETY: the caller's promise.
        FIFO => unsafe { take::<Fifo>(lock) },
        // SAFETY: the caller's promise.
        BOUNDED => unsafe { take::<Bounded>(lock) },
        // SAFETY: the caller's promise.
        FIFO_HALT => unsafe { take::<FifoHalt>(lock) },
        // SAFETY: the caller's promise.
        FIFO_HOLDER => unsafe { take::<FifoHolder>(lock) },
        _ => (),
    }
}

/// Releases a lock whose word is not what the fast path expects.
///
/// # Safety
///
/// As for [`pvq_lock`], and this CPU holds the lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_unlock(lock: *const AtomicU32, policy: u32) {
    match policy {
        // SAFETY: the caller's promise.
        FIFO => unsafe { release::<Fifo>(lock) },
        // SAFETY: the caller's promise.
        BOUNDED => unsafe { release::<Bounded>(lock) },
        // SAFETY: the caller's promise.
        FIFO_HALT => unsafe { release::<FifoHalt>(lock) },
        // SAFETY: the caller's promise.
        FIFO_HOLDER => unsafe { release::<FifoHolder>(lock) },
        _ => (),
    }
}

#[inline]
// SAFETY: the caller passes a `struct qspinlock` that outlives the call.
unsafe fn take<P: Policy>(word: *const AtomicU32) {
    // SAFETY: a `struct qspinlock` is one word, and the lock is transparent around it.
    let lock = unsafe { &*word.cast::<QSpinLock<Linux, P>>() };
    let me = Guest::cpu();
    let own = percpu::of_cpu(me);
    own.names.count(lock.raw_word(), me);
    let began = Guest::now_ns();
    let token = lock.lock().into_raw();
    own.note_wait(Guest::now_ns().saturating_sub(began));
    if head_of(token).is_some() && !own.held.keep(word.addr(), token) {
        // No place for the token: it is used at once, and the lock taken as if it were free.
        // SAFETY: it was returned above, and this CPU holds the lock.
        unsafe { lock.unlock(Token::from_raw(token)) };
        // SAFETY: the word belongs to the lock, which the caller vouches for.
        let word = unsafe { &*word };
        // Acquire pairs with the release of the holder before.
        while word.compare_exchange(0, LOCKED, Acquire, Relaxed).is_err() {
            core::hint::spin_loop();
        }
    }
}

#[inline]
// SAFETY: the caller passes a `struct qspinlock` that it holds, by this policy.
unsafe fn release<P: Policy>(word: *const AtomicU32) {
    // SAFETY: as in `take`.
    let lock = unsafe { &*word.cast::<QSpinLock<Linux, P>>() };
    let me = Guest::cpu();
    let seen = lock.raw_word();
    let passed = || percpu::of_cpu(me).held.take(word.addr());
    let token = match Idx3::tail(seen) {
        // It may have been taken on another CPU: rare, and Linux allows it.
        Tail::SoleHolder(holder) => Idx3::sole_holder(holder) | LOCKED,
        // Taken by Linux's fast path, and found so again.
        Tail::Nobody => LOCKED,
        Tail::Waiter(..) if seen & PENDING != 0 && head_of(seen) == Some(me) => {
            passed().unwrap_or(Idx3::sole_holder(me) | LOCKED)
        }
        Tail::Waiter(..) => Idx3::sole_holder(me) | LOCKED,
    };
    // SAFETY: this CPU holds the lock, which the caller vouches for, and this is the token that
    // taking it would have returned.
    unsafe { lock.unlock(Token::from_raw(token)) };
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

/// Sets what is kept for each CPU and what the host offers. Returns how far the host is used: 0 not
/// at all, 1 kicks and halts, 2 directed yields.
///
/// # Safety
///
/// `all` is zeroed memory for `count` CPUs of [`pvq_percpu_bytes`] each, aligned to 128, and stays
/// until no lock is used any more. No lock is used yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_start(all: *mut PerCpu, count: u32, features: u32) -> u32 {
    // SAFETY: the caller's promise; zero is what each of them is at first.
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

/// On each CPU: where Linux has its steal-time record, and how the host calls it.
///
/// # Safety
///
/// On that CPU, with preemption off; the record is Linux's own, or null if the host writes none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvq_cpu_is_up(apic_id: u32, record: *mut StealTime) {
    // Release: who sees the pointer sees what it points to.
    let me = Guest::cpu();
    percpu::of_cpu(me).record.store(record, Release);
    // SAFETY: this is the CPU, in ring 0; the record is the one that the host writes.
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
    // SAFETY: the caller's promise.
    unsafe { *length = name.len() as u32 };
    name.as_ptr()
}

/// A statistic of one CPU.
#[unsafe(no_mangle)]
pub extern "C" fn pvq_stat(row: u32, cpu: u32) -> u64 {
    let own = percpu::of(cpu as usize);
    match row {
        0 => own.longest_ns.load(Relaxed),
        1 => own.names.named.load(Relaxed),
        2 => own.names.nameless.load(Relaxed),
        3 => own.names.free.load(Relaxed),
        _ => match Event::ALL.get((row - OWN_ROWS) as usize) {
            Some(&event) => own.nodes.events(event),
            None => 0,
        },
    }
}

/// Sets all statistics of one CPU to 0. Another CPU that counts at this instant may undo it.
#[unsafe(no_mangle)]
pub extern "C" fn pvq_stat_reset(cpu: u32) {
    let own = percpu::of(cpu as usize);
    own.longest_ns.store(0, Relaxed);
    own.names.named.store(0, Relaxed);
    own.names.nameless.store(0, Relaxed);
    own.names.free.store(0, Relaxed);
}
