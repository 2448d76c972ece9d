	/* --- release: lock.rs, release(); release.rs, contended() ------------------------------ */
critical:
#ifdef MUTANT_kick_before_release
	atomic { CAN_STEP -> on();
		if
		:: (W & PENDING) && HEAD_OF(W) != 0 && passed == 0 ->
			answers_wish(HEAD_OF(W)); kick(HEAD_OF(W))
		:: else
		fi
	}
#endif
	atomic { CAN_STEP -> on();
		assert(owner[l] == me);
		owner[l] = 0; past_queue = 0; hold_ended();
		if
		:: W == ALONE && passed == 0 -> W = 0; goto released
		:: else
		fi;
#ifdef MUTANT_forget_wish
		asleep = 0;
#else
		asleep = (W & PENDING) && passed == 0;
#endif
		if
		:: passed == 0 -> W = W & ~(LOCKED | PENDING)
#ifdef MUTANT_lose_passed_head
		:: else -> W = W & ~(LOCKED | PENDING | HEAD)
#else
		:: else -> W = (W & ~(LOCKED | PENDING | HEAD)) | HEAD_BITS(passed)
#endif
		fi;
		passed = 0;
		CHECK_WORD;
		next = HEAD_OF(W);
		/* A free lock with a queue names its head. */
		assert(next != 0 || queued[l] == 0);
#ifdef MUTANT_kick_before_release
		asleep = 0;
#endif
		if
		:: next == 0 -> asleep = 0; goto released
		:: next != 0 && asleep -> answers_wish(next)
		:: next != 0 && !asleep ->
#if (YIELDS && HINTS) || KICKS_ALWAYS
			goto lend
#else
			next = 0; goto released
#endif
		fi
	}
#if YIELDS && HINTS
	/* a head that was woken early may have been preempted since: awake_and_gone */
	atomic { CAN_STEP -> on(); gone = (state[next] == OFF) }
#endif
	atomic { CAN_STEP -> on();
		kick(next); asleep = 0;
#if YIELDS && HINTS
		if
		:: gone -> gone = 0
		:: else -> next = 0; goto released
		fi
#else
		next = 0; goto released
#endif
	}
#if KICKS_ALWAYS
lend:
	if
	:: atomic { CAN_STEP -> on(); kick(next); next = 0; goto released }
	:: atomic { CAN_STEP && NO_PRESSURE -> on(); next = 0; goto released }
	fi;
#endif
#if YIELDS && HINTS
lend:	/* release.rs: lend_to() */
	if
	:: atomic { CAN_STEP && state[next] == OFF -> on(); sample(next) }
	:: atomic { CAN_STEP && state[next] != OFF -> on(); next = 0; goto released }
	fi;
	atomic { CAN_STEP -> on(); redirect(next); next = 0 }
	if
	:: atomic { CAN_STEP -> on(); yield_to_hinted(); goto released }
	/* lending(): it keeps its pCPU (Lends::No), or others may pass over that head and the host refuses */
	:: atomic { CAN_STEP -> on(); forget_hint(); goto released }
	fi;
#endif
