/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Changing instructions of the running kernel, many at once. The kernel's own function for one stops
 * at all CPUs three times, and so does its function for many.
 */
#ifndef PVQSPIN_TEXT_H
#define PVQSPIN_TEXT_H

#include <linux/types.h>

/* All that are changed here are of one length: calls, jumps, and a load. */
#define TEXT_LENGTH 5

struct text_change {
	u8 *at;
	u8 bytes[TEXT_LENGTH];
	/* A call or jump that does the same, for who meets the change halfway. */
	u8 meanwhile[TEXT_LENGTH];
};

bool text_prepare(void);
void text_call(struct text_change *change, u8 opcode, const void *to);
void text_change_all(struct text_change *changes, unsigned int count);

#endif
