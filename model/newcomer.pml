#if PASSES
		/* pass_over.rs: newcomer() */
		if
		:: IS_WAITER(TAIL_OF(W)) && state[CPU_OF(TAIL_OF(W))] == OFF && MAY_PASS(W) ->
			seen = W; goto newcomer_seizes
		:: else
		fi;
#endif
