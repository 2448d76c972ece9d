//! Mistakes of the lock.

use crate::mutant::Suite::{Exact, Loom, LoomOneMore, Scripted, Torture, Word};
use crate::mutant::{Mutant, check, mutant, place};

pub(crate) const LOCK: &[Mutant] = &[
    mutant(
        "weak_acquire",
        "the lock is taken without acquiring",
        &[place(
            "crates/pvqspin/src/lock.rs",
            "0, alone, «Ordering::Acquire», Ordering::Relaxed",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "native::two_cpus_twice_each"),
        ],
    ),
    mutant(
        "weak_look",
        "a newcomer that looks takes the lock without acquiring",
        &[place(
            "crates/pvqspin/src/queue/newcomer.rs",
            "0, alone, «Ordering::Acquire», Ordering::Relaxed",
            "Ordering::Relaxed",
        )],
        &[check(Loom, "fifo_looks::two_cpus_twice_each")],
    ),
    mutant(
        "weak_release",
        "a release that no CPU waits for does not release",
        &[place(
            "crates/pvqspin/src/lock.rs",
            "token.alone(), 0, «Ordering::Release», Ordering::Relaxed",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "bounded::three_cpus"),
        ],
    ),
    mutant(
        "weak_contended_release",
        "a release that another CPU waits for does not",
        &[place(
            "crates/pvqspin/src/queue/release.rs",
            "word.fetch_and(!(LOCKED | PENDING), «Ordering::Release»)",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "fifo_halt_bit::three_cpus"),
        ],
    ),
    mutant(
        "weak_native_release",
        "a native release does not",
        &[place(
            "crates/pvqspin/src/queue/release.rs",
            "word.fetch_and(!LOCKED, «Ordering::Release»)",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "native::two_cpus_twice_each"),
            check(Loom, "native_bit::three_cpus"),
        ],
    ),
    mutant(
        "weak_take",
        "the head takes the free lock without acquiring",
        &[place(
            "crates/pvqspin/src/queue/at_head.rs",
            ".compare_exchange(seen, held, «Ordering::Acquire», Ordering::Relaxed)",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "middle::the_middle_leaves"),
        ],
    ),
    mutant(
        "weak_seize",
        "a CPU that takes the lock past its head does not acquire",
        &[place(
            "crates/pvqspin/src/queue/fallback.rs",
            ".compare_exchange(seen, held, «Ordering::Acquire», Ordering::Relaxed)",
            "Ordering::Relaxed",
        )],
        &[check(Loom, "bounded::three_cpus")],
    ),
    mutant(
        "weak_pending_take",
        "the pending waiter takes the lock without acquiring",
        &[place(
            "crates/pvqspin/src/queue/pending.rs",
            "seen & !PENDING | LOCKED, «Ordering::Acquire»,",
            "Ordering::Relaxed",
        )],
        &[check(Loom, "native::two_cpus_twice_each")],
    ),
    mutant(
        "weak_join",
        "the tail is exchanged without publishing one's node or knowing the one before",
        &[place(
            "crates/pvqspin/src/queue/join.rs",
            ".compare_exchange(seen, joined, «Ordering::AcqRel», Ordering::Relaxed)",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "fifo::three_cpus"),
            check(Loom, "fifo_halt::two_cpus_twice_each"),
        ],
    ),
    mutant(
        "weak_link",
        "the link behind the one before does not publish the node",
        &[place(
            "crates/pvqspin/src/queue/join.rs",
            "node.next.store(self.tail, «Ordering::Release»)",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "fifo::two_cpus_twice_each"),
            check(Loom, "fifo_halt::two_cpus_twice_each"),
        ],
    ),
    mutant(
        "drop_recheck",
        "a waiter in the middle halts without looking whether it was promoted meanwhile",
        &[place(
            "crates/pvqspin/src/queue/in_queue.rs",
            "let promoted = «node_state.compare_exchange(state::WAITING, state::HALTED, Ordering::Relaxed, Ordering::Relaxed,).is_err()»;",
            "{ node_state.store(state::HALTED, Ordering::Relaxed); false }",
        )],
        &[
            check(Loom, "fifo_halt::three_cpus"),
            check(Loom, "fifo_holder::three_cpus"),
        ],
    ),
    mutant(
        "drop_recheck_at_head",
        "the head halts without looking whether the lock was released meanwhile",
        &[place(
            "crates/pvqspin/src/queue/at_head.rs",
            "Err(now) if «is_free(now)» => return,",
            "false",
        )],
        &[check(Loom, "fifo_halt::two_cpus_twice_each")],
    ),
    mutant(
        "forget_sleeper",
        "the promoter of a halted waiter does not note that it needs a kick",
        &[place(
            "crates/pvqspin/src/queue/at_head.rs",
            "if «was == state::HALTED» {",
            "false",
        )],
        &[
            check(Loom, "fifo_halt::three_cpus"),
            check(Loom, "sleepers::a_promoted_sleeper_is_woken_at_once"),
            check(Torture, "fifo_halt_survives"),
        ],
    ),
    mutant(
        "kick_before_release",
        "the kick goes out before the lock is free",
        &[place(
            "crates/pvqspin/src/queue/release.rs",
            "let (held, free) = «clear(word, passed, seen)»;",
            "{ if seen & PENDING != 0 && passed.is_none() && let Some(head) = head_of(seen) { Sleep::kick::<E>(head); } let (held, free) = clear(word, passed, seen); (held & !PENDING, free) }",
        )],
        &[
            check(Loom, "fifo_halt::two_cpus_twice_each"),
            check(Torture, "fifo_halt_survives"),
        ],
    ),
    mutant(
        "never_halt",
        "waiters spin whatever the policy says, and whether the host refuses or not",
        &[place(
            "crates/pvqspin/src/queue/waiter.rs",
            "«E::pressure() && outermost»",
            "false",
        )],
        &[
            check(
                Scripted,
                "sleep::the_head_halts_with_the_holders_name_and_is_kicked",
            ),
            check(
                Scripted,
                "pass_over::who_may_be_passed_over_sleeps_behind_the_head_once_the_host_has_refused",
            ),
        ],
    ),
    mutant(
        "halt_in_inner_wait",
        "a wait that interrupted another one halts, and may use up its kick",
        &[place(
            "crates/pvqspin/src/queue/waiter.rs",
            "let outermost = «self.nodes.in_use() == 1»;",
            "true",
        )],
        &[check(Scripted, "sleep::only_the_outermost_wait_halts")],
    ),
    mutant(
        "forget_generation",
        "a yield does not say which run of its target the caller saw",
        &[place(
            "crates/pvqspin/src/queue/ask.rs",
            "generation: «target.sample.generation()»,",
            "pvqspin_abi::Generation::default()",
        )],
        &[check(
            Scripted,
            "one_waiter::the_first_waiter_is_the_head_and_lends_its_pcpu_to_the_preempted_holder",
        )],
    ),
    mutant(
        "drop_idx",
        "the tail says which CPU waits last, but not in which context",
        &[place(
            "crates/pvqspin/src/word.rs",
            "let idx = «context as u32»;",
            "0",
        )],
        &[check(Word, "word::tests::every_tail_survives_in_idx3")],
    ),
    mutant(
        "keep_edge",
        "the head's wait-for edge is still there when it holds the lock",
        &[place(
            "crates/pvqspin/src/queue/at_head.rs",
            "«edge.withdraw()»; if self.take(seen)",
            "()",
        )],
        &[check(
            Exact,
            "a_preemption_at_any_point_costs_nobody_a_rotation",
        )],
    ),
    mutant(
        "keep_edge_of_head",
        "a CPU that yields to the head of a free lock leaves its old edge",
        &[place(
            "crates/pvqspin/src/queue/ask.rs",
            "«withdraw_edge_of::<E>(head)»; yield_to::<E>(Event::YieldToHead, head)",
            "()",
        )],
        &[check(
            Exact,
            "a_preemption_at_any_point_costs_nobody_a_rotation",
        )],
    ),
    mutant(
        "lose_interrupted_edge",
        "an interrupt handler that waited does not put the interrupted wait's edge back",
        &[place(
            "crates/pvqspin/src/queue/edge.rs",
            "«Self::publish(self.interrupted)»;",
            "None",
        )],
        &[check(Scripted, "edges::an_interrupted_wait_is_put_back")],
    ),
    mutant(
        "ignore_age",
        "a preempted head is passed over for ever",
        &[place(
            "crates/pvqspin/src/queue/age.rs",
            "age_us >= «P::RULES.pass_over_us»",
            "u32::MAX",
        )],
        &[
            check(
                Scripted,
                "pass_over::nobody_passes_over_a_head_that_is_too_old",
            ),
            check(Loom, "middle::the_middle_leaves_when_the_head_is_refused"),
        ],
    ),
    mutant(
        "overtake_the_running",
        "a waiter passes over running ones between itself and the head",
        &[place(
            "crates/pvqspin/src/queue/pass_over.rs",
            "if «!is_off::<E>(cpu)» { return false; }",
            "false",
        )],
        &[check(
            Scripted,
            "pass_over::nobody_passes_over_one_that_runs",
        )],
    ),
    mutant(
        "leave_head_to_others",
        "a releaser keeps its pCPU from a preempted head that others may pass over, though the host refuses nothing",
        &[place(
            "crates/pvqspin/src/queue/decide.rs",
            "let leave_it_to_others = rules.passes_over() && !seen.closed && «seen.host_refuses»;",
            "true",
        )],
        &[check(
            Scripted,
            "pass_over::a_releaser_runs_a_head_that_may_be_passed_over_unless_the_host_refuses",
        )],
    ),
    mutant(
        "lend_where_it_may_not",
        "a waiter calls the host from a context that may not lend",
        &[place(
            "crates/pvqspin/src/queue/ask.rs",
            "if «!E::may_lend()» { return Status::Refused; }",
            "false",
        )],
        &[check(
            Scripted,
            "pass_over::a_context_that_may_not_lend_makes_no_call",
        )],
    ),
    mutant(
        "lose_passed_head",
        "a CPU that took the lock past its head does not put the head's name back",
        &[place(
            "crates/pvqspin/src/queue/release.rs",
            "let named = «head_bits(head)»;",
            "0",
        )],
        &[check(
            Scripted,
            "pass_over::a_newcomer_passes_over_a_preempted_head_and_leaves_its_name",
        )],
    ),
    mutant(
        "lose_skipped_waiter",
        "a waiter that leaves the middle of the queue does not link those around it",
        &[place(
            "crates/pvqspin/src/queue/unlink.rs",
            "«before.next.store(next, Ordering::Release)»;",
            "()",
        )],
        &[
            check(Loom, "middle::the_middle_leaves"),
            check(Torture, "bounded_survives"),
        ],
    ),
    mutant(
        "keep_stale_pred",
        "the waiter behind one that left still names it",
        &[place(
            "crates/pvqspin/src/queue/unlink.rs",
            "«after.pred.store(pred, Ordering::Relaxed)»;",
            "()",
        )],
        &[
            check(Loom, "middle::the_middle_leaves"),
            check(Loom, "middle::the_middle_leaves_while_somebody_links"),
        ],
    ),
    mutant(
        "keep_stale_link",
        "the waiter before the last one still names it when it has left",
        &[place(
            "crates/pvqspin/src/queue/unlink.rs",
            "«before.next.store(0, Ordering::Relaxed)»;",
            "()",
        )],
        &[check(
            LoomOneMore,
            "middle::the_middle_leaves_while_somebody_joins",
        )],
    ),
    mutant(
        "unnamed_head",
        "a successor that linked itself late is promoted, and the word does not name it",
        &[place(
            "crates/pvqspin/src/queue/at_head.rs",
            "if «Self::PARAVIRTUAL» {",
            "false",
        )],
        &[check(Loom, "fifo_halt::three_cpus")],
    ),
];
