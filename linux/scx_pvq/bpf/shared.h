/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What the program and its loader (src/shared.rs) both know: settings, counters, the report of the end. */
#ifndef PVQ_SHARED_H
#define PVQ_SHARED_H

#define PVQ_MAX_CPUS 1024
#define PVQ_MAX_DOMAINS 64

struct pvq_config {
	struct pvq_terms terms;
	/* After how long a companion runs, whatever waits. */
	u64 companion_ns;
	/* For how long a limit may hold a task back: long before the watchdog would call it a stall. */
	u64 most_wait_ns;
	u32 cpus;
	u32 domains;
	/* The loader's process. */
	u32 loader;
	/* The queue of each CPU: CPUs that share a last-level cache share one. */
	u8 domain_of[PVQ_MAX_CPUS];
};

/* What the loader's threads read of virtual machines that have too few CPUs. */
struct pvq_company {
	/* When a tick last met a guest. */
	u64 guest_at;
	/* Until when companions are needed. */
	u64 until;
};

/* In the order of COUNTERS in src/shared.rs. */
enum pvq_counter {
	PVQ_YIELDS,		/* sched_yield: no target is named */
	PVQ_ASKED,		/* directed yields */
	PVQ_RAN,		/* ... whose target ran at once, here */
	PVQ_REFUSED_AFFINITY,	/* ... whose target may not run on this CPU */
	PVQ_REFUSED_NOT_WAITING,/* ... whose target ran, slept, or was about to run elsewhere */
	PVQ_NOT_WAITING_RUNNING,/* ... of these, the first kind */
	PVQ_NOT_WAITING_ASLEEP,	/* ... and the second */
	PVQ_REFUSED_MOVED,	/* ... whose target was moved by another CPU meanwhile */
	PVQ_REFUSED_NO_TIME,	/* ... whose caller had nothing left to lend */
	PVQ_REFUSED_THROTTLED,	/* ... made on a slice whose owner has used its group's time up */
	PVQ_RAN_THROTTLED,	/* loans to a task whose group had no time */
	PVQ_CHAINED,		/* loans made by a task that ran on one */
	PVQ_GIVEN_BACK,		/* loans that ended with a yield to the lender */
	PVQ_RESUMED,		/* ... with the borrower asleep, and the lender going on */
	PVQ_EXPIRED,		/* ... with their time */
	PVQ_CONVERTED,		/* ... because an idle CPU took the lender */
	PVQ_LENT_NS,		/* time that tasks ran on others' slices */
	PVQ_LENT_PAID_NS,	/* ... and that was charged to the lenders: less only if they are gone, or a CPU stood still */
	PVQ_CHARGED_NS,		/* all time charged, loans included */
	PVQ_USED_NS,		/* ... and what the tasks used, as the kernel counts it */
	PVQ_SLICES,
	PVQ_OVERRUN,		/* slices, not lent, that ended a tick too late */
	PVQ_PREEMPTIONS,	/* slices ended by a task that woke */
	PVQ_MIGRATIONS,
	PVQ_STOLEN,		/* taken from the queue of another domain */
	PVQ_HURRIED,		/* tasks put first because they had waited for long */
	PVQ_KTHREADS,		/* kernel threads, and the loader's, put before everything else */
	PVQ_THROTTLED,		/* tasks that a limit held back */
	PVQ_RELEASED,		/* ... and that were let go in time */
	PVQ_RELEASED_LATE,	/* ... and ran although there was no time for them */
	PVQ_WANTED_NS,		/* time in which a task was queued, of all domains */
	PVQ_COUNTERS
};

#define PVQ_REASON_LEN 128
#define PVQ_MESSAGE_LEN 1024
#define PVQ_DUMP_LEN 32768

struct pvq_end {
	s32 kind;
	s32 unused;
	s64 code;
	char reason[PVQ_REASON_LEN];
	char message[PVQ_MESSAGE_LEN];
	char dump[PVQ_DUMP_LEN];
};

#endif
