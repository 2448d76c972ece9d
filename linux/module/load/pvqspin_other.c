// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Another module that exchanges the kernel's spinlock: what pvqspin has to notice. It calls what was
 * there before, so it may come and go at any time. With `ibt=1` or `tdx=1` it leaves the spinlock alone,
 * and lets the kernel look as if indirect branch tracking were on, or as if this were a guest of TDX.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/static_call.h>
#include <linux/stop_machine.h>
#include <asm/cpufeature.h>
#include <asm/qspinlock.h>

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Exchanges the kernel's spinlock, for tests");

static bool ibt, tdx;
module_param(ibt, bool, 0);
module_param(tdx, bool, 0);
static struct static_call_key *key;
static void *trampoline;
static void (*before)(struct qspinlock *lock, u32 seen);

static notrace void lock_as_before(struct qspinlock *lock, u32 seen)
{
	before(lock, seen);
}

static int nothing(void *unused)
{
	return 0;
}

/* Unchecked: where functions begin with a mark for indirect branches, a probe is put behind it. */
static int __init __nocfi other_init(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long (*lookup)(const char *name);
	int error;

	if (ibt)
		set_cpu_cap(&boot_cpu_data, X86_FEATURE_IBT);
	if (tdx)
		set_cpu_cap(&boot_cpu_data, X86_FEATURE_TDX_GUEST);
	if (ibt || tdx)
		return 0;
	error = register_kprobe(&probe);
	if (error)
		return error;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	key = (void *)lookup("__SCK__queued_spin_lock_slowpath");
	trampoline = (void *)lookup("__SCT__queued_spin_lock_slowpath");
	if (!key || !trampoline)
		return -EOPNOTSUPP;
	before = key->func;
	__static_call_update(key, trampoline, lock_as_before);
	return 0;
}

static void __exit other_exit(void)
{
	if (ibt)
		clear_bit(X86_FEATURE_IBT, (unsigned long *)boot_cpu_data.x86_capability);
	if (tdx)
		clear_bit(X86_FEATURE_TDX_GUEST, (unsigned long *)boot_cpu_data.x86_capability);
	if (ibt || tdx)
		return;
	__static_call_update(key, trampoline, before);
	/* Preemption is off in a slow path: no CPU is in ours after this. */
	stop_machine(nothing, NULL, NULL);
}

module_init(other_init);
module_exit(other_exit);
