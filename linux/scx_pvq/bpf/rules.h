/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0 */
/*
 * What is decided: who runs, for how long, who pays. Pure functions of accounts and slices; no kernel in sight.
 *
 * The rules are those of docs/decisions/0011-loans-and-fair-time.md, as in crates/host (`fair` and `loan`).
 * This header is compiled twice: into the BPF program, and into a library for tests, which compare it with crates/host
 * decision by decision.
 *
 *   fair time:  an account's virtual time is charged time over weight; the least of a queue runs.
 *   slices:     time on one CPU, charged to its owner, whichever task runs on it. A loan is its use by another task.
 *   ticks:      when a slice begins, so that a tick ends it; and whether this tick does.
 */
#ifndef PVQ_RULES_H
#define PVQ_RULES_H

#define PVQ_SCALE 65536ULL
#define PVQ_MAX_WEIGHT 65536U
#define PVQ_LAG_SLICES 3ULL
#define PVQ_LIKE_SLICES 2ULL
#define PVQ_LATE_SLICES 4ULL
/* Powers of two up to PVQ_MAX_WEIGHT. */
#define PVQ_CLASSES 17U
/* The most nanoseconds of one charge: more than three days. */
#define PVQ_MOST_NS (1ULL << 47)

struct pvq_terms {
	u64 slice_ns;
	u64 min_loan_ns;
};

struct pvq_account {
	u64 vtime;
	u32 rest;
	u32 weight;
};

/* The latest pick among tasks whose weights differ by less than a factor of two. */
struct pvq_like {
	u64 vtime;
	/* The wanted time then, and one; 0: there was none. */
	u64 picked;
};

struct pvq_clock {
	u64 vtime;
	u32 weight;
	u32 unused;
	/* For how long, in all, a task was queued, and up to when that is known. Other time costs nothing. */
	u64 wanted_ns;
	u64 seen;
	/* When the queue was last looked at for tasks that wait for too long. */
	u64 looked_at;
	struct pvq_like like[PVQ_CLASSES];
};

/* owner 0: there is no slice. */
struct pvq_slice {
	u64 owner;
	u64 current;
	u64 began;
	u64 planned_end;
	u64 end;
	u64 charged_until;
	u64 wanted_until;
	u64 chargeable_ns;
	u64 free_ns;
	u64 first_loan;
	u64 lent;
};

/* The kernel's tick, at which alone it looks at slices. 0: not known yet. */
struct pvq_ticks {
	u64 period_ns;
	u64 first_at;
	u64 first_jiffies;
};

static inline int pvq_is_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static inline u64 pvq_later(u64 a, u64 b)
{
	return pvq_is_before(a, b) ? b : a;
}

static inline u64 pvq_least(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 pvq_most(u64 a, u64 b)
{
	return a < b ? b : a;
}

static inline u64 pvq_divisor(u32 weight)
{
	return weight ? weight : 1;
}

static inline u64 pvq_span(u64 ns, u32 weight)
{
	return pvq_least(ns, PVQ_MOST_NS) * PVQ_SCALE / pvq_divisor(weight);
}

/* By how much virtual time moves; what the division leaves over is kept, so nothing is lost by rounding. */
static inline u64 pvq_step(struct pvq_account *a, u64 ns)
{
	u64 weight = pvq_divisor(a->weight);
	u64 sum = pvq_least(ns, PVQ_MOST_NS) * PVQ_SCALE + a->rest;

	a->rest = sum % weight;
	return sum / weight;
}

static inline void pvq_charge(struct pvq_account *a, u64 ns)
{
	a->vtime += pvq_step(a, ns);
}

static inline u32 pvq_class(u32 weight)
{
	u32 class = 0;
	u32 step;

	if (weight >= PVQ_MAX_WEIGHT)
		return PVQ_CLASSES - 1;
	/* The logarithm: BPF cannot count zeros. */
	for (step = 8; step; step >>= 1) {
		if (weight >> step) {
			weight >>= step;
			class += step;
		}
	}
	return class;
}

/* Of several CPUs one is kept, or the time of one and the virtual time of another: as good as either. */
static inline void pvq_note_like(struct pvq_clock *c, const struct pvq_account *a)
{
	struct pvq_like *like = &c->like[pvq_class(a->weight)];

	like->vtime = a->vtime;
	like->picked = c->wanted_ns + 1;
}

/* A task with this account is put on a CPU. */
static inline void pvq_picked(struct pvq_clock *c, const struct pvq_account *a)
{
	if (!pvq_is_before(a->vtime, c->vtime)) {
		c->vtime = a->vtime;
		c->weight = a->weight;
	}
	pvq_note_like(c, a);
}

/* Time passes up to an event of the queue; `queued`: whether a task was queued since the last one. By how much more that is. */
static inline u64 pvq_pass(struct pvq_clock *c, u64 now, int queued)
{
	u64 before = c->seen;

	/* Of several CPUs one accounts for each stretch of time. */
	if (!pvq_is_before(before, now) || __sync_val_compare_and_swap(&c->seen, before, now) != before)
		return 0;
	if (!queued)
		return 0;
	__sync_fetch_and_add(&c->wanted_ns, now - before);
	return now - before;
}

/* The lag that a task may have is bounded: in slices of the lighter of it and the one that the clock follows. */
static inline u64 pvq_least_vtime(const struct pvq_terms *t, const struct pvq_clock *c, const struct pvq_account *a)
{
	u32 weight = c->weight < a->weight ? c->weight : a->weight;

	return c->vtime - pvq_span(PVQ_LAG_SLICES * t->slice_ns, weight);
}

/*
 * Where the latest pick of about the same weight stood, or of a lighter one that stood further back;
 * the clock, if there was none.
 */
static inline u64 pvq_like(const struct pvq_terms *t, const struct pvq_clock *c, const struct pvq_account *a)
{
	u32 own = pvq_class(a->weight);
	u64 stand = c->vtime;
	u32 class;

	for (class = 0; class < PVQ_CLASSES; class++) {
		const struct pvq_like *like = &c->like[class];
		u64 ago = c->wanted_ns + 1 - like->picked;

		if (class > own)
			break;
		if (like->picked && ago <= PVQ_LIKE_SLICES * t->slice_ns && pvq_is_before(like->vtime, stand))
			stand = like->vtime;
	}
	return pvq_later(stand, pvq_least_vtime(t, c, a));
}

/* The first start: it stands where its like do, and the first slice is paid in advance. */
static inline void pvq_start(const struct pvq_terms *t, const struct pvq_clock *c, struct pvq_account *a)
{
	a->vtime = pvq_like(t, c, a) + pvq_span(t->slice_ns + t->min_loan_ns, a->weight);
	a->rest = 0;
}

/* A task wakes: sleep saves nothing up, and forgives nothing. */
static inline void pvq_wake(u64 stand, struct pvq_account *a)
{
	a->vtime = pvq_later(a->vtime, stand);
}

/* A task that ran is queued again: what it saved up without competition is bounded. */
static inline void pvq_requeue(const struct pvq_terms *t, const struct pvq_clock *c, struct pvq_account *a)
{
	a->vtime = pvq_later(a->vtime, pvq_least_vtime(t, c, a));
}

/* Whether a task that wakes takes the CPU from the owner of a slice, whose virtual time is up to date. */
static inline int pvq_preempts(const struct pvq_terms *t, const struct pvq_account *woken, u64 owner_vtime)
{
	return pvq_is_before(woken->vtime + pvq_span(t->slice_ns / 4, woken->weight), owner_vtime);
}

/* `wanted`: the clock's `wanted_ns` at that time. */
static inline void pvq_begin(struct pvq_slice *s, u64 now, u64 wanted, u64 task, const struct pvq_terms *t)
{
	s->owner = task;
	s->current = task;
	s->began = now;
	s->planned_end = now + t->slice_ns;
	s->end = s->planned_end;
	s->charged_until = now;
	s->wanted_until = wanted;
	s->chargeable_ns = PVQ_LATE_SLICES * t->slice_ns;
	s->free_ns = 0;
	s->first_loan = 0;
	s->lent = 0;
}

static inline int pvq_is_lent(const struct pvq_slice *s)
{
	return s->owner && s->current != s->owner;
}

static inline int pvq_is_over(const struct pvq_slice *s, u64 now)
{
	return now >= s->end;
}

/* Whether any of it can be lent. */
static inline int pvq_can_lend(const struct pvq_slice *s, u64 now, const struct pvq_terms *t)
{
	return s->owner && now < s->planned_end + t->min_loan_ns;
}

/* Whether nothing of the queue may take the CPU now: for the shortest loan from the first loan on. */
static inline int pvq_is_protected(const struct pvq_slice *s, u64 now, const struct pvq_terms *t)
{
	return pvq_is_lent(s) && s->lent && now < s->first_loan + t->min_loan_ns;
}

/* How much the owner pays for the time since the last charge; `*ran` is how much it was. */
static inline u64 pvq_due(struct pvq_slice *s, u64 now, u64 wanted, u64 *ran)
{
	u64 most, due;

	*ran = 0;
	if (!s->owner || now <= s->charged_until)
		return 0;
	*ran = now - s->charged_until;
	most = pvq_least(*ran, s->chargeable_ns);
	due = pvq_least(most, wanted - s->wanted_until);
	s->charged_until = now;
	s->wanted_until = wanted;
	s->chargeable_ns -= most;
	s->free_ns += most - due;
	return due;
}

/* The owner's virtual time if all of the slice cost: what a task that wakes is compared with. */
static inline u64 pvq_as_if_paid(const struct pvq_slice *s, u64 now, u64 vtime, u32 weight)
{
	u64 unpaid = s->free_ns;

	if (now > s->charged_until)
		unpaid += now - s->charged_until;
	return vtime + pvq_span(unpaid, weight);
}

/* Who runs on the slice from now on; lending to the owner gives it back. Until `s->end`. */
static inline void pvq_give_to(struct pvq_slice *s, u64 now, u64 task, const struct pvq_terms *t)
{
	u64 limit = s->planned_end + t->min_loan_ns;

	s->end = pvq_most(s->end, pvq_least(now + t->min_loan_ns, limit));
	s->current = task;
	if (task != s->owner && !s->lent) {
		s->lent = 1;
		s->first_loan = now;
	}
}

/* The one that ran on it sleeps: does the owner, if it waits, have the rest? Otherwise the slice is over. */
static inline int pvq_owner_goes_on(const struct pvq_slice *s, u64 now, int owner_waits)
{
	return pvq_is_lent(s) && !pvq_is_over(s, now) && owner_waits;
}

/* The owner was given another CPU: the one that runs on the slice goes on, on a slice of its own. */
static inline void pvq_convert(struct pvq_slice *s, u64 now, u64 wanted, const struct pvq_terms *t)
{
	pvq_begin(s, now, wanted, s->current, t);
}

/* A tick on any CPU: the longer ticks are seen, the more exactly is the time from one to the next known. */
static inline void pvq_note_tick(struct pvq_ticks *t, u64 now, u64 jiffies)
{
	u64 seen = jiffies - t->first_jiffies;

	if (!t->first_at) {
		t->first_jiffies = jiffies;
		t->first_at = now;
	} else if (seen >= 16 && seen < 1024) {
		t->period_ns = (now - t->first_at) / seen;
	} else if (seen >= 1024 && !t->period_ns) {
		/* All CPUs were idle, and had no ticks: anew. */
		t->first_jiffies = jiffies;
		t->first_at = now;
	}
}

/*
 * How long a slice is that begins `since` after its CPU's last tick: until the tick nearest to its end, a quarter of it at
 * least, and half a tick more, because ticks may come late. It can be lent for all of that time, and a tick ends it.
 */
static inline u64 pvq_until_tick(u64 slice_ns, u64 period_ns, u64 since)
{
	u64 nearest;

	/* The CPU was idle, and its tick stopped; or the time is not known yet. */
	if (!period_ns || since >= 64 * period_ns)
		return slice_ns + period_ns / 2;
	nearest = (since + slice_ns + period_ns / 2) / period_ns * period_ns;
	if (nearest <= since + slice_ns / 4)
		nearest += period_ns;
	return nearest - since + period_ns / 2;
}

/*
 * A tick ends the slice if the next one would be too late, or if its owner's time is spent; whether it does. Nothing is
 * left then, also for an owner that a kernel thread interrupts at the same tick. A loan that began just now has its least
 * time, which nothing ends more exactly than the next tick.
 */
static inline int pvq_ends_at_tick(struct pvq_slice *s, u64 now, u64 lent_at, u64 period_ns, int spent,
				   const struct pvq_terms *t)
{
	if (pvq_is_lent(s) && now - lent_at < t->min_loan_ns)
		return 0;
	if (!spent && !pvq_is_over(s, now + period_ns))
		return 0;
	s->planned_end = pvq_least(s->planned_end, now);
	s->end = pvq_least(s->end, now);
	return 1;
}

/* Whether a kernel thread that interrupts this task leaves it its CPU. */
static inline int pvq_goes_on(const struct pvq_slice *s, u64 now, u64 task)
{
	return s->owner && s->current == task && !pvq_is_over(s, now);
}

/* Whether it lasted longer than its tick, the one nearest to its end. A loan may last for one more. */
static inline int pvq_overran(const struct pvq_slice *s, u64 now, u64 period_ns, const struct pvq_terms *t)
{
	return s->owner && !s->lent && now - s->began > t->slice_ns + period_ns;
}

#endif
