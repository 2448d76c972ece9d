//! How much this machine's own scheduler took from pCPU threads.
//!
//! A pCPU is a thread, and if anything else wants its CPU, Linux gives it away for milliseconds:
//! a preemption of the *hypervisor* that nothing in it can see or undo. Results with much of it
//! say more about the neighbours than about locks. So it is counted.

use core::ops::AddAssign;

/// What was taken from the pCPU threads of a run, warm-up included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Noise {
    /// How often a pCPU thread lost its CPU to something else.
    pub interruptions: u64,
    /// How long they were ready to run and did not, in nanoseconds, summed over pCPUs. 0 where
    /// the kernel does not say.
    pub lost_ns: u64,
}

impl AddAssign for Noise {
    fn add_assign(&mut self, other: Self) {
        self.interruptions += other.interruptions;
        self.lost_ns += other.lost_ns;
    }
}

/// Counts for the calling thread, from here on.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Listener(Noise);

#[cfg(target_os = "linux")]
impl Listener {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self(of_caller())
    }

    /// What was taken so far.
    #[must_use]
    pub fn heard(&self) -> Noise {
        let now = of_caller();
        Noise {
            interruptions: now.interruptions.saturating_sub(self.0.interruptions),
            lost_ns: now.lost_ns.saturating_sub(self.0.lost_ns),
        }
    }
}

/// The calling thread's account since it started.
#[cfg(target_os = "linux")]
fn of_caller() -> Noise {
    // SAFETY: all-zero bytes are a valid `rusage`, and the call fills it in.
    let usage = unsafe {
        let mut usage: libc::rusage = core::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage
    };
    // Three numbers: time on a CPU, time waiting for one, and how often.
    let waited = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    Noise {
        interruptions: usage.ru_nivcsw.max(0) as u64,
        lost_ns: waited.unwrap_or(0),
    }
}

/// The CPU time that the calling thread has had so far, in nanoseconds.
#[cfg(target_os = "linux")]
#[must_use]
pub fn caller_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
