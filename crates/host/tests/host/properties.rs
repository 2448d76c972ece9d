//! Any events in any order: no vCPU is lost or in two places, nothing panics.

use crate::machine::{Guest, Machine, VmPlan};
use crate::rig::{MIN_LOAN, Rig, SLICE, config, cpu};
use proptest::prelude::*;
use pvqspin_abi::{Generation, Hint, Hypercall, RunState};
use pvqspin_host::{Scheduling, VcpuId, YieldMode};

/// Numbers are taken modulo what there is, and sometimes a bit beyond.
#[derive(Clone, Debug)]
enum Event {
    Start(usize),
    Reschedule(usize),
    Halt(usize, Option<usize>),
    HaltStale(usize, u32),
    Kick(usize, usize),
    Yield(usize, usize),
    Block(usize),
    Exit(usize),
    Timeout(usize),
    Kill(u32),
    Offline(usize),
    Online(usize),
    Remap(u32),
    Cap(usize, Option<u64>),
    Pass(u64),
    Write(usize, u32),
    Deliver,
}

/// The least quota.
const QUOTA: u64 = MIN_LOAN;

fn events() -> impl Strategy<Value = Vec<Event>> {
    let p = 0_usize..4;
    let v = 0_usize..12;
    let event = prop_oneof![
        3 => v.clone().prop_map(Event::Start),
        4 => p.clone().prop_map(Event::Reschedule),
        3 => (p.clone(), prop::option::of(v.clone())).prop_map(|(p, v)| Event::Halt(p, v)),
        1 => (p.clone(), any::<u32>()).prop_map(|(p, g)| Event::HaltStale(p, g)),
        4 => (p.clone(), v.clone()).prop_map(|(p, v)| Event::Kick(p, v)),
        6 => (p.clone(), v.clone()).prop_map(|(p, v)| Event::Yield(p, v)),
        1 => p.clone().prop_map(Event::Block),
        1 => p.clone().prop_map(Event::Exit),
        1 => p.clone().prop_map(Event::Offline),
        2 => p.prop_map(Event::Online),
        1 => (0_u32..4).prop_map(Event::Remap),
        1 => (v.clone(), prop::option::of(QUOTA..4 * SLICE)).prop_map(|(v, q)| Event::Cap(v, q)),
        1 => v.clone().prop_map(Event::Timeout),
        1 => prop_oneof![30 => Just(99), 1 => 0_u32..3].prop_map(Event::Kill),
        4 => prop_oneof![0_u64..200_000, Just(SLICE), 0..3 * SLICE].prop_map(Event::Pass),
        4 => (v, prop_oneof![0_u32..14, any::<u32>()]).prop_map(|(v, raw)| Event::Write(v, raw)),
        3 => Just(Event::Deliver),
    ];
    prop::collection::vec(event, 1..200)
}

fn apply(rig: &mut Rig, event: Event) {
    let vcpus = rig.host.vcpus();
    match event {
        Event::Start(v) => rig.start(v % (vcpus + 1)),
        Event::Reschedule(p) => {
            let _ = rig.reschedule(p % rig.pcpus);
        }
        Event::Halt(p, to) => {
            let _ = rig.halt(p % rig.pcpus, to);
        }
        Event::HaltStale(p, generation) => {
            let hint = Hint {
                cpu: cpu(generation as usize % 8),
                generation: Generation::new(generation),
            };
            let _ = rig.call(p % rig.pcpus, Hypercall::Halt(Some(hint)));
        }
        Event::Kick(p, to) => {
            let _ = rig.kick(p % rig.pcpus, to);
        }
        Event::Yield(p, to) => {
            let _ = rig.yield_to(p % rig.pcpus, to);
        }
        Event::Block(p) => {
            let _ = rig.block(p % rig.pcpus);
        }
        Event::Exit(p) => {
            let _ = rig.exit(p % rig.pcpus);
        }
        Event::Timeout(v) => {
            let _ = rig.host.halt_timeout(rig.now, VcpuId::new(v as u32));
            rig.check();
        }
        Event::Kill(vm) => rig.kill(vm),
        Event::Offline(p) => {
            let _ = rig.offline(p);
        }
        Event::Online(p) => {
            let _ = rig.online(p);
        }
        Event::Remap(vm) => rig.replace_pages(vm as usize),
        Event::Cap(v, quota_ns) => rig.cap(v, quota_ns, 4 * SLICE),
        Event::Pass(ns) => rig.pass(ns),
        Event::Write(v, raw) => rig.page(v % vcpus).set_waiting_for_raw(raw),
        Event::Deliver => rig.deliver(),
    }
}

/// From here on there are no calls: every waiting vCPU has to run.
///
/// Not at once: the events before may have left a vCPU on its pCPU for hundreds of slices, and
/// those who got less have that to make up for, by their weights.
fn everybody_gets_to_run(rig: &mut Rig) {
    rig.deliver();
    let mut waiting: Vec<_> = (0..rig.host.vcpus())
        .filter(|&vcpu| rig.state(vcpu) == RunState::Preempted)
        .collect();
    for _ in 0..8_000 {
        if waiting.is_empty() {
            return;
        }
        rig.pass(SLICE);
        for p in 0..rig.pcpus {
            let _ = rig.reschedule(p);
        }
        rig.deliver();
        waiting.retain(|&vcpu| rig.state(vcpu) == RunState::Preempted);
    }
    panic!("{waiting:?} never ran");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_lost_and_nobody_is_in_two_places(
        scheduling in prop::sample::select(Scheduling::ALL.to_vec()),
        yields in prop::sample::select(YieldMode::ALL.to_vec()),
        pcpus in 1_usize..5,
        vms in prop::collection::vec((1_usize..6, 1_u32..5), 1..4),
        events in events(),
    ) {
        let mut rig = Rig::new(config(pcpus, scheduling, yields), &vms);
        rig.start_all();
        for event in events {
            apply(&mut rig, event);
        }
        everybody_gets_to_run(&mut rig);
        for vcpu in 0..rig.host.vcpus() {
            let hops = rig.stats(vcpu).longest_chain;
            prop_assert!(hops <= 6);
        }
        // Time is moved, never made.
        let sum = |of: fn(&pvqspin_host::VcpuStats) -> u64| -> u64 {
            (0..rig.host.vcpus()).map(|vcpu| of(&rig.stats(vcpu))).sum()
        };
        prop_assert_eq!(sum(|stats| stats.ran_ns), sum(|stats| stats.charged_ns));
    }

    #[test]
    fn gangs_survive_any_guest(
        yields in prop::sample::select(YieldMode::ALL.to_vec()),
        pcpus in 1_usize..4,
        vcpus in 1_usize..6,
        guest in prop::sample::select(crate::machine::GUESTS.to_vec()),
        seed: u64,
    ) {
        let vms = [
            VmPlan { vcpus, weight: 1, guest },
            VmPlan { vcpus: 2, weight: 2, guest: Guest::Busy },
        ];
        let mut machine = Machine::new(pcpus, Scheduling::CoScheduled, yields, &vms, seed);
        machine.run_slices(40);
        for vcpu in vcpus..vcpus + 2 {
            prop_assert!(machine.rig.stats(vcpu).ran_ns > 0);
        }
    }

    #[test]
    fn the_same_events_give_the_same_decisions(
        scheduling in prop::sample::select(Scheduling::ALL.to_vec()),
        seed: u64,
    ) {
        let run = || {
            let plan = VmPlan { vcpus: 5, weight: 1, guest: Guest::Hostile };
            let vms = [plan, plan];
            let mut machine = Machine::new(2, scheduling, YieldMode::Contract, &vms, seed);
            machine.run_slices(10);
            (0..10).map(|vcpu| machine.rig.stats(vcpu)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}
