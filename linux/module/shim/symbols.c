// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Finding what the kernel does not export: a probe on kallsyms_lookup_name tells where that is, and
 * that finds the rest.
 */
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>

#include "pvqspin.h"

static unsigned long (*lookup_name)(const char *name);
static int (*lookup_size)(unsigned long at, unsigned long *size, unsigned long *offset);

int find_symbols(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	int error = register_kprobe(&probe);

	if (error)
		return error;
	lookup_name = (void *)probe.addr;
	unregister_kprobe(&probe);
	lookup_size = symbol("kallsyms_lookup_size_offset");
	return 0;
}

/* Unchecked: where functions begin with a mark for indirect branches, a probe is put behind it. */
__nocfi void *symbol(const char *name)
{
	return (void *)lookup_name(name);
}

/* How long the function at this address is, or 0. */
unsigned long symbol_size(const void *at)
{
	unsigned long size = 0, offset = 0;

	if (!lookup_size || !lookup_size((unsigned long)at, &size, &offset) || offset)
		return 0;
	return size;
}
