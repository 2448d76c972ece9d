//! The fast paths as symbols of their own, for `cargo xtask asm` to read.
//!
//! The environment's paravirtual functions are calls to named symbols, so that one look at the
//! assembly tells whether any of them is left.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pvqspin::{
    AtomicCpu, Bounded, Budget, Cpu, CpuNodes, Env, Fifo, Generation, Hint, Idx3, Native, QRwLock,
    QSpinLock, ReadToken, RunSample, RunState, Sleep, SpareBit, Status, WriteToken,
};
use pvqspin_rivals::Lock;
use pvqspin_rivals::catalog::BOUNDED_WAIT_US;
use pvqspin_rivals::linux_pv::LinuxPv;
use pvqspin_rivals::test_and_set::TestAndSet;
use pvqspin_rivals::ticket::Ticket;
use pvqspin_rivals::unfair_hinted::UnfairHinted;

static CPU: AtomicCpu = AtomicCpu::new(Cpu::ZERO);
static STATE: AtomicU32 = AtomicU32::new(0);
static NODES: [CpuNodes; 2] = [const { CpuNodes::new() }; 2];

/// A guest whose hypercalls are visible symbols.
#[derive(Debug)]
pub struct Guest;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hypercall_halt(cpu: u32) {
    STATE.store(cpu, Relaxed);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hypercall_kick(cpu: u32) {
    STATE.store(!cpu, Relaxed);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hypercall_yield_to(cpu: u32) {
    STATE.store(cpu ^ 1, Relaxed);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn page_run_sample(_cpu: u32) -> u32 {
    STATE.load(Relaxed)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn page_set_waiting_for(cpu: u32) -> u32 {
    STATE.swap(cpu, Relaxed)
}

impl Env for Guest {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    #[inline]
    fn cpu() -> Cpu {
        CPU.load()
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index() % NODES.len()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let mut left = budget.get();
        while !condition() {
            core::hint::spin_loop();
            if let Some(ns) = &mut left {
                *ns = ns.saturating_sub(1);
                if *ns == 0 {
                    return false;
                }
            }
        }
        true
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        RunSample::from_raw(page_run_sample(cpu.plus_one()))
    }

    fn pressure() -> bool {
        RunSample::new(RunState::Preempted, Generation::new(1)).raw() == STATE.load(Relaxed)
    }

    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        Cpu::from_plus_one(page_set_waiting_for(cpu.map_or(0, Cpu::plus_one)))
    }

    fn yield_to(hint: Hint) -> Status {
        hypercall_yield_to(hint.cpu.plus_one());
        Status::Ran
    }
}

impl Guest {
    fn halt(hint: Option<Hint>) {
        hypercall_halt(hint.map_or(0, |hint| hint.cpu.plus_one()));
    }

    fn kick(cpu: Cpu) {
        hypercall_kick(cpu.plus_one());
    }
}

/// The lock and unlock of a type as symbols, and a function that uses both.
macro_rules! fast_paths {
    ($($lock_type:ty: $lock:ident, $unlock:ident;)*) => {
        $(
            /// Lock: the fast path, and the way into the slow one.
            #[unsafe(no_mangle)]
            #[inline(never)]
            pub fn $lock(lock: &$lock_type) -> <$lock_type as Lock<Guest>>::Token {
                Lock::lock(lock)
            }

            /// Unlock.
            ///
            /// # Safety
            ///
            /// The caller holds the lock, and the token is from when it took it.
            #[unsafe(no_mangle)]
            #[inline(never)]
            pub unsafe fn $unlock(
                lock: &$lock_type,
                token: <$lock_type as Lock<Guest>>::Token,
            ) {
                // SAFETY: the caller's promise.
                unsafe { Lock::unlock(lock, token) }
            }
        )*

        fn use_all() {
            $(
                let lock = <$lock_type as Lock<Guest>>::new(1);
                let token = $lock(&lock);
                // SAFETY: taken in the line before.
                unsafe { $unlock(&lock, token) };
            )*
        }
    };
}

fast_paths! {
    QSpinLock<Guest, Native, Idx3>: native_lock, native_unlock;
    QSpinLock<Guest, Fifo, Idx3>: fifo_lock, fifo_unlock;
    QSpinLock<Guest, Fifo, SpareBit>: fifo_bit_lock, fifo_bit_unlock;
    QSpinLock<Guest, Bounded<BOUNDED_WAIT_US>, Idx3>: bounded_lock, bounded_unlock;
    TestAndSet<Guest>: test_and_set_lock, test_and_set_unlock;
    Ticket<Guest>: ticket_lock, ticket_unlock;
    LinuxPv<Guest>: linux_pv_lock, linux_pv_unlock;
    UnfairHinted<Guest>: unfair_hinted_lock, unfair_hinted_unlock;
}

/// Paravirtual reader-writer lock: the way in, and the way into the slow path.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn rw_read(lock: &QRwLock<Guest, Fifo>) -> ReadToken {
    lock.read()
}

/// The end of a read section.
///
/// # Safety
///
/// The caller reads under the lock, and the token is from when it took it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe fn rw_unlock_read(lock: &QRwLock<Guest, Fifo>, token: ReadToken) {
    // SAFETY: the caller's promise.
    unsafe { lock.unlock_read(token) }
}

/// As above, to write.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn rw_write(lock: &QRwLock<Guest, Fifo>) -> WriteToken {
    lock.write()
}

/// The end of a write section.
///
/// # Safety
///
/// The caller writes under the lock, and the token is from when it took it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe fn rw_unlock_write(lock: &QRwLock<Guest, Fifo>, token: WriteToken) {
    // SAFETY: the caller's promise.
    unsafe { lock.unlock_write(token) }
}

fn main() {
    // Written once, so that the compiler has to load it.
    CPU.store(black_box(Cpu::ZERO));
    use_all();
    let shared = QRwLock::new();
    let token = rw_read(&shared);
    // SAFETY: taken above.
    unsafe { rw_unlock_read(&shared, token) };
    let token = rw_write(&shared);
    // SAFETY: taken above.
    unsafe { rw_unlock_write(&shared, token) };
}
