// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Exchanging the kernel's spinlock while it runs.
 *
 * Linux calls the two slow paths of its queued spinlock through static calls. Those can be changed,
 * but not on all CPUs at the same instant, and a lock that is taken by one algorithm must not be
 * released by another. So a change has three steps:
 *
 *   1. both static calls lead to functions that look up the policy, and do what they did before. Under
 *      policies of ours they do already;
 *   2. stop_machine: no CPU holds or awaits a spinlock now, as holders cannot be preempted by their
 *      own kernel. One CPU changes the policy;
 *   3. in `stock` and `native` the static calls lead into the kernel itself, as they did before.
 *
 * Before the module goes, stop_machine once more: no CPU is inside one of its functions then.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/clock.h>
#include <linux/spinlock.h>
#include <linux/static_call.h>
#include <linux/stop_machine.h>
#include <linux/timekeeping.h>
#include <linux/tracepoint-defs.h>
#include <trace/events/lock.h>

#include "calls.h"
#include "inside.h"
#include "pvqspin.h"

const char *const policy_names[POLICIES + 1] = {
	[POLICY_STOCK] = "stock",
	[POLICY_NATIVE] = "native",
	[POLICY_TEST_AND_SET] = "test-and-set",
	[POLICY_FIFO] = "fifo",
	[POLICY_BOUNDED] = "bounded",
	[POLICY_FIFO_HALT] = "fifo-halt",
	[POLICY_FIFO_HOLDER] = "fifo-holder",
};

typedef void lock_function(struct qspinlock *lock, u32 seen);

static struct call lock_call, unlock_call;
static lock_function *pv_lock, *native_lock;
static void (*pv_unlock_slow)(struct qspinlock *lock, u8 seen);
static void *pv_unlock, *native_unlock, *pv_unlock_traced, *native_unlock_traced;
static int (*trace_contended_release_begins)(void);
static struct tracepoint *contended_release;
/* Under this one the kernel switches tracepoints, and so exchanges its release. NULL if it has no such tracepoint. */
static struct mutex *tracepoints;
static enum policy policy = POLICY_STOCK;
/* Whether fast paths write the CPU's name. */
static bool named;

/* What the lock asks of Linux. */

notrace u32 pvq_cpu(void)
{
	return raw_smp_processor_id();
}

notrace u64 pvq_now_ns(void)
{
	return ktime_get_mono_fast_ns();
}

notrace bool pvq_in_nmi(void)
{
	return in_nmi();
}

void pvq_never(void)
{
	BUG();
}

/* What the static calls lead to. */

static notrace void lock_test_and_set(struct qspinlock *lock)
{
	for (;;) {
		u32 seen = atomic_read(&lock->val);

		if (!seen && atomic_try_cmpxchg_acquire(&lock->val, &seen, _Q_LOCKED_VAL))
			return;
		cpu_relax();
	}
}

/*
 * The two that are not the kernel's own are traced as its own is.
 *
 * A handler of an NMI may wait here while the policy changes, as it runs on a CPU that stands still, too.
 * So it stands in no queue: a test-and-set takes a word that is free in every algorithm, and leaves one
 * that every algorithm releases right.
 */
static notrace void lock_any(struct qspinlock *lock, u32 seen)
{
	enum policy now = unlikely(in_nmi()) ? POLICY_TEST_AND_SET : READ_ONCE(policy);

	inside_enter();
	if (now == POLICY_STOCK) {
		pv_lock(lock, seen);
	} else if (now == POLICY_NATIVE) {
		native_lock(lock, seen);
	} else {
		trace_contention_begin(lock, LCB_F_SPIN);
		if (is_ours(now))
			pvq_lock(lock, now);
		else
			lock_test_and_set(lock);
		trace_contention_end(lock, 0);
	}
	inside_leave();
}
NOKPROBE_SYMBOL(lock_any);

/* The release, if the word is not what a fast path wrote. */
__visible void pvq_unlock_any(struct qspinlock *lock);
__visible notrace void pvq_unlock_any(struct qspinlock *lock)
{
	enum policy now = READ_ONCE(policy);
	u8 locked = _Q_LOCKED_VAL;

	inside_enter();
	if (is_ours(now)) {
		pvq_unlock(lock, now);
	} else if (now == POLICY_STOCK) {
		if (!try_cmpxchg_release(&lock->locked, &locked, 0))
			pv_unlock_slow(lock, locked);
	} else {
		smp_store_release(&lock->locked, 0);
	}
	inside_leave();
}
NOKPROBE_SYMBOL(pvq_unlock_any);
PV_CALLEE_SAVE_REGS_THUNK(pvq_unlock_any);

/*
 * The release: from what the fast path wrote, to free, which is right in every policy. Like all
 * functions in this place it may change nothing but RAX.
 */
extern void pvq_unlock_fast(struct qspinlock *lock);
#define UNLOCK_FAST						\
	FRAME_BEGIN						\
	"push %rdx\n\t"						\
	"movl %gs:pvq_word(%rip), %eax\n\t"			\
	"xorl %edx, %edx\n\t"					\
	"lock cmpxchgl %edx, (%rdi)\n\t"			\
	"jne 1f\n\t"						\
	"pop %rdx\n\t"						\
	FRAME_END						\
	ASM_RET							\
	"1:\n\t"						\
	"call __raw_callee_save_pvq_unlock_any\n\t"		\
	"pop %rdx\n\t"						\
	FRAME_END
DEFINE_ASM_FUNC(pvq_unlock_fast, UNLOCK_FAST, .text);

#ifndef CONFIG_MITIGATION_RETHUNK
/* The returns of lock.o, in a kernel that has plain ones. */
asm(".pushsection .text\n\t"
    ".globl __x86_return_thunk\n\t"
    ".type __x86_return_thunk, @function\n"
    "__x86_return_thunk:\n\t"
    "ret\n\t"
    "int3\n\t"
    ".size __x86_return_thunk, . - __x86_return_thunk\n\t"
    ".popsection");
#endif

/* Exchanging. */

/*
 * Whether the kernel itself changed the release: it does when the tracepoint contended_release is
 * switched on or off, between two functions of its own.
 */
static bool is_pair(const void *one, const void *other, void *traced, void *plain)
{
	return (one == traced && other == plain) || (one == plain && other == traced);
}

static bool is_still(struct call *call)
{
	void *func = READ_ONCE(call->key->func);

	return func == call->now || is_pair(func, call->now, pv_unlock_traced, pv_unlock) ||
	       is_pair(func, call->now, native_unlock_traced, native_unlock);
}

/* Whether both static calls lead where this module let them lead. */
bool exchange_is_still(void)
{
	return is_still(&lock_call) && is_still(&unlock_call);
}

static int flip(void *to)
{
	WRITE_ONCE(policy, (enum policy)(long)to);
	return 0;
}

static int name_holders(void *yes)
{
	unsigned int cpu;

	named = yes;
	for_each_possible_cpu(cpu)
		names_set(cpu, yes ? pvq_name_of(cpu) : _Q_LOCKED_VAL);
	return 0;
}

static int nothing(void *unused)
{
	return 0;
}

enum policy exchange_policy(void)
{
	return READ_ONCE(policy);
}

/*
 * The kernel looks what its release is, and exchanges it later, both under the mutex of its tracepoints.
 * An exchange of ours in between would be undone.
 */
static void tracepoints_stay(void)
{
	if (tracepoints)
		mutex_lock(tracepoints);
}

static void tracepoints_may_change(void)
{
	if (tracepoints)
		mutex_unlock(tracepoints);
}

/* Tracepoints stay as they are meanwhile. */
static int set_policy(enum policy to, bool names)
{
	bool name = is_ours(to) && names;

	if (!exchange_is_still())
		return -EBUSY;
	/* This waits for an interrupt on each CPU: no handler of an NMI is in a queue of the kernel's afterwards. */
	calls_set(&lock_call, lock_any, &unlock_call, pvq_unlock_fast);
	/* Names in steps of their own: a handler of an NMI may hold a lock across one of them. */
	if (named && !name)
		stop_machine(name_holders, NULL, NULL);
	if (to != policy)
		stop_machine(flip, (void *)(long)to, NULL);
	if (name && !named) {
		names_patch();
		stop_machine(name_holders, (void *)1, NULL);
	}
	if (to == POLICY_STOCK)
		calls_set(&lock_call, pv_lock, &unlock_call, pv_unlock);
	else if (to == POLICY_NATIVE)
		calls_set(&lock_call, native_lock, &unlock_call, native_unlock);
	else if (to == POLICY_TEST_AND_SET)
		calls_set(&lock_call, lock_any, &unlock_call, native_unlock);
	if (!is_ours(to) && contended_release && static_key_enabled(&contended_release->key.key))
		trace_contended_release_begins();
	if (!name)
		names_unpatch();
	return 0;
}

/* One change at a time: the caller holds its mutex. */
int exchange_set(enum policy to, bool names)
{
	int error;

	tracepoints_stay();
	error = set_policy(to, names);
	tracepoints_may_change();
	return error;
}

/* Back to what the kernel had, if it is not that already. No CPU is inside this module afterwards. */
void exchange_undo(void)
{
	tracepoints_stay();
	if (policy != POLICY_STOCK && set_policy(POLICY_STOCK, false)) {
		/* Another module came after us, unnoticed. What we leave has to be right all the same. */
		pr_warn("pvqspin: another module has exchanged the spinlock; it is the kernel's own again, and that module must stay: what it would put back is gone\n");
		lock_call.now = lock_call.key->func;
		unlock_call.now = unlock_call.key->func;
		set_policy(POLICY_STOCK, false);
	}
	tracepoints_may_change();
	names_wait_until_unpatched();
	stop_machine(nothing, NULL, NULL);
	inside_wait_until_none();
}

/* Finds all that is needed; says what is not there. */
int exchange_prepare(void)
{
	int error = calls_find(&lock_call, "__SCK__queued_spin_lock_slowpath", "__SCT__queued_spin_lock_slowpath");

	if (!error)
		error = calls_find(&unlock_call, "__SCK__queued_spin_unlock", "__SCT__queued_spin_unlock");
	if (error == -ENOENT)
		pr_err("pvqspin: the names of the kernel's data cannot be found (CONFIG_KALLSYMS_ALL)\n");
	else if (error)
		pr_err("pvqspin: this kernel does not call its spinlock through static calls\n");
	if (error)
		return error;
	pv_lock = symbol("__pv_queued_spin_lock_slowpath");
	native_lock = symbol("native_queued_spin_lock_slowpath");
	pv_unlock_slow = symbol("__pv_queued_spin_unlock_slowpath");
	pv_unlock = symbol("__raw_callee_save___pv_queued_spin_unlock");
	native_unlock = symbol("__raw_callee_save___native_queued_spin_unlock");
	unlock_call.inlined = native_unlock;
	/* Not in every kernel: the tracepoint is young. */
	pv_unlock_traced = symbol("__raw_callee_save_pv_queued_spin_unlock_traced");
	native_unlock_traced = symbol("__raw_callee_save_native_queued_spin_unlock_traced");
	trace_contended_release_begins = symbol("arch_contended_release_trace_reg");
	contended_release = trace_contended_release_begins ? symbol("__tracepoint_contended_release") : NULL;
	if (!pv_lock || !native_lock || !pv_unlock_slow || !pv_unlock || !native_unlock) {
		pr_err("pvqspin: this kernel has no paravirtual spinlock (CONFIG_PARAVIRT_SPINLOCKS)\n");
		return -EOPNOTSUPP;
	}
	tracepoints = trace_contended_release_begins ? symbol("tracepoints_mutex") : NULL;
	if (IS_ENABLED(CONFIG_TRACEPOINTS) && trace_contended_release_begins && !tracepoints) {
		pr_err("pvqspin: this kernel exchanges its release under a mutex that cannot be found\n");
		return -EOPNOTSUPP;
	}
	if (lock_call.now == native_lock) {
		pr_err("pvqspin: the kernel does not use its paravirtual spinlock: nopvspin, or a host without PV_UNHALT\n");
		return -ENODEV;
	}
	if (lock_call.now != pv_lock || (unlock_call.now != pv_unlock && unlock_call.now != pv_unlock_traced)) {
		pr_err("pvqspin: another module has exchanged the spinlock already\n");
		return -EBUSY;
	}
	return 0;
}
