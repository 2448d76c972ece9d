// SPDX-License-Identifier: MIT OR GPL-2.0-only
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/sched/clock.h>
#include <linux/spinlock.h>

#include "own_time.h"

static unsigned long loops_per_ms;

noinline void spend(unsigned long loops)
{
	while (loops--)
		barrier();
}

static noinline void take_and_release(unsigned long times)
{
	static DEFINE_SPINLOCK(free);

	while (times--) {
		spin_lock(&free);
		spin_unlock(&free);
	}
}

/*
 * In ns, when nothing disturbs it. A round is some µs, so that many are not disturbed, even where
 * emulated processors take turns of some tens.
 */
static u64 best_of(void (*function)(unsigned long), unsigned long argument)
{
	u64 best = U64_MAX;
	int round;

	for (round = 0; round < 1000; round++) {
		u64 took;

		preempt_disable();
		took = local_clock();
		function(argument);
		took = local_clock() - took;
		preempt_enable();
		best = min(best, took);
	}
	return max_t(u64, best, 1);
}

void own_time_calibrate(void)
{
	const unsigned long loops = 1000;
	/* The clock is read in both. */
	u64 took = best_of(spend, 2 * loops) - best_of(spend, loops);

	loops_per_ms = div64_u64(loops * 1000000, max_t(u64, took, 1));
}

unsigned long loops_of_ns(unsigned long ns)
{
	return ns * loops_per_ms / 1000000;
}

unsigned long pair_ps(void)
{
	const unsigned long pairs = 200;

	return div64_u64(best_of(take_and_release, pairs) * 1000, pairs);
}
