//! Mistakes of the host, and of what it shares with the guest.

use crate::mutant::Suite::{AbiUnits, Host};
use crate::mutant::{Mutant, check, mutant, place};

pub(crate) const HOST: &[Mutant] = &[
    mutant(
        "host_forgets_kick",
        "a kick before the halt is not remembered",
        &[place(
            "crates/host/src/kick.rs",
            ".kick_pending = «true»;",
            "false",
        )],
        &[check(
            Host,
            "hypercalls::a_kick_before_the_halt_is_remembered_once",
        )],
    ),
    mutant(
        "host_ignores_hint",
        "a directed yield runs no vCPU",
        &[place(
            "crates/host/src/yielding.rs",
            "Ok(target) => «self.hand_over(p, target)»,",
            "Status::Refused",
        )],
        &[check(
            Host,
            "hypercalls::a_yield_runs_a_preempted_target_here_and_now",
        )],
    ),
    mutant(
        "host_ignores_generation",
        "a hint from an earlier run of its target counts",
        &[place(
            "crates/host/src/yielding.rs",
            "if «current != hint.generation» {",
            "false",
        )],
        &[check(
            Host,
            "hypercalls::a_yield_with_an_old_generation_is_stale",
        )],
    ),
    mutant(
        "host_keeps_generation",
        "a new run of a vCPU has the generation of the last",
        &[place(
            "crates/host/src/switch.rs",
            "state.generation = «next»;",
            "state.generation",
        )],
        &[check(
            Host,
            "hypercalls::a_yield_with_an_old_generation_is_stale",
        )],
    ),
    mutant(
        "host_forgets_poke",
        "an idle pCPU is not poked for those who wait",
        &[place(
            "crates/host/src/finish.rs",
            "«self.poke_idle()»; }",
            "()",
        )],
        &[
            check(
                Host,
                "lifecycle::idle_pcpus_are_poked_as_far_as_there_is_work",
            ),
            check(
                Host,
                "hotplug::a_pcpu_that_comes_back_is_poked_for_those_who_wait",
            ),
        ],
    ),
    mutant(
        "host_displaces_strangers",
        "a page that says 'I only spin' costs a vCPU of another VM its pCPU",
        &[
            place(
                "crates/host/src/kick.rs",
                "let spins = «vcpu.vm == target.vm»",
                "true",
            ),
            place(
                "crates/host/src/kick.rs",
                "core::iter::successors(«vm.first_pcpu», |&q|",
                "Some(0)",
            ),
            place(
                "crates/host/src/kick.rs",
                "|&q| «self.pcpus[q as usize].vm_next»)",
                "Some(q + 1).filter(|&q| (q as usize) < self.pcpus.len())",
            ),
        ],
        &[check(
            Host,
            "hypercalls::a_spinner_of_another_vm_is_left_alone",
        )],
    ),
    mutant(
        "host_charges_borrower",
        "borrowed time is charged to the vCPU that runs",
        &[
            place(
                "crates/host/src/switch.rs",
                "host.vcpus[«owner».index()]; state.stats.charged_ns += ran_ns;",
                "current",
            ),
            place(
                "crates/host/src/switch.rs",
                "host.with_account(«owner», |policy, _, account| { policy.charge(account, charged_ns)",
                "current",
            ),
        ],
        &[check(
            Host,
            "loans::the_donor_is_charged_and_the_borrower_runs",
        )],
    ),
    mutant(
        "host_trusts_edges",
        "an edge that names no vCPU of the VM is followed",
        &[place(
            "crates/abi/src/chain.rs",
            "if «next < vcpus» && next != caller",
            "true",
        )],
        &[check(
            AbiUnits,
            "chain::tests::an_edge_to_itself_or_to_nowhere_is_no_edge",
        )],
    ),
    mutant(
        "host_walks_in_circles",
        "a chain is followed for as long as there are edges",
        &[place(
            "crates/abi/src/chain.rs",
            "let most = «MOST_HOPS.min(vcpus as u64)»;",
            "1_000 * vcpus as u64",
        )],
        &[check(
            AbiUnits,
            "chain::tests::a_cycle_ends_at_the_preempted_one_nearest_to_the_hint",
        )],
    ),
];
