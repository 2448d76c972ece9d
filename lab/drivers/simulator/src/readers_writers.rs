//! Readers and writers of the reader-writer lock, which check that a writer is alone.

use core::cell::Cell;
use core::marker::PhantomData;

use pvqspin::{Env, Idx3, Policy, QRwLock};
use pvqspin_abi::Cpu;
use pvqspin_load::Guest;
use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::config::SimConfig;
use crate::error::SimError;
use crate::guest_code::{GuestCode, run_code};
use crate::guest_env::SimEnv;

/// Every vCPU reads or writes `rounds` times. One OS thread plays all of them: cells are enough.
#[derive(Debug)]
pub struct ReadersAndWriters<P> {
    policy: PhantomData<P>,
    /// How often each vCPU takes the lock.
    pub rounds: u32,
    /// One round in so many writes.
    pub write_one_in: u32,
    /// Mean time inside, in ns.
    pub inside_ns: u32,
    /// Mean time outside, in ns.
    pub outside_ns: u32,
    seed: u64,
    reading: Cell<u32>,
    writing: Cell<u32>,
    most_readers: Cell<u32>,
    done: Cell<u64>,
    longest_ns: Cell<u64>,
    ended_ns: Cell<u64>,
}

fn add(cell: &Cell<u32>, change: i32) -> u32 {
    cell.set(cell.get().wrapping_add_signed(change));
    cell.get()
}

impl<P: Policy> ReadersAndWriters<P> {
    /// One round in four writes, 1 µs inside and 2 µs outside on average, 40 rounds.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            policy: PhantomData,
            rounds: 40,
            write_one_in: 4,
            inside_ns: 1_000,
            outside_ns: 2_000,
            seed,
            reading: Cell::default(),
            writing: Cell::default(),
            most_readers: Cell::default(),
            done: Cell::default(),
            longest_ns: Cell::default(),
            ended_ns: Cell::default(),
        }
    }

    /// What these do under the [random schedule](crate::torture()) of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self {
            write_one_in: [1, 2, 4, 20][seed as usize % 4],
            inside_ns: [200, 1_000, 5_000, 60_000][seed as usize / 4 % 4],
            ..Self::new(seed)
        }
    }

    /// Runs them all to their end. Returns how often an armed fault took one off its pCPU.
    ///
    /// # Errors
    ///
    /// As [`run_code`].
    ///
    /// # Panics
    ///
    /// If a vCPU writes beside another one, or does not come to its end.
    pub fn run(&self, config: &SimConfig) -> Result<u64, SimError> {
        let code = Code {
            of: self,
            lock: QRwLock::new(),
        };
        let faults = run_code(config, &code)?;
        let all = config.run.vcpus as u64 * u64::from(self.rounds);
        assert_eq!(self.done.get(), all, "a vCPU did not come to its end");
        Ok(faults)
    }

    /// How often the lock was taken.
    pub fn done(&self) -> u64 {
        self.done.get()
    }

    /// How many have read together.
    pub fn most_readers(&self) -> u32 {
        self.most_readers.get()
    }

    /// The longest wait, in ns from joining the queue.
    pub fn longest_wait_ns(&self) -> u64 {
        self.longest_ns.get()
    }

    /// When the last one was done, in ns.
    pub fn ended_ns(&self) -> u64 {
        self.ended_ns.get()
    }

    fn waited(&self, since: u64) {
        // A wait counts from joining the queue. Before that, no lock can help.
        if SimEnv::joined_at_ns() >= since {
            let ns = SimEnv::now_ns() - SimEnv::joined_at_ns();
            self.longest_ns.set(self.longest_ns.get().max(ns));
        }
    }

    fn run_vcpu(&self, lock: &QRwLock<SimEnv, P, Idx3>, cpu: Cpu) {
        let mut dice = Pcg32::new(self.seed, cpu.index() as u64);
        for _ in 0..self.rounds {
            SimEnv::compute(dice.next_u32() % (2 * self.outside_ns + 1));
            let inside_ns = dice.next_u32() % (2 * self.inside_ns + 1);
            let since = SimEnv::now_ns();
            if dice.next_u32().is_multiple_of(self.write_one_in) {
                let token = lock.write();
                self.waited(since);
                assert_eq!((add(&self.writing, 1), self.reading.get()), (1, 0));
                SimEnv::compute(inside_ns);
                assert_eq!((add(&self.writing, -1), self.reading.get()), (0, 0));
                // SAFETY: taken above.
                unsafe { lock.unlock_write(token) };
            } else {
                let token = lock.read();
                self.waited(since);
                assert_eq!(self.writing.get(), 0);
                let readers = add(&self.reading, 1);
                self.most_readers.set(self.most_readers.get().max(readers));
                SimEnv::compute(inside_ns);
                add(&self.reading, -1);
                assert_eq!(self.writing.get(), 0);
                // SAFETY: taken above.
                unsafe { lock.unlock_read(token) };
            }
            self.done.set(self.done.get() + 1);
            self.ended_ns.set(SimEnv::now_ns());
        }
    }
}

/// Them with their lock, for one run.
struct Code<'a, P> {
    of: &'a ReadersAndWriters<P>,
    lock: QRwLock<SimEnv, P, Idx3>,
}

impl<P: Policy> GuestCode for Code<'_, P> {
    // The environment of a simulation is always the same one.
    fn run_vcpu<E: Guest>(&self, cpu: Cpu) {
        self.of.run_vcpu(&self.lock, cpu);
    }

    fn progress(&self) -> u64 {
        self.of.done.get()
    }
}
