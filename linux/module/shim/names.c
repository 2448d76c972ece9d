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
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/stop_machine.h>
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

static void change_all(struct text_change *changes)
{
	if (!patched)
		return;
	/* A CPU that comes meanwhile would not hear of it. */
	cpus_read_lock();
	text_change_all(changes, patched);
	cpus_read_unlock();
}

/* Changes all that is as we know it. Who does not ask for names gets none: the word stays 1. */
void names_patch(void)
{
	struct text_change changes[ARRAY_SIZE(functions)];
	unsigned int i;

	if (patched || built_in)
		return;
	built_in = (u32 __percpu *)(unsigned long)symbol("queued_spin_word");
	if (built_in)
		return;
	if (!text_prepare()) {
		pr_info("pvqspin: this kernel's text cannot be changed: holders that did not wait have no name\n");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		u8 *at = place_in(functions[i]);

		if (!at)
			continue;
		changes[patched].at = at;
		text_call(&changes[patched], CALL_INSN_OPCODE, pvq_load_word);
		places[patched++] = at;
	}
	change_all(changes);
}

static int nothing(void *unused)
{
	return 0;
}

void names_unpatch(void)
{
	struct text_change changes[ARRAY_SIZE(functions)];
	unsigned int i;

	for (i = 0; i < patched; i++) {
		changes[i].at = places[i];
		/* Who meets the change halfway does what the call did. */
		text_call(&changes[i], CALL_INSN_OPCODE, pvq_load_word);
		memcpy(changes[i].bytes, load_one, sizeof(load_one));
	}
	change_all(changes);
	patched = 0;
	/* The call is made with preemption off: after this no CPU is in it. */
	stop_machine(nothing, NULL, NULL);
}
