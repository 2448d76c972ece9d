/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Queues of domains: where a task stands in one, which one goes first, and which slice it may end. */
#ifndef PVQ_QUEUE_BPF_H
#define PVQ_QUEUE_BPF_H

#include "overdue.h"
#include "slices.bpf.h"

/* Puts those first that have waited for too long: no other event looks at all that are queued. */
static void look_for_overdue(u32 domain, u64 now)
{
	struct pvq_clock *clock = clock_of(domain);
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	u64 first;

	if (!clock || !pvq_looks_for_overdue(clock, now, config.most_wait_ns))
		return;
	first = clock->vtime;
	if (!bpf_iter_scx_dsq_new(&it, QUEUE(domain), 0)) {
		while ((p = bpf_iter_scx_dsq_next(&it))) {
			struct task_state *t = task_state(p);
			s64 waits = bpf_jiffies64() - p->scx.runnable_at;

			if (!pvq_goes_first(&first, p->scx.dsq_vtime, waits, ticks.period_ns, config.most_wait_ns) || !t)
				continue;
			move_set_slice(&it, config.terms.slice_ns);
			move_set_vtime(&it, first);
			if (move_vtime(&it, p, QUEUE(domain))) {
				t->account.vtime = first;
				count(PVQ_HURRIED, 1);
			}
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
}

/* Whether the first of a queue goes before this virtual time. */
static bool first_goes_before(u64 queue, u64 vtime)
{
	struct bpf_iter_scx_dsq it;
	bool before = false;

	if (!bpf_iter_scx_dsq_new(&it, queue, 0)) {
		struct task_struct *p = bpf_iter_scx_dsq_next(&it);

		if (p)
			before = !pvq_is_before(vtime, p->scx.dsq_vtime);
	}
	bpf_iter_scx_dsq_destroy(&it);
	return before;
}

/* Nothing is queued here: takes a task from another domain, or one that waits while another runs on its slice. */
static bool steal(u32 cpu, u64 now)
{
	u32 here = domain_of(cpu), i;

	bpf_for(i, 1, config.domains) {
		u32 domain = here + i;

		if (domain >= config.domains)
			domain -= config.domains;
		wanted(domain, now);
		throttle_from(domain, now);
		if (move_to_local(QUEUE(domain))) {
			count(PVQ_STOLEN, 1);
			return true;
		}
	}
	bpf_for(i, 0, config.cpus) {
		struct cpu_state *c;
		u32 owner;

		if (scx_bpf_dsq_nr_queued(HELD(i)) <= 0)
			continue;
		c = cpu_state(i);
		/* It would have to go on at its own cost. */
		if (!c || c->beyond)
			continue;
		owner = c->slice.owner;
		if (move_to_local(HELD(i))) {
			c->taken_at = now;
			c->taken = owner;
			count(PVQ_CONVERTED, 1);
			return true;
		}
	}
	return false;
}

/* Where a task stands in virtual time that is about to be queued. */
ONCE int place(struct task_struct *p __arg_trusted, struct task_state *t __arg_nonnull, u32 domain, u64 now, bool woke)
{
	struct pvq_terms rules = terms();
	struct pvq_clock *clock = clock_of(domain);

	if (!clock)
		return 0;
	t->account.weight = weight_of(p);
	look_at_limits(p, t, now);
	if (!t->started) {
		t->started = 1;
		t->domain = domain;
		pvq_start(&rules, clock, &t->account);
		return 0;
	}
	change_domain(t, domain);
	if (woke)
		pvq_wake(clock->vtime, &t->account);
	else
		pvq_requeue(&rules, clock, &t->account);
	return 0;
}

/* Looks for the CPU whose slice a task that woke may end; -1 if there is none. */
static s32 find_preempted(struct task_struct *p, const struct task_state *t, u32 cpu, u64 now)
{
	struct pvq_terms rules = terms();
	u64 latest = 0;
	s32 found = -1;
	u32 i;

	bpf_for(i, 0, 4) {
		u32 other = cpu + i;
		struct cpu_state *c;
		u64 vtime;

		if (other >= config.cpus)
			other -= config.cpus;
		if (i && (is_pinned(p) || domain_of(other) != t->domain || !bpf_cpumask_test_cpu(other, p->cpus_ptr)))
			continue;
		c = cpu_state(other);
		if (!c || !c->slice.owner)
			continue;
		/* What must run here is not delayed by a loan. */
		if (!is_pinned(p) && pvq_is_protected(&c->slice, now, &rules))
			continue;
		vtime = pvq_as_if_paid(&c->slice, now, c->owner_vtime, c->owner_weight);
		if (!pvq_preempts(&rules, &t->account, vtime))
			continue;
		if (found < 0 || pvq_is_before(latest, vtime)) {
			found = other;
			latest = vtime;
		}
	}
	return found;
}

#endif
