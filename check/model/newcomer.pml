#if PASSES
		/* pass_over.rs: pass_over_as_newcomer() */
		if
		:: IS_WAITER(TAIL_OF(W)) && LOOKS_OFF(CPU_OF(TAIL_OF(W))) && MAY_PASS(W) ->
			seen = W; goto newcomer_seizes
		:: else
		fi;
#endif
