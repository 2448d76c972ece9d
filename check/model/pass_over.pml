/* Taking a lock past its queue. Models crates/pvqspin/src/queue/{pass_over,unlink,fallback}.rs. Part of `context`. */

#if CLAIMABLE < CONTEXTS
without_node: /* lock_without_node(), seize() */
	atomic { CAN_STEP && !IS_HELD(W) && (W == 0 || HEAD_OF(W) != 0) -> on();
		if
		:: W == 0 -> W = ALONE
		:: else -> passed = HEAD_OF(W); W = (W & TAIL) | HEAD_BITS(me) | PENDING
		fi;
		taken(); CHECK_WORD;
		goto critical
	}
#else
without_node: assert(false);
#endif

#if PASSES
newcomer_seizes: /* pass_over_as_newcomer(), take_past_head(), seize() */
	atomic { CAN_STEP -> on();
		if
		:: W == seen -> SEIZE; seen = 0; goto has_lock
		:: else -> seen = 0; goto join
		fi
	}

overtakes: /* overtake(): a holder waits for no CPU, from the step on that makes it one */
#if HINTS
	atomic { CAN_STEP -> on(); holder = edge[me]; publish(0) }
#endif
	if
	:: next == 0 ->
		/* decide.rs: may_pass_over() */
		atomic { CAN_STEP -> on();
			if
			:: MAY_PASS(seen)
			:: else -> gives_up(); seen = 0; goto in_queue
			fi
		}
	:: else -> next = 0
	fi;
	atomic { CAN_STEP -> on();
		if
		:: W == seen -> SEIZE; seen = 0; kept_edge(0)
		:: else -> gives_up(); seen = 0; goto in_queue
		fi
	}
#ifdef MUTANT_lose_skipped_waiter
	goto has_lock;
#endif
	/* unlink() */
	atomic { CAN_STEP -> on();
		next = node_pred[MY_NODE];
		if :: node_next[MY_NODE] != 0 -> goto with_successor :: else fi
	}
#ifndef MUTANT_keep_stale_link
	atomic { CAN_STEP -> on(); node_next[NODE(next)] = 0 }
#endif
	/* retreat_tail() */
	atomic { CAN_STEP -> on();
		if
		:: TAIL_OF(W) == MY_TAIL -> W = (W & ~TAIL) | TAIL_BITS(next); next = 0; CHECK_WORD; goto has_lock
		:: else
		fi
	}
with_successor:
	to_unlink = 1;
	goto successor;
bridge:	/* unlink(), with a successor: from `successor` */
	atomic { CAN_STEP -> on();
		seen = node_next[MY_NODE];
#ifndef MUTANT_keep_stale_pred
		node_pred[NODE(seen)] = next
#endif
	}
#if HINTS
	if
	:: atomic { CAN_STEP && edge[CPU_OF(seen)] == me -> on() }
		atomic { CAN_STEP -> on(); edge[CPU_OF(seen)] = CPU_OF(next) }
	:: atomic { CAN_STEP && edge[CPU_OF(seen)] != me -> on() }
	fi;
#endif
	atomic { CAN_STEP -> on();
		node_next[NODE(next)] = seen; seen = 0; next = 0; to_unlink = 0;
		goto has_lock
	}

closed_redirects: /* ask.rs: yield_to_head() */
#if HINTS
	atomic { CAN_STEP -> on(); redirect(next) }
	atomic { CAN_STEP -> on(); yield_to_hinted(); to_unlink = refused_; refused_ = 0 }
#elif !defined(OBEYS)
	to_unlink = 1;
#endif
	/* overtake_refused() */
	atomic { CAN_STEP -> on();
		all_ahead_off();
		if
		:: to_unlink && ahead_off_ && HEAD_OF(W) == next && !IS_HELD(W) &&
				LOOKS_OFF(next) && next != me ->
			to_unlink = 0; seen = W; goto overtakes
		:: else -> to_unlink = 0; next = 0; goto in_queue
		fi
	}
#if HINTS
passing_yields:
	atomic { CAN_STEP -> on(); yield_to_hinted(); saw(0); goto in_queue }
#endif
#endif
