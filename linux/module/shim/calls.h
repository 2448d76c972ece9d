/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The two static calls of the kernel's spinlock. */
#ifndef PVQSPIN_CALLS_H
#define PVQSPIN_CALLS_H

#include <linux/types.h>

struct call {
	struct static_call_key *key;
	void *trampoline;
	/* What it leads to, as far as we know. */
	void *now;
	/* The function that the kernel writes into its callers, in the place of a call, or NULL. */
	void *inlined;
};

int calls_find(struct call *call, const char *key, const char *trampoline);
void calls_set(struct call *one, void *one_to, struct call *other, void *other_to);

#endif
