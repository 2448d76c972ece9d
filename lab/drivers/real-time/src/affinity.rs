//! Which CPUs this process may use, and threads that stay on one.

use std::io;

use rustix::thread::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs that the calling thread may use.
///
/// # Errors
///
/// What the system says.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Pins the calling thread to one CPU, for the rest of its life.
///
/// # Errors
///
/// What the system says.
pub fn pin_caller(cpu: usize) -> io::Result<()> {
    pin(None, cpu)
}

/// Confines the calling thread to these CPUs, for the rest of its life.
///
/// # Errors
///
/// What the system says.
pub fn confine_caller(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        set.set(cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Moves a thread of this process to one CPU; `None`: the calling one.
///
/// # Errors
///
/// What the system says.
pub fn pin(thread: Option<Pid>, cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(thread, &set)?)
}
