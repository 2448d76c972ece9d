/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * A sched_ext scheduler that keeps the contract of a directed yield: the named task runs now, on the caller's CPU, on the
 * caller's time.
 *
 *   queues   one for each cache domain, by virtual time; and for each CPU a place (HELD) where the owner of the CPU's slice
 *            waits while another task runs on it
 *   yield    notes whom this CPU lends to, and gives up the slice
 *   dispatch lends; or gives the rest back to the owner; or ends the slice, and picks the first of the queue
 *
 *   tick     ends slices: the kernel looks at them at its tick alone, so a slice lasts until the tick nearest to its end
 *
 * What is decided stands in rules.h. A CPU's own state is written by that CPU alone, in scheduler callbacks, where it can
 * not be preempted; the exception is `taken`, which an idle CPU writes when it takes the owner of a slice.
 */
#include "kernel.h"
#include "rules.h"
#include "shared.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

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
	/* The task that yielded to nobody in particular, or 0. */
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
};

/* The time from tick to tick, measured: 0 until it is known. */
struct tick_time {
	u64 period_ns;
	u64 first_at;
	u64 first_jiffies;
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
static struct tick_time ticks SEC(".data.ticks");

/*
 * How long a slice that begins now is: until the tick nearest to its end, and half a tick more, because ticks may come
 * late. It can be lent for all of that time, and `pvq_tick` ends it.
 */
static u64 slice_length(const struct cpu_state *c, u64 now)
{
	u64 slice = config.terms.slice_ns, period = ticks.period_ns, since, length;

	since = now - c->ticked_at;
	/* The CPU was idle, and its tick stopped; or the time is not known yet. */
	if (!period || since >= 64 * period)
		return slice + period / 2;
	length = (since + slice + period / 2) / period * period;
	length = length > since + slice / 4 ? length - since : length + period - since;
	return length + period / 2;
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
	pvq_pass(clock, now, scx_bpf_dsq_nr_queued(QUEUE(domain)) > 0);
	return clock->wanted_ns;
}

/* Another CPU's clock may be stepped meanwhile: it still never goes back. */
static void picked(struct pvq_clock *clock, const struct pvq_account *account)
{
	u64 before = clock->vtime;

	if (pvq_is_before(account->vtime, before))
		return;
	if (__sync_val_compare_and_swap(&clock->vtime, before, account->vtime) == before)
		clock->weight = account->weight;
}

/* nice, times cpu.weight of the cgroup and those above it; 100 is the weight of an ordinary task. */
static u32 weight_of(struct task_struct *p)
{
	struct task_group *group = p->sched_task_group;
	u64 weight = p->scx.weight;
	int level;

	for (level = 0; level < 4 && group; level++) {
		/* 1024 for cpu.weight 100, with ten more bits of fraction. */
		u64 shares = BPF_CORE_READ(group, shares) >> 10;
		struct task_group *above = BPF_CORE_READ(group, parent);

		if (shares && above)
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
		bpf_task_release(owner);
	}
}

static void begin(struct cpu_state *c, u32 cpu, u64 now, struct task_struct *p, struct task_state *t)
{
	struct pvq_terms rules = terms();
	struct pvq_clock *clock;

	change_domain(t, domain_of(cpu));
	rules.slice_ns = slice_length(c, now);
	pvq_begin(&c->slice, now, wanted(t->domain, now), p->pid, &rules);
	t->owns = cpu + 1;
	c->paused = 0;
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
	struct pvq_terms rules = terms();

	if (!c->taken)
		return;
	if (c->taken == c->slice.owner && pvq_is_lent(&c->slice) && p && t && c->slice.current == p->pid) {
		charge(c, cpu, c->taken_at, p, t);
		rules.slice_ns = slice_length(c, c->taken_at);
		pvq_convert(&c->slice, c->taken_at, c->slice.wanted_until, &rules);
		t->owns = cpu + 1;
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
			t->queue = 0;
		}
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
	done = move_here(p, HELD(cpu), cpu, counted(after.end - now), &why);
	bpf_task_release(p);
	if (done) {
		c->slice = after;
		c->paused = 0;
		count(PVQ_RESUMED, 1);
	}
	return done;
}

/* A slice is over: its owner, if it waits, goes back to the queue. */
static void end_slice(struct cpu_state *c, u32 cpu, struct task_struct *prev, struct task_state *prev_state)
{
	struct pvq_terms rules = terms();
	u32 domain = domain_of(cpu);
	struct pvq_clock *clock = clock_of(domain);
	int i;

	if (pvq_is_lent(&c->slice))
		count(PVQ_EXPIRED, 1);
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
		if (!c)
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
static void place(struct task_struct *p, struct task_state *t, u32 domain, bool woke)
{
	struct pvq_terms rules = terms();
	struct pvq_clock *clock = clock_of(domain);

	if (!clock)
		return;
	t->account.weight = weight_of(p);
	if (!t->started) {
		t->started = 1;
		t->domain = domain;
		pvq_start(&rules, clock->vtime, &t->account);
		return;
	}
	change_domain(t, domain);
	if (woke)
		pvq_wake(clock->vtime, &t->account);
	else
		pvq_requeue(&rules, clock, &t->account);
}

SEC("struct_ops/pvq_select_cpu")
s32 BPF_PROG(pvq_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	struct task_state *t = task_state(p);

	if (idle && t) {
		place(p, t, domain_of(cpu), true);
		t->queue = 0;
		insert(p, SCX_DSQ_LOCAL, config.terms.slice_ns, 0);
	}
	return cpu;
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
	/* Kernel threads serve everybody: before all others, when they wake. */
	if ((p->flags & PF_KTHREAD) && woke) {
		count(PVQ_KTHREADS, 1);
		c->interrupted = 1;
		insert(p, SCX_DSQ_LOCAL, rules.slice_ns, flags | SCX_ENQ_PREEMPT);
		return;
	}
	/* A slice that a kernel thread interrupted goes on after it. */
	if (c->interrupted && cpu == here && c->slice.owner && c->slice.current == p->pid &&
	    !pvq_is_over(&c->slice, now)) {
		insert(p, SCX_DSQ_LOCAL, counted(c->slice.end - now), flags);
		return;
	}
	/* Another task runs on its slice: it waits for that. */
	if (t->owns) {
		u32 owned = t->owns - 1;
		struct cpu_state *o = cpu_state(owned);

		if (o && o->slice.owner == p->pid && o->slice.current != p->pid && !o->taken) {
			t->queue = HELD(owned);
			insert(p, HELD(owned), rules.slice_ns, flags);
			if (owned != here)
				scx_bpf_kick_cpu(owned, SCX_KICK_IDLE);
			return;
		}
		t->owns = 0;
	}
	place(p, t, domain, woke);
	if (is_pinned(p) && scx_bpf_test_and_clear_cpu_idle(cpu)) {
		insert(p, SCX_DSQ_LOCAL, rules.slice_ns, flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	t->queue = QUEUE(domain);
	wanted(domain, now);
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
	bool runs = prev && t && (prev->scx.flags & SCX_TASK_QUEUED);
	u32 domain = domain_of(cpu);
	struct pvq_clock *clock = clock_of(domain);
	bool yielded, waits_elsewhere = false;

	if (!c || !clock)
		return;
	notice_taken(c, cpu, prev, t);
	/* A kernel thread was the last to run here, for all. */
	if (c->paused)
		c->slice.charged_until = now;
	charge(c, cpu, now, prev, t);
	if (c->asked) {
		bool mine = runs && c->asker == prev->pid;

		if (mine && lend(c, cpu, now, prev, t)) {
			c->asked = 0;
			return;
		}
		c->asked = 0;
		/* Refused: the caller goes on with what it has. */
		if (mine && c->slice.current == prev->pid && !pvq_is_over(&c->slice, now)) {
			set_slice(prev, counted(c->slice.end - now));
			return;
		}
	}
	yielded = runs && c->yielded == prev->pid;
	c->yielded = 0;
	if (!runs && resume(c, cpu, now))
		return;
	end_slice(c, cpu, prev, t);
	if (runs && is_there(prev) && is_there(t)) {
		if (t->owns) {
			struct cpu_state *o = cpu_state(t->owns - 1);

			waits_elsewhere = o && o->slice.owner == prev->pid && o->slice.current != prev->pid;
		}
		change_domain(t, domain);
		if (!waits_elsewhere) {
			pvq_requeue(&rules, clock, &t->account);
			if (!yielded && bpf_cpumask_test_cpu(cpu, prev->cpus_ptr) &&
			    !first_goes_before(QUEUE(domain), t->account.vtime) && is_there(prev) && is_there(t))
				goto keep;
		}
	}
	if (move_to_local(QUEUE(domain)))
		return;
	if (!runs || waits_elsewhere) {
		if (steal(cpu, now))
			return;
	}
	if (!runs || !is_there(prev) || !is_there(t) || !bpf_cpumask_test_cpu(cpu, prev->cpus_ptr))
		return;
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

SEC("struct_ops/pvq_running")
void BPF_PROG(pvq_running, struct task_struct *p)
{
	u64 now = bpf_ktime_get_ns();
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *c = cpu_state(cpu);
	struct task_state *t = task_state(p);

	if (!c || !t)
		return;
	t->queue = 0;
	t->ran_since = now;
	if (t->last_cpu != cpu) {
		if (t->started)
			count(PVQ_MIGRATIONS, 1);
		t->last_cpu = cpu;
	}
	if (p->flags & PF_KTHREAD)
		return;
	c->interrupted = 0;
	if (c->slice.owner && c->slice.current == p->pid) {
		if (c->paused)
			c->slice.charged_until = now;
		c->paused = 0;
		return;
	}
	if (!t->started)
		place(p, t, domain_of(cpu), true);
	begin(c, cpu, now, p, t);
	set_slice(p, counted(c->slice.end - now));
}

SEC("struct_ops/pvq_stopping")
void BPF_PROG(pvq_stopping, struct task_struct *p, bool runnable)
{
	u64 now = bpf_ktime_get_ns();
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *c = cpu_state(cpu);
	struct task_state *t = task_state(p);

	if (!c || !t)
		return;
	if (p->flags & PF_KTHREAD) {
		if (now > t->ran_since)
			pay(t, now - t->ran_since, false);
		return;
	}
	/* The slice may have been lent in this very dispatch: the time up to here was charged there. */
	if (c->slice.current == p->pid) {
		notice_taken(c, cpu, p, t);
		charge(c, cpu, now, p, t);
		c->paused = 1;
	}
}

/* The time of a tick on this CPU, and of ticks at all: the longer it is measured, the more exactly. */
static void note_tick(struct cpu_state *c, u64 now)
{
	u64 jiffies = bpf_jiffies64();

	c->ticked_at = now;
	if (!ticks.first_at) {
		ticks.first_jiffies = jiffies;
		ticks.first_at = now;
	} else if (jiffies - ticks.first_jiffies >= 16 && jiffies - ticks.first_jiffies < 1024) {
		ticks.period_ns = (now - ticks.first_at) / (jiffies - ticks.first_jiffies);
	}
}

SEC("struct_ops/pvq_tick")
void BPF_PROG(pvq_tick, struct task_struct *p)
{
	u64 now = bpf_ktime_get_ns();
	struct cpu_state *c = cpu_state(bpf_get_smp_processor_id());

	if (!c)
		return;
	note_tick(c, now);
	if (!c->slice.owner || c->slice.current != p->pid)
		return;
	/* A loan that began just now has its least time, which nothing ends more exactly than the next tick. */
	if (pvq_is_lent(&c->slice) && now - c->lent_at < config.terms.min_loan_ns)
		return;
	if (pvq_is_over(&c->slice, now + ticks.period_ns))
		set_slice(p, 0);
}

SEC("struct_ops/pvq_yield")
bool BPF_PROG(pvq_yield, struct task_struct *from, struct task_struct *to)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *c = cpu_state(cpu);

	if (!c)
		return false;
	if (!to) {
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

SEC("struct_ops.s/pvq_init_task")
s32 BPF_PROG(pvq_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_state *t = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12; /* ENOMEM */
	t->account.weight = weight_of(p);
	return 0;
}

SEC("struct_ops.s/pvq_init")
s32 BPF_PROG(pvq_init)
{
	u32 i;
	s32 error = 0;

	bpf_for(i, 0, config.domains) {
		error = scx_bpf_create_dsq(QUEUE(i), -1);
		if (error)
			return error;
	}
	bpf_for(i, 0, config.cpus) {
		error = scx_bpf_create_dsq(HELD(i), -1);
		if (error)
			return error;
	}
	return 0;
}

SEC("struct_ops/pvq_exit")
void BPF_PROG(pvq_exit, struct scx_exit_info *info)
{
	bpf_probe_read_kernel_str(end.reason, sizeof(end.reason), BPF_CORE_READ(info, reason));
	bpf_probe_read_kernel_str(end.message, sizeof(end.message), BPF_CORE_READ(info, msg));
	bpf_probe_read_kernel_str(end.dump, sizeof(end.dump), BPF_CORE_READ(info, dump));
	end.code = bpf_core_field_exists(info->exit_code) ? BPF_CORE_READ(info, exit_code) : 0;
	/* Last: the loader waits for it. */
	__sync_lock_test_and_set(&end.kind, BPF_CORE_READ(info, kind));
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
	.timeout_ms = 10000,
	.exit_dump_len = PVQ_DUMP_LEN,
	.name = "pvq",
};
