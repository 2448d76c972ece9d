/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * A sched_ext scheduler that keeps the contract of a directed yield: the named task runs now, on the caller's CPU, on the
 * caller's time.
 *
 *   queues   one for each cache domain, by virtual time; and for each CPU a place (HELD) where the owner of the CPU's slice
 *            waits while another task runs on it, and one for its companion
 *   yield    notes the task that this CPU lends to, and gives up the slice
 *   dispatch lends; or gives the rest back to the owner; or ends the slice, and picks the first of the queue
 *
 *   tick     ends slices: the kernel looks at them at its tick alone, so a slice lasts until the tick nearest to its end
 *
 * What is decided stands in rules.h. A CPU's own state is written by that CPU alone, in scheduler callbacks, where it can
 * not be preempted; the exception is `taken`, which an idle CPU writes when it takes the owner of a slice.
 */
#include "company.bpf.h"
#include "lifetime.bpf.h"
#include "queue.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("struct_ops/pvq_select_cpu")
s32 BPF_PROG(pvq_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	struct task_state *t = task_state(p);

	if (idle && t) {
		u64 now = bpf_ktime_get_ns();

		place(p, t, domain_of(cpu), now, true);
		t->queue = 0;
		/* It waits: `enqueue` sees to that. */
		if (waits_until(p, t, now))
			return cpu;
		insert(p, SCX_DSQ_LOCAL, config.terms.slice_ns, 0);
	}
	return cpu;
}

SEC("struct_ops/pvq_enqueue")
void BPF_PROG(pvq_enqueue, struct task_struct *p, u64 flags)
{
	struct pvq_terms rules = terms();
	u64 now = bpf_ktime_get_ns();
	u32 cpu = scx_bpf_task_cpu(p), here = bpf_get_smp_processor_id();
	struct task_state *t = task_state(p);
	struct cpu_state *c = cpu_state(cpu);
	struct pvq_clock *clock;
	bool woke = flags & SCX_ENQ_WAKEUP;
	u32 domain = domain_of(cpu);
	s32 other;

	clock = clock_of(domain);
	if (!t || !c || !clock) {
		insert(p, SCX_DSQ_GLOBAL, rules.slice_ns, flags);
		return;
	}
	t->queue = 0;
	/* It only has to be there, also where its CPU idles. */
	if (t->companion && !woke) {
		c->companion_since = now;
		insert(p, COMPANION(cpu), rules.slice_ns, flags);
		return;
	}
	/* This CPU has nothing else, and looks once more before it sleeps. */
	if (flags & SCX_ENQ_LAST)
		scx_bpf_kick_cpu(cpu, 0);
	/* Before all others, when they wake. */
	if (serves_all(p) && woke) {
		count(PVQ_KTHREADS, 1);
		c->interrupted = 1;
		insert(p, SCX_DSQ_LOCAL, rules.slice_ns, flags | SCX_ENQ_PREEMPT);
		return;
	}
	/* A slice that a kernel thread interrupted goes on after it. */
	if (c->interrupted && cpu == here && pvq_goes_on(&c->slice, now, p->pid)) {
		insert(p, SCX_DSQ_LOCAL, counted(c->slice.end - now), flags);
		return;
	}
	/* Another task runs on its slice: it waits for that. */
	if (t->owns) {
		u32 owned = t->owns - 1;
		struct cpu_state *o = cpu_state(owned);

		if (o && o->slice.owner == p->pid && o->slice.current != p->pid && !o->taken) {
			if (bpf_cpumask_test_cpu(owned, p->cpus_ptr)) {
				t->queue = HELD(owned);
				insert(p, HELD(owned), rules.slice_ns, flags);
				if (owned != here)
					scx_bpf_kick_cpu(owned, SCX_KICK_IDLE);
				return;
			}
			/* It may not run there any more: the loan ends, and is paid up to then. */
			scx_bpf_kick_cpu(owned, SCX_KICK_PREEMPT);
		}
		t->owns = 0;
	}
	place(p, t, domain, now, woke);
	if (throttle(p, t, now, flags))
		return;
	if (is_pinned(p) && scx_bpf_test_and_clear_cpu_idle(cpu)) {
		insert(p, SCX_DSQ_LOCAL, rules.slice_ns, flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	t->queue = QUEUE(domain);
	wanted(domain, now);
	look_for_crowd(domain, now);
	insert_vtime(p, QUEUE(domain), rules.slice_ns, t->account.vtime, flags);
	other = is_pinned(p) ? -1 : scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (other >= 0) {
		scx_bpf_kick_cpu(other, SCX_KICK_IDLE);
		return;
	}
	if (!woke)
		return;
	other = find_preempted(p, t, cpu, now);
	if (other >= 0) {
		count(PVQ_PREEMPTIONS, 1);
		scx_bpf_kick_cpu(other, SCX_KICK_PREEMPT);
	}
}

/* For the verifier: a test that the compiler does not leave out because it knows the answer. */
#define is_there(pointer)                                \
	({                                               \
		asm volatile("" : "+r"(pointer));        \
		(pointer) != 0;                          \
	})

SEC("struct_ops/pvq_dispatch")
void BPF_PROG(pvq_dispatch, s32 cpu, struct task_struct *prev)
{
	struct pvq_terms rules = terms();
	u64 now = bpf_ktime_get_ns();
	struct cpu_state *c = cpu_state(cpu);
	struct task_state *t = prev ? task_state(prev) : 0;
	bool runs = prev && t && (prev->scx.flags & SCX_TASK_QUEUED) && !t->companion;
	u32 domain = domain_of(cpu);
	struct pvq_clock *clock = clock_of(domain);
	bool yielded, waits_elsewhere = false, stays = runs;

	if (!c || !clock)
		return;
	if (runs || !c->switched_at)
		c->switched_at = now;
	notice_taken(c, cpu, prev, t);
	/* A kernel thread was the last to run here, for all. */
	if (c->paused)
		c->slice.charged_until = now;
	charge(c, cpu, now, prev, t);
	if (runs && is_there(prev) && is_there(t) && serves_all(prev))
		pay_without_slice(c, now, prev, t);
	if (c->asked) {
		bool mine = runs && c->asker == prev->pid;

		if (mine && lend(c, cpu, now, prev, t)) {
			c->asked = 0;
			return;
		}
		c->asked = 0;
		/* Refused: the caller goes on with what it has. */
		if (mine && c->slice.current == prev->pid && !pvq_is_over(&c->slice, now) && !is_spent(c, now, prev)) {
			set_slice(prev, counted(c->slice.end - now));
			return;
		}
	}
	yielded = runs && c->yielded == prev->pid;
	c->yielded = 0;
	if (!runs && resume(c, cpu, now))
		return;
	end_slice(c, cpu, now, prev, t);
	/* So that it can end, and the kernel does not take it for stalled. */
	if (now - c->companion_since >= config.companion_ns && move_to_local(COMPANION(cpu)))
		return;
	look_for_overdue(domain, now);
	throttle_from(domain, now);
	if (runs && is_there(prev) && is_there(t)) {
		if (t->owns) {
			struct cpu_state *o = cpu_state(t->owns - 1);

			waits_elsewhere = o && o->slice.owner == prev->pid && o->slice.current != prev->pid;
			/* The one that runs there can not go on at its own cost. */
			stays = !waits_elsewhere || !o->beyond;
		}
		change_domain(t, domain);
		if (!waits_elsewhere) {
			pvq_requeue(&rules, clock, &t->account);
			/* A task that runs alone is placed by nothing else. */
			look_at_limits(prev, t, now);
			stays = !waits_until(prev, t, now);
			if (stays && !yielded && bpf_cpumask_test_cpu(cpu, prev->cpus_ptr) &&
			    !first_goes_before(QUEUE(domain), t->account.vtime) && is_there(prev) && is_there(t))
				goto keep;
		}
	}
	if (move_to_local(QUEUE(domain)))
		return;
	if (!stays || waits_elsewhere) {
		if (steal(cpu, now))
			return;
	}
	if (!stays || !is_there(prev) || !is_there(t) || !bpf_cpumask_test_cpu(cpu, prev->cpus_ptr)) {
		c->switched_at = 0;
		/* One that is about to be moved goes on. One that a limit holds back does not, nor does a companion. */
		if (runs && stays && is_there(prev))
			set_slice(prev, rules.slice_ns);
		return;
	}
	/* Nothing else wants to run here. What it owns elsewhere is the borrower's from now on. */
	if (waits_elsewhere) {
		struct cpu_state *o = cpu_state(t->owns - 1);

		if (o) {
			o->taken_at = now;
			o->taken = prev->pid;
			count(PVQ_CONVERTED, 1);
		}
	}
keep:
	begin(c, cpu, now, prev, t);
	set_slice(prev, counted(c->slice.end - now));
}

/* Not only this CPU calls it: one that changes a task that runs elsewhere stops that task, and lets it run again. */
SEC("struct_ops/pvq_running")
void BPF_PROG(pvq_running, struct task_struct *p)
{
	u64 now = bpf_ktime_get_ns();
	u32 cpu = scx_bpf_task_cpu(p);
	struct cpu_state *c = cpu_state(cpu);
	struct task_state *t = task_state(p);

	if (!c || !t)
		return;
	t->queue = 0;
	t->ran_since = now;
	count_used(p, t, false);
	if (t->throttled_since)
		note_released(t, now);
	if (t->last_cpu != cpu) {
		if (t->started)
			count(PVQ_MIGRATIONS, 1);
		t->last_cpu = cpu;
	}
	if (runs_for_all(c, p)) {
		c->switched_at = 0;
		return;
	}
	c->interrupted = 0;
	if (c->slice.owner && c->slice.current == p->pid) {
		if (c->paused)
			c->slice.charged_until = now;
		c->paused = 0;
		c->switched_at = 0;
		/* It was queued meanwhile, if it was changed. */
		if (c->slice.owner == p->pid)
			t->owns = cpu + 1;
		/* None is left to one that was told to stop meanwhile; the kernel picks no task without. */
		if (p->scx.slice && !pvq_is_over(&c->slice, now))
			set_slice(p, counted(c->slice.end - now));
		return;
	}
	if (!t->started)
		place(p, t, domain_of(cpu), now, true);
	begin(c, cpu, now, p, t);
	if (p->scx.slice)
		set_slice(p, counted(c->slice.end - now));
}

SEC("struct_ops/pvq_stopping")
void BPF_PROG(pvq_stopping, struct task_struct *p, bool runnable)
{
	u64 now = bpf_ktime_get_ns();
	u32 cpu = scx_bpf_task_cpu(p);
	struct cpu_state *c = cpu_state(cpu);
	struct task_state *t = task_state(p);

	if (!c || !t)
		return;
	if (!runnable)
		c->switched_at = now;
	if (runs_for_all(c, p)) {
		pay_without_slice(c, now, p, t);
		return;
	}
	count_used(p, t, true);
	/* The slice may have been lent in this very dispatch: the time up to here was charged there. */
	if (c->slice.current == p->pid) {
		notice_taken(c, cpu, p, t);
		charge(c, cpu, now, p, t);
		c->paused = 1;
	}
}

SEC("struct_ops/pvq_tick")
void BPF_PROG(pvq_tick, struct task_struct *p)
{
	struct pvq_terms rules = terms();
	u64 now = bpf_ktime_get_ns();
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *c = cpu_state(cpu);
	struct task_state *t = task_state(p);

	if (!c || !t)
		return;
	c->ticked_at = now;
	look_for_guests(p, now);
	pvq_note_tick(&ticks, now, bpf_jiffies64());
	if (!c->slice.owner || c->slice.current != p->pid)
		return;
	count_used(p, t, true);
	if (c->limited)
		charge(c, cpu, now, p, t);
	if (pvq_ends_at_tick(&c->slice, now, c->lent_at, ticks.period_ns, is_spent(c, now, p), &rules))
		set_slice(p, 0);
}

SEC("struct_ops/pvq_yield")
bool BPF_PROG(pvq_yield, struct task_struct *from, struct task_struct *to)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *c = cpu_state(cpu);
	struct task_state *t = task_state(from);

	if (!c || !t)
		return false;
	if (!to) {
		note_companion(from, t);
		count(PVQ_YIELDS, 1);
		c->yielded = from->pid;
		set_slice(from, 0);
		return false;
	}
	count(PVQ_ASKED, 1);
	if (!bpf_cpumask_test_cpu(cpu, to->cpus_ptr)) {
		count(PVQ_REFUSED_AFFINITY, 1);
		return false;
	}
	c->asker = from->pid;
	c->asked = to->pid;
	set_slice(from, 0);
	return true;
}

SEC(".struct_ops.link")
struct sched_ext_ops pvq_ops = {
	.select_cpu = (void *)pvq_select_cpu,
	.enqueue = (void *)pvq_enqueue,
	.dispatch = (void *)pvq_dispatch,
	.running = (void *)pvq_running,
	.stopping = (void *)pvq_stopping,
	.tick = (void *)pvq_tick,
	.yield = (void *)pvq_yield,
	.init_task = (void *)pvq_init_task,
	.init = (void *)pvq_init,
	.exit = (void *)pvq_exit,
	.flags = SCX_OPS_ENQ_LAST,
	.timeout_ms = 10000,
	.exit_dump_len = PVQ_DUMP_LEN,
	.name = "pvq",
};
