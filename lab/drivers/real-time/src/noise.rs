//! How much this machine's own scheduler took from pCPU threads.
//!
//! A pCPU is a thread, and if anything else wants its CPU, Linux gives it away for milliseconds:
//! a preemption of the *hypervisor* that nothing in it can see or undo. Results with much of it
//! say more about the neighbours than about locks. So it is counted.
//!
//! Three accounts say so, and none of them alone. The kernel counts how long a thread was ready and
//! did not run. It counts how long this machine's own hypervisor ran something else (`steal`). And
//! a thread that never sleeps has as much CPU time as time has passed, unless it was stopped or the
//! machine was suspended, which neither of the others counts.

use core::ops::AddAssign;

/// What was taken from the pCPU threads of a run, warm-up included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Noise {
    /// How often a pCPU thread lost its CPU to something else.
    pub interruptions: u64,
    /// How long they did not run although they never sleep, in nanoseconds, summed over pCPUs.
    pub lost_ns: u64,
    /// For how long the process or the machine stood still, in nanoseconds.
    pub paused_ns: u64,
}

impl AddAssign for Noise {
    fn add_assign(&mut self, other: Self) {
        self.interruptions += other.interruptions;
        self.lost_ns += other.lost_ns;
        self.paused_ns = self.paused_ns.max(other.paused_ns);
    }
}

/// Counts for the calling thread, which never sleeps, from here on.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Listener {
    noise: Noise,
    passed_ns: u64,
    ran_ns: u64,
}

#[cfg(target_os = "linux")]
impl Listener {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self {
            noise: of_caller(),
            passed_ns: passed_ns(),
            ran_ns: caller_cpu_ns(),
        }
    }

    /// What was taken so far.
    #[must_use]
    pub fn heard(&self) -> Noise {
        let now = of_caller();
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let passed = since(passed_ns(), self.passed_ns);
        let ran = since(caller_cpu_ns(), self.ran_ns);
        Noise {
            interruptions: since(now.interruptions, self.noise.interruptions),
            lost_ns: lost_ns(since(now.lost_ns, self.noise.lost_ns), passed, ran),
            paused_ns: 0,
        }
    }
}

/// What a thread lost that was ready for `ready_ns` without running, by the kernel's account, and ran
/// for `ran_ns` of `passed_ns`.
///
/// Interrupts take some time, too, and are no disturbance: only where much is missing that the
/// kernel does not account for, the thread was stopped or the machine was away.
#[cfg(target_os = "linux")]
fn lost_ns(ready_ns: u64, passed_ns: u64, ran_ns: u64) -> u64 {
    let missing = passed_ns.saturating_sub(ran_ns);
    let unexplained = missing.saturating_sub(ready_ns);
    if unexplained > passed_ns / 20 {
        missing
    } else {
        ready_ns
    }
}

/// What the machine's own hypervisor has taken from these CPUs since it was started, in nanoseconds;
/// 0 where the kernel does not say. It counts in steps of 10 ms.
#[cfg(target_os = "linux")]
#[must_use]
pub fn stolen_ns(cpus: &[usize]) -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    stolen_in(&text, cpus)
}

#[cfg(target_os = "linux")]
fn stolen_in(stat: &str, cpus: &[usize]) -> u64 {
    // The unit of these counts is fixed, whatever the kernel's own tick is.
    const TICK_NS: u64 = 10_000_000;
    let of_line = |line: &str| -> Option<u64> {
        let mut words = line.strip_prefix("cpu")?.split_whitespace();
        let cpu: usize = words.next()?.parse().ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal
        let steal: u64 = words.nth(7)?.parse().ok()?;
        cpus.contains(&cpu).then_some(steal)
    };
    // The line of all CPUs together has no number, and so no part in it.
    let ticks: u64 = (stat.lines())
        .filter(|line| !line.starts_with("cpu "))
        .filter_map(of_line)
        .sum();
    ticks.saturating_mul(TICK_NS)
}

/// The time since the machine was started, suspension included, in nanoseconds.
#[cfg(target_os = "linux")]
fn passed_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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
        paused_ns: 0,
    }
}

/// The CPU time that the calling thread has had so far, in nanoseconds.
#[cfg(target_os = "linux")]
#[must_use]
pub fn caller_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_stop_is_lost_time_and_interrupts_are_not() {
        assert_eq!(
            lost_ns(0, 2_100 * MS, 100 * MS),
            2_000 * MS,
            "stopped for 2 s"
        );
        assert_eq!(lost_ns(0, 100 * MS, 99 * MS), 0, "interrupts");
        assert_eq!(lost_ns(30 * MS, 100 * MS, 69 * MS), 30 * MS, "other work");
    }

    #[test]
    fn steal_is_read_for_the_cpus_in_use() {
        let stat = "cpu  1 2 3 4 5 6 7 30 9\ncpu0 1 2 3 4 5 6 7 10 9\ncpu1 1 2 3 4 5 6 7 20 9\n\
                    intr 5\n";
        assert_eq!(stolen_in(stat, &[1]), 200 * MS);
        assert_eq!(stolen_in(stat, &[0, 1]), 300 * MS);
        assert_eq!(stolen_in("cpu0 1 2", &[0]), 0);
    }
}
