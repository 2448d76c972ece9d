/* With HINTS: P pCPUs, who is on one, the pages, directed yields. Part of world.pml. */
byte on_pcpus;
byte edge[V+1];           /* abi/src/page.rs: VcpuPage::waiting_for */

/* A hint in preparation: which CPU, and whether the run count in it (abi: Hint::generation) is not that of
 * its target any more; without a number that could wrap. `ran_since` is what really happened. */
byte hinted[V+1];
bit  stale[V+1];
bit  ran_since[V+1];
/* It is for the head of a free lock, which was seen off its pCPU without its old edge. (hint_for() looks
 * again; one that runs by then may publish another edge within the same run.) */
bit  for_head[V+1];
inline seen_off_only(c) { for_head[me] = state[c] == OFF }

/* Whether the caller believes that the lock is held. */
bit saw_held[V+1];
inline saw(held) { saw_held[me] = held != 0 }

/* Who names its predecessor names the place that the holder had in the queue, and the host reads from the
 * edges who holds now. A CPU that names the holder (FIFO_HOLDER) names one that may have released since:
 * there the property is claimed only for hints that arrive within the hold that they are about. */
inline hold_ended() {
#if (NAMES_HOLDER || PASSES) && !defined(NAME_OUTLIVES_HOLD)
	x_ = 1;
	do
	:: x_ <= V -> saw_held[x_] = 0; x_++
	:: else -> break
	od;
	x_ = 0
#else
	skip
#endif
}

inline note_slept() { slept = SLEEPS_LONG }

/* The host acts on no hint about a CPU that ran since, and on any other. */
inline hint_believed() { assert(!ran_since[me]) }
inline hint_dropped() { assert(hinted[me] == 0 || ran_since[me]) }

/* An edge that another CPU wrote over while it was true: redirects are checked, then made, and the
 * other one may have run between. It puts its edge right when it runs. */
bit wrong[V+1];

inline publish(to) { edge[me] = to; wrong[me] = 0 }

/* env.rs: redirect_wait_of(_, None), of the head of a free lock */
inline redirect(c) {
	wrong[c] = wrong[c] || (stage[c] >= JOINED && (IS_HELD(word[0]) || HEAD_OF(word[0]) != c));
	for_head[me] = 1;
#ifndef MUTANT_keep_edge_of_head
	edge[c] = 0
#endif
}

/* A hint of a waiter that saw the lock held ends at a CPU whose running helps: not at another one
 * that waits for the held lock, and not at one that has nothing to do with it. */
#define WAITS_IN_VAIN(c) ((stage[c] == LINKED || stage[c] == AT_HEAD) && IS_HELD(word[0]) && !wrong[c])
#define A_STRANGER(c)    (stage[c] == 0 && owner[0] != (c))
inline chain_followed() {
#ifdef HINTS_HELP
	/* While the lock is free for the head that is named, no other is run. */
	assert(end_ == 0 || !for_head[me] || IS_HELD(word[0]) || HEAD_OF(word[0]) != hinted[me] || end_ == hinted[me]);
	assert(end_ == 0 || stage[me] < LINKED || !IS_HELD(word[0]) || !saw_held[me] || (!WAITS_IN_VAIN(end_) && !A_STRANGER(end_)))
#else
	skip
#endif
}

SCRATCH byte at_, hops_, first_off_, last_off_, end_;

inline put_on(c) {
	state[c] = ON; on_pcpus++;
	/* host/src/state/vcpu.rs counts the run. */
	x_ = 1;
	do
	:: x_ <= V ->
#ifndef MUTANT_host_keeps_generation
		stale[x_] = stale[x_] || hinted[x_] == c;
#endif
		ran_since[x_] = ran_since[x_] || hinted[x_] == c;
		x_++
	:: else -> break
	od;
	x_ = 0
}

inline take_off(c) { state[c] = OFF; on_pcpus-- }

inline push_somebody_off() {
	if
	:: state[1] == ON -> take_off(1)
	:: state[2] == ON -> take_off(2)
#if V > 2
	:: state[3] == ON -> take_off(3)
#endif
#if V > 3
	:: state[4] == ON -> take_off(4)
#endif
	fi
}

/* `me` has a pCPU for its step. */
inline on() {
	if
	:: state[me] == ON
	:: state[me] == OFF ->
		if
		:: on_pcpus < P
		:: on_pcpus == P -> push_somebody_off()
		fi;
		put_on(me)
	fi
}

/* abi/src/chain.rs: follow(). From `first` along the edges; end_ is the one to run, or 0. */
inline follow(first) {
	at_ = first; hops_ = 0; first_off_ = 0; last_off_ = 0; end_ = 0;
	do
	:: hops_ >= V ->
		/* end_of_cycle() */
		end_ = first_off_;
		break
	:: else ->
		if
		:: state[at_] == OFF ->
			last_off_ = at_;
			if :: first_off_ == 0 -> first_off_ = at_ :: else fi
		:: else
		fi;
		if
		:: edge[at_] != 0 && edge[at_] != me && edge[at_] != at_ ->
			at_ = edge[at_]; hops_++
		:: else ->
			/* end_at() */
			if
			:: state[at_] == OFF -> end_ = at_
			:: state[at_] == HALTED || state[at_] == IDLE -> end_ = last_off_
			:: state[at_] == ON
			fi;
			break
		fi
	od;
	chain_followed();
	at_ = 0; hops_ = 0; first_off_ = 0; last_off_ = 0
}

/* Names `c` in a call to come: ask.rs: hint_for(), run_sample(). */
inline sample(c) {
	hinted[me] = c; ran_since[me] = 0;
#ifdef MUTANT_forget_generation
	stale[me] = 1
#else
	stale[me] = 0
#endif
}

inline forget_hint() { hinted[me] = 0; stale[me] = 0; ran_since[me] = 0; for_head[me] = 0 }

/* host/src/yielding.rs: target_of(). */
inline resolve_hint() {
	end_ = 0;
	if
#ifdef MUTANT_host_ignores_generation
	:: hinted[me] != 0 -> hint_believed(); follow(hinted[me])
#else
	:: hinted[me] != 0 && !stale[me] -> hint_believed(); follow(hinted[me])
#endif
	:: else -> hint_dropped()
	fi
}

/* host/src/yielding.rs: yield_to(), hand_over(). The slice may be used up (Refused) unless the host
 * keeps its contract. `refused_` says so to the caller. */
SCRATCH byte refused_;
inline yield_to_hinted() {
	resolve_hint();
	refused_ = 0;
	if
	:: end_ != 0 -> take_off(me); put_on(end_)
#ifndef OBEYS
	:: end_ != 0 -> refused_ = 1
#endif
	:: end_ == 0
	fi;
	end_ = 0;
	forget_hint()
}

/* host/src/yielding.rs: halt(). A remembered kick ends it before it begins. */
inline halt_hinting() {
	if
	:: kick_pending[me] -> kick_pending[me] = 0
	:: else ->
		resolve_hint();
		take_off(me); state[me] = HALTED;
		if :: end_ != 0 -> put_on(end_) :: else fi;
		end_ = 0
	fi;
	forget_hint()
}

/* env.rs: pressure() is false. Other VMs may want a pCPU at any time; that none does is true only if no CPU is off. */
#define NO_PRESSURE (state[1] != OFF && state[2] != OFF && !OFF3 && !OFF4)
#if V > 2
#define OFF3 (state[3] == OFF)
#else
#define OFF3 false
#endif
#if V > 3
#define OFF4 (state[4] == OFF)
#else
#define OFF4 false
#endif

/* The scheduler without a reason: slices that end, in any order. */
#define MOVES(c) \
	:: atomic { state[c] == OFF && on_pcpus == P -> push_somebody_off(); put_on(c) } \
	:: atomic { state[c] == OFF && on_pcpus < P -> put_on(c) }

active proctype host() {
end:	do
	MOVES(1)
	MOVES(2)
#if V > 2
	MOVES(3)
#endif
#if V > 3
	MOVES(4)
#endif
	od
}
