//! What a pencil gives, and the simulator has to.

use pvqspin_host::Scheduling;
use pvqspin_load::{LockLoad, Section, WorkloadConfig, bound_per_s};
use pvqspin_rivals::catalog::{CATALOG, LockId};
use pvqspin_simulator::{Costs, LineCosts, SimConfig, SimResult, Topology, run};

fn config(lock: LockId, inside_ns: u32, outside_ns: u32) -> SimConfig {
    SimConfig::default().with(|sim| {
        sim.run.lock = lock;
        sim.run.workload =
            WorkloadConfig::hot_lock(Section::fixed(inside_ns), Section::fixed(outside_ns), 1);
    })
}

fn simulate(config: &SimConfig) -> SimResult {
    let name = config.run.lock.entry().name;
    run(config).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn no_lock_exceeds_the_bound() {
    for entry in CATALOG {
        for (pcpus, overcommit, scheduling) in [
            (1, 2, Scheduling::RoundRobin),
            (2, 1, Scheduling::Fair),
            (2, 3, Scheduling::Credit),
            (8, 2, Scheduling::RoundRobin),
        ] {
            let config = config(entry.id, 2_000, 5_000).with(|sim| {
                sim.run.host.pcpus = pcpus;
                sim.run.vcpus = pcpus * overcommit;
                sim.run.host.scheduling = scheduling;
                sim.run.duration_ns = 50_000_000;
            });
            let load = LockLoad {
                busiest_ns: 2_000.0,
                per_round: 1.0,
            };
            let bound = bound_per_s(load, 2_000.0, 5_000.0, pcpus, config.run.vcpus);
            let reached = simulate(&config).outcome.acquisitions as f64 / 0.05 / bound;
            // Sections that began before the measured time count when they end in it.
            assert!(reached <= 1.001, "{} reached {reached}", entry.name);
        }
    }
}

#[test]
fn an_uncontended_lock_costs_two_atomics() {
    let costs = Costs::default();
    let round = 1_000 + 2_000 + 2 * u64::from(costs.atomic_ns);
    for entry in CATALOG {
        let config = config(entry.id, 1_000, 2_000).with(|sim| {
            sim.run.warmup_ns = Some(0);
            sim.run.duration_ns = 1_000 * round + 1;
        });
        let outcome = simulate(&config).outcome;
        // The first round begins when the vCPU has been switched to.
        let lost = u64::from(costs.switch_ns).div_ceil(round);
        assert_eq!(outcome.acquisitions, 1_000 - lost, "{}", entry.name);
        let calls = outcome.hypercalls;
        assert_eq!(calls.halt + calls.kick + calls.yield_to, 0);
        assert_eq!(outcome.wait.max, 0);
    }
}

#[test]
fn two_that_take_turns_have_an_exact_cycle() {
    // C = N, all else free: each is inside while the other is outside, and neither waits.
    let config = config(LockId::Ticket, 1_000, 1_000).with(|sim| {
        sim.run.host.pcpus = 2;
        sim.run.vcpus = 2;
        sim.costs = Costs::NONE;
        sim.run.warmup_ns = Some(1_000_000);
        sim.run.duration_ns = 10_000_000;
    });
    assert_eq!(simulate(&config).outcome.acquisitions, 10_000);
}

/// Four vCPUs that want nothing but the lock, each with a pCPU of its own.
fn four_that_queue(lock: LockId, costs: Costs, topology: Option<Topology>) -> u64 {
    let config = config(lock, 1_000, 0).with(|sim| {
        sim.run.host.pcpus = 4;
        sim.run.vcpus = 4;
        sim.costs = costs;
        sim.topology = topology;
        sim.run.warmup_ns = Some(1_000_000);
        sim.run.duration_ns = 113_100_000;
    });
    simulate(&config).outcome.acquisitions
}

#[test]
fn a_queue_of_four_has_an_exact_cycle() {
    // The lock is never free, so a cycle is one hand-over: C and the atomic that releases (1,010),
    // the line to the next one that polls (60), and the few instructions until it is inside
    // (another 10): 1,080 ns.
    let ticket = four_that_queue(LockId::Ticket, Costs::default(), None);
    assert_eq!(ticket, 113_100_000 / 1_080);
}

#[test]
fn those_who_poll_one_word_make_its_hand_over_dearer() {
    // As above, and two more poll the same word: 25 ns each, and up to 25 ns by lot.
    let costs = Costs {
        line: LineCosts {
            each_poller_ns: 25,
            ..LineCosts::flat(60)
        },
        ..Costs::default()
    };
    let ticket = four_that_queue(LockId::Ticket, costs, None);
    let expected = 113_100_000 / (1_080 + 3 * 25)..=113_100_000 / (1_080 + 2 * 25);
    assert!(expected.contains(&ticket), "{ticket}");
    // A queue's waiters poll nodes of their own. It costs them nothing.
    let queue = |costs| four_that_queue(LockId::NativeQueued, costs, None);
    assert_eq!(queue(costs), queue(Costs::default()));
}

#[test]
fn a_line_from_the_other_socket_is_dearer() {
    // Two that want nothing but the lock: every hand-over crosses the same distance.
    let costs = Costs {
        line: LineCosts {
            same_core_ns: 10,
            same_socket_ns: 50,
            other_socket_ns: 150,
            each_poller_ns: 0,
            word_travels: false,
        },
        ..Costs::default()
    };
    for (apart, sockets, cores, threads) in [(10, 1, 1, 2), (50, 1, 2, 1), (150, 2, 1, 1)] {
        let config = config(LockId::Ticket, 1_000, 0).with(|sim| {
            sim.run.host.pcpus = 2;
            sim.run.vcpus = 2;
            sim.costs = costs;
            sim.topology = Some(Topology {
                sockets,
                cores,
                threads,
            });
            sim.run.warmup_ns = Some(1_000_000);
            sim.run.duration_ns = 10_000 * (1_010 + apart + 10);
        });
        assert_eq!(
            simulate(&config).outcome.acquisitions,
            10_000,
            "{apart} ns apart"
        );
    }
}

#[test]
fn strict_order_without_hints_hands_over_once_in_a_slice() {
    // P = 1, V vCPUs, round robin, a ticket lock, all costs zero, N = 0, and a slice S that is no
    // multiple of C. A vCPU that runs in its turn takes the lock, and queues behind all
    // others as soon as it has released it: one hand-over in a slice, but for the one whose
    // critical section the slice's end cuts: it holds the lock when its next turn comes.
    //
    // In slice n vCPU i = n mod V runs. It has the turn (its predecessor released in slice n - 1),
    // takes the lock at once, releases it after C, joins at the tail, and spins for S - C until
    // its slice ends. The next one has the turn. So exactly one acquisition in each slice of S:
    // the hand-over takes a whole slice, whatever C is.
    for vcpus in [2, 3, 7] {
        let config = config(LockId::Ticket, 1_000, 0).with(|sim| {
            sim.run.host.pcpus = 1;
            sim.run.vcpus = vcpus;
            sim.costs = Costs::NONE;
            sim.run.warmup_ns = Some(100 * 3_000_000);
            sim.run.duration_ns = 100 * 3_000_000;
        });
        let outcome = simulate(&config).outcome;
        assert_eq!(outcome.acquisitions, 100, "{vcpus} vCPUs");
        // And the wait is what is left of a rotation: V slices less the section itself.
        let wait = vcpus as u64 * 3_000_000 - 1_000;
        assert_eq!(outcome.wait.max, wait, "{vcpus} vCPUs");
    }
}
