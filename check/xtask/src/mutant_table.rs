//! The deliberate mistakes, and which checks find each: the quickest first.

use core::fmt;

/// A mistake that the source can make.
pub(crate) struct Mutant {
    /// Its name in `mutate!`.
    pub(crate) name: &'static str,
    /// What it does wrong.
    pub(crate) mistake: &'static str,
    /// What finds it.
    pub(crate) checks: &'static [Check],
}

/// A test.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Check {
    pub(crate) suite: Suite,
    pub(crate) test: &'static str,
}

/// A test binary, and how it is run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Suite {
    /// The lock's own unit tests.
    Word,
    /// The lock step by step, on one thread.
    Scripted,
    /// The lock under loom.
    Loom,
    /// The same, with one preemption more.
    LoomOneMore,
    /// The unit tests of what guest and host share.
    AbiUnits,
    /// The host, event by event, and at random.
    Host,
    /// Random schedules of the simulator.
    Torture,
    /// Schedules of the simulator whose figures are known.
    Exact,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suite = match self.suite {
            Suite::Word => "unit",
            Suite::Scripted => "scripted",
            Suite::Loom => "loom",
            Suite::LoomOneMore => "loom with one preemption more",
            Suite::AbiUnits => "abi unit",
            Suite::Host => "host",
            Suite::Torture => "torture",
            Suite::Exact => "exact",
        };
        write!(f, "{suite}: `{}`", self.test)
    }
}

const fn check(suite: Suite, test: &'static str) -> Check {
    Check { suite, test }
}

const fn mutant(name: &'static str, mistake: &'static str, checks: &'static [Check]) -> Mutant {
    Mutant {
        name,
        mistake,
        checks,
    }
}

use Suite::{AbiUnits, Exact, Host, Loom, LoomOneMore, Scripted, Torture, Word};

/// Every mistake, those of the lock first.
pub(crate) const MUTANTS: &[Mutant] = &[
    mutant(
        "weak_acquire",
        "the lock is taken without acquiring",
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "native::two_cpus_twice_each"),
        ],
    ),
    mutant(
        "weak_release",
        "a release that nobody waits for does not release",
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "bounded::three_cpus"),
        ],
    ),
    mutant(
        "weak_contended_release",
        "a release that somebody waits for does not",
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "fifo_halt_bit::three_cpus"),
        ],
    ),
    mutant(
        "weak_native_release",
        "a native release does not",
        &[
            check(Loom, "native::two_cpus_twice_each"),
            check(Loom, "native_bit::three_cpus"),
        ],
    ),
    mutant(
        "weak_take",
        "the head takes the free lock without acquiring",
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "middle::the_middle_leaves"),
        ],
    ),
    mutant(
        "weak_seize",
        "who takes the lock past its head does not acquire",
        &[check(Loom, "bounded::three_cpus")],
    ),
    mutant(
        "weak_pending_take",
        "the pending waiter takes the lock without acquiring",
        &[check(Loom, "native::two_cpus_twice_each")],
    ),
    mutant(
        "weak_join",
        "the tail is exchanged without publishing one's node or knowing the one before",
        &[
            check(Loom, "fifo::three_cpus"),
            check(Loom, "fifo_halt::two_cpus_twice_each"),
        ],
    ),
    mutant(
        "weak_link",
        "the link behind the one before does not publish the node",
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "fifo_halt::two_cpus_twice_each"),
        ],
    ),
    mutant(
        "weak_read_release",
        "a reader leaves without releasing",
        &[
            check(Loom, "rw::rw_fifo::reader_and_writer"),
            check(Loom, "rw::rw_native::two_readers_and_a_writer"),
        ],
    ),
    mutant(
        "weak_write_release",
        "a writer that queued leaves without releasing",
        &[
            check(Loom, "rw::rw_native::two_readers_and_a_writer"),
            check(Loom, "rw::rw_fifo_halt::two_writers_and_a_reader"),
        ],
    ),
    mutant(
        "drop_recheck",
        "a waiter in the middle halts without looking whether it was promoted meanwhile",
        &[
            check(Loom, "fifo_halt::three_cpus"),
            check(Loom, "fifo_holder::three_cpus"),
        ],
    ),
    mutant(
        "drop_recheck_at_head",
        "the head halts without looking whether the lock was released meanwhile",
        &[check(Loom, "fifo_halt::two_cpus_twice_each")],
    ),
    mutant(
        "forget_sleeper",
        "who promotes a halted waiter does not note that it needs a kick",
        &[
            check(Loom, "fifo_halt::three_cpus"),
            check(Loom, "sleepers::a_promoted_sleeper_is_woken_at_once"),
            check(Torture, "fifo_halt_survives"),
        ],
    ),
    mutant(
        "kick_before_release",
        "the kick goes out before the lock is free",
        &[
            check(Loom, "fifo_halt::two_cpus_twice_each"),
            check(Torture, "fifo_halt_survives"),
        ],
    ),
    mutant(
        "never_halt",
        "waiters spin whatever the policy says, and whether the host refuses or not",
        &[
            check(
                Scripted,
                "the_head_halts_with_the_holders_name_and_is_kicked",
            ),
            check(
                Scripted,
                "who_may_be_passed_over_sleeps_behind_the_head_once_the_host_has_refused",
            ),
        ],
    ),
    mutant(
        "halt_in_inner_wait",
        "a wait that interrupted another one halts, and may use up its kick",
        &[check(Scripted, "only_the_outermost_wait_halts")],
    ),
    mutant(
        "forget_generation",
        "a yield does not say which run of its target the caller saw",
        &[check(
            Scripted,
            "the_first_waiter_is_the_head_and_lends_its_pcpu_to_the_preempted_holder",
        )],
    ),
    mutant(
        "drop_idx",
        "the tail says which CPU waits last, but not in which context",
        &[check(Word, "word::tests::every_tail_survives_in_idx3")],
    ),
    mutant(
        "keep_edge",
        "the head's wait-for edge is still there when it holds the lock",
        &[check(
            Exact,
            "a_preemption_at_any_point_costs_nobody_a_rotation",
        )],
    ),
    mutant(
        "keep_edge_of_head",
        "who yields to the head of a free lock leaves its old edge",
        &[check(
            Exact,
            "a_preemption_at_any_point_costs_nobody_a_rotation",
        )],
    ),
    mutant(
        "lose_interrupted_edge",
        "an interrupt handler that waited does not put the interrupted wait's edge back",
        &[check(Scripted, "an_interrupted_wait_is_put_back")],
    ),
    mutant(
        "ignore_age",
        "a preempted head is passed over for ever",
        &[
            check(Scripted, "nobody_passes_over_a_head_that_is_too_old"),
            check(Loom, "middle::the_middle_leaves_when_the_head_is_refused"),
        ],
    ),
    mutant(
        "overtake_the_running",
        "a waiter passes over running ones between itself and the head",
        &[check(Scripted, "nobody_passes_over_one_that_runs")],
    ),
    mutant(
        "lose_passed_head",
        "who took the lock past its head does not put the head's name back",
        &[check(
            Scripted,
            "a_newcomer_passes_over_a_preempted_head_and_leaves_its_name",
        )],
    ),
    mutant(
        "lose_skipped_waiter",
        "a waiter that leaves the middle of the queue does not link those around it",
        &[
            check(Loom, "middle::the_middle_leaves"),
            check(Torture, "bounded_survives"),
        ],
    ),
    mutant(
        "keep_stale_pred",
        "the waiter behind one that left still names it",
        &[
            check(Loom, "middle::the_middle_leaves"),
            check(Loom, "middle::the_middle_leaves_while_somebody_links"),
        ],
    ),
    mutant(
        "keep_stale_link",
        "the waiter before the last one still names it when it has left",
        &[check(
            LoomOneMore,
            "middle::the_middle_leaves_while_somebody_joins",
        )],
    ),
    mutant(
        "unnamed_head",
        "a successor that linked itself late is promoted, and the word does not name it",
        &[check(Loom, "fifo_halt::three_cpus")],
    ),
    mutant(
        "host_forgets_kick",
        "a kick before the halt is not remembered",
        &[check(
            Host,
            "hypercalls::a_kick_before_the_halt_is_remembered_once",
        )],
    ),
    mutant(
        "host_ignores_hint",
        "a directed yield runs nobody",
        &[check(
            Host,
            "hypercalls::a_yield_runs_a_preempted_target_here_and_now",
        )],
    ),
    mutant(
        "host_ignores_generation",
        "a hint from an earlier run of its target counts",
        &[check(
            Host,
            "hypercalls::a_yield_with_an_old_generation_is_stale",
        )],
    ),
    mutant(
        "host_keeps_generation",
        "a new run of a vCPU has the generation of the last",
        &[check(
            Host,
            "hypercalls::a_yield_with_an_old_generation_is_stale",
        )],
    ),
    mutant(
        "host_forgets_poke",
        "an idle pCPU is not poked for those who wait",
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
        &[check(
            Host,
            "hypercalls::a_spinner_of_another_vm_is_left_alone",
        )],
    ),
    mutant(
        "host_charges_borrower",
        "borrowed time is charged to who runs",
        &[check(
            Host,
            "loans::the_donor_is_charged_and_the_borrower_runs",
        )],
    ),
    mutant(
        "host_trusts_edges",
        "an edge that names no vCPU of the VM is followed",
        &[check(
            AbiUnits,
            "chain::tests::an_edge_to_itself_or_to_nowhere_is_no_edge",
        )],
    ),
    mutant(
        "host_walks_in_circles",
        "a chain is followed for as long as there are edges",
        &[check(
            AbiUnits,
            "chain::tests::a_cycle_ends_at_the_preempted_one_nearest_to_the_hint",
        )],
    ),
];
