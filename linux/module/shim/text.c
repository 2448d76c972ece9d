// SPDX-License-Identifier: MIT OR GPL-2.0-only
#include <linux/mutex.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "pvqspin.h"
#include "text.h"

static void (*add)(void *at, const void *bytes, size_t length, const void *meanwhile);
static void (*finish)(void);
static struct mutex *text;

/* Whether this kernel's text can be changed. */
bool text_prepare(void)
{
	add = symbol("smp_text_poke_batch_add");
	finish = symbol("smp_text_poke_batch_finish");
	text = symbol("text_mutex");
	return add && finish && text;
}

/* Makes it an instruction of `opcode` that leads to `to`. */
void text_call(struct text_change *change, u8 opcode, const void *to)
{
	s32 distance = (s32)((long)to - (long)change->at - TEXT_LENGTH);

	change->bytes[0] = opcode;
	memcpy(change->bytes + 1, &distance, sizeof(distance));
	memcpy(change->meanwhile, change->bytes, TEXT_LENGTH);
}

static int by_address(const void *one, const void *other)
{
	const u8 *a = ((const struct text_change *)one)->at, *b = ((const struct text_change *)other)->at;

	return a < b ? -1 : a > b;
}

/* Changes all of them. It may sleep, and waits for all CPUs. */
void text_change_all(struct text_change *changes, unsigned int count)
{
	unsigned int i;

	/* In the order of addresses they are one change, and not one each. */
	sort(changes, count, sizeof(*changes), by_address, NULL);
	mutex_lock(text);
	for (i = 0; i < count; i++)
		add(changes[i].at, changes[i].bytes, TEXT_LENGTH, changes[i].meanwhile);
	finish();
	mutex_unlock(text);
}
