// SPDX-License-Identifier: MIT OR GPL-2.0-only
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/clock.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>

#include "waits.h"

void waits_start(struct waits *waits)
{
	u64 record;

	if (!rdmsrq_safe(MSR_KVM_STEAL_TIME, &record) && record & KVM_MSR_ENABLED)
		waits->record = __va(record & ~(u64)KVM_MSR_ENABLED);
}

static u64 stolen(const struct waits *waits)
{
	return waits->record ? READ_ONCE(waits->record->steal) : 0;
}

void wait_begin(const struct waits *waits, struct wait *wait, unsigned long counted)
{
	wait->counted = counted;
	wait->stolen = stolen(waits);
	wait->began = local_clock();
}

void wait_end(struct waits *waits, const struct wait *wait, unsigned long counted)
{
	u64 waited = local_clock() - wait->began;
	unsigned long others = counted - wait->counted;

	waits->total_ns += waited;
	if (waited > waits->longest_ns) {
		waits->longest_ns = waited;
		waits->longest_stolen_ns = stolen(waits) - wait->stolen;
		waits->longest_others = others;
	}
	if (others < num_online_cpus())
		waits->longest_in_order_ns = max(waits->longest_in_order_ns, waited);
	waits->buckets[min_t(unsigned int, BUCKETS - 1, waited ? ilog2(waited) : 0)]++;
}

void waits_add(struct waits *all, const struct waits *more)
{
	unsigned int bucket;

	if (more->longest_ns > all->longest_ns) {
		all->longest_ns = more->longest_ns;
		all->longest_stolen_ns = more->longest_stolen_ns;
		all->longest_others = more->longest_others;
	}
	all->longest_in_order_ns = max(all->longest_in_order_ns, more->longest_in_order_ns);
	all->total_ns += more->total_ns;
	for (bucket = 0; bucket < BUCKETS; bucket++)
		all->buckets[bucket] += more->buckets[bucket];
}

u64 waits_below(const struct waits *waits, u64 millionths)
{
	u64 seen = 0, all = 0;
	unsigned int bucket;

	for (bucket = 0; bucket < BUCKETS; bucket++)
		all += waits->buckets[bucket];
	for (bucket = 0; bucket < BUCKETS; bucket++) {
		seen += waits->buckets[bucket];
		if (seen * 1000000 >= all * millionths)
			break;
	}
	return 2ULL << min(bucket, BUCKETS - 1U);
}
