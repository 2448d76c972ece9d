/* The lock word, the queue nodes, and what must be true of them. Models crates/pvqspin/src/word.rs
 * (format Idx3), node.rs and nodes.rs.
 *
 *    tail (5 bits) | head (3 bits) | P | L         tail: cpu, context (two bits); 3: sole holder
 */
#define LOCKED   1
#define PENDING  2
#define HEAD     28
#define TAIL     (31 << 5)

#define HEAD_BITS(c)    ((c) << 2)
#define HEAD_OF(w)      (((w) & HEAD) >> 2)
#define TAIL_BITS(t)    ((t) << 5)
#define TAIL_OF(w)      (((w) & TAIL) >> 5)
#define SOLE(c)         (((c) << 2) | 3)
#define WAITER(c, x)    (((c) << 2) | (x))
#define CPU_OF(t)       ((t) >> 2)
#ifdef MUTANT_sole_holder_is_a_tail
#define IS_SOLE(t)      false
#else
#define IS_SOLE(t)      (((t) & 3) == 3)
#endif
#define IS_WAITER(t)    ((t) != 0 && !IS_SOLE(t))

/* word.rs: is_free(), read(). P without L: the CPU in the head field passed over the head. */
#define IS_HELD(w)      (((w) & (LOCKED | PENDING)) != 0)
#define IS_PAST(w)      (((w) & (LOCKED | PENDING)) == PENDING)

/* node.rs: Node, one for each CPU and context. */
#define WAITING 0
#define SLEEPS  1   /* state::HALTED */
#define PROMOTED 2  /* state::HEAD */

#ifdef MUTANT_drop_idx
#define NODE(t)  (CPU_OF(t) * CONTEXTS)
#else
#if CONTEXTS > 1
#define NODE(t)  (CPU_OF(t) * CONTEXTS + ((t) & 1))
#else
#define NODE(t)  (CPU_OF(t))
#endif
#endif

short word[LOCKS];
byte node_state[(V+1)*CONTEXTS];
byte node_next[(V+1)*CONTEXTS];
byte node_pred[(V+1)*CONTEXTS];
byte depth[V+1];

/* --- What is only looked at, by the properties ------------------------------------------------- */

byte owner[LOCKS];       /* who is between taking and releasing */
byte queued[LOCKS];      /* who has joined and not taken yet, a bit for each CPU */
byte before_me[(V+1)*LOCKS]; /* of those, who joined before this one and has not taken yet */
bit  waits[V+1];         /* for the liveness properties: the outermost wait of this CPU */
byte wishes[V+1];        /* how often this one asked for a kick in this wait and got none yet */

#define BIT(c) (1 << (c))

/* The word never names a stranger. */
#define KNOWN(c) ((c) == 0 || owner[l] == (c) || (queued[l] & BIT(c)))
#define CHECK_WORD \
	assert(KNOWN(HEAD_OF(word[l]))); \
	assert(KNOWN(CPU_OF(TAIL_OF(word[l])))); \
	assert(!((TAIL_OF(word[l]) & 3) == 3 && owner[l] != CPU_OF(TAIL_OF(word[l]))))

#if HINTS
/* How far the outermost wait of this CPU has come; 0: it does not wait. */
byte stage[V+1];
#define JOINED   1
#define LINKED   2
#define AT_HEAD  3
inline reaches(how_far) { if :: level == 0 -> stage[me] = how_far :: else fi }
#else
#define reaches(how_far) skip
#endif

inline joined() {
	before_me[me*LOCKS + l] = queued[l];
	queued[l] = queued[l] | BIT(me);
	if :: level == 0 -> waits[me] = 1 :: else fi;
	reaches(JOINED)
}

/* Exclusion, and who went first. */
inline taken() {
	assert(owner[l] == 0);
	owner[l] = me;
#ifdef STRICT
	assert(before_me[me*LOCKS + l] == 0);
	/* No CPU takes it past a queue, with a node or without. */
	assert((queued[l] & BIT(me)) != 0 || queued[l] == 0 || past_queue);
#endif
	left_queue();
	if :: level == 0 -> waits[me] = 0 :: else fi;
	reaches(0)
}

inline left_queue() {
	queued[l] = queued[l] & ~BIT(me);
	before_me[me*LOCKS + l] = 0;
	x_ = 1;
	do
	:: x_ <= V -> before_me[x_*LOCKS + l] = before_me[x_*LOCKS + l] & ~BIT(me); x_++
	:: else -> break
	od;
	x_ = 0
}

/* One kick for each wish. A wish is made in the node (SLEEPS) or in the word (PENDING), and taken back
 * by a waiter that woke without a promotion. Who promotes a sleeper answers its wish at once, or moves it
 * into the word; who releases answers what is in the word. The sleeper may have woken before that, by an
 * earlier kick that the host remembered, and have made another wish at the head: that one is a wish of its own.
 * (Kicks that a waiter repeats because one is overdue are not counted, nor those of a policy that kicks
 * always: the host remembers one, and the next halt returns at once.) */
inline wishes_kick() { wishes[me]++; assert(wishes[me] <= 2) }
inline takes_wish_back() { wishes[me]-- }
inline answers_wish(c) { assert(wishes[c] > 0); wishes[c]-- }
