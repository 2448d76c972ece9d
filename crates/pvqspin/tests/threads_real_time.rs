//! A real-time thread waits for an ordinary one that holds the lock on the same CPU. Needs the right to
//! schedule in real time (root, usually); without it the test says so and passes.

#![cfg(target_os = "linux")]

use std::sync::Barrier;
use std::time::Duration;

use pvqspin::threads::Mutex;

/// This thread runs on CPU 0 only, in real time if `priority` is not 0. False if it may not.
fn pin(priority: i32) -> bool {
    // SAFETY: both calls get structures of their own size that live until they return, for the calling
    // thread.
    unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut cpus);
        if libc::sched_setaffinity(0, size_of_val(&cpus), &raw const cpus) != 0 {
            return false;
        }
        let parameter = libc::sched_param {
            sched_priority: priority,
        };
        priority == 0 || libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) == 0
    }
}

/// For how long this thread has had a CPU.
fn cpu_time() -> Duration {
    // SAFETY: the structure is written by the call.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_real_time_waiter_lets_the_holder_finish() {
    const WORK: Duration = Duration::from_millis(20);
    static LOCK: Mutex<()> = Mutex::new(());
    let taken = Barrier::new(2);
    let (spun, worked) = std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            if !pin(0) {
                taken.wait();
                return Duration::ZERO;
            }
            let _held = LOCK.lock();
            taken.wait();
            let began = cpu_time();
            while cpu_time() - began < WORK {
                std::hint::spin_loop();
            }
            cpu_time() - began
        });
        let waiter = scope.spawn(|| {
            let real_time = pin(10);
            taken.wait();
            let began = cpu_time();
            drop(LOCK.lock());
            real_time.then(|| cpu_time() - began)
        });
        (
            waiter.join().expect("no panic"),
            holder.join().expect("no panic"),
        )
    });
    let Some(spun) = spun else {
        eprintln!("left out: no right to schedule in real time");
        return;
    };
    // Own time of both, so that nothing else on this machine counts. A waiter that only yields has the CPU
    // for 950 ms, until Linux throttles real-time threads.
    assert!(spun < worked, "spun for {spun:?} beside {worked:?} of work");
}
