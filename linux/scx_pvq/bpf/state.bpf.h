/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What the program keeps: of CPUs, of tasks, of domains; and how it asks for that. */
#ifndef PVQ_STATE_BPF_H
#define PVQ_STATE_BPF_H

#include "kernel.h"
#include "rules.h"
#include "shared.h"

const volatile struct pvq_config config = {};
struct pvq_end end;

#define QUEUE(domain) (0x100ULL + (domain))
#define HELD(cpu) (0x10000ULL + (cpu))

struct cpu_state {
	struct pvq_slice slice;
	/* The owner's virtual time at the last charge, for those who consider preempting it. */
	u64 owner_vtime;
	u32 owner_weight;
	/* A directed yield that waits for this CPU's next dispatch: caller and target, or 0. */
	u32 asker;
	u32 asked;
	/* The task that yielded without naming a target, or 0. */
	u32 yielded;
	/* A kernel thread goes first; the slice goes on afterwards. */
	u32 interrupted;
	/* What runs now, a kernel thread or a real-time task, is not charged to the owner. */
	u32 paused;
	/* The owner of the slice that another CPU took, and when. */
	u32 taken;
	u64 taken_at;
	u64 ticked_at;
	/* When the task that runs was lent this CPU. */
	u64 lent_at;
	/* Whether the owner's group has a limit; and whether the one that the slice was lent to has used its own up. */
	u32 limited;
	u32 beyond;
	/* Since when its companion waits. */
	u64 companion_since;
	/* Since when the task that runs next here has the CPU, as the kernel counts it. 0: since it runs. */
	u64 switched_at;
};

struct task_state {
	struct pvq_account account;
	/* The domain whose clock the virtual time belongs to. */
	u32 domain;
	/* 1 + the CPU whose slice it owns, or 0. */
	u32 owns;
	/* The queue in which it waits, or 0. */
	u64 queue;
	u64 ran_since;
	u32 last_cpu;
	u32 started;
	/* Whether its group, or one above it, has a limit. */
	u32 limited;
	/* Whether it is a companion. */
	u32 companion;
	/* Since when it waits for such a group to have time, or 0; and how far it is ahead of its clock. */
	u64 throttled_since;
	u64 ahead;
	/* The kernel's count of its time, up to where it is in the statistics. */
	u64 used_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PVQ_MAX_CPUS);
	__type(key, u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PVQ_MAX_DOMAINS);
	__type(key, u32);
	__type(value, struct pvq_clock);
} clocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PVQ_COUNTERS);
	__type(key, u32);
	__type(value, u64);
} pvq_counters SEC(".maps");

static void count(u32 which, u64 by)
{
	u64 *value = bpf_map_lookup_elem(&pvq_counters, &which);

	if (value)
		*value += by;
}

static struct pvq_terms terms(void)
{
	struct pvq_terms t = {
		.slice_ns = config.terms.slice_ns,
		.min_loan_ns = config.terms.min_loan_ns,
	};
	return t;
}

/* Not beside `end`, whose place the loader knows. */
static struct pvq_ticks ticks SEC(".data.ticks");

/* A slice that begins now on this CPU: until a tick. */
static struct pvq_terms terms_until_tick(const struct cpu_state *c, u64 now)
{
	struct pvq_terms t = terms();

	t.slice_ns = pvq_until_tick(t.slice_ns, ticks.period_ns, now - c->ticked_at);
	return t;
}

/* For the kernel, which counts a slice down at its ticks: none is over before `pvq_tick` says so. */
static u64 counted(u64 left)
{
	return left + ticks.period_ns;
}

static struct cpu_state *cpu_state(u32 cpu)
{
	return bpf_map_lookup_elem(&cpus, &cpu);
}

static struct task_state *task_state(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static u32 domain_of(u32 cpu)
{
	u64 at = cpu;

	/* In a register that the compiler does not look into: the verifier has to see the bound. */
	asm volatile("%[at] &= 1023" : [at] "+r"(at));
	return config.domain_of[at];
}

_Static_assert(PVQ_MAX_CPUS == 1024, "the bound in domain_of");

static struct pvq_clock *clock_of(u32 domain)
{
	return bpf_map_lookup_elem(&clocks, &domain);
}

/*
 * For how long, in all, a task was queued in a domain. Asked before every event that changes the queue: what is queued now
 * was so since the last one.
 */
static u64 wanted(u32 domain, u64 now)
{
	struct pvq_clock *clock = clock_of(domain);

	if (!clock)
		return now;
	count(PVQ_WANTED_NS, pvq_pass(clock, now, scx_bpf_dsq_nr_queued(QUEUE(domain)) > 0));
	return clock->wanted_ns;
}

/* Another CPU's clock may be stepped meanwhile: it still never goes back. */
static void picked(struct pvq_clock *clock, const struct pvq_account *account)
{
	u64 before = clock->vtime;

	pvq_note_like(clock, account);
	if (pvq_is_before(account->vtime, before))
		return;
	if (__sync_val_compare_and_swap(&clock->vtime, before, account->vtime) == before)
		clock->weight = account->weight;
}

/* For the verifier, which wants to see an end. */
#define PVQ_GROUPS 16

/*
 * A function that is not static: the verifier looks at it once, not wherever it is called, which makes loading faster. Weak,
 * or the compiler leaves out an argument that it sees unused, which the verifier calls missing.
 */
#define ONCE __noinline __weak

/* In the mode of a directory: members of its group, and all others, make directories in it. */
#define OTHERS_WRITE 022

/* Whether the weights of the groups right below this one are set by root, and by no user who was given it. */
static bool is_roots(struct task_group *group)
{
	struct kernfs_node *directory = BPF_CORE_READ(group, css.cgroup, kn);
	/* Without attributes of its own a directory is root's. */
	struct kernfs_iattrs *given = BPF_CORE_READ(directory, iattr);

	return !(BPF_CORE_READ(directory, mode) & OTHERS_WRITE) && (!given || !BPF_CORE_READ(given, ia_uid.val));
}

/*
 * nice, times cpu.weight of the cgroup and those above it; 100 is the weight of an ordinary task. A user makes groups lighter
 * than they were, and none heavier.
 */
ONCE u32 weight_of(struct task_struct *p __arg_trusted)
{
	struct task_group *group = p->sched_task_group;
	u64 weight = p->scx.weight;
	int level;

	for (level = 0; level < PVQ_GROUPS && group; level++) {
		/* 1024 for cpu.weight 100, with ten more bits of fraction. */
		u64 shares = BPF_CORE_READ(group, shares) >> 10;
		struct task_group *above = BPF_CORE_READ(group, parent);

		if (shares && above && (shares <= 1024 || is_roots(above)))
			weight = weight * shares / 1024;
		group = above;
	}
	return weight < 1 ? 1 : weight > PVQ_MAX_WEIGHT ? PVQ_MAX_WEIGHT : weight;
}

/* Moves virtual time from one domain's clock to another's. */
static void change_domain(struct task_state *t, u32 domain)
{
	struct pvq_clock *from, *to;

	if (t->domain == domain)
		return;
	from = clock_of(t->domain);
	to = clock_of(domain);
	if (from && to)
		t->account.vtime += to->vtime - from->vtime;
	t->domain = domain;
}

static bool may_run_on(struct task_struct *p, u32 cpu)
{
	return bpf_cpumask_test_cpu(cpu, p->cpus_ptr) && !p->migration_disabled;
}

static bool is_pinned(const struct task_struct *p)
{
	return p->nr_cpus_allowed == 1 || p->migration_disabled;
}

/* Kernel threads, and the loader's: they run for all, and briefly. They own a slice only where nothing else wants to run. */
static bool serves_all(const struct task_struct *p)
{
	return (p->flags & PF_KTHREAD) || p->tgid == config.loader;
}

#endif
