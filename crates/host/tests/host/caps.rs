//! Caps: what a vCPU gets at most, whatever is free, whatever its guest does.

use crate::rig::{MIN_LOAN, Rig, SLICE, config};
use proptest::prelude::*;
use pvqspin_abi::{RunState, Status};
use pvqspin_host::{Cap, ConfigError, GuestPages, Pcpu, Scheduling, VcpuId, VmId, YieldMode};

const QUOTA: u64 = SLICE / 2;
const PERIOD: u64 = 4 * SLICE;

fn id(vcpu: usize) -> VcpuId {
    VcpuId::new(vcpu as u32)
}

fn fair(pcpus: usize, vms: &[(usize, u32)]) -> Rig {
    Rig::new(config(pcpus, Scheduling::Fair, YieldMode::Contract), vms)
}

impl Rig {
    /// Caps a vCPU, if there is one of that number.
    pub(crate) fn cap(&mut self, vcpu: usize, quota_ns: Option<u64>, period_ns: u64) {
        let cap = quota_ns.map(|quota_ns| Cap {
            quota_ns,
            period_ns,
        });
        let capped = self.host.set_vcpu_cap(self.now, id(vcpu), cap);
        let strict = self.host.config().scheduling == Scheduling::CoScheduled;
        assert_eq!(capped.is_err(), strict && cap.is_some());
        self.capped = true;
        self.check();
    }

    /// Follows what the host says until then. Returns how many events that took.
    fn follow_until(&mut self, end: u64) -> usize {
        let mut events = 0;
        loop {
            let mut next = u64::MAX;
            for p in 0..self.pcpus {
                let mut run = self.reschedule(p);
                while run.until.is_some_and(|until| until <= self.now) {
                    run = self.reschedule(p);
                }
                next = next.min(run.until.unwrap_or(u64::MAX));
            }
            self.deliver();
            events += 1;
            if next > end {
                self.now = end;
                for p in 0..self.pcpus {
                    let _ = self.reschedule(p);
                }
                self.deliver();
                return events;
            }
            self.now = next;
        }
    }
}

#[test]
fn an_idle_machine_gives_no_more_than_the_quota_and_no_less() {
    for (scheduling, yields) in [
        (Scheduling::Fair, YieldMode::Contract),
        (Scheduling::Credit, YieldMode::Contract),
        (Scheduling::RoundRobin, YieldMode::Hint),
    ] {
        let mut rig = Rig::new(config(2, scheduling, yields), &[(1, 1)]);
        rig.cap(0, Some(QUOTA), PERIOD);
        rig.start_all();
        let events = rig.follow_until(rig.now + 1_000 * PERIOD);
        let ran = rig.stats(0).ran_ns;
        assert!(ran.abs_diff(1_000 * QUOTA) <= QUOTA, "{scheduling}: {ran}");
        let (waited, held_back) = (rig.stats(0).waited_ns, rig.stats(0).held_back_ns);
        assert_eq!(waited, 0);
        assert!(held_back.abs_diff(1_000 * (PERIOD - QUOTA)) <= PERIOD);
        assert!(events < 5_000, "{events} events: no polling");
    }
}

#[test]
fn what_a_capped_vm_leaves_is_for_others() {
    let mut rig = fair(1, &[(2, 1), (1, 1)]);
    let cap = Cap {
        quota_ns: PERIOD / 10,
        period_ns: PERIOD,
    };
    rig.host
        .set_cap(rig.now, VmId::new(0), Some(cap))
        .expect("good");
    rig.capped = true;
    rig.start_all();
    rig.follow_until(rig.now + 100 * PERIOD);
    let ran = [0, 1, 2].map(|vcpu| rig.stats(vcpu).ran_ns / PERIOD);
    assert_eq!(ran, [10, 10, 80]);
    rig.host.set_cap(rig.now, VmId::new(0), None).expect("good");
    let before = rig.stats(2).ran_ns;
    rig.follow_until(rig.now + 300 * PERIOD);
    let ran = (rig.stats(2).ran_ns - before) / PERIOD;
    assert!((98..=102).contains(&ran), "{ran}");
}

#[test]
fn a_lock_holder_that_is_held_back_runs_at_its_siblings_cost() {
    // A second pCPU idles all the time: it would free the lender, and does not.
    let mut rig = fair(2, &[(2, 1)]);
    rig.cap(0, Some(QUOTA), PERIOD);
    rig.start(0);
    rig.deliver();
    rig.pass(QUOTA);
    let run = rig.reschedule(0);
    assert_eq!((run.vcpu, run.until), (None, Some(1_000 + PERIOD)));
    assert!(rig.is_held_back(0));
    assert_eq!(rig.state(0), RunState::Preempted);
    rig.start(1);
    rig.deliver();
    let p = (0..2)
        .find(|&p| rig.current(p) == Some(1))
        .expect("it runs");
    assert!(rig.pages[0].vm().pressure(), "or its sibling would not ask");
    let begins = rig.now;
    assert_eq!(rig.yield_to(p, 0).status, Status::Ran);
    rig.deliver();
    rig.pass(SLICE / 3);
    let _ = rig.reschedule(1 - p);
    rig.deliver();
    assert_eq!(rig.on().into_iter().flatten().collect::<Vec<_>>(), [0]);
    // It sleeps, and the lender goes on.
    let _ = rig.block(p);
    assert_eq!(rig.current(p), Some(1));
    assert_eq!(rig.stats(0).charged_ns, QUOTA);
    assert_eq!(rig.stats(1).charged_ns, SLICE / 3);
    // It wakes, and is held back as before.
    rig.start(0);
    rig.deliver();
    assert!(rig.is_held_back(0));
    // Until its period is over.
    rig.follow_until(begins + PERIOD - 1);
    assert_eq!(rig.state(0), RunState::Running);
}

#[test]
fn a_lender_that_wakes_takes_back_its_slice_from_one_that_is_held_back() {
    let mut rig = fair(2, &[(2, 1)]);
    rig.cap(0, Some(QUOTA), PERIOD);
    rig.start(0);
    rig.deliver();
    rig.pass(QUOTA);
    let _ = rig.reschedule(0);
    rig.start(1);
    rig.deliver();
    let p = (0..2)
        .find(|&p| rig.current(p) == Some(1))
        .expect("it runs");
    assert_eq!(rig.halt(p, Some(0)).status, Status::Ran);
    rig.deliver();
    assert_eq!(rig.current(p), Some(0));
    rig.start(1);
    rig.deliver();
    assert_eq!(rig.current(p), Some(1), "its slice");
    assert!(rig.is_held_back(0));
}

#[test]
fn a_kick_does_not_lift_a_cap() {
    let mut rig = fair(2, &[(2, 1)]);
    rig.cap(0, Some(QUOTA), PERIOD);
    rig.start_all();
    rig.pass(QUOTA - 1_000);
    let p = (0..2)
        .find(|&p| rig.current(p) == Some(0))
        .expect("it runs");
    let _ = rig.halt(p, None);
    assert_eq!(rig.state(0), RunState::Halted);
    // There is an idle pCPU, and no time left: the kicker's own is what it gets.
    assert_eq!(rig.kick(1 - p, 0), Status::Ran);
    rig.deliver();
    assert_eq!(rig.current(1 - p), Some(0));
    let charged = rig.stats(0).charged_ns;
    rig.pass(MIN_LOAN);
    let _ = rig.block(1 - p);
    assert_eq!(rig.stats(0).charged_ns, charged);
}

#[test]
fn a_keeper_that_goes_away_has_a_successor() {
    let mut rig = fair(2, &[(1, 1)]);
    rig.cap(0, Some(QUOTA), PERIOD);
    rig.start_all();
    let p = (0..2)
        .find(|&p| rig.current(p) == Some(0))
        .expect("it runs");
    rig.pass(QUOTA);
    let run = rig.reschedule(p);
    assert_eq!(run.until, Some(1_000 + PERIOD));
    assert!(rig.offline(p));
    assert_eq!(rig.pokes, [Pcpu::new(1 - p as u32)]);
    let run = rig.reschedule(1 - p);
    assert_eq!(run.until, Some(1_000 + PERIOD));
}

#[test]
fn holding_killing_and_removing_what_is_held_back() {
    let mut rig = fair(1, &[(3, 1), (1, 1)]);
    (0..3).for_each(|vcpu| rig.cap(vcpu, Some(QUOTA), PERIOD));
    rig.start_all();
    rig.follow_until(rig.now + PERIOD - 1);
    assert!((0..3).all(|vcpu| rig.is_held_back(vcpu)));
    assert!(rig.host.hold(rig.now, id(0)));
    rig.held = true;
    rig.check();
    rig.follow_until(rig.now + 2 * PERIOD);
    assert_eq!(rig.stats(0).ran_ns, QUOTA, "it is held");
    assert!(rig.stats(1).ran_ns > QUOTA);
    assert!(rig.host.release(rig.now, id(0)));
    rig.held = false;
    rig.follow_until(rig.now + 2 * SLICE + PERIOD / 8 - 1);
    assert!(rig.stats(0).ran_ns > QUOTA);
    rig.kill(0);
    rig.deliver();
    assert_eq!(rig.current(0), Some(3));
    assert!(rig.host.remove_vm(rig.now, VmId::new(0)).is_some());
}

#[test]
fn caps_that_make_no_sense_are_refused() {
    let mut rig = fair(1, &[(1, 1)]);
    for (quota_ns, period_ns) in [
        (0, PERIOD),
        (MIN_LOAN - 1, PERIOD),
        (PERIOD + 1, PERIOD),
        (0, 0),
        (SLICE, u64::MAX),
        (u64::MAX, u64::MAX),
    ] {
        let cap = Cap {
            quota_ns,
            period_ns,
        };
        let least_ns = MIN_LOAN;
        let refused = ConfigError::BadCap { cap, least_ns };
        assert_eq!(rig.host.set_cap(0, VmId::new(0), Some(cap)), Err(refused));
        assert!(refused.to_string().contains("100000 ns"));
    }
    let good = Cap {
        quota_ns: MIN_LOAN,
        period_ns: MIN_LOAN,
    };
    assert_eq!(rig.host.set_vcpu_cap(0, id(0), Some(good)), Ok(()));
    assert_eq!(
        rig.host.set_vcpu_cap(0, id(77), Some(good)),
        Ok(()),
        "no effect"
    );
    let mut rig = Rig::new(
        config(1, Scheduling::CoScheduled, YieldMode::Contract),
        &[(1, 1)],
    );
    let refused = rig.host.set_cap(0, VmId::new(0), Some(good));
    assert_eq!(refused, Err(ConfigError::NoCaps));
    assert_eq!(rig.host.set_cap(0, VmId::new(0), None), Ok(()));
    rig.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_quota_is_kept_and_had(quota in MIN_LOAN..=PERIOD, pcpus in 1_usize..4, vcpus in 1_usize..5) {
        let mut rig = fair(pcpus, &[(vcpus, 1)]);
        (0..vcpus).for_each(|vcpu| rig.cap(vcpu, Some(quota), PERIOD));
        rig.start_all();
        rig.follow_until(rig.now + 200 * PERIOD);
        for vcpu in 0..vcpus {
            let ran = rig.stats(vcpu).ran_ns;
            prop_assert!(ran <= 202 * quota, "{} of {}", ran, 200 * quota);
            // With fewer pCPUs than vCPUs the last vCPU with quota left may be alone when others have used theirs up: it
            // cannot run on two pCPUs at once. That is a slice of each period at most.
            let equal = PERIOD * pcpus as u64 / vcpus as u64;
            let sure = match pcpus {
                1 => equal,
                _ if pcpus < vcpus => equal - SLICE,
                _ => PERIOD,
            };
            let share = 200 * quota.min(sure);
            prop_assert!(ran + 8 * SLICE >= share, "{} of {}", ran, share);
        }
    }
}
