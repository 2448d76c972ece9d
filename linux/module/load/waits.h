/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How long a CPU waits for a lock, and what happens meanwhile. */
#ifndef PVQSPIN_WAITS_H
#define PVQSPIN_WAITS_H

#include <linux/types.h>

struct kvm_steal_time;

#define BUCKETS 40

struct waits {
	u64 longest_ns, total_ns;
	/* Of the longest wait: how long this CPU did not run, and how often others took the lock. */
	u64 longest_stolen_ns;
	unsigned long longest_others;
	/*
	 * The longest of those in which others took the lock no more often than there are other CPUs: as
	 * often as they can while this one stands in a queue that keeps its order.
	 */
	u64 longest_in_order_ns;
	/* How many there were of each power of two ns. */
	u32 buckets[BUCKETS];
	/* Where the host tells how long this CPU has not run, or NULL. */
	struct kvm_steal_time *record;
};

/* A wait: what stood on the clock, the record and the lock's counter before it. */
struct wait {
	u64 began, stolen;
	unsigned long counted;
};

/* On the CPU that will wait. */
void waits_start(struct waits *waits);
void wait_begin(const struct waits *waits, struct wait *wait, unsigned long counted);
void wait_end(struct waits *waits, const struct wait *wait, unsigned long counted);
/* Adds those of another CPU. */
void waits_add(struct waits *all, const struct waits *more);
/* Below how many ns so many millionths of them were: a power of two. */
u64 waits_below(const struct waits *waits, u64 millionths);

#endif
