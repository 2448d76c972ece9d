/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Limits of control groups on CPU time: what is read of the kernel's groups, the accounts, and the queue in which the tasks
 * of a group without time wait, by the time at which they may run. A timer lets them go.
 */
#ifndef PVQ_LIMITS_BPF_H
#define PVQ_LIMITS_BPF_H

#include "state.bpf.h"

#include "limits.h"

#define THROTTLED 0x30000ULL

/* Groups that have an account; of more the ones that were not used for the longest time lose theirs. */
#define PVQ_BUDGETS 4096
/* Moved to the queue of those that wait in one dispatch, and let go by the timer at once. */
#define PVQ_MOVES 64
/* The timer is set this far ahead, at least and at most. */
#define PVQ_SOONEST_NS 1000000ULL
#define PVQ_LATEST_NS 10000000ULL
#define PVQ_NEVER (~0ULL)

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PVQ_BUDGETS);
	__type(key, u64);
	__type(value, struct pvq_budget);
} budgets SEC(".maps");

struct release_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct release_timer);
} release_timers SEC(".maps");

static struct {
	/* When a task with a limit was last seen, and when one was last held back: to a second. */
	u64 seen_at;
	u64 throttled_at;
	/* When the timer comes. */
	u64 timer_at;
} limits SEC(".data.limits");

#define PVQ_SECOND_NS 1000000000ULL

static void note(u64 *at, u64 now)
{
	if (now - *at >= PVQ_SECOND_NS)
		*at = now;
}

static struct pvq_limit limit_of(struct task_group *group)
{
	struct pvq_limit l = { .quota_ns = PVQ_NO_LIMIT };

	/* Without it the kernel knows no limits: the struct is there, and empty. */
	if (bpf_core_field_exists(group->cfs_bandwidth.quota)) {
		l.quota_ns = group->cfs_bandwidth.quota;
		l.period_ns = group->cfs_bandwidth.period;
		l.burst_ns = group->cfs_bandwidth.burst;
	}
	return l;
}

/* Whether the task's group or one above it has a limit. */
ONCE bool has_limits(struct task_struct *p __arg_trusted)
{
	struct task_group *group = p->sched_task_group;
	int level;

	if (!bpf_core_field_exists(group->cfs_bandwidth.quota))
		return false;
	for (level = 0; level < PVQ_GROUPS && group; level++) {
		if (group->cfs_bandwidth.quota != PVQ_NO_LIMIT)
			return true;
		group = group->parent;
	}
	return false;
}

/* What serves all is not limited. */
static void look_at_limits(struct task_struct *p, struct task_state *t, u64 now)
{
	t->limited = !serves_all(p) && has_limits(p);
	if (t->limited)
		note(&limits.seen_at, now);
}

/* By the number that the kernel gives each group once: another one may be made where one was. */
static struct pvq_budget *budget_of(struct task_group *group, u64 now)
{
	u64 key = group->css.serial_nr;
	struct pvq_budget *found = bpf_map_lookup_elem(&budgets, &key);
	struct pvq_budget new = { .began = now };

	if (found)
		return found;
	bpf_map_update_elem(&budgets, &key, &new, BPF_NOEXIST);
	return bpf_map_lookup_elem(&budgets, &key);
}

/* The account of a group and its limit, if it has one. */
static struct pvq_budget *limited(struct task_group *group, u64 now, struct pvq_limit *limit)
{
	*limit = limit_of(group);
	return pvq_is_limited(limit) ? budget_of(group, now) : 0;
}

/* Charges the groups of a task, and says when all of them have time; 0 if they have now. */
ONCE u64 spend(struct task_struct *p __arg_trusted, u64 now, u64 ns)
{
	struct task_group *group = p->sched_task_group;
	u64 until = 0;
	int level;

	bpf_for(level, 0, PVQ_GROUPS) {
		struct pvq_budget *budget;
		struct pvq_limit limit;

		if (!group)
			break;
		budget = limited(group, now, &limit);
		if (budget) {
			pvq_spend(budget, &limit, now, ns, config.most_wait_ns);
			until = pvq_most(until, pvq_held_until(budget, &limit, now));
		}
		group = group->parent;
	}
	return until;
}

static u64 held_until(struct task_struct *p, u64 now)
{
	return spend(p, now, 0);
}

/* Until when a task has to wait; 0 if it may run now. */
static u64 waits_until(struct task_struct *p, const struct task_state *t, u64 now)
{
	u64 until = t->limited ? held_until(p, now) : 0;

	return until ? pvq_waits_until(until, t->throttled_since ? t->throttled_since : now, now, config.most_wait_ns) : 0;
}

/* Sets the timer, if it would come too late. Two CPUs that do so at once may make it later, by PVQ_LATEST_NS at most. */
static void set_timer(u64 at, u64 now)
{
	u32 zero = 0;
	struct release_timer *timer = bpf_map_lookup_elem(&release_timers, &zero);

	at = pvq_most(now + PVQ_SOONEST_NS, pvq_least(at, now + PVQ_LATEST_NS));
	if (!timer || (limits.timer_at > now && limits.timer_at <= at))
		return;
	limits.timer_at = at;
	bpf_timer_start(&timer->timer, at - now, 0);
}

/* A task is about to wait. */
static void note_throttled(struct task_state *t, u64 until, u64 now)
{
	struct pvq_clock *clock = clock_of(t->domain);

	t->ahead = clock ? pvq_ahead(clock->vtime, t->account.vtime) : 0;
	t->queue = THROTTLED;
	if (!t->throttled_since)
		t->throttled_since = now;
	count(PVQ_THROTTLED, 1);
	note(&limits.throttled_at, now);
	set_timer(until, now);
}

/* One that waited runs, or is lent time. */
static void note_released(struct task_state *t, u64 now)
{
	if (now - t->throttled_since >= config.most_wait_ns)
		count(PVQ_RELEASED_LATE, 1);
	t->throttled_since = 0;
}

/* Queues a task where it waits, if it has to. */
static bool throttle(struct task_struct *p, struct task_state *t, u64 now, u64 flags)
{
	u64 until = waits_until(p, t, now);

	if (!until)
		return false;
	note_throttled(t, until, now);
	insert_vtime(p, THROTTLED, config.terms.slice_ns, until, flags);
	return true;
}

/* Moves the first of a queue to where it waits, if it has to. */
static bool throttle_first(u32 domain, u64 now)
{
	struct bpf_iter_scx_dsq it;
	bool moved = false;

	if (!bpf_iter_scx_dsq_new(&it, QUEUE(domain), 0)) {
		struct task_struct *p = bpf_iter_scx_dsq_next(&it);
		struct task_state *t = p ? task_state(p) : 0;

		if (p && t) {
			u64 until = waits_until(p, t, now);

			if (until) {
				note_throttled(t, until, now);
				move_set_vtime(&it, until);
				moved = move_vtime(&it, p, THROTTLED);
			}
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return moved;
}

/* The first of a queue may run, after this; or too many may not, and one of them runs, and its group owes that. */
static void throttle_from(u32 domain, u64 now)
{
	int i;

	/* None was queued in all the time for which one could wait there. */
	if (now - limits.seen_at >= 4 * config.most_wait_ns)
		return;
	wanted(domain, now);
	bpf_for(i, 0, PVQ_MOVES) {
		if (!throttle_first(domain, now))
			break;
	}
}

/* Lets the first go, if it is time: 0; or else says when it will be. */
static u64 release_first(u64 now)
{
	struct bpf_iter_scx_dsq it;
	u64 at = PVQ_NEVER;

	if (!bpf_iter_scx_dsq_new(&it, THROTTLED, 0)) {
		struct task_struct *p = bpf_iter_scx_dsq_next(&it);
		struct task_state *t = p ? task_state(p) : 0;
		struct pvq_clock *clock = t ? clock_of(t->domain) : 0;

		if (p && t && clock) {
			at = p->scx.dsq_vtime;
			if (at <= now) {
				at = 0;
				wanted(t->domain, now);
				t->account.vtime = clock->vtime + t->ahead;
				t->queue = QUEUE(t->domain);
				move_set_vtime(&it, t->account.vtime);
				if (move_vtime(&it, p, QUEUE(t->domain))) {
					s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

					count(PVQ_RELEASED, 1);
					/* Its own may be about to idle. */
					scx_bpf_kick_cpu(cpu >= 0 ? cpu : scx_bpf_task_cpu(p), SCX_KICK_IDLE);
				}
			}
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return at;
}

static int release(void *map, u32 *key, struct release_timer *timer)
{
	u64 now = bpf_ktime_get_ns(), at = 0;
	int i;

	limits.timer_at = 0;
	/* Up to 6.16 the verifier takes it for one that may sleep, because `pvq_init` may, which sets it. */
	bpf_rcu_read_lock();
	bpf_for(i, 0, PVQ_MOVES) {
		at = release_first(now);
		if (at)
			break;
	}
	bpf_rcu_read_unlock();
	/* A task that is queued comes there after it has set the timer. */
	if (at != PVQ_NEVER || now - limits.throttled_at < 2 * PVQ_SECOND_NS)
		set_timer(at, now);
	return 0;
}

static s32 init_limits(void)
{
	u32 zero = 0;
	struct release_timer *timer = bpf_map_lookup_elem(&release_timers, &zero);

	if (!timer)
		return -2; /* ENOENT */
	bpf_timer_init(&timer->timer, &release_timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&timer->timer, release);
	return scx_bpf_create_dsq(THROTTLED, -1);
}

#endif
