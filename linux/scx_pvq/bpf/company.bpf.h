/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Companions: threads of the loader, one on each CPU, that wait there while virtual machines have too few CPUs. Here it is
 * noticed that they are needed, the loader is told, and those whose CPU idles are run from time to time.
 */
#ifndef PVQ_COMPANY_BPF_H
#define PVQ_COMPANY_BPF_H

#include "state.bpf.h"

#include "company.h"

#define COMPANION(cpu) (0x20000ULL + (cpu))

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PVQ_MAX_DOMAINS);
	__type(key, u32);
	__type(value, struct pvq_look);
} looks SEC(".maps");

/* What is written there wakes the loader, which reads it away. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} pvq_calls SEC(".maps");

struct company_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct company_timer);
} company_timers SEC(".maps");

/* The loader's threads read it. */
static struct pvq_company company SEC(".data.company");

/*
 * A thread of the loader that waits on its CPU while tasks are queued. KVM drops a directed yield if the caller's CPU has no
 * other task, wherever those wait that this program could run: the companion is that task. It is known by its first
 * `sched_yield`, which no other thread of the loader makes.
 */
static void note_companion(const struct task_struct *p, struct task_state *t)
{
	if (p->tgid == config.loader && p->pid != p->tgid && p->nr_cpus_allowed == 1)
		t->companion = 1;
}

/* A tick: whether it met a guest. */
static void look_for_guests(const struct task_struct *p, u64 now)
{
	if (p->flags & PF_VCPU)
		company.guest_at = now;
}

/* A task was queued in a domain: whether that is so often enough for companions to be needed. */
static void look_for_crowd(u32 domain, u64 now)
{
	struct pvq_look *last = bpf_map_lookup_elem(&looks, &domain);
	struct pvq_clock *clock = clock_of(domain);
	struct company_timer *timer;
	u32 zero = 0;
	bool needed;

	if (!last || !clock || !pvq_is_crowded(last, now, clock->wanted_ns))
		return;
	if (!company.guest_at || now - company.guest_at >= PVQ_NEEDED_NS)
		return;
	needed = now < company.until;
	company.until = now + PVQ_NEEDED_NS;
	if (needed)
		return;
	bpf_ringbuf_output(&pvq_calls, &now, sizeof(now), BPF_RB_FORCE_WAKEUP);
	timer = bpf_map_lookup_elem(&company_timers, &zero);
	if (timer)
		bpf_timer_start(&timer->timer, config.companion_ns, 0);
}

/* A companion may stay where its CPU idles, but not for so long that the kernel takes it for stalled. */
static int run_idle_companions(void *map, u32 *key, struct company_timer *timer)
{
	u64 now = bpf_ktime_get_ns();
	bool waits = false;
	u32 cpu;

	bpf_for(cpu, 0, config.cpus) {
		struct cpu_state *c = cpu_state(cpu);

		if (!c || scx_bpf_dsq_nr_queued(COMPANION(cpu)) <= 0)
			continue;
		waits = true;
		if (now - c->companion_since >= config.companion_ns)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
	if (waits || now < company.until)
		bpf_timer_start(&timer->timer, config.companion_ns, 0);
	return 0;
}

static s32 init_company(void)
{
	u32 zero = 0, cpu;
	struct company_timer *timer = bpf_map_lookup_elem(&company_timers, &zero);
	s32 error = 0;

	if (!timer)
		return -2; /* ENOENT */
	bpf_for(cpu, 0, config.cpus) {
		error = scx_bpf_create_dsq(COMPANION(cpu), -1);
		if (error)
			return error;
	}
	bpf_timer_init(&timer->timer, &company_timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&timer->timer, run_idle_companions);
	return 0;
}

#endif
