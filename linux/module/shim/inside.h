/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * How many calls of the module's slow paths each CPU is inside of. Not counted: the assembler and the
 * thunks before and after, which are a few instructions.
 */
#ifndef PVQSPIN_INSIDE_H
#define PVQSPIN_INSIDE_H

#include <linux/percpu.h>
#include <linux/preempt.h>

struct inside {
	u32 calls;
	/* Of those, the ones in a handler of an NMI: it runs on a CPU that stands still, too. */
	u32 calls_in_nmi;
};
DECLARE_PER_CPU(struct inside, pvq_inside);

static __always_inline void inside_enter(void)
{
	if (unlikely(in_nmi()))
		this_cpu_inc(pvq_inside.calls_in_nmi);
	else
		this_cpu_inc(pvq_inside.calls);
}

static __always_inline void inside_leave(void)
{
	if (unlikely(in_nmi()))
		this_cpu_dec(pvq_inside.calls_in_nmi);
	else
		this_cpu_dec(pvq_inside.calls);
}

void inside_wait_until_none(void);

#endif
