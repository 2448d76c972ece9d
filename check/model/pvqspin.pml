/* The lock and its host: configurations and properties. check/model/README.md tells how to run it.
 *
 * V vCPUs on P pCPUs, POLICY one of
 */
#define FIFO        1
#define FIFO_HALT   2
#define FIFO_HOLDER 3
#define BOUNDED     4

#ifndef V
#define V 3
#endif
#ifndef P
#define P 2
#endif
#ifndef HINTS
#define HINTS 0
#endif
#ifndef NESTED
#define NESTED 0
#endif
#if NESTED
#define LOCKS 2
#define CONTEXTS 2
#else
#define LOCKS 1
#define CONTEXTS 1
#define l   0   /* the lock that a step is about, and the context of its node */
#define ctx 0
#endif
#ifndef CLAIMABLE
#define CLAIMABLE CONTEXTS
#endif

/* policy.rs: the rules of each policy. */
#define YIELDS       (POLICY == FIFO || POLICY == BOUNDED)
#define HALTS        (POLICY == FIFO_HALT || POLICY == FIFO_HOLDER)
#define SLEEPS_LONG  (POLICY == FIFO)
#define PASSES       (POLICY == BOUNDED)
/* Of Bounded, behind the head, where the host refuses: decide.rs: resting() */
#if PASSES && !defined(OBEYS)
#define SLEEPS_REFUSED true
#else
#define SLEEPS_REFUSED false
#endif
#define SLEEPS_IN_QUEUE (HALTS || SLEEPS_LONG || SLEEPS_REFUSED)
#define NAMES_HOLDER (POLICY == FIFO_HOLDER)
#define KICKS_ALWAYS (POLICY == FIFO_HOLDER)
#if !PASSES && CLAIMABLE == CONTEXTS
#define STRICT
#endif

/* Dead between steps. Spin's breadth-first search, which finds the shortest counterexample, wants to know of them. */
#ifdef SHORTEST
#define SCRATCH
#else
#define SCRATCH hidden
#endif

#include "word.pml"
#include "world.pml"
#include "terms.pml"

bit may_interrupt[V+1];

#if HALTS || PASSES || !HINTS
#define WOULD_SLEEP      true
#define HEAD_WOULD_SLEEP true
#else
/* decide.rs: resting(), first() */
#define WOULD_SLEEP      (HEAD_OF(W) != 0 && HOLDER != 0 && state[HOLDER] == ON)
#define HEAD_WOULD_SLEEP (holder != 0 && !slept && (state[holder] == ON || state[holder] == HALTED) && !STUCK(holder))
#endif

/* at_head.rs: wait_for_word(): the CPU that passed over the head, or the promoter */
#define TRACKED (IS_PAST(W) -> HEAD_OF(W) : promoter)

#if LOCKS > 1
#define set_context(n) ctx = n
#else
#define set_context(n) skip
#endif

#if HINTS
/* successor.rs: stuck_behind() */
inline stuck_behind() {
	at_ = CPU_OF(TAIL_OF(W)); hops_ = 0;
	do
	:: hops_ < V && edge[at_] != 0 && edge[at_] != me -> at_ = edge[at_]; hops_++
	:: else -> break
	od;
	sample(at_); at_ = 0; hops_ = 0
}
#endif

#if HINTS
#define LOOKS_OFF(c)    (state[c] == OFF || state[c] == HALTED)
#define LOOKS_PREEMPTED(c) (state[c] == OFF)
#define LOOKS_ABSENT(c) ABSENT(c)
#define kept_edge(c)    holder = c
inline gives_up() { publish(holder); holder = 0 }
#else
/* It could be off its pCPU at any time: each CPU that looks may see it so. */
#define LOOKS_OFF(c)    true
#define LOOKS_PREEMPTED(c) true
#define LOOKS_ABSENT(c) true
#define kept_edge(c)    skip
#define gives_up()      skip
#endif

#if PASSES
bit old[V+1];        /* its age has come to the bound */
byte late[V+1];      /* how often it was passed since */
SCRATCH byte ahead_off_;
SCRATCH byte link_;

inline young(c) { old[c] = 0 }
inline old_forgotten(c) { old[c] = 0; late[c] = 0 }

/* decide.rs: may_pass_over(): the lock is free, its head off its pCPU and not too old */
#define MAY_PASS(w) (!IS_HELD(w) && HEAD_OF(w) != 0 && HEAD_OF(w) != me && LOOKS_OFF(HEAD_OF(w)) \
	&& CLOSED_TO(HEAD_OF(w)))
#ifdef MUTANT_ignore_age
#define CLOSED_TO(c) true
#else
#define CLOSED_TO(c) !old[c]
#endif

#define SEIZE \
	count_late(); \
	passed = HEAD_OF(seen); \
	W = (seen & TAIL) | HEAD_BITS(me) | PENDING; taken(); CHECK_WORD

/* Only so often as there are others that were about to pass when it became too old. */
inline count_late() {
	if
	:: old[HEAD_OF(seen)] ->
		late[HEAD_OF(seen)]++;
#ifdef OBEYS
		assert(late[HEAD_OF(seen)] < V)
#else
		late[HEAD_OF(seen)] = 0
#endif
	:: else
	fi
}

#ifdef MUTANT_overtake_the_running
#define RUNNING_IS_OFF(c) true
#else
#define RUNNING_IS_OFF(c) LOOKS_OFF(c)
#endif

/* pass_over.rs: all_ahead_off(). With HINTS who is between is looked at, too. */
inline all_ahead_off() {
#if HINTS
	link_ = node_pred[MY_NODE]; hops_ = 0; ahead_off_ = 1;
	do
	:: hops_ < 4 && link_ != 0 && CPU_OF(link_) != HEAD_OF(W) && RUNNING_IS_OFF(CPU_OF(link_)) ->
		link_ = node_pred[NODE(link_)]; hops_++
	:: hops_ < 4 && link_ != 0 && CPU_OF(link_) != HEAD_OF(W) && !RUNNING_IS_OFF(CPU_OF(link_)) ->
		ahead_off_ = 0; break
	:: else -> break
	od;
	link_ = 0; hops_ = 0;
	if
	:: ahead_off_ ->
		x_ = 1;
		do
		:: x_ <= V -> assert(!(before_me[me*LOCKS + l] & BIT(x_)) || x_ == HEAD_OF(W) || state[x_] != ON); x_++
		:: else -> break
		od;
		x_ = 0
	:: else
	fi
#else
	if :: ahead_off_ = 1 :: ahead_off_ = 0 fi
#endif
}

/* decide.rs: queued(): the holder, or the CPU before */
#define PASSING_TARGET (HOLDER != 0 -> HOLDER : BEFORE)

/* Time passes for those who wait. */
proctype clock(byte c) {
end:	do
	:: d_step { waits[c] && !old[c] -> old[c] = 1 }
	od
}
#else
#define young(c)
#define old_forgotten(c)
#endif

#include "lock.pml"

#if PASSES
#define START(c) run context(c, 0); run clock(c)
#elif NESTED
#define START(c) run context(c, 0); may_interrupt[c] = (c != V); if :: c != V -> run context(c, 1) :: else fi
#else
#define START(c) run context(c, 0)
#endif

init {
	atomic {
		START(1); START(2);
#if V > 2
		START(3);
#endif
#if V > 3
		START(4);
#endif
	}
}

/* Every waiter acquires. All vCPUs are alike (NESTED: 1 and 2 are), so one stands for all. */
ltl waiter_acquires { [] (waits[1] -> <> !waits[1]) }
#if NESTED
ltl other_waiter_acquires { [] (waits[V] -> <> !waits[V]) }
#endif
