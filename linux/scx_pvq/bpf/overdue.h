/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0 */
/*
 * Tasks that wait for too long: docs/decisions/0047-waits-and-weights-on-linux.md. crates/host keeps a light vCPU waiting for
 * its share, however long. Here the kernel ejects a scheduler that lets a task wait. Pure functions, compiled twice as rules.h.
 */
#ifndef PVQ_OVERDUE_H
#define PVQ_OVERDUE_H

#include "rules.h"

/* Now and then all that are queued are looked at, by one CPU. */
static inline int pvq_looks_for_overdue(struct pvq_clock *c, u64 now, u64 most_wait_ns)
{
	u64 before = c->looked_at;

	return !pvq_is_before(now, before + most_wait_ns / 8) &&
	       __sync_val_compare_and_swap(&c->looked_at, before, now) == before;
}

/*
 * Whether a task that has been runnable for so many ticks is put before the first one, at `*first`. It begins as the clock, which
 * may be ahead of all that are queued, if those may run on few CPUs; and they are looked at from the first one on. Those that
 * stand there may all be overdue: their order is right. A tick of unknown length is no longer than 10 ms.
 */
static inline int pvq_goes_first(u64 *first, u64 key, s64 ticks, u64 period_ns, u64 most_wait_ns)
{
	if (pvq_is_before(key, *first))
		*first = key;
	return pvq_is_before(*first, key) && ticks > 0 &&
	       (u64)ticks * (period_ns ? period_ns : 10000000ULL) >= most_wait_ns / 4 * 3;
}

#endif
