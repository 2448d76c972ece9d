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
 * In ns, when nothing disturbs it. Rounds are short, so that some are not disturbed.
 */
static u64 best_of(void (*function)(unsigned long), unsigned long argument)
{
	u64 best = U64_MAX;
	int round;

	for (round = 0; round < 200; round++) {
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

/* Each trial has the same work, if one calibration of all was not disturbed. */
void own_time_calibrate(void)
{
	const unsigned long loops = 20000;

	loops_per_ms = max_t(unsigned long, loops_per_ms, div64_u64(loops * 1000000, best_of(spend, loops)));
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
