//! A new rival and a new policy, written from scratch and put beside `fifo` in virtual time.
//!
//! ```sh
//! cargo run --release -p pvqspin-simulator --example new_lock
//! ```

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::marker::PhantomData;

use pvqspin_load::Guest;
use pvqspin_rivals::Lock;
use pvqspin_simulator::{GuestCode, SimConfig, SimError, run_code};

// excerpt: rival
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use pvqspin::{Budget, Env, Point};

/// Anderson's array lock (1990): each waiter spins on a slot of its own, in the order of arrival.
///
/// Like every strict order without hints it is lost when the waiter whose turn it is does not run.
struct ArrayLock<E> {
    next: AtomicUsize,
    /// 1 in the slot whose turn it is. One more than there are CPUs would do; a power of two lets
    /// the counter wrap.
    turns: Box<[AtomicU32]>,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> Lock<E> for ArrayLock<E> {
    /// The slot that was waited for.
    type Token = usize;

    fn new(cpus: usize) -> Self {
        let slots = (cpus + 1).next_power_of_two();
        Self {
            next: AtomicUsize::new(0),
            turns: (0..slots)
                .map(|slot| AtomicU32::new((slot == 0).into()))
                .collect(),
            environment: PhantomData,
        }
    }

    fn lock(&self) -> usize {
        E::checkpoint(Point::Joining);
        let slot = self.next.fetch_add(1, Relaxed) & (self.turns.len() - 1);
        E::checkpoint(Point::Joined);
        // Acquire pairs with the release in `unlock`.
        E::spin_until(|| self.turns[slot].load(Acquire) == 1, Budget::FOREVER);
        self.turns[slot].store(0, Relaxed);
        E::checkpoint(Point::Taken);
        slot
    }

    unsafe fn unlock(&self, slot: usize) {
        let next = (slot + 1) & (self.turns.len() - 1);
        self.turns[next].store(1, Release);
        E::checkpoint(Point::Released);
    }
}
// end: rival

// excerpt: policy
use pvqspin::{Fifo, Idx3, Policy, QSpinLock, Rules};

/// As `fifo`, but a waiter that the host did not help asks again only after a millisecond.
struct Patient;

impl Policy for Patient {
    const NAME: &'static str = "patient";
    const RULES: Rules = Rules {
        retry_ns: 1_000_000,
        ..Fifo::RULES
    };
}
// end: policy

// excerpt: families
/// A lock before its environment is known: the simulator supplies that.
trait Family: 'static {
    type Of<E: Env>: Lock<E>;
}

struct Arrays;
struct Ours<P>(PhantomData<P>);

impl Family for Arrays {
    type Of<E: Env> = ArrayLock<E>;
}

impl<P: Policy> Family for Ours<P> {
    type Of<E: Env> = QSpinLock<E, P, Idx3>;
}
// end: families

// excerpt: guest
const SECTIONS: u64 = 2_000;

/// Every vCPU takes the lock so many times.
#[derive(Default)]
struct Sections<F> {
    lock: OnceCell<Box<dyn Any>>,
    family: PhantomData<F>,
    cpus: usize,
    done: Cell<u64>,
    longest_ns: Cell<u64>,
    end_ns: Cell<u64>,
}

impl<F: Family> GuestCode for Sections<F> {
    fn run_vcpu<E: Guest>(&self, _: pvqspin::Cpu) {
        let new = || Box::new(F::Of::<E>::new(self.cpus)) as Box<dyn Any>;
        let lock: &F::Of<E> = (self.lock.get_or_init(new).downcast_ref()).expect("one environment");
        for _ in 0..SECTIONS {
            E::compute(2_000);
            let asked = E::now_ns();
            let token = lock.lock();
            let waited = E::now_ns() - asked;
            E::compute(1_000);
            // SAFETY: the token is this acquisition's.
            unsafe { lock.unlock(token) };
            self.longest_ns.set(self.longest_ns.get().max(waited));
            self.done.set(self.done.get() + 1);
            self.end_ns.set(E::now_ns());
        }
    }

    fn progress(&self) -> u64 {
        self.done.get()
    }
}
// end: guest

/// Eight vCPUs on two pCPUs; returns when they were done and the longest wait, in ns.
fn simulate<F: Family>() -> Result<(u64, u64), SimError> {
    let code = Sections::<F> {
        lock: OnceCell::new(),
        family: PhantomData,
        cpus: 8,
        done: Cell::new(0),
        longest_ns: Cell::new(0),
        end_ns: Cell::new(0),
    };
    let machine = SimConfig::default().with(|sim| {
        sim.run.host.pcpus = 2;
        sim.run.vcpus = 8;
        sim.run.duration_ns = 60_000_000_000;
    });
    run_code(&machine, &code)?;
    Ok((code.end_ns.get(), code.longest_ns.get()))
}

fn main() -> Result<(), SimError> {
    for (name, (end, longest)) in [
        ("array", simulate::<Arrays>()?),
        (Patient::NAME, simulate::<Ours<Patient>>()?),
        (Fifo::NAME, simulate::<Ours<Fifo>>()?),
    ] {
        let [end, longest] = [end, longest].map(|ns| ns as f64 / 1e6);
        println!("{name:<8} {end:9.2} ms, longest wait {longest:6.2} ms");
    }
    Ok(())
}

#[test]
fn the_order_without_hints_is_lost_and_the_one_with_them_is_not() {
    let array = simulate::<Arrays>().expect("it ends");
    let fifo = simulate::<Ours<Fifo>>().expect("it ends");
    assert!(array.0 > 50 * fifo.0, "{array:?} {fifo:?}");
    assert!(fifo.1 < 1_000_000, "{fifo:?}");
}
