/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0 */
/*
 * When companions are needed: docs/decisions/0044-companions-are-called.md. Pure functions, as in rules.h, and compiled
 * twice as well.
 */
#ifndef PVQ_COMPANY_H
#define PVQ_COMPANY_H

#include "rules.h"

/* For how long a domain is looked at, at least. */
#define PVQ_LOOK_NS 20000000ULL
/* For how long companions are needed after tasks were queued for half of that time. */
#define PVQ_NEEDED_NS 1000000000ULL

/* When a domain was last looked at, and for how long, in all, a task had been queued there then. */
struct pvq_look {
	u64 at;
	u64 wanted_ns;
};

/* Whether tasks were queued for half of the time since the last look, which was long enough ago. */
static inline int pvq_is_crowded(struct pvq_look *last, u64 now, u64 wanted_ns)
{
	u64 passed = now - last->at, queued = wanted_ns - last->wanted_ns;

	if (pvq_is_before(now, last->at) || passed < PVQ_LOOK_NS)
		return 0;
	last->at = now;
	last->wanted_ns = wanted_ns;
	return 2 * queued >= passed;
}

#endif
