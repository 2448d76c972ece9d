// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The module's end waits for calls that are inside it. There is none, or stop_machine did not do what it promises. */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/printk.h>

#include "inside.h"

/* After how many ms the log says that a call does not end. */
#define LONG_MS 10000

DEFINE_PER_CPU(struct inside, pvq_inside);

static void count(u32 *calls, u32 *calls_in_nmi)
{
	unsigned int cpu;

	*calls = *calls_in_nmi = 0;
	for_each_possible_cpu(cpu) {
		*calls += READ_ONCE(per_cpu_ptr(&pvq_inside, cpu)->calls);
		*calls_in_nmi += READ_ONCE(per_cpu_ptr(&pvq_inside, cpu)->calls_in_nmi);
	}
}

/*
 * Nothing leads into the module any more, and all CPUs have stood still since. The module's text stays
 * until all calls have returned, all the same.
 */
void inside_wait_until_none(void)
{
	u32 calls, calls_in_nmi;
	int ms;

	count(&calls, &calls_in_nmi);
	if (calls)
		pr_err("pvqspin: %u calls are inside the module after all CPUs have stood still\n", calls);
	for (ms = 0; calls || calls_in_nmi; ms++) {
		/* It waits on: a CPU whose text went would take the machine along. */
		if (ms == LONG_MS)
			pr_err("pvqspin: calls inside the module do not return, and its end waits for them\n");
		msleep(1);
		count(&calls, &calls_in_nmi);
	}
}
