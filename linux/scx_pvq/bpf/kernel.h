/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What the program needs to know of the kernel. Each struct names only the members that are used; where they are is found
 * out when the program is loaded (CO-RE), so one program serves every kernel, and none is needed to build it.
 */
#ifndef PVQ_KERNEL_H
#define PVQ_KERNEL_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u64 __le64;
typedef __u32 __wsum;
typedef __u16 __sum16;
typedef __u8 u8;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;
#define true 1
#define false 0

/* Of the kernel's interface to BPF programs. */
enum {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
	BPF_F_NO_PREALLOC = 1,
	BPF_NOEXIST = 1,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	CLOCK_MONOTONIC = 1,
};

/* Values that have been the same since sched_ext came. */
#define SCX_DSQ_GLOBAL 0x8000000000000001ULL
#define SCX_DSQ_LOCAL 0x8000000000000002ULL
#define SCX_ENQ_WAKEUP 1ULL
#define SCX_ENQ_PREEMPT (1ULL << 32)
#define SCX_ENQ_LAST (1ULL << 41)
#define SCX_OPS_ENQ_LAST 2ULL
#define SCX_KICK_IDLE 1ULL
#define SCX_KICK_PREEMPT 2ULL
#define SCX_TASK_QUEUED 1U
#define PF_VCPU 0x00000001U
#define PF_KTHREAD 0x00200000U

#define PVQ_CORE __attribute__((preserve_access_index))

/* Only passed on; but the loader wants to see a struct, not a declaration. */
struct cpumask {
	unsigned long bits[1];
} PVQ_CORE;

struct cgroup;
struct scx_init_task_args;

struct cfs_bandwidth {
	s64 period;
	u64 quota;
	u64 burst;
} PVQ_CORE;

struct kuid {
	u32 val;
} PVQ_CORE;

struct kernfs_iattrs {
	struct kuid ia_uid;
} PVQ_CORE;

struct kernfs_node {
	unsigned short mode;
	struct kernfs_iattrs *iattr;
} PVQ_CORE;

struct cgroup {
	struct kernfs_node *kn;
} PVQ_CORE;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	u64 serial_nr;
} PVQ_CORE;

struct task_group {
	struct cgroup_subsys_state css;
	unsigned long shares;
	struct task_group *parent;
	struct cfs_bandwidth cfs_bandwidth;
} PVQ_CORE;

struct sched_ext_entity {
	u32 flags;
	u32 weight;
	u64 slice;
	u64 dsq_vtime;
	unsigned long runnable_at;
} PVQ_CORE;

struct sched_entity {
	u64 sum_exec_runtime;
} PVQ_CORE;

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	int nr_cpus_allowed;
	unsigned short migration_disabled;
	const struct cpumask *cpus_ptr;
	struct task_group *sched_task_group;
	struct sched_entity se;
	struct sched_ext_entity scx;
} PVQ_CORE;

enum scx_exit_kind {
	SCX_EXIT_NONE = 0,
};

struct scx_exit_info {
	enum scx_exit_kind kind;
	s64 exit_code;
	const char *reason;
	char *msg;
	char *dump;
} PVQ_CORE;

/* In a map. */
struct bpf_timer {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_iter_scx_dsq {
	u64 __opaque[6];
} __attribute__((aligned(8)));

struct bpf_iter_num {
	u64 __opaque[1];
} __attribute__((aligned(8)));

/* The callbacks and settings that are used: libbpf finds each by its name. */
struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *, s32, u64);
	void (*enqueue)(struct task_struct *, u64);
	void (*dispatch)(s32, struct task_struct *);
	void (*running)(struct task_struct *);
	void (*stopping)(struct task_struct *, bool);
	void (*tick)(struct task_struct *);
	bool (*yield)(struct task_struct *, struct task_struct *);
	s32 (*init_task)(struct task_struct *, struct scx_init_task_args *);
	s32 (*init)(void);
	void (*exit)(struct scx_exit_info *);
	u64 flags;
	u32 timeout_ms;
	u32 exit_dump_len;
	char name[128];
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

extern s32 scx_bpf_create_dsq(u64 dsq, s32 node) __ksym;
extern s32 scx_bpf_dsq_nr_queued(u64 dsq) __ksym;
extern s32 scx_bpf_select_cpu_dfl(struct task_struct *p, s32 prev, u64 flags, bool *idle) __ksym;
extern s32 scx_bpf_pick_idle_cpu(const struct cpumask *allowed, u64 flags) __ksym;
extern bool scx_bpf_test_and_clear_cpu_idle(s32 cpu) __ksym;
extern void scx_bpf_kick_cpu(s32 cpu, u64 flags) __ksym;
extern s32 scx_bpf_task_cpu(const struct task_struct *p) __ksym;
extern bool scx_bpf_task_running(const struct task_struct *p) __ksym;
extern int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, u64 dsq, u64 flags) __ksym;
extern struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it) __ksym;
extern void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it) __ksym;
extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *mask) __ksym;

/*
 * Linux 6.12 has the second name of each pair, 6.13 and later the first. libbpf cuts off what follows `___`: the pairs
 * here are weak, and the one that is there is called.
 */
extern void scx_bpf_dsq_insert___new(struct task_struct *p, u64 dsq, u64 slice, u64 flags) __ksym __weak;
extern void scx_bpf_dispatch___old(struct task_struct *p, u64 dsq, u64 slice, u64 flags) __ksym __weak;
extern void scx_bpf_dsq_insert_vtime___new(struct task_struct *p, u64 dsq, u64 slice, u64 vtime,
					   u64 flags) __ksym __weak;
extern void scx_bpf_dispatch_vtime___old(struct task_struct *p, u64 dsq, u64 slice, u64 vtime,
					 u64 flags) __ksym __weak;
extern bool scx_bpf_dsq_move_to_local___new(u64 dsq) __ksym __weak;
extern bool scx_bpf_consume___old(u64 dsq) __ksym __weak;
extern bool scx_bpf_dsq_move___new(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq,
				   u64 flags) __ksym __weak;
extern bool scx_bpf_dispatch_from_dsq___old(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq,
					    u64 flags) __ksym __weak;
extern bool scx_bpf_dsq_move_vtime___new(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq,
					 u64 flags) __ksym __weak;
extern bool scx_bpf_dispatch_vtime_from_dsq___old(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq,
						  u64 flags) __ksym __weak;
extern void scx_bpf_dsq_move_set_slice___new(struct bpf_iter_scx_dsq *it, u64 slice) __ksym __weak;
extern void scx_bpf_dispatch_from_dsq_set_slice___old(struct bpf_iter_scx_dsq *it, u64 slice) __ksym __weak;
extern void scx_bpf_dsq_move_set_vtime___new(struct bpf_iter_scx_dsq *it, u64 vtime) __ksym __weak;
extern void scx_bpf_dispatch_from_dsq_set_vtime___old(struct bpf_iter_scx_dsq *it, u64 vtime) __ksym __weak;
/* 6.19 and later; before it the member is written. */
extern bool scx_bpf_task_set_slice___new(struct task_struct *p, u64 slice) __ksym __weak;

#define insert(p, dsq, slice, flags)                                                            \
	(bpf_ksym_exists(scx_bpf_dsq_insert___new) ?                                            \
		 scx_bpf_dsq_insert___new((p), (dsq), (slice), (flags)) :                       \
		 scx_bpf_dispatch___old((p), (dsq), (slice), (flags)))
#define insert_vtime(p, dsq, slice, vtime, flags)                                               \
	(bpf_ksym_exists(scx_bpf_dsq_insert_vtime___new) ?                                      \
		 scx_bpf_dsq_insert_vtime___new((p), (dsq), (slice), (vtime), (flags)) :        \
		 scx_bpf_dispatch_vtime___old((p), (dsq), (slice), (vtime), (flags)))
#define move_to_local(dsq)                                                                      \
	(bpf_ksym_exists(scx_bpf_dsq_move_to_local___new) ?                                     \
		 scx_bpf_dsq_move_to_local___new(dsq) :                                         \
		 scx_bpf_consume___old(dsq))
#define move(it, p, dsq)                                                                        \
	(bpf_ksym_exists(scx_bpf_dsq_move___new) ?                                              \
		 scx_bpf_dsq_move___new((it), (p), (dsq), 0) :                                  \
		 scx_bpf_dispatch_from_dsq___old((it), (p), (dsq), 0))
#define move_vtime(it, p, dsq)                                                                  \
	(bpf_ksym_exists(scx_bpf_dsq_move_vtime___new) ?                                        \
		 scx_bpf_dsq_move_vtime___new((it), (p), (dsq), 0) :                            \
		 scx_bpf_dispatch_vtime_from_dsq___old((it), (p), (dsq), 0))
#define move_set_slice(it, slice)                                                               \
	(bpf_ksym_exists(scx_bpf_dsq_move_set_slice___new) ?                                    \
		 scx_bpf_dsq_move_set_slice___new((it), (slice)) :                              \
		 scx_bpf_dispatch_from_dsq_set_slice___old((it), (slice)))
#define move_set_vtime(it, vtime)                                                               \
	(bpf_ksym_exists(scx_bpf_dsq_move_set_vtime___new) ?                                    \
		 scx_bpf_dsq_move_set_vtime___new((it), (vtime)) :                              \
		 scx_bpf_dispatch_from_dsq_set_vtime___old((it), (vtime)))

static inline void set_slice(struct task_struct *p, u64 slice)
{
	if (bpf_ksym_exists(scx_bpf_task_set_slice___new))
		scx_bpf_task_set_slice___new(p, slice);
	else
		p->scx.slice = slice;
}

#endif
