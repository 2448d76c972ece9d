//! How long a thread of this process was on a CPU, as the kernel counts it.

use std::mem::MaybeUninit;

/// The time of the thread with this number, in nanoseconds, up to now also if it runs. `None` if it is no thread of this
/// process, or none any more.
pub(crate) fn of_thread(number: u64) -> Option<u64> {
    // The kernel's form for a thread's scheduled time: its number, inverted, above three bits that say so.
    const SCHEDULED_TIME_OF_A_THREAD: i32 = 0b110;
    let number = i32::try_from(number).ok().filter(|&number| number > 0)?;
    let id = (!number << 3) | SCHEDULED_TIME_OF_A_THREAD;
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel writes the time to the place that it is given, or fails.
    let failed = unsafe { libc::clock_gettime(id, time.as_mut_ptr()) };
    if failed != 0 {
        return None;
    }
    // SAFETY: written, because the call did not fail.
    let time = unsafe { time.assume_init() };
    Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::gettid;
    use rustix::time::{ClockId, clock_gettime};
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn a_threads_time_is_what_it_says_itself() {
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        let worker = thread::spawn(move || {
            let until = 5_000_000;
            let own = || clock_gettime(ClockId::ThreadCPUTime);
            while own().tv_nsec < until {}
            let number = gettid().as_raw_nonzero().get();
            let before = own();
            let seen = of_thread(number as u64);
            let after = own();
            tell.send((number, before, seen, after)).unwrap();
            let _ = ended.recv();
        });
        let (number, before, seen, after) = told.recv().unwrap();
        let ns =
            |time: rustix::time::Timespec| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
        let seen = seen.expect("it lives");
        assert!(
            ns(before) <= seen && seen <= ns(after),
            "{before:?} {seen} {after:?}"
        );
        // From outside, too.
        assert!(of_thread(number as u64).is_some_and(|later| later >= seen));
        drop(end);
        worker.join().unwrap();
        assert_eq!(of_thread(0), None);
        assert_eq!(of_thread(1 << 40), None);
    }
}
