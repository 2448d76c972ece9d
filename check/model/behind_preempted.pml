	/* in_queue.rs: move_the_queue(), decide.rs: queued() */
	:: atomic { CAN_STEP && !PROMOTION && LOOKS_ABSENT(BEFORE) && !IS_HELD(W) && HEAD_OF(W) != me -> on();
		all_ahead_off();
		if
		:: ahead_off_ -> seen = W; goto overtakes
		:: else -> goto in_queue
		fi }
#if HINTS
	:: atomic { CAN_STEP && !PROMOTION && ABSENT(BEFORE) && IS_HELD(W) && state[PASSING_TARGET] == OFF -> on();
		saw(1); next = PASSING_TARGET; sample(next); next = 0; goto passing_yields }
#endif
	/* The lock is closed for its head. */
	:: atomic { CAN_STEP && !PROMOTION && LOOKS_ABSENT(BEFORE) && FREE_FOR_HEAD && HEAD_OF(W) != me &&
			old[HEAD_OF(W)] && LOOKS_PREEMPTED(HEAD_OF(W)) -> on();
		next = HEAD_OF(W); sample(next); goto closed_redirects }
