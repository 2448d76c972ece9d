/* One context of one CPU: takes a lock, releases it, again and again. Models
 * crates/pvqspin/src/lock.rs, crates/pvqspin/src/queue.rs and
 * crates/pvqspin/src/queue/{join,in_queue,at_head,successor}.rs; release.rs is in release.pml, pass_over.rs in
 * pass_over.pml.
 *
 * Each `atomic` is one step: one access to what others see, with what follows from it privately.
 * A compare-exchange and the load before it are one step where the load decides nothing else: the
 * exchange succeeds only if the word is what was loaded.
 *
 * How long a waiter spins is left open: wherever a budget could be gone, it may go on to the next
 * thing, or not. So all budgets, clocks and scores (holds.rs) are covered.
 */
proctype context(byte me; byte level) {
#if LOCKS > 1
	byte l, ctx;
#endif
	byte next, passed;
	short seen;
	bit asleep, past_queue;
#if HINTS
	byte promoter, holder, interrupted;
	bit slept, gone;
#endif
#if PASSES
	bit to_unlink;
#endif
end_idle:
	if
#if !NESTED
	:: atomic { CAN_STEP -> on(); goto call }
#else
	/* CPU 1 takes lock 0, and so does 2; interrupts on them, and CPU 3, take lock 1. */
	:: atomic { level == 0 && CAN_STEP -> on(); l = (me == V -> 1 : 0); goto call }
	:: atomic { level == 1 && level_of[me] == 0 && may_interrupt[me] ->
		may_interrupt[me] = 0;
		if :: state[me] == HALTED -> state[me] = OFF :: else fi;
		on(); level_of[me] = 1; l = 1; goto call }
#endif
#if !HINTS
	/* It may never want the lock again: no other CPU's progress may hang on that. */
	:: atomic { level == 0 && CAN_STEP && level_of[me] == 0 ->
		state[me] = IDLE;
#if NESTED
		may_interrupt[me] = 0;
#endif
		goto stopped }
#endif
	fi;

call:	/* lock.rs: lock(); queue.rs: lock_contended() */
	atomic { CAN_STEP -> on();
		if
		:: W == 0 -> W = ALONE; taken(); CHECK_WORD; goto critical
		:: else ->
			/* nodes.rs: claim() */
			if
			:: depth[me] >= CLAIMABLE -> past_queue = 1; goto without_node
			:: else
			fi;
			set_context(depth[me]); depth[me]++;
			node_state[MY_NODE] = WAITING; node_next[MY_NODE] = 0; node_pred[MY_NODE] = 0;
			young(me);
#if CONTEXTS == 1 && !PASSES
			goto join_now
#endif
		fi
	}
join:	/* join.rs: join() */
	atomic { CAN_STEP -> on();
#include "newcomer.pml"
join_now:
		if
		:: W == 0 -> W = ALONE; taken(); CHECK_WORD; goto has_lock
		:: W != 0 && IS_WAITER(TAIL_OF(W)) ->
			next = TAIL_OF(W);
#if HINTS || PASSES
			node_pred[MY_NODE] = next;
#endif
			W = (W & ~TAIL) | TAIL_BITS(MY_TAIL);
			joined(); CHECK_WORD; goto link
		:: W != 0 && !IS_WAITER(TAIL_OF(W)) ->
#if HINTS
			holder = CPU_OF(TAIL_OF(W));
#endif
			W = (W & ~(TAIL | HEAD)) | TAIL_BITS(MY_TAIL) | HEAD_BITS(me);
			joined(); CHECK_WORD;
#if HINTS
			goto first
#else
			goto for_word
#endif
		fi
	}
#if HINTS
first:	/* queue.rs: acquire(), Joined::First */
	atomic { CAN_STEP -> on();
		interrupted = edge[me]; publish(holder); promoter = holder;
		reaches(AT_HEAD);
		goto for_word
	}
#endif
link:	/* join.rs: link() */
#if HINTS
	atomic { CAN_STEP -> on();
		interrupted = edge[me];
#ifndef MUTANT_forget_edge
		publish(CPU_OF(next))
#endif
	}
#endif
	atomic { CAN_STEP -> on(); node_next[NODE(next)] = MY_TAIL; next = 0; reaches(LINKED) }

	/* --- in the queue: in_queue.rs, wait_in_queue() --------------------------------------- */
in_queue:
	if
#if HINTS
	/* edge.rs: keep() */
	:: atomic { CAN_STEP && !PROMOTION && edge[me] != BEFORE -> on(); publish(BEFORE); goto in_queue }
#endif
	:: atomic { CAN_STEP && PROMOTION -> on();
#if HINTS
		promoter = BEFORE; holder = promoter; reaches(AT_HEAD);
#endif
		goto for_word }
#if SLEEPS_IN_QUEUE
	/* halt_in_queue(): one location decides. FIFO: is_long_hold(), the holder runs. */
#ifdef MUTANT_drop_recheck
	:: atomic { CAN_STEP && !PROMOTION && MAY_HALT && WOULD_SLEEP -> on(); goto queue_halts }
#else
	:: atomic { CAN_STEP && !PROMOTION && MAY_HALT && WOULD_SLEEP -> on();
		node_state[MY_NODE] = SLEEPS; wishes_kick(); goto queue_hint }
#endif
#endif
#if YIELDS && !PASSES && !HINTS
	/* kick_if_overdue(), of a free lock's head; sleeping_head(), of a held one's */
	:: atomic { CAN_STEP && !PROMOTION && HEAD_OF(W) != 0 && state[HEAD_OF(W)] == HALTED ->
		next = HEAD_OF(W); goto queue_kicks }
#endif
#if YIELDS && !PASSES && HINTS
	/* move_the_queue(), decide.rs: queued() */
	:: atomic { CAN_STEP && !PROMOTION && ABSENT(BEFORE) && !FREE_FOR_HEAD -> on();
		saw(IS_HELD(W)); sample(BEFORE); goto queue_yields }
	:: atomic { CAN_STEP && !PROMOTION && ABSENT(BEFORE) && FREE_FOR_HEAD && state[HEAD_OF(W)] == OFF ->
		on(); next = HEAD_OF(W); sample(next); goto queue_redirects }
	:: atomic { CAN_STEP && !PROMOTION && ABSENT(BEFORE) && FREE_FOR_HEAD && state[HEAD_OF(W)] == HALTED ->
		on(); next = HEAD_OF(W); goto queue_kicks }
	/* sleeping_head() */
	:: atomic { CAN_STEP && !PROMOTION && (W & LOCKED) && HEAD_OF(W) != 0 && state[HEAD_OF(W)] == HALTED &&
			NO_PRESSURE -> on(); next = HEAD_OF(W); goto queue_kicks }
#endif
#if PASSES && SLEEPS_REFUSED
	/* sleeping_head() */
	:: atomic { CAN_STEP && !PROMOTION && (W & LOCKED) && HEAD_OF(W) != 0 && state[HEAD_OF(W)] == HALTED &&
			NO_PRESSURE -> on(); next = HEAD_OF(W); goto queue_kicks }
#endif
#if PASSES
#include "behind_preempted.pml"
#endif
	fi;

#if SLEEPS_IN_QUEUE
#ifdef MUTANT_drop_recheck
queue_halts:
	atomic { CAN_STEP -> on(); node_state[MY_NODE] = SLEEPS; wishes_kick() }
#endif
queue_hint:
#if HINTS
	/* absent_head(), or the rule `names` */
	atomic { CAN_STEP -> on();
		saw(IS_HELD(W));
#if NAMES_HOLDER
		next = HOLDER;
		if :: next == 0 -> next = BEFORE :: else fi;
#else
		if
		:: FREE_FOR_HEAD && state[HEAD_OF(W)] == OFF -> next = HEAD_OF(W); goto queue_hint_redirects
		:: else -> next = BEFORE
		fi;
#endif
		sample(next); next = 0; goto queue_sleeps
	}
#if !NAMES_HOLDER
queue_hint_redirects:
	atomic { CAN_STEP -> on(); redirect(next); sample(next); seen_off_only(next); next = 0 }
#endif
queue_sleeps:
#endif
	atomic { CAN_STEP -> on(); halt_hinting(); saw(0); note_slept() }
	/* woken, or the kick was there already */
	atomic { CAN_STEP -> on();
		if :: node_state[MY_NODE] == SLEEPS -> node_state[MY_NODE] = WAITING; takes_wish_back() :: else fi;
		goto in_queue
	}
#endif
#if YIELDS && (!PASSES || SLEEPS_REFUSED)
#if HINTS && !PASSES
queue_redirects: /* ask.rs: yield_to_head() */
	atomic { CAN_STEP -> on(); redirect(next); next = 0 }
queue_yields:
	atomic { CAN_STEP -> on(); yield_to_hinted(); saw(0); goto in_queue }
#endif
queue_kicks: /* kick_if_overdue() */
	atomic { CAN_STEP -> on(); kick(next); next = 0; goto in_queue }
#endif

	/* --- at the head: at_head.rs, wait_for_word() ------------------------------------------ */
for_word:
	if
	:: atomic { CAN_STEP && !BLOCKED -> on();
		seen = W;
#if HINTS && !defined(MUTANT_keep_edge)
		publish(0);
#endif
		goto read_link }
#if HINTS
	/* wait_for_word() */
	:: atomic { CAN_STEP && BLOCKED && TRACKED != holder -> on();
		holder = TRACKED; goto for_word }
	:: atomic { CAN_STEP && BLOCKED && edge[me] != holder -> on(); publish(holder); goto for_word }
#endif
#if YIELDS && HINTS
	/* decide.rs: first() */
	:: atomic { CAN_STEP && BLOCKED && holder != 0 && STUCK(holder) -> on();
		saw(1); sample(holder); goto head_yields }
#endif
#if HALTS || SLEEPS_LONG
	/* halt_at_head(): one location decides again. */
#ifdef MUTANT_drop_recheck_at_head
	:: atomic { CAN_STEP && BLOCKED && MAY_HALT && HEAD_WOULD_SLEEP -> on(); goto head_wishes }
#else
	:: atomic { CAN_STEP && BLOCKED && MAY_HALT && HEAD_WOULD_SLEEP -> on();
		asleep = IS_PAST(W);
		if :: !(W & PENDING) -> wishes_kick() :: else fi;
		W = W | PENDING; CHECK_WORD;
		if
		:: asleep -> asleep = 0; goto for_word
		:: else -> goto head_hint
		fi }
#endif
#endif
	fi;
#if YIELDS && HINTS
head_yields:
	atomic { CAN_STEP -> on(); yield_to_hinted(); saw(0); goto for_word }
#endif
#if HALTS || SLEEPS_LONG
#ifdef MUTANT_drop_recheck_at_head
head_wishes:
	atomic { CAN_STEP -> on(); wishes_kick(); W = W | PENDING }
#endif
head_hint:
#if HINTS
	atomic { CAN_STEP -> on(); saw(1);
		if :: holder != 0 -> sample(holder) :: else fi }
#endif
	atomic { CAN_STEP -> on(); halt_hinting(); saw(0); note_slept(); goto for_word }
#endif

read_link: /* at_head.rs: take() */
	atomic { CAN_STEP -> on();
#if PASSES && !defined(MUTANT_name_stranger)
		next = 0
#else
		next = CPU_OF(node_next[MY_NODE])
#endif
	}
	atomic { CAN_STEP -> on();
		if
		:: W == seen && TAIL_OF(seen) == MY_TAIL ->
			W = ALONE; taken(); CHECK_WORD; seen = 0; next = 0; goto has_lock
		:: W == seen && TAIL_OF(seen) != MY_TAIL ->
			W = (seen & TAIL) | HEAD_BITS(next) | LOCKED; taken(); CHECK_WORD; seen = 0;
			goto successor
		:: W != seen -> seen = 0; next = 0; goto for_word
		fi
	}
successor: /* successor.rs: linked_successor() */
	if
	:: atomic { CAN_STEP && node_next[MY_NODE] != 0 -> on();
#if PASSES
		if :: to_unlink -> goto bridge :: else fi;
#endif
		seen = node_next[MY_NODE];
		if :: next == 0 -> goto name_head :: else ->
#ifdef STRICT
			/* In strict order a link does not change: promote_next() relies on it. */
			assert(CPU_OF(seen) == next);
#endif
			next = 0; goto promote
		fi }
#if HINTS
	:: atomic { CAN_STEP && node_next[MY_NODE] == 0 -> on(); stuck_behind(); goto successor_yields }
#endif
	fi;
#if HINTS
successor_yields:
	atomic { CAN_STEP -> on(); yield_to_hinted(); goto successor }
#endif

name_head: /* at_head.rs: promote_next() */
	atomic { CAN_STEP -> on();
#ifndef MUTANT_unnamed_head
		W = W | HEAD_BITS(CPU_OF(seen));
#endif
		CHECK_WORD
	}
promote:
	atomic { CAN_STEP -> on();
		asleep = node_state[NODE(seen)] == SLEEPS;
		node_state[NODE(seen)] = PROMOTED;
		next = CPU_OF(seen); seen = 0;
#ifdef MUTANT_forget_sleeper
		asleep = 0;
#endif
		if
		:: asleep -> asleep = 0
		:: else -> next = 0; goto has_lock
		fi
	}
	/* wake_in_time() */
	if
#if YIELDS
	:: atomic { CAN_STEP && NO_PRESSURE -> on(); answers_wish(next); kick(next);
#ifdef MUTANT_wake_twice
		W = W | PENDING;
#endif
		next = 0; goto has_lock }
#endif
	:: atomic { CAN_STEP -> on(); W = W | PENDING; CHECK_WORD; next = 0; goto has_lock }
	fi;

	/* queue.rs: the end of acquire() and of lock_contended() */
#if NESTED
has_lock:
#if HINTS
	atomic { CAN_STEP -> on(); publish(interrupted); interrupted = 0 }
#endif
	atomic { CAN_STEP -> on();
#else
has_lock: atomic {
#if HINTS
		publish(interrupted); interrupted = 0;
#endif
#endif
		/* No CPU reads a node that is not in use; claim() would clear it. */
		node_state[MY_NODE] = WAITING; node_next[MY_NODE] = 0; node_pred[MY_NODE] = 0;
		if :: depth[me] == 1 -> wishes[me] = 0 :: else fi;
		depth[me]--; set_context(0);
#if HINTS
		promoter = 0; holder = 0; slept = 0;
#endif
		old_forgotten(me)
	}

#include "release.pml"
	/* --- done ------------------------------------------------------------------------------ */
released:
#if NESTED
	atomic { CAN_STEP -> on();
		if :: level == 1 -> level_of[me] = 0 :: else -> may_interrupt[me] = (me != V) fi;
#if LOCKS > 1
		l = 0;
#endif
		skip
	}
#endif
	goto end_idle;
#include "pass_over.pml"
stopped: skip
}
