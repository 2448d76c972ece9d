// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Names for holders that never waited.
 *
 * The fast path of a spinlock exchanges 0 for 1, and no waiter can see who did that. But the kernel
 * has it in a few functions only (_raw_spin_lock and its like), as
 *
 *	mov	$1, %edx		5 bytes
 *	lock cmpxchg %edx, (%rdi)	or another register
 *
 * and a call is 5 bytes, too. So the first instruction becomes a call of `pvq_load_word`, which
 * loads this CPU's word: 1, or the CPU's own name while a policy of ours is on. Text is changed by the
 * kernel's own means, as for its static calls and probes.
 *
 * What is compiled into other functions stays as it is: their locks are held without a name.
 *
 * A kernel that was built for it (linux/patch) has such a word itself, and uses it everywhere.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/objtool.h>
#include <linux/linkage.h>
#include <asm/text-patching.h>
#include <asm/frame.h>
#include <asm/nospec-branch.h>

#include "pvqspin.h"
#include "text.h"

DEFINE_PER_CPU(u32, pvq_word) = 1;

static const char *const functions[] = {
	"_raw_spin_lock", "_raw_spin_lock_irq", "_raw_spin_lock_irqsave", "_raw_spin_lock_bh",
	"_raw_spin_trylock", "_raw_spin_trylock_bh", "_raw_spin_lock_nested", "_raw_spin_lock_irqsave_nested",
	"_raw_spin_lock_nest_lock",
};

/* mov $1, %edx */
static const u8 load_one[CALL_INSN_SIZE] = { 0xba, 1, 0, 0, 0 };
/* lock cmpxchg %edx, (%reg) for any reg but those that need a displacement */
static const u8 exchange[] = { 0xf0, 0x0f, 0xb1 };

static u8 *places[ARRAY_SIZE(functions)];
static unsigned int patched;

/*
 * A probe keeps what stood in its place, and puts that back when it goes. So the text must not change
 * under one. Under this mutex probes come and go.
 */
static struct mutex *probes;

/* The word of a kernel that was built for it, or NULL. */
static u32 __percpu *built_in;

/* Changes EDX alone, as what it stands for did; not even the flags. */
extern void pvq_load_word(void);
#define LOAD_WORD						\
	"movl %gs:pvq_word(%rip), %edx\n\t"
DEFINE_ASM_FUNC(pvq_load_word, LOAD_WORD, .text);

/* The instruction in a function, or NULL. */
static u8 *place_in(const char *function)
{
	u8 *start = symbol(function);
	unsigned long size = start ? symbol_size(start) : 0;
	unsigned long at;
	u8 *found = NULL;

	for (at = 0; at + CALL_INSN_SIZE + 4 <= size; at++) {
		if (memcmp(start + at, load_one, CALL_INSN_SIZE) ||
		    memcmp(start + at + CALL_INSN_SIZE, exchange, sizeof(exchange)))
			continue;
		/* More than one is not what we know. */
		if (found)
			return NULL;
		found = start + at;
	}
	return found;
}

unsigned int names_patched(void)
{
	return patched;
}

/* Sets the word that the fast path of a CPU writes. */
void names_set(unsigned int cpu, u32 word)
{
	per_cpu(pvq_word, cpu) = word;
	if (built_in)
		*per_cpu_ptr(built_in, cpu) = word;
}

bool names_are_built_in(void)
{
	return built_in;
}

/* Probes stay as they are meanwhile. */
static void change_all(struct text_change *changes, unsigned int count)
{
	if (!count)
		return;
	/* A CPU that comes meanwhile would not hear of it. */
	cpus_read_lock();
	text_change_all(changes, count);
	cpus_read_unlock();
}

/*
 * Changes all that is as we know it. Who does not ask for names gets none: the word stays 1. A place with
 * a probe in it is not as we know it.
 */
void names_patch(void)
{
	struct text_change changes[ARRAY_SIZE(functions)];
	unsigned int i, count = 0;

	if (built_in)
		return;
	built_in = (u32 __percpu *)(unsigned long)symbol("queued_spin_word");
	if (built_in)
		return;
	probes = symbol("kprobe_mutex");
	if (!text_prepare() || !probes) {
		pr_info_once("pvqspin: this kernel's text cannot be changed: holders that did not wait have no name\n");
		return;
	}
	mutex_lock(probes);
	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		u8 *at = place_in(functions[i]);

		if (!at)
			continue;
		changes[count].at = at;
		text_call(&changes[count++], CALL_INSN_OPCODE, pvq_load_word);
		places[patched++] = at;
	}
	change_all(changes, count);
	mutex_unlock(probes);
}

/* Makes the text the kernel's own again. Where there is a probe in the place of a call, it stays. */
void names_unpatch(void)
{
	struct text_change changes[ARRAY_SIZE(functions)];
	unsigned int i, count = 0, kept = 0;

	if (!patched)
		return;
	mutex_lock(probes);
	for (i = 0; i < patched; i++) {
		struct text_change *one = &changes[count];

		one->at = places[i];
		/* Who meets the change halfway does what the call did. */
		text_call(one, CALL_INSN_OPCODE, pvq_load_word);
		if (memcmp(one->at, one->bytes, TEXT_LENGTH)) {
			places[kept++] = places[i];
			continue;
		}
		memcpy(one->bytes, load_one, sizeof(load_one));
		count++;
	}
	patched = kept;
	change_all(changes, count);
	mutex_unlock(probes);
	if (kept)
		pr_warn_once("pvqspin: a probe is in the place of a call of this module, which stays until the probe goes\n");
}

/* Nothing of the kernel calls pvq_load_word afterwards, once all CPUs have stood still. */
void names_wait_until_unpatched(void)
{
	for (names_unpatch(); patched; names_unpatch())
		msleep(10);
}
