//! Loans: how long, who pays, and what they cost the borrower. Nothing.

use crate::rig::{MIN_LOAN, Rig, SLICE};
use pvqspin_abi::{RunState, Status};
use pvqspin_host::{Scheduling, YieldMode};

#[test]
fn a_loan_ends_with_the_slice_it_is_lent_from() {
    let mut rig = Rig::contract(1, 2);
    let end = rig.now + SLICE;
    rig.pass(SLICE / 2);
    assert_eq!(rig.yield_to(0, 1).run.until, Some(end));
}

#[test]
fn a_loan_near_the_end_is_long_enough_to_be_of_use() {
    let mut rig = Rig::contract(1, 2);
    rig.pass(SLICE - 10);
    let until = rig.yield_to(0, 1).run.until;
    assert_eq!(until, Some(rig.now + MIN_LOAN));
}

#[test]
fn a_chain_of_loans_cannot_stretch_a_slice_for_ever() {
    let mut rig = Rig::contract(1, 4);
    let latest = rig.now + SLICE + MIN_LOAN;
    rig.pass(SLICE - 10);
    for _ in 0..1_000 {
        let current = rig.current(0).expect("busy");
        let outcome = rig.yield_to(0, (current + 1) % 3);
        if rig.now >= latest {
            // Not lent any more: the next in turn has a slice of its own.
            assert_eq!(rig.current(0), Some(1));
            assert_eq!(outcome.run.until, Some(rig.now + SLICE));
            return;
        }
        assert_eq!(outcome.status, Status::Ran);
        assert!(outcome.run.until <= Some(latest));
        rig.pass(MIN_LOAN / 7);
    }
    panic!("the slice never ended");
}

#[test]
fn what_a_loan_overdraws_is_taken_from_the_owners_next_slice() {
    let mut rig = Rig::contract(1, 2);
    rig.pass(SLICE - 10);
    let _ = rig.yield_to(0, 1);
    rig.pass(MIN_LOAN);
    let _ = rig.reschedule(0); // 1 has its own slice
    assert_eq!(rig.on(), [Some(1)]);
    rig.pass(SLICE);
    let run = rig.reschedule(0);
    assert_eq!(rig.on(), [Some(0)]);
    assert_eq!(run.until, Some(rig.now + SLICE - (MIN_LOAN - 10)));
}

#[test]
fn the_donor_is_charged_and_the_borrower_runs() {
    for scheduling in [Scheduling::RoundRobin, Scheduling::Fair, Scheduling::Credit] {
        let config = crate::rig::config(1, scheduling, YieldMode::Contract);
        let mut rig = Rig::new(config, &[(2, 1)]);
        rig.start_all();
        rig.pass(400);
        let _ = rig.yield_to(0, 1);
        rig.pass(900);
        let _ = rig.reschedule(0);
        assert_eq!(rig.on(), [Some(1)], "{scheduling}");
        let (donor, borrower) = (rig.stats(0), rig.stats(1));
        assert_eq!((donor.ran_ns, donor.charged_ns), (400, 1_300));
        assert_eq!((borrower.ran_ns, borrower.charged_ns), (900, 0));
        assert_eq!(borrower.loans, 1);
    }
}

#[test]
fn a_halted_donor_is_charged_too() {
    let mut rig = Rig::contract(1, 2);
    let _ = rig.halt(0, Some(1));
    rig.pass(900);
    let _ = rig.reschedule(0);
    assert_eq!(rig.stats(0).charged_ns, 900);
    assert_eq!(rig.stats(1).charged_ns, 0);
}

#[test]
fn borrowed_time_costs_no_place() {
    let mut rig = Rig::contract(1, 4); // 1, 2, 3 wait in this order
    let _ = rig.yield_to(0, 2); // 1, 3, 0 wait, 2 on loan
    rig.pass(SLICE);
    let mut order = Vec::new();
    for _ in 0..4 {
        let _ = rig.reschedule(0);
        order.extend(rig.current(0));
        rig.pass(SLICE);
    }
    assert_eq!(order, [1, 2, 3, 0]);
}

#[test]
fn a_borrower_that_yields_on_costs_no_place_either() {
    let mut rig = Rig::contract(1, 4);
    let _ = rig.yield_to(0, 1);
    let _ = rig.yield_to(0, 3); // 1 back to its old place, 3 on loan
    rig.pass(SLICE);
    let mut order = Vec::new();
    for _ in 0..4 {
        let _ = rig.reschedule(0);
        order.extend(rig.current(0));
        rig.pass(SLICE);
    }
    assert_eq!(order, [1, 2, 3, 0]);
}

#[test]
fn a_borrower_gives_the_pcpu_back_by_a_yield() {
    let mut rig = Rig::contract(1, 3);
    let end = rig.now + SLICE;
    let _ = rig.yield_to(0, 1);
    rig.pass(5_000);
    let outcome = rig.yield_to(0, 0);
    assert_eq!(outcome.status, Status::Ran);
    assert_eq!(outcome.run.until, Some(end));
    assert_eq!(rig.on(), [Some(0)]);
    assert_eq!(rig.stats(0).loans, 0);
}

#[test]
fn a_borrower_that_leaves_gives_the_pcpu_back_to_the_owner() {
    for leave in [
        (|rig| {
            let _ = rig.halt(0, None);
        }) as fn(&mut Rig),
        |rig| {
            let _ = rig.block(0);
        },
        |rig| {
            let _ = rig.exit(0);
        },
    ] {
        let mut rig = Rig::contract(1, 4); // 1 and 2 go before 0 in the run order
        let end = rig.now + SLICE;
        let _ = rig.yield_to(0, 3);
        rig.pass(5_000);
        leave(&mut rig);
        assert_eq!(rig.on(), [Some(0)]);
        assert_eq!(rig.reschedule(0).until, Some(end));
    }
}

#[test]
fn a_borrower_whose_owner_sleeps_leaves_to_the_next_in_line() {
    let mut rig = Rig::contract(1, 4);
    let _ = rig.halt(0, Some(3));
    let _ = rig.halt(0, None);
    assert_eq!(rig.on(), [Some(1)]);
}

#[test]
fn nobody_preempts_a_loan() {
    for scheduling in [Scheduling::Fair, Scheduling::Credit] {
        let config = crate::rig::config(1, scheduling, YieldMode::Contract);
        let mut rig = Rig::new(config, &[(2, 1), (1, 1)]);
        rig.start_all();
        let turn = |rig: &mut Rig| {
            rig.pass(SLICE);
            let _ = rig.reschedule(0);
        };
        (0..30).for_each(|_| turn(&mut rig));
        while rig.current(0) != Some(2) {
            turn(&mut rig);
        }
        let _ = rig.block(0);
        // It sleeps until the running vCPU has used up a good deal: without a loan it would go first.
        (0..5).for_each(|_| turn(&mut rig));
        let other = 1 - rig.current(0).expect("busy");
        assert_eq!(rig.yield_to(0, other).status, Status::Ran);
        rig.start(2);
        rig.deliver();
        let _ = rig.reschedule(0);
        assert_eq!(rig.on(), [Some(other)], "{scheduling}");
    }
}

#[test]
fn nobody_is_displaced_from_a_loan() {
    let mut rig = Rig::contract(2, 4);
    let _ = rig.halt(0, None); // 1 and 2 run, 3 waits
    assert_eq!(rig.yield_to(1, 3).status, Status::Ran);
    rig.waits(3, Some(1)); // even though it spins
    assert_eq!(rig.on(), [Some(2), Some(3)]);
    assert_eq!(rig.kick(0, 0), Status::Ran);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(3)]);
}

#[test]
fn a_slice_end_with_nobody_waiting_is_invisible() {
    let mut rig = Rig::contract(1, 1);
    let before = rig.page(0).run();
    rig.pass(SLICE);
    let run = rig.reschedule(0);
    assert_eq!(run.until, Some(rig.now + SLICE));
    assert_eq!(rig.page(0).run(), before);
    assert_eq!(rig.stats(0).runs, 1);
}

#[test]
fn a_yield_after_the_end_of_the_slice_is_still_a_loan_within_the_limit() {
    let mut rig = Rig::contract(1, 3);
    rig.pass(SLICE + 10); // the timer is late
    assert_eq!(rig.yield_to(0, 2).status, Status::Ran);
    assert_eq!(rig.on(), [Some(2)]);
    rig.pass(MIN_LOAN);
    assert_eq!(rig.yield_to(0, 0).status, Status::Refused);
    assert_eq!(rig.on(), [Some(1)]);
    assert_eq!(rig.state(2), RunState::Preempted);
}
