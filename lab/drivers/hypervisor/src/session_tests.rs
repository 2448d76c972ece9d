//! Tests of the hypervisor with guests made for the purpose.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pvqspin::{Budget, Env, Point};
use pvqspin_abi::discovery::{Features, Page, Registered, register};
use pvqspin_abi::{Cpu, Generation, Hint, RunState};
use pvqspin_host::{Config, VcpuId};
use pvqspin_load::Guest;

use crate::arena;
use crate::guest_env::GuestEnv;
use crate::pcpu_signal::Target;
use crate::probe::machine_for_tests;
use crate::session::Live;
use crate::session_rig::{Test, add, counters, wait_until};
use pvqspin_load::{Fault, Passing};

#[test]
fn guests_that_never_call_are_preempted() {
    let turns = counters::<5>();
    let body = |cpu: Cpu| loop {
        add(&turns[cpu.index()]);
    };
    let everybody_ran = || turns.iter().all(|turns| turns.load(Relaxed) > 0);
    let ran = Test::new(1, 5, &body).run(|_| wait_until(everybody_ran));
    if let Some((ran, _)) = ran {
        assert!(ran, "a vCPU never got the pCPU: {turns:?}");
    }
}

/// Computes with most of what a preemption could damage: integer, SSE and x87 registers, flags.
fn checksum(seed: u64) -> (u64, u64, u64) {
    let mut integer = seed | 1;
    let mut lanes = [seed as f64, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    for round in 0..2_000_u64 {
        integer = integer.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ round;
        for lane in &mut lanes {
            *lane = *lane * 1.000_1 + 0.5;
        }
    }
    let sum = lanes.iter().sum::<f64>().to_bits();
    let mut x87 = 0.0_f64;
    // SAFETY: leaves the x87 stack as it found it, and writes the one variable it is given.
    unsafe {
        core::arch::asm!(
            "fldpi",
            "mov {n}, 3000",
            "2:",
            "fld1",
            "fadd st(1), st",
            "fstp st",
            "dec {n}",
            "jnz 2b",
            "fstp qword ptr [{out}]",
            n = out(reg) _,
            out = in(reg) &mut x87,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
        );
    }
    (integer, sum, x87.to_bits())
}

#[test]
fn registers_survive_preemption_and_migration() {
    const VCPUS: usize = 7;
    let rounds = counters::<VCPUS>();
    let migrations = AtomicU64::new(0);
    let damaged = AtomicU64::new(0);
    let expected: [_; VCPUS] = core::array::from_fn(|cpu| checksum(cpu as u64));
    let body = |cpu: Cpu| {
        let mut pcpu = core::ptr::null_mut();
        loop {
            if checksum(cpu.index() as u64) != expected[cpu.index()] || GuestEnv::cpu() != cpu {
                add(&damaged);
            }
            let now = arena::current().expect("a guest").pcpu.load(Relaxed);
            migrations.fetch_add(u64::from(now != pcpu && !pcpu.is_null()), Relaxed);
            pcpu = now;
            add(&rounds[cpu.index()]);
        }
    };
    let enough =
        || rounds.iter().all(|rounds| rounds.load(Relaxed) > 200) && damaged.load(Relaxed) == 0;
    let test = Test {
        slice_ns: 60_000,
        ..Test::new(2, VCPUS, &body)
    };
    if let Some((enough, _)) = test.run(|_| wait_until(enough)) {
        assert_eq!(damaged.load(Relaxed), 0, "wrong results");
        assert!(enough, "{rounds:?}");
        let one_cpu = machine_for_tests().is_none_or(|machine| machine.cpus.len() < 2);
        assert!(
            one_cpu || migrations.load(Relaxed) > 0,
            "no vCPU ever moved"
        );
    }
}

#[test]
fn every_halt_ends_by_its_kick() {
    const ROUNDS: u64 = 3_000;
    let turn = AtomicU64::new(0);
    // Two vCPUs take turns; each halts until the other has kicked it. A kick may come before the
    // halt, which then has to be remembered.
    let body = |cpu: Cpu| {
        let me = cpu.index() as u64;
        let other = Cpu::new(1 - cpu.index()).expect("one of two");
        while turn.load(Relaxed) < ROUNDS {
            if turn.load(Relaxed) % 2 == me {
                add(&turn);
                GuestEnv::kick(other);
            } else {
                GuestEnv::halt(None);
            }
        }
        GuestEnv::kick(other);
    };
    for pcpus in [1, 2] {
        turn.store(0, Relaxed);
        let Some(remains) = Test::new(pcpus, 2, &body).run_to_the_end() else {
            return;
        };
        assert_eq!(remains.halt_timeouts, 0);
        let halts: u64 = [0, 1]
            .map(|vcpu| remains.host.stats(VcpuId::new(vcpu)).halts)
            .iter()
            .sum();
        assert!(halts > 0, "no vCPU ever halted");
    }
}

#[test]
fn a_halt_that_nobody_ends_is_ended_and_counted() {
    let body = |_: Cpu| GuestEnv::halt(None);
    let test = Test {
        halt_timeout: Duration::from_millis(30),
        ..Test::new(1, 1, &body)
    };
    if let Some(remains) = test.run_to_the_end() {
        assert_eq!(remains.halt_timeouts, 1);
    }
}

#[test]
fn an_armed_fault_takes_the_pcpu_at_its_point_only() {
    let other_ran = AtomicU64::new(0);
    let seen = counters::<3>();
    let first_is_done = AtomicBool::new(false);
    let body = |cpu: Cpu| {
        if cpu.index() == 1 {
            add(&other_ran);
            while !first_is_done.load(Relaxed) {
                core::hint::spin_loop();
            }
            return;
        }
        for seen in &seen {
            GuestEnv::checkpoint(Point::Linked);
            GuestEnv::checkpoint(Point::Joined);
            seen.store(other_ran.load(Relaxed), Relaxed);
        }
        first_is_done.store(true, Relaxed);
    };
    let test = Test {
        // Longer than the test: the clock preempts no vCPU.
        slice_ns: 100_000_000,
        faults: vec![Fault {
            point: Point::Joined,
            vcpu: Cpu::new(0),
            passing: Passing::Nth(2),
        }],
        ..Test::new(1, 2, &body)
    };
    if let Some(remains) = test.run_to_the_end() {
        assert_eq!(remains.faults_fired, 1);
        assert_eq!(seen.map(|seen| seen.load(Relaxed)), [0, 1, 1]);
    }
}

#[test]
fn a_signal_at_a_bad_moment_waits_for_a_better_one() {
    let taken_off_early = AtomicBool::new(false);
    let taken_off_later = AtomicBool::new(false);
    let body = |_: Cpu| {
        let vcb = arena::current().expect("a guest");
        let at_first = vcb.time.stolen_ticks.load(Relaxed);
        let taken_off = || vcb.time.stolen_ticks.load(Relaxed) != at_first;
        // As in the middle of a hypercall's stub.
        vcb.in_hypervisor.store(true, Relaxed);
        let me = Target::default();
        me.set_to_caller();
        me.interrupt();
        taken_off_early.store(taken_off(), Relaxed);
        vcb.in_hypervisor.store(false, Relaxed);
        let start = GuestEnv::now_ns();
        while !taken_off() && GuestEnv::now_ns() - start < 500_000_000 {}
        taken_off_later.store(taken_off(), Relaxed);
    };
    let test = Test {
        // Only the signal could take it off.
        slice_ns: 10_000_000_000,
        ..Test::new(1, 1, &body)
    };
    if test.run_to_the_end().is_some() {
        assert!(!taken_off_early.load(Relaxed), "in the middle of a call");
        assert!(taken_off_later.load(Relaxed), "the signal was lost");
    }
}

#[test]
fn a_storm_of_pokes_and_calls_harms_nobody() {
    const VCPUS: usize = 6;
    let rounds = counters::<VCPUS>();
    let wrong = AtomicU64::new(0);
    let body = |cpu: Cpu| {
        for round in 0.. {
            let target = Cpu::new((cpu.index() + round) % VCPUS).expect("in range");
            let status_of_self = GuestEnv::run_sample(cpu).state();
            GuestEnv::yield_to(Hint {
                cpu: target,
                generation: GuestEnv::run_sample(target).generation(),
            });
            GuestEnv::kick(target);
            if status_of_self != RunState::Running || GuestEnv::cpu() != cpu {
                add(&wrong);
            }
            add(&rounds[cpu.index()]);
        }
    };
    let test = Test {
        slice_ns: 50_000,
        ..Test::new(2, VCPUS, &body)
    };
    let storm = |live: &Live<'_>| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            live.shared.pcpus.iter().for_each(crate::pcpu::Pcpu::poke);
        }
    };
    if test.run(storm).is_some() {
        assert_eq!(wrong.load(Relaxed), 0);
        assert!(
            rounds.iter().all(|rounds| rounds.load(Relaxed) > 0),
            "{rounds:?}"
        );
    }
}

#[test]
fn time_off_the_pcpu_is_nobodys_own() {
    // Two vCPUs share a pCPU, each with a budget of its own time. Together they need twice as
    // much real time as either has: a budget that counted absence would end early.
    const BUDGET_NS: u32 = 4_000_000;
    let real = counters::<2>();
    let body = |cpu: Cpu| {
        let start = GuestEnv::now_ns();
        assert!(!GuestEnv::spin_until(|| false, Budget::ns(BUDGET_NS)));
        real[cpu.index()].store(GuestEnv::now_ns() - start, Relaxed);
    };
    if Test::new(1, 2, &body).run_to_the_end().is_some() {
        let longest = real
            .iter()
            .map(|real| real.load(Relaxed))
            .max()
            .expect("two");
        assert!(longest > u64::from(BUDGET_NS) * 17 / 10, "{real:?}");
    }
}

#[test]
fn spinning_is_wasted_only_while_somebody_waits() {
    let wasted = counters::<2>();
    let body = |cpu: Cpu| {
        GuestEnv::spin_until(|| false, Budget::ns(2_000_000));
        wasted[cpu.index()].store(GuestEnv::wasted_ns(), Relaxed);
    };
    if Test::new(1, 1, &body).run_to_the_end().is_none() {
        return;
    }
    assert_eq!(wasted[0].load(Relaxed), 0, "no vCPU waited");
    Test::new(1, 2, &body).run_to_the_end();
    // The last vCPU spins alone in the end.
    let both: u64 = wasted.iter().map(|wasted| wasted.load(Relaxed)).sum();
    assert!(both > 500_000, "{wasted:?}");
}

#[test]
fn a_hint_about_an_earlier_run_is_stale() {
    let status = AtomicU64::new(u64::MAX);
    let body = |cpu: Cpu| {
        if cpu.index() == 0 {
            let cpu = Cpu::new(1).expect("in range");
            // Waits until the other has run.
            while GuestEnv::run_sample(cpu).generation() == Generation::default() {}
            let generation = Generation::new(GuestEnv::run_sample(cpu).generation().get() + 77);
            status.store(GuestEnv::yield_to(Hint { cpu, generation }) as u64, Relaxed);
        }
    };
    if Test::new(1, 2, &body).run_to_the_end().is_some() {
        assert!([2, 3].contains(&status.load(Relaxed)), "{status:?}");
    }
}

#[test]
fn a_panic_while_conducting_ends_the_run() {
    let body = |_: Cpu| loop {
        core::hint::spin_loop();
    };
    let result = std::panic::catch_unwind(|| Test::new(1, 1, &body).run(|_| panic!("as meant")));
    // Skipped runs do not body. What counts is that this line is reached, and the next run runs.
    drop(result);
    Test::new(1, 1, &|_| {}).run_to_the_end();
}

#[test]
fn guests_ask_what_there_is_and_bad_registrations_change_nothing() {
    const VCPUS: usize = 3;
    let (ready, wrong) = (AtomicU64::new(0), AtomicU64::new(0));
    let body = |cpu: Cpu| {
        let vcb = arena::current().expect("a guest");
        let own = core::ptr::from_ref(vcb.memory.page(cpu)) as u64;
        let none = Cpu::new(VCPUS).expect("small");
        for (page, address, answer) in [
            (Page::Vcpu(cpu), own + 1, Registered::BadAddress),
            (Page::Vcpu(cpu), 0, Registered::BadAddress),
            (Page::Vm, u64::MAX, Registered::BadAddress),
            (Page::Vcpu(none), own, Registered::NoSuchPage),
        ] {
            let answered = register(|registers| vcb.call(registers), page, address);
            wrong.fetch_add(u64::from(answered != answer), Relaxed);
        }
        add(&ready);
    };
    let Some((features, _)) = Test::new(2, VCPUS, &body).run(|live| {
        assert!(wait_until(|| ready.load(Relaxed) == VCPUS as u64));
        let registrations = live.shared.registrations.lock().expect("no panic");
        assert!(registrations[0].is_complete());
        let place = core::ptr::from_ref(live.memory(0).vm_page()) as u64;
        assert_eq!(registrations[0].address(Page::Vm), Some(place));
        (live.vcbs(0).iter())
            .map(|vcb| Features::from_bits(vcb.offered.load(Relaxed)))
            .collect::<Vec<_>>()
    }) else {
        return;
    };
    let offered = Config::default().features() | Features::REGISTRATION;
    assert_eq!(features, [offered; VCPUS]);
    assert_eq!(wrong.load(Relaxed), 0);
}
