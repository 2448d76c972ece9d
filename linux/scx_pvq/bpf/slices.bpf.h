/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What happens to slices: who pays for them, who runs on them, who gets them when they are over. */
#ifndef PVQ_SLICES_BPF_H
#define PVQ_SLICES_BPF_H

#include "limits.bpf.h"

/* An account is charged by the CPU whose slice it owns, and, right after that slice was taken away, by two. */
static void pay(struct task_state *t, u64 due, bool lent)
{
	u64 step = pvq_step(&t->account, due);

	__sync_fetch_and_add(&t->account.vtime, step);
	if (lent)
		count(PVQ_LENT_PAID_NS, due);
}

/* Charges a CPU's slice to its owner. `p` runs there, and its state is at hand. */
static void charge(struct cpu_state *c, u32 cpu, u64 now, struct task_struct *p, struct task_state *t)
{
	u64 ran, due = pvq_due(&c->slice, now, wanted(domain_of(cpu), now), &ran);
	bool lent = pvq_is_lent(&c->slice);

	if (!ran)
		return;
	if (lent)
		count(PVQ_LENT_NS, ran);
	count(PVQ_CHARGED_NS, ran);
	if (p && t && c->slice.owner == p->pid) {
		pay(t, due, false);
		c->owner_vtime = t->account.vtime;
		if (c->limited)
			spend(p, now, ran);
	} else {
		struct task_struct *owner = bpf_task_from_pid(c->slice.owner);
		struct task_state *o;

		if (!owner)
			return;
		o = task_state(owner);
		if (o) {
			pay(o, due, lent);
			c->owner_vtime = o->account.vtime;
		}
		if (c->limited)
			spend(owner, now, ran);
		bpf_task_release(owner);
	}
}

/* Whether the owner of this CPU's slice has used its group's time up. `p` runs there. */
static bool is_spent(const struct cpu_state *c, u64 now, struct task_struct *p)
{
	struct task_struct *owner;
	bool spent;

	if (!c->limited)
		return false;
	if (c->slice.owner == p->pid)
		return held_until(p, now);
	owner = bpf_task_from_pid(c->slice.owner);
	if (!owner)
		return false;
	spent = held_until(owner, now);
	bpf_task_release(owner);
	return spent;
}

/* Whether a kernel thread, or one of the loader's, runs beside this CPU's slice, and not on it. */
static bool runs_for_all(const struct cpu_state *c, const struct task_struct *p)
{
	return serves_all(p) && c->slice.current != p->pid;
}

/*
 * What one that serves all ran, it pays for itself: up to here, and no more of it later. On a slice of its own, which it has
 * if nothing else wants its CPU, `charge` has done so.
 */
static void pay_without_slice(const struct cpu_state *c, u64 now, struct task_struct *p, struct task_state *t)
{
	if (runs_for_all(c, p) && now > t->ran_since)
		pay(t, now - t->ran_since, false);
	t->ran_since = now;
}

/* What a task used since the last call, as the kernel counts: what is charged, by other clocks, has to come to the same. */
static void count_used(const struct task_struct *p, struct task_state *t, bool counts)
{
	u64 used = p->se.sum_exec_runtime;

	if (counts && used > t->used_ns)
		count(PVQ_USED_NS, used - t->used_ns);
	t->used_ns = used;
}

/* A slice has a new owner, which runs on it. */
static void own_limits(struct cpu_state *c, const struct task_state *t, u64 now)
{
	c->limited = t->limited;
	c->beyond = 0;
	if (t->limited)
		note(&limits.seen_at, now);
}

/* A switch takes microseconds. What lasts longer is a task of another class, which ran between two of these. */
#define PVQ_LONGEST_SWITCH_NS 1000000ULL

static void begin(struct cpu_state *c, u32 cpu, u64 now, struct task_struct *p, struct task_state *t)
{
	struct pvq_terms rules = terms_until_tick(c, now);
	struct pvq_clock *clock;

	change_domain(t, domain_of(cpu));
	pvq_begin(&c->slice, now, wanted(t->domain, now), p->pid, &rules);
	/* The owner pays for the switch to it, as the kernel counts: else tasks that sleep often have that for nothing. */
	if (c->switched_at && pvq_is_before(c->switched_at, now) && now - c->switched_at < PVQ_LONGEST_SWITCH_NS) {
		c->slice.wanted_until -= now - c->switched_at;
		c->slice.charged_until = c->switched_at;
	}
	c->switched_at = 0;
	t->owns = cpu + 1;
	c->paused = 0;
	own_limits(c, t, now);
	clock = clock_of(t->domain);
	if (clock)
		picked(clock, &t->account);
	c->owner_vtime = t->account.vtime;
	c->owner_weight = t->account.weight;
	count(PVQ_SLICES, 1);
}

/* An idle CPU has taken the owner of this CPU's slice: the one that runs here pays for itself since then. */
static void notice_taken(struct cpu_state *c, u32 cpu, struct task_struct *p, struct task_state *t)
{
	struct pvq_terms rules = terms_until_tick(c, c->taken_at);
	struct pvq_clock *clock;

	if (!c->taken)
		return;
	if (c->taken == c->slice.owner && pvq_is_lent(&c->slice) && p && t && c->slice.current == p->pid) {
		charge(c, cpu, c->taken_at, p, t);
		/* As if it were picked, or it could owe any number of slices. */
		clock = clock_of(t->domain);
		if (clock)
			picked(clock, &t->account);
		pvq_convert(&c->slice, c->taken_at, c->slice.wanted_until, &rules);
		t->owns = cpu + 1;
		own_limits(c, t, c->taken_at);
		c->owner_vtime = t->account.vtime;
		c->owner_weight = t->account.weight;
	}
	c->taken = 0;
}

/* Moves one task of a queue to this CPU, for so long. O(1): the queue is not walked. */
static bool move_here(struct task_struct *p, u64 queue, u32 cpu, u64 slice, u32 *why)
{
	struct bpf_iter_scx_dsq it;
	bool done = false;

	*why = PVQ_REFUSED_NOT_WAITING;
	/* Opened first: a task that is queued anew after this, with another mask maybe, is not moved. */
	if (!bpf_iter_scx_dsq_new(&it, queue, 0)) {
		if (scx_bpf_task_cpu(p) != cpu && !may_run_on(p, cpu)) {
			*why = PVQ_REFUSED_AFFINITY;
		} else {
			*why = PVQ_REFUSED_MOVED;
			move_set_slice(&it, slice);
			done = move(&it, p, SCX_DSQ_LOCAL);
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	return done;
}

/* A target that no queue holds: it is looked at while other CPUs go on, so this is for statistics alone. */
static void count_not_waiting(const struct task_struct *p)
{
	if (scx_bpf_task_running(p))
		count(PVQ_NOT_WAITING_RUNNING, 1);
	else if (!(p->scx.flags & SCX_TASK_QUEUED))
		count(PVQ_NOT_WAITING_ASLEEP, 1);
}

/* Runs the target of a directed yield on this CPU's slice. */
static bool lend(struct cpu_state *c, u32 cpu, u64 now, struct task_struct *prev, struct task_state *prev_state)
{
	struct pvq_terms rules = terms();
	struct pvq_slice after;
	struct task_struct *p;
	struct task_state *t;
	u32 why = PVQ_REFUSED_NOT_WAITING;
	u32 target = c->asked;
	bool done = false;

	if (!pvq_can_lend(&c->slice, now, &rules) || c->slice.current != prev->pid) {
		count(PVQ_REFUSED_NO_TIME, 1);
		return false;
	}
	if (is_spent(c, now, prev)) {
		count(PVQ_REFUSED_THROTTLED, 1);
		return false;
	}
	p = bpf_task_from_pid(target);
	if (!p) {
		count(why, 1);
		return false;
	}
	t = task_state(p);
	if (t && t->queue) {
		after = c->slice;
		pvq_give_to(&after, now, target, &rules);
		wanted(t->domain, now);
		done = move_here(p, t->queue, cpu, counted(after.end - now), &why);
		if (done) {
			if (pvq_is_lent(&c->slice))
				count(after.current == after.owner ? PVQ_GIVEN_BACK : PVQ_CHAINED, 1);
			c->slice = after;
			c->lent_at = now;
			c->beyond = t->limited && held_until(p, now);
			if (c->beyond)
				count(PVQ_RAN_THROTTLED, 1);
			t->queue = 0;
		}
	} else {
		count_not_waiting(p);
	}
	bpf_task_release(p);
	count(done ? PVQ_RAN : why, 1);
	return done;
}

/* The owner of this CPU's slice, if it waits, has what is left of it. */
static bool resume(struct cpu_state *c, u32 cpu, u64 now)
{
	struct pvq_terms rules = terms();
	struct task_struct *p;
	struct pvq_slice after = c->slice;
	u32 why;
	bool done;

	if (!pvq_owner_goes_on(&c->slice, now, scx_bpf_dsq_nr_queued(HELD(cpu)) > 0))
		return false;
	p = bpf_task_from_pid(c->slice.owner);
	if (!p)
		return false;
	pvq_give_to(&after, now, after.owner, &rules);
	done = !(c->limited && held_until(p, now)) &&
	       move_here(p, HELD(cpu), cpu, counted(after.end - now), &why);
	bpf_task_release(p);
	if (done) {
		c->slice = after;
		c->paused = 0;
		c->beyond = 0;
		count(PVQ_RESUMED, 1);
	}
	return done;
}

/* A slice is over: its owner, if it waits, goes back to the queue. */
static void end_slice(struct cpu_state *c, u32 cpu, u64 now, struct task_struct *prev, struct task_state *prev_state)
{
	struct pvq_terms rules = terms();
	u32 domain = domain_of(cpu);
	struct pvq_clock *clock = clock_of(domain);
	int i;

	if (pvq_is_lent(&c->slice))
		count(PVQ_EXPIRED, 1);
	if (ticks.period_ns && pvq_overran(&c->slice, now, ticks.period_ns, &rules))
		count(PVQ_OVERRUN, 1);
	if (prev && prev_state && c->slice.owner == prev->pid)
		prev_state->owns = 0;
	c->slice.owner = 0;
	c->slice.current = 0;
	for (i = 0; i < 4 && scx_bpf_dsq_nr_queued(HELD(cpu)) > 0; i++) {
		struct bpf_iter_scx_dsq it;

		if (!bpf_iter_scx_dsq_new(&it, HELD(cpu), 0)) {
			struct task_struct *p = bpf_iter_scx_dsq_next(&it);
			struct task_state *t = p ? task_state(p) : 0;

			if (p && t && clock) {
				t->owns = 0;
				change_domain(t, domain);
				pvq_requeue(&rules, clock, &t->account);
				t->queue = QUEUE(domain);
				move_set_slice(&it, rules.slice_ns);
				move_set_vtime(&it, t->account.vtime);
				move_vtime(&it, p, QUEUE(domain));
			}
		}
		bpf_iter_scx_dsq_destroy(&it);
	}
}

#endif
