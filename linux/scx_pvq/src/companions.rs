//! Companions: threads, one pinned to each CPU, that wait there in the scheduler's hands while tasks are queued.
//!
//! KVM drops a directed yield if the caller's CPU has no other task, and a task that waits counts on the CPU where it last
//! ran. So of two vCPUs for each CPU some are alone there, and could not yield although others wait. With a companion none
//! is alone. The BPF program calls them when they are needed (`bpf/company.bpf.h`), and runs each a few times a second, to
//! see whether it still is.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle, RingBuffer, RingBufferBuilder};

use crate::shared::Company;

/// What the BPF program writes when it calls.
pub(crate) const CALLS: &str = "pvq_calls";
/// Until when it needs them.
pub(crate) const COMPANY: &str = ".data.company";

/// How often the thread that waits for calls looks whether it is to end.
const LOOK: Duration = Duration::from_millis(250);
/// One that waited no longer was not kept waiting: it is not scx_pvq any more that schedules.
const SOON: Duration = Duration::from_millis(1);
const STACK_BYTES: usize = 64 << 10;

/// All of them. Dropping the value ends them, which takes as long as one may wait.
pub(crate) struct Companions {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What they share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    needed: Box<dyn Fn() -> bool + Send + Sync>,
}

#[derive(Default)]
struct State {
    calls: u64,
    ended: bool,
}

impl Companions {
    /// One for each CPU that is there and that this process may use. `calls` and `company` are the BPF program's maps.
    pub(crate) fn start(
        cpus: usize,
        partial: bool,
        calls: &dyn MapCore,
        company: MapHandle,
    ) -> Result<Self> {
        let mut all = Self::wait(cpus, partial, move || {
            let bytes = company.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
            bytes.is_ok_and(|bytes| bytes.is_some_and(|bytes| Company::read(&bytes).is_needed()))
        });
        let shared = Arc::clone(&all.shared);
        let mut builder = RingBufferBuilder::new();
        builder.add(calls, {
            let shared = Arc::clone(&shared);
            move |_| {
                shared.change(|state| state.calls += 1);
                0
            }
        })?;
        let calls = builder
            .build()
            .context("cannot wait for calls of the program")?;
        let thread = thread::Builder::new().name("scx_pvq/calls".into());
        let thread = thread
            .stack_size(STACK_BYTES)
            .spawn(move || listen(&calls, &shared));
        all.threads.push(thread.context("cannot start a thread")?);
        Ok(all)
    }

    fn wait(cpus: usize, partial: bool, needed: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            needed: Box::new(needed),
        });
        let threads = (0..cpus)
            .filter_map(|cpu| {
                let shared = Arc::clone(&shared);
                (thread::Builder::new().name(format!("scx_pvq/{cpu}")))
                    .stack_size(STACK_BYTES)
                    .spawn(move || {
                        if pin(cpu) && (!partial || crate::ask_for_sched_ext()) {
                            keep_company(&shared);
                        }
                    })
                    .ok()
            })
            .collect();
        Self { shared, threads }
    }
}

impl Drop for Companions {
    fn drop(&mut self) {
        self.shared.change(|state| state.ended = true);
        for thread in self.threads.drain(..) {
            // One that panicked is gone too.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Sleeps until there was a call after the `seen`th, or for so long. How many there were; `None` at the end.
    fn sleep(&self, seen: u64, most: Option<Duration>) -> Option<u64> {
        let mut state = self.lock();
        while !state.ended && state.calls == seen {
            let changed = &self.changed;
            state = match most {
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let woken = changed.wait_timeout(state, most);
                    let (state, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return (!state.ended).then_some(state.calls);
                    }
                    state
                }
            };
        }
        (!state.ended).then_some(state.calls)
    }
}

/// Passes the program's calls on.
fn listen(calls: &RingBuffer<'_>, shared: &Shared) {
    while !shared.has_ended() {
        if calls.poll(LOOK).is_err() {
            // A signal; whatever else it is, it is tried again at leisure.
            thread::sleep(LOOK);
        }
    }
}

fn keep_company(shared: &Shared) {
    let mut seen = 0;
    let mut most = None;
    while let Some(calls) = shared.sleep(seen, most) {
        seen = calls;
        most = None;
        while (shared.needed)() && !shared.has_ended() {
            let began = Instant::now();
            // The scheduler puts it where it waits.
            thread::yield_now();
            if began.elapsed() < SOON {
                most = Some(LOOK);
                break;
            }
        }
    }
}

/// Whether the thread runs on that CPU alone from now on.
fn pin(cpu: usize) -> bool {
    // SAFETY: the set is plain data, for which zeros are a value, and the system call reads it alone. `cpu` is below 1024,
    // the number of CPUs of a set: `topology::read` sees to that.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn waits_for(what: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if what() {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    }

    #[test]
    fn a_call_wakes_them_and_they_look_again_until_they_are_needed_no_more() {
        let looked = Arc::new(AtomicU32::new(0));
        let companions = Companions::wait(1, false, {
            let looked = Arc::clone(&looked);
            move || looked.fetch_add(1, Ordering::Relaxed) < 2
        });
        thread::sleep(Duration::from_millis(20));
        assert_eq!(looked.load(Ordering::Relaxed), 0, "there was no call");
        companions.shared.change(|state| state.calls += 1);
        // No scheduler keeps it waiting here, so it sleeps from look to look.
        assert!(waits_for(|| looked.load(Ordering::Relaxed) == 3));
        thread::sleep(2 * LOOK);
        assert_eq!(looked.load(Ordering::Relaxed), 3, "there was no other call");
        companions.shared.change(|state| state.calls += 1);
        assert!(waits_for(|| looked.load(Ordering::Relaxed) == 4));
    }

    #[test]
    fn they_end_whatever_they_do() {
        let companions = Companions::wait(2, false, || true);
        drop(Companions::wait(2, false, || true));
        companions.shared.change(|state| state.calls += 1);
        drop(companions);
    }
}
