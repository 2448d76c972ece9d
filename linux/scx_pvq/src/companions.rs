//! Companions: threads, one pinned to each CPU, that wait there in the scheduler's hands while tasks are queued.
//!
//! KVM drops a directed yield if the caller's CPU has no other task, and a task that waits counts on the CPU where it last
//! ran. So of two vCPUs for each CPU some are alone there, and could not yield although others wait. With a companion none
//! is alone. It runs for some microseconds when its CPU has nothing else to do, and a few times a second to see whether it
//! is still needed (`pvq_dispatch`).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it is looked whether there are virtual machines, while there are none.
const NONE: Duration = Duration::from_millis(200);
/// How often it is looked whether tasks are queued, while none were; and while they are, when companions that found
/// nothing to wait for are woken again.
const SELDOM: Duration = Duration::from_millis(20);
const OFTEN: Duration = Duration::from_millis(5);
/// For how long companions are needed after tasks were queued for half of the time.
const NEEDED_FOR: Duration = Duration::from_secs(1);
/// One that waited no longer has nothing to wait for: nothing else ran on its CPU.
const SOON: Duration = Duration::from_millis(1);
const STACK_BYTES: usize = 64 << 10;

/// All of them. Dropping the value ends them, which takes as long as one may wait.
pub(crate) struct Companions {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    needed: Need,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Rounds in which they were needed.
    round: u64,
    needed: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until a round after `seen` needs companions. That round; `None` at the end.
    fn sleep(&self, seen: u64) -> Option<u64> {
        let mut state = self.lock();
        while !state.ended && (!state.needed || state.round == seen) {
            state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.ended).then_some(state.round)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl Companions {
    /// One for each CPU that is there and that this process may use.
    pub(crate) fn start(cpus: usize, partial: bool) -> Self {
        let shared = Arc::new(Shared::default());
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
        Self {
            shared,
            threads,
            needed: Need::default(),
        }
    }

    /// Wakes them if they are needed. `wanted`: for how long, in all, a task was queued; `None`: there is no virtual
    /// machine. After how long it is to be called again.
    pub(crate) fn round(&mut self, wanted: Option<Duration>) -> Duration {
        let needed = match wanted {
            Some(wanted) => self.needed.after(Instant::now(), wanted),
            None => self.needed.not_now(),
        };
        self.shared.change(|state| {
            state.needed = needed;
            state.round += u64::from(needed);
        });
        match (wanted, needed) {
            (None, _) => NONE,
            (Some(_), false) => SELDOM,
            (Some(_), true) => OFTEN,
        }
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

/// Whether they are needed.
#[derive(Default)]
struct Need {
    /// The last round, and for how long, in all, a task had been queued then.
    last: Option<(Instant, Duration)>,
    until: Option<Instant>,
}

impl Need {
    fn after(&mut self, now: Instant, wanted: Duration) -> bool {
        if let Some((then, before)) = self.last
            && 2 * wanted.saturating_sub(before) >= now.duration_since(then)
        {
            self.until = Some(now + NEEDED_FOR);
        }
        self.last = Some((now, wanted));
        self.until.is_some_and(|until| now < until)
    }

    /// Forgets what it knows. False.
    const fn not_now(&mut self) -> bool {
        self.last = None;
        self.until = None;
        false
    }
}

fn keep_company(shared: &Shared) {
    let mut round = 0;
    while let Some(next) = shared.sleep(round) {
        round = next;
        loop {
            let began = Instant::now();
            // The scheduler puts it where it waits.
            thread::yield_now();
            // It has nothing to wait for; or it is not scx_pvq any more that schedules.
            if began.elapsed() < SOON {
                break;
            }
            let state = shared.lock();
            if state.ended || !state.needed {
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

    #[test]
    fn they_are_needed_while_tasks_are_queued_and_a_while_longer() {
        let start = Instant::now();
        let mut need = Need::default();
        let ms = Duration::from_millis;
        assert!(!need.after(start, ms(10)), "of how much time is not known");
        assert!(!need.after(start + ms(20), ms(19)));
        assert!(need.after(start + ms(50), ms(40)));
        assert!(need.after(start + ms(100), ms(45)), "not at once");
        assert!(need.after(start + ms(1000), ms(45)));
        assert!(!need.after(start + ms(1100), ms(45)));
        assert!(need.after(start + ms(1150), ms(90)));
        assert_eq!(need.until, Some(start + ms(1150) + NEEDED_FOR));
        assert!(!need.not_now());
        assert!(!need.after(start + ms(1200), ms(140)), "not known any more");
    }

    #[test]
    fn they_end_whatever_they_do() {
        let companions = Companions::start(2, false);
        drop(Companions::start(2, false));
        companions.shared.change(|state| {
            state.needed = true;
            state.round = 1;
        });
        drop(companions);
    }
}
