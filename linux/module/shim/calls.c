// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel changes a static call at one place after another, and at each it stops at all CPUs three
 * times. A spinlock is called from some twenty places, and a guest's CPUs may take some time slices
 * each time. So all places of both calls are changed at once here, if they are what we know.
 */
#include <linux/cpu.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/string.h>
#include <asm/cpufeature.h>
#include <asm/text-patching.h>

#include "calls.h"
#include "pvqspin.h"
#include "text.h"

/* The places of the kernel itself end here; those of a module are counted in it. */
static struct static_call_site *kernel_end;
/* Guards the lists of places. */
static struct mutex *lists;
static bool together;

/* movb $0, (%rdi), in five bytes: what the kernel writes in the place of a call of its native release. */
static const u8 inlined[TEXT_LENGTH] = { 0x3e, 0x3e, 0xc6, 0x07, 0x00 };

/* -EOPNOTSUPP if the kernel has no such call; -ENOENT if it does not tell the names of its data. */
int calls_find(struct call *call, const char *key, const char *trampoline)
{
	call->key = symbol(key);
	call->trampoline = symbol(trampoline);
	if (!call->trampoline)
		return -EOPNOTSUPP;
	if (!call->key)
		return -ENOENT;
	call->now = call->key->func;
	kernel_end = symbol("__stop_static_call_sites");
	lists = symbol("static_call_mutex");
	/* Where calls are counted for the processor's sake, the kernel changes what they lead to. */
	together = text_prepare() && kernel_end && lists && !boot_cpu_has(X86_FEATURE_CALL_DEPTH);
	return 0;
}

static u8 *address_of(struct static_call_site *site)
{
	return (u8 *)((long)&site->addr + site->addr);
}

static struct static_call_key *key_of(struct static_call_site *site)
{
	return (struct static_call_key *)(((long)&site->key + site->key) & ~STATIC_CALL_SITE_FLAGS);
}

/* All that is to be changed. */
struct changes {
	struct text_change *all;
	unsigned int count, room;
	/* A place is not as we know it. */
	bool unknown;
};

static void change(struct changes *changes, struct call *call, u8 *at, u8 opcode, void *to)
{
	bool is_call = opcode == CALL_INSN_OPCODE;

	if (*at != opcode && !(is_call && call->inlined && !memcmp(at, inlined, TEXT_LENGTH))) {
		changes->unknown = true;
		return;
	}
	if (changes->count < changes->room) {
		struct text_change *one = &changes->all[changes->count];

		one->at = at;
		text_call(one, opcode, to);
		if (is_call && to == call->inlined)
			memcpy(one->bytes, inlined, TEXT_LENGTH);
	}
	changes->count++;
}

/* The places of one list, of the kernel or a module. */
static void change_list(struct changes *changes, struct call *call, struct module *module,
			struct static_call_site *site, void *to)
{
	struct static_call_site *end = module ? module->static_call_sites + module->num_static_call_sites : kernel_end;

	for (; site && site < end && key_of(site) == call->key; site++) {
		bool gone = site->key & STATIC_CALL_SITE_INIT && (!module || module->state != MODULE_STATE_COMING);

		if (!gone)
			change(changes, call, address_of(site),
			       site->key & STATIC_CALL_SITE_TAIL ? JMP32_INSN_OPCODE : CALL_INSN_OPCODE, to);
	}
}

static void change_call(struct changes *changes, struct call *call, void *to)
{
	unsigned long type = call->key->type;
	struct static_call_mod *one;

	change(changes, call, call->trampoline, JMP32_INSN_OPCODE, to);
	/* As the kernel has it: an odd number is the kernel's own list, and an even one a list of lists. */
	if (type & 1) {
		change_list(changes, call, NULL, (struct static_call_site *)(type & ~1UL), to);
		return;
	}
	for (one = call->key->mods; one; one = one->next)
		change_list(changes, call, one->mod, one->sites, to);
}

/* False if there is a place that we do not know, or no memory: nothing was changed then. */
static bool set_together(struct call *one, void *one_to, struct call *other, void *other_to)
{
	struct changes changes = {};
	bool done = false;

	cpus_read_lock();
	mutex_lock(lists);
	/* Twice: the first time they are counted. */
	do {
		kvfree(changes.all);
		changes.room = changes.count;
		changes.count = 0;
		changes.all = kvmalloc_array(changes.room + 1, sizeof(*changes.all), GFP_KERNEL);
		if (!changes.all)
			goto out;
		change_call(&changes, one, one_to);
		change_call(&changes, other, other_to);
	} while (changes.room < changes.count && !changes.unknown);
	if (!changes.unknown) {
		/* A module that is loaded next begins with these. */
		WRITE_ONCE(one->key->func, one_to);
		WRITE_ONCE(other->key->func, other_to);
		text_change_all(changes.all, changes.count);
		done = true;
	}
out:
	mutex_unlock(lists);
	cpus_read_unlock();
	kvfree(changes.all);
	return done;
}

/* Lets both lead to what is asked for. */
void calls_set(struct call *one, void *one_to, struct call *other, void *other_to)
{
	if (one->now == one_to && one->key->func == one_to && other->now == other_to && other->key->func == other_to)
		return;
	if (!together || !set_together(one, one_to, other, other_to)) {
		pr_info_once("pvqspin: this kernel's static calls are changed one after another, which takes longer\n");
		__static_call_update(one->key, one->trampoline, one_to);
		__static_call_update(other->key, other->trampoline, other_to);
	}
	one->now = one_to;
	other->now = other_to;
}
