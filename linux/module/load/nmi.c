// SPDX-License-Identifier: MIT OR GPL-2.0-only
#include <linux/errno.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <asm/irq_vectors.h>
#include <asm/nmi.h>

#include "../shim/pvqspin.h"
#include "nmi.h"
#include "own_time.h"

static DEFINE_SPINLOCK(lock);
static unsigned long counter, loops_inside;
static DEFINE_PER_CPU(unsigned long, sections);
static void (*send)(unsigned int vector);

static int from_nmi(unsigned int type, struct pt_regs *registers)
{
	spin_lock(&lock);
	counter++;
	spend(loops_inside);
	spin_unlock(&lock);
	this_cpu_inc(sections);
	return NMI_HANDLED;
}

int nmi_begin(unsigned long loops)
{
	unsigned int cpu;

	send = symbol("apic_send_IPI_allbutself");
	if (!send)
		return -EOPNOTSUPP;
	counter = 0;
	loops_inside = loops;
	for_each_possible_cpu(cpu)
		per_cpu(sections, cpu) = 0;
	return register_nmi_handler(NMI_LOCAL, from_nmi, 0, "pvqspin_load");
}

void nmi_send(void)
{
	send(NMI_VECTOR);
}

void nmi_end(unsigned long *counted, unsigned long *expected)
{
	unsigned int cpu;

	/* Waits for handlers that run. */
	unregister_nmi_handler(NMI_LOCAL, "pvqspin_load");
	*counted = counter;
	for_each_possible_cpu(cpu)
		*expected += per_cpu(sections, cpu);
}
