/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* How the scheduler begins, how it knows a task, and what it says at its end. */
#ifndef PVQ_LIFETIME_BPF_H
#define PVQ_LIFETIME_BPF_H

#include "company.bpf.h"
#include "limits.bpf.h"

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
	error = init_company();
	return error ? error : init_limits();
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

#endif
