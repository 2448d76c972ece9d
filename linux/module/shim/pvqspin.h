/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the files of the shim know of each other, and of the lock. */
#ifndef PVQSPIN_H
#define PVQSPIN_H

#include <linux/percpu.h>
#include <linux/types.h>

struct qspinlock;

/* As src/entry.rs numbers those of the lock. */
enum policy {
	POLICY_STOCK,		/* the kernel's own, as it was */
	POLICY_NATIVE,		/* the kernel's own queue, without a host */
	POLICY_TEST_AND_SET,	/* what Linux uses on hypervisors that it does not know */
	POLICY_FIFO,
	POLICY_BOUNDED,
	POLICY_FIFO_HALT,
	POLICY_FIFO_HOLDER,
	POLICIES
};

extern const char *const policy_names[POLICIES + 1];

static inline bool is_ours(enum policy policy)
{
	return policy >= POLICY_FIFO;
}

/* The lock: src/entry.rs */
void pvq_lock(struct qspinlock *lock, u32 policy);
void pvq_unlock(struct qspinlock *lock, u32 policy);
size_t pvq_percpu_bytes(void);
u32 pvq_start(void *all, u32 count, u32 ticks_per_ms, u32 features);
void pvq_cpu_is_up(u32 apic_id, void *record);
u32 pvq_name_of(u32 cpu);
u32 pvq_stat_rows(void);
const char *pvq_stat_name(u32 row, u32 *length);
u64 pvq_stat(u32 row, u32 cpu);
bool pvq_stat_is_sum(u32 row);
void pvq_stat_reset(u32 cpu);

/* What the lock needs: src/shim.rs */
u32 pvq_cpu(void);
u64 pvq_now_ns(void);
bool pvq_in_nmi(void);
void pvq_never(void);

/* symbols.c */
int find_symbols(void);
void *symbol(const char *name);
unsigned long symbol_size(const void *at);

/* exchange.c */
int exchange_prepare(void);
int exchange_set(enum policy policy, bool names);
enum policy exchange_policy(void);
bool exchange_is_still(void);
void exchange_undo(void);

/* names.c: the word that a free lock gets from a fast path, 1 or the CPU's name */
DECLARE_PER_CPU(u32, pvq_word);
void names_patch(void);
void names_set(unsigned int cpu, u32 word);
bool names_are_built_in(void);
void names_unpatch(void);
void names_wait_until_unpatched(void);
unsigned int names_patched(void);

/* debugfs.c */
void debugfs_make(void);
void debugfs_remove_all(void);

#endif
