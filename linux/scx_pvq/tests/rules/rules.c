/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The rules of the BPF program, compiled for user space: every function with a symbol of its own. */
#include <stdint.h>

typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#include "company.h"
#include "limits.h"
#include "overdue.h"

void c_charge(struct pvq_account *a, u64 ns) { pvq_charge(a, ns); }
void c_picked(struct pvq_clock *c, const struct pvq_account *a) { pvq_picked(c, a); }
int c_looks_for_overdue(struct pvq_clock *c, u64 now, u64 most) { return pvq_looks_for_overdue(c, now, most); }
int c_goes_first(u64 *first, u64 key, s64 ticks, u64 period, u64 most) { return pvq_goes_first(first, key, ticks, period, most); }
void c_start(const struct pvq_terms *t, const struct pvq_clock *c, struct pvq_account *a) { pvq_start(t, c, a); }
void c_wake(u64 stand, struct pvq_account *a) { pvq_wake(stand, a); }
void c_requeue(const struct pvq_terms *t, const struct pvq_clock *c, struct pvq_account *a) { pvq_requeue(t, c, a); }
int c_preempts(const struct pvq_terms *t, const struct pvq_account *w, u64 v) { return pvq_preempts(t, w, v); }
void c_pass(struct pvq_clock *c, u64 now, int queued) { pvq_pass(c, now, queued); }
void c_begin(struct pvq_slice *s, u64 now, u64 wanted, u64 task, const struct pvq_terms *t) { pvq_begin(s, now, wanted, task, t); }
int c_is_over(const struct pvq_slice *s, u64 now) { return pvq_is_over(s, now); }
int c_can_lend(const struct pvq_slice *s, u64 now, const struct pvq_terms *t) { return pvq_can_lend(s, now, t); }
int c_is_protected(const struct pvq_slice *s, u64 now, const struct pvq_terms *t) { return pvq_is_protected(s, now, t); }
u64 c_due(struct pvq_slice *s, u64 now, u64 wanted, u64 *ran) { return pvq_due(s, now, wanted, ran); }
u64 c_as_if_paid(const struct pvq_slice *s, u64 now, u64 v, u32 w) { return pvq_as_if_paid(s, now, v, w); }
void c_give_to(struct pvq_slice *s, u64 now, u64 task, const struct pvq_terms *t) { pvq_give_to(s, now, task, t); }
int c_owner_goes_on(const struct pvq_slice *s, u64 now, int waits) { return pvq_owner_goes_on(s, now, waits); }
void c_convert(struct pvq_slice *s, u64 now, u64 wanted, const struct pvq_terms *t) { pvq_convert(s, now, wanted, t); }
void c_note_tick(struct pvq_ticks *t, u64 now, u64 jiffies) { pvq_note_tick(t, now, jiffies); }
u64 c_until_tick(u64 slice, u64 period, u64 since) { return pvq_until_tick(slice, period, since); }
int c_ends_at_tick(struct pvq_slice *s, u64 now, u64 lent_at, u64 period, int spent, const struct pvq_terms *t)
{
	return pvq_ends_at_tick(s, now, lent_at, period, spent, t);
}
int c_goes_on(const struct pvq_slice *s, u64 now, u64 task) { return pvq_goes_on(s, now, task); }
int c_overran(const struct pvq_slice *s, u64 now, u64 period, const struct pvq_terms *t) { return pvq_overran(s, now, period, t); }
void c_spend(struct pvq_budget *b, const struct pvq_limit *l, u64 now, u64 ns, u64 most) { pvq_spend(b, l, now, ns, most); }
u64 c_held_until(struct pvq_budget *b, const struct pvq_limit *l, u64 now) { return pvq_held_until(b, l, now); }
u64 c_waits_until(u64 until, u64 since, u64 now, u64 most) { return pvq_waits_until(until, since, now, most); }
int c_is_crowded(struct pvq_look *last, u64 now, u64 wanted) { return pvq_is_crowded(last, now, wanted); }
u64 c_ahead(u64 stand, u64 vtime) { return pvq_ahead(stand, vtime); }
