/* What one step looks at: the questions of look.rs and decide.rs, asked by `me`. */
#define MY_NODE   (me*CONTEXTS + ctx)
#define MY_TAIL   WAITER(me, ctx)
#define ALONE     (TAIL_BITS(SOLE(me)) | LOCKED)
#define W         word[l]
#define PROMOTION (node_state[MY_NODE] == PROMOTED)
#define BEFORE    CPU_OF(node_pred[MY_NODE])

/* word.rs: is_free() */
#define BLOCKED IS_HELD(W)

/* look.rs: holder_of(). (The code reads the node of the head where it can, which names the same CPU.) */
#define NAMED_SOLE (IS_SOLE(TAIL_OF(W)) && TAIL_OF(W) != 0)
#define HOLDER (NAMED_SOLE -> CPU_OF(TAIL_OF(W)) : \
	(IS_PAST(W) -> HEAD_OF(W) : \
	(!(W & LOCKED) || HEAD_OF(W) == 0 -> 0 : \
	 (edge[HEAD_OF(W)] != 0 -> edge[HEAD_OF(W)] : HEAD_OF(W)))))

/* look.rs: is_stuck() */
#define STUCK(c) (state[c] == OFF || (state[c] == HALTED && edge[c] != 0 && state[edge[c]] == OFF))

/* in_queue.rs: front() is free */
#define FREE_FOR_HEAD (!IS_HELD(W) && HEAD_OF(W) != 0)

/* decide.rs: before_is_absent() */
#define ABSENT(c) (state[c] == OFF || (state[c] == HALTED && \
	(FREE_FOR_HEAD -> state[HEAD_OF(W)] != ON : (HOLDER != 0 && state[HOLDER] == OFF))))

/* waiter.rs: may_halt(). (Others may want a pCPU at any time: so much for pressure.) */
#ifdef MUTANT_halt_in_inner_wait
#define MAY_HALT true
#else
#define MAY_HALT (depth[me] == 1)
#endif

