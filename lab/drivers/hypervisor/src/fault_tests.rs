//! Tests of what is lost for good: a VM, a vCPU, a timer's signal. The others go on.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pvqspin::{Env, QSpinLock};
use pvqspin_abi::{Cpu, RunState};
use pvqspin_host::{Pcpu, VcpuId, VmId};
use pvqspin_load::Guest;

use crate::arena;
use crate::guest_env::GuestEnv;
use crate::session_rig::{Test, add, counters, wait_until};
use crate::vcb::ExitReason;

#[test]
fn a_vm_that_is_killed_while_it_holds_and_waits_costs_the_other_nothing() {
    let taken = counters::<2>();
    let locks: [QSpinLock<GuestEnv>; 2] = [const { QSpinLock::new() }; 2];
    let lock_for_ever = |vm: usize| loop {
        let token = locks[vm].lock();
        GuestEnv::compute(5_000);
        add(&taken[vm]);
        // SAFETY: this vCPU holds the lock, and the token is from above.
        unsafe { locks[vm].unlock(token) };
    };
    let (killed, other) = (|_: Cpu| lock_for_ever(0), |_: Cpu| lock_for_ever(1));
    let count = |vm: usize| taken[vm].load(Relaxed);
    let test = Test::new(2, 4, &killed).run_beside(Some(&other), |live| {
        let both_lock = wait_until(|| count(0) > 100 && count(1) > 100);
        let poked: Vec<_> = {
            let mut hosted = live.shared.host.lock();
            let now = hosted.now();
            hosted.host.kill_vm(now, VmId::new(0));
            core::iter::from_fn(|| hosted.host.next_poke()).collect()
        };
        for pcpu in poked {
            live.shared.pcpus[pcpu.index()].poke();
        }
        let on_their_own = || {
            let hosted = live.shared.host.lock();
            (0..live.shared.pcpus.len()).all(|p| {
                let current = hosted.host.current(Pcpu::new(p as u32));
                current.is_none_or(|vcpu| vcpu.index() >= 4)
            })
        };
        let gone = wait_until(on_their_own);
        let (of_killed, of_other) = (count(0), count(1));
        let goes_on = wait_until(|| count(1) > of_other + 1_000);
        (both_lock, gone, goes_on, count(0) == of_killed)
    });
    if let Some((seen, remains)) = test {
        assert_eq!(seen, (true, true, true, true), "{}", remains.trace);
        assert_eq!(remains.halt_timeouts, 0);
        let ended = |vcpu| remains.host.run_state(VcpuId::new(vcpu)) == Some(RunState::Idle);
        assert!((0..4).all(ended));
    }
}

#[test]
fn a_vcpu_that_ends_while_it_waits_in_the_lock_costs_the_other_vm_nothing() {
    let taken = counters::<2>();
    let locks: [QSpinLock<GuestEnv>; 2] = [const { QSpinLock::new() }; 2];
    let lock_once = |vm: usize| {
        let token = locks[vm].lock();
        add(&taken[vm]);
        GuestEnv::compute(5_000);
        // SAFETY: this vCPU holds the lock, and the token is from above.
        unsafe { locks[vm].unlock(token) };
    };
    let taken_then = AtomicU64::new(0);
    let came_back = AtomicBool::new(false);
    let bereaved = |cpu: Cpu| loop {
        if cpu.index() != 1 {
            lock_once(0);
            continue;
        }
        let called = GuestEnv::now_ns();
        // An interrupt handler, over the wait, takes the CPU down for good; but not before the
        // lock's word names it.
        let go_down = || {
            if GuestEnv::joined_at_ns() >= called {
                taken_then.store(taken[0].load(Relaxed), Relaxed);
                let vcb = arena::current().expect("a guest");
                vcb.lose_pcpu(ExitReason::Done);
                came_back.store(true, Relaxed);
            }
        };
        GuestEnv::with_timer(called + 3_000, &go_down, || lock_once(0));
    };
    let other = |_: Cpu| loop {
        lock_once(1);
    };
    let test = Test::new(2, 4, &bereaved).run_beside(Some(&other), |live| {
        let has_ended = wait_until(|| live.ended() == 1);
        let so_far = taken[1].load(Relaxed);
        let goes_on = wait_until(|| taken[1].load(Relaxed) > so_far + 2_000);
        (has_ended, goes_on)
    });
    if let Some((seen, remains)) = test {
        assert_eq!(seen, (true, true), "{}", remains.trace);
        assert!(!came_back.load(Relaxed), "an ended vCPU was entered");
        // The vCPUs that came before it, once each; then it is its own turn.
        let since = taken[0].load(Relaxed) - taken_then.load(Relaxed);
        assert!(
            since <= 3,
            "the lock was taken {since} times past the ended one"
        );
    }
}

#[test]
fn a_timer_signal_that_is_lost_costs_its_slice_until_the_next_poke() {
    const HOUR_NS: u64 = 3_600_000_000_000;
    let turns = counters::<2>();
    let body = |cpu: Cpu| loop {
        add(&turns[cpu.index()]);
    };
    let look = || [0, 1].map(|cpu: usize| turns[cpu].load(Relaxed));
    let moved = |before: [u64; 2]| {
        let now = look();
        [0, 1].map(|cpu: usize| now[cpu] != before[cpu])
    };
    let test = Test::new(1, 2, &body).run(|live| {
        let pcpu = &live.shared.pcpus[0];
        let waits = core::cell::Cell::new(None);
        let lost = wait_until(|| {
            // The pCPU goes on believing that it will be called. (Unless it was, just now.)
            pcpu.timer.retry_in(HOUR_NS);
            let before = look();
            // A hundred slices.
            std::thread::sleep(Duration::from_millis(20));
            waits.set(match moved(before) {
                [true, false] => Some(1),
                [false, true] => Some(0),
                _ => None,
            });
            waits.get().is_some()
        });
        let before = look();
        pcpu.poke();
        let ran = wait_until(|| waits.get().is_some_and(|cpu: usize| moved(before)[cpu]));
        // And slices end again.
        let before = look();
        let in_turns = wait_until(|| moved(before) == [true, true]);
        (lost, ran, in_turns)
    });
    if let Some((seen, remains)) = test {
        assert_eq!(seen, (true, true, true), "{}", remains.trace);
    }
}
