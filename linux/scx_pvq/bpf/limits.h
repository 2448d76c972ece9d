/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0 */
/*
 * Limits of control groups on CPU time (cpu.max): how much of it a group has left, and when it has some again. Pure
 * functions, as in rules.h, and compiled twice as well.
 *
 *   quota:   what a group and all below it may run in a period, in nanoseconds of all CPUs together.
 *   debt:    slices end at ticks, so a group may run for too long. What is too much is taken from the next periods.
 *   refills: nothing happens when a period begins; the account is brought up to date where it is looked at.
 */
#ifndef PVQ_LIMITS_H
#define PVQ_LIMITS_H

#include "rules.h"

#define PVQ_NO_LIMIT (~0ULL)

/* As the kernel keeps it. `burst` is what may be saved up for one period. */
struct pvq_limit {
	u64 quota_ns;
	u64 period_ns;
	u64 burst_ns;
};

/* Used since the period began; below 0 is saved up. And the limit that it is an account of. */
struct pvq_budget {
	u64 began;
	s64 used_ns;
	u64 quota_ns;
	u64 period_ns;
};

static inline int pvq_is_limited(const struct pvq_limit *l)
{
	return l->quota_ns != PVQ_NO_LIMIT && l->quota_ns && l->period_ns;
}

/* A limit that was changed begins anew, as Linux's own does: what was owed under a larger one could not be given back. */
static inline void pvq_follow(struct pvq_budget *b, const struct pvq_limit *l, u64 now)
{
	if (b->quota_ns == l->quota_ns && b->period_ns == l->period_ns)
		return;
	b->quota_ns = l->quota_ns;
	b->period_ns = l->period_ns;
	b->began = now;
	b->used_ns = 0;
}

/* Gives back the quotas of the periods that are over. */
static inline void pvq_refill(struct pvq_budget *b, const struct pvq_limit *l, u64 now)
{
	u64 began, periods;
	s64 back;

	pvq_follow(b, l, now);
	began = b->began;
	if (!pvq_is_before(began, now))
		return;
	periods = (now - began) / l->period_ns;
	if (!periods)
		return;
	/* Of several CPUs one does it. Another that looks between the two steps holds a task back for a period too long. */
	if (__sync_val_compare_and_swap(&b->began, began, began + periods * l->period_ns) != began)
		return;
	back = b->used_ns + (s64)l->burst_ns;
	if (back > 0 && periods <= (u64)back / l->quota_ns)
		back = periods * l->quota_ns;
	__sync_fetch_and_add(&b->used_ns, -back);
}

/* Charges a group. It owes no more than what it is given back in `most_wait_ns`, and one charge. */
static inline void pvq_spend(struct pvq_budget *b, const struct pvq_limit *l, u64 now, u64 ns, u64 most_wait_ns)
{
	s64 used;

	pvq_refill(b, l, now);
	used = b->used_ns;
	if (used > 0 && (u64)used / l->quota_ns > most_wait_ns / l->period_ns)
		return;
	__sync_fetch_and_add(&b->used_ns, pvq_least(ns, PVQ_MOST_NS));
}

/* When a group has time again; 0 if it has some now. */
static inline u64 pvq_held_until(struct pvq_budget *b, const struct pvq_limit *l, u64 now)
{
	s64 used;

	pvq_refill(b, l, now);
	used = b->used_ns;
	if (used < 0 || (u64)used < l->quota_ns)
		return 0;
	return b->began + (u64)used / l->quota_ns * l->period_ns;
}

/*
 * Until when a task waits whose groups have time then, and that has waited since `since`: for `most_wait_ns` at most,
 * because the kernel ejects a scheduler that lets a task wait. 0: it waits no longer.
 */
static inline u64 pvq_waits_until(u64 until, u64 since, u64 now, u64 most_wait_ns)
{
	u64 last = since + most_wait_ns;

	return now >= last ? 0 : pvq_least(until, last);
}

/*
 * By how much a task that a limit holds back is ahead of the others. It is so still when it is let go, or of two that are
 * let go together the one that ran last would be first again. What it is behind is forgotten, as in a sleep.
 */
static inline u64 pvq_ahead(u64 stand, u64 vtime)
{
	return pvq_is_before(stand, vtime) ? vtime - stand : 0;
}

#endif
