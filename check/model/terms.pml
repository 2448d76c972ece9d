/* What one step looks at: the questions of join.rs, in_queue.rs and at_head.rs, asked by `me`. */
#define MY_NODE   (me*CONTEXTS + ctx)
#define MY_TAIL   WAITER(me, ctx)
#define ALONE     (TAIL_BITS(SOLE(me)) | LOCKED)
#define W         word[l]
#define PROMOTION (node_state[MY_NODE] == PROMOTED)
#define BEFORE    CPU_OF(node_pred[MY_NODE])

/* at_head.rs: is_blocked() */
#define BLOCKED (W & LOCKED)

/* join.rs: holder_of() */
#define NAMED_SOLE (IS_SOLE(TAIL_OF(W)) && TAIL_OF(W) != 0)
#define HOLDER (NAMED_SOLE -> CPU_OF(TAIL_OF(W)) : \
	(!(W & LOCKED) || HEAD_OF(W) == 0 -> 0 : \
	 (edge[HEAD_OF(W)] != 0 -> edge[HEAD_OF(W)] : HEAD_OF(W))))

/* join.rs: is_stuck() */
#define STUCK(c) (state[c] == OFF || (state[c] == HALTED && edge[c] != 0 && state[edge[c]] == OFF))

/* in_queue.rs: next_holder() is somebody */
#define FREE_FOR_HEAD (!(W & LOCKED) && HEAD_OF(W) != 0)

/* in_queue.rs: is_absent() */
#define ABSENT(c) (state[c] == OFF || (state[c] == HALTED && \
	(FREE_FOR_HEAD -> state[HEAD_OF(W)] != ON : (HOLDER != 0 && state[HOLDER] == OFF))))

/* in_queue.rs: may_halt(). (Others may want a pCPU at any time: so much for pressure.) */
#ifdef MUTANT_halt_in_inner_wait
#define MAY_HALT true
#else
#define MAY_HALT (depth[me] == 1)
#endif

