	/* pass_over.rs: behind_preempted() */
	:: atomic { CAN_STEP && !PROMOTION && ABSENT(BEFORE) && !(W & LOCKED) -> on();
		all_ahead_off();
		if
		:: ahead_off_ -> seen = W; goto overtakes
		:: else -> goto in_queue
		fi }
	:: atomic { CAN_STEP && !PROMOTION && ABSENT(BEFORE) && (W & LOCKED) && state[PASSING_TARGET] == OFF -> on();
		saw_held = 1; next = PASSING_TARGET; sample(next); next = 0; goto passing_yields }
	:: atomic { CAN_STEP && !PROMOTION && ABSENT(BEFORE) && FREE_FOR_HEAD && old[HEAD_OF(W)] &&
			state[HEAD_OF(W)] == OFF -> on();
		next = HEAD_OF(W); sample(next); goto closed_redirects }
