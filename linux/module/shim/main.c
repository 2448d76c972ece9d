// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * pvqspin: a fair spinlock that tells the hypervisor who has to run, in the place of the kernel's own.
 *
 *	insmod pvqspin.ko policy=fifo
 *	echo stock > /sys/module/pvqspin/parameters/policy
 *	rmmod pvqspin
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/kvm_para.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/cpuid/api.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/smp.h>
#include <asm/tsc.h>

#include "pvqspin.h"

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("A fair spinlock that tells the hypervisor who has to run");

/* As src/entry.rs has them. */
#define HAS_STEAL_TIME	BIT(0)
#define HAS_UNHALT	BIT(1)
#define HAS_SCHED_YIELD	BIT(2)
#define USES_VMMCALL	BIT(3)

/* A CPU number plus one has 14 bits in the word. */
#define MOST_CPUS	16382

static DEFINE_MUTEX(changing);
/* Before it is loaded, what was asked for; afterwards what is. */
static enum policy asked = POLICY_BOUNDED;
static bool names = true;
static bool loaded;
static void *per_cpu_memory;
static int hotplug_state;
static u32 features;

static int policy_set(const char *text, const struct kernel_param *param)
{
	int found = sysfs_match_string(policy_names, text);
	int error = 0;

	if (found < 0) {
		pr_err("pvqspin: there is no policy %.*s; there are stock, native, test-and-set, fifo, bounded, fifo-halt, fifo-holder\n",
		       (int)strcspn(text, "\n"), text);
		return -EINVAL;
	}
	mutex_lock(&changing);
	if (loaded)
		error = exchange_set(found, names);
	if (!error)
		asked = found;
	mutex_unlock(&changing);
	return error;
}

static int policy_get(char *text, const struct kernel_param *param)
{
	return sprintf(text, "%s\n", policy_names[asked]);
}

static const struct kernel_param_ops policy_operations = {
	.set = policy_set,
	.get = policy_get,
};
module_param_cb(policy, &policy_operations, NULL, 0644);
MODULE_PARM_DESC(policy, "stock, native, test-and-set, fifo, bounded (default), fifo-halt, fifo-holder");

static int names_param_set(const char *text, const struct kernel_param *param)
{
	bool wanted;
	int error = kstrtobool(text, &wanted);

	if (error)
		return error;
	mutex_lock(&changing);
	if (loaded)
		error = exchange_set(asked, wanted);
	if (!error)
		names = wanted;
	mutex_unlock(&changing);
	return error;
}

static const struct kernel_param_ops names_operations = {
	.set = names_param_set,
	.get = param_get_bool,
};
module_param_cb(names, &names_operations, &names, 0644);
MODULE_PARM_DESC(names, "let the fast path name the holder, by changing the kernel's text (default: yes)");

/* What KVM tells in CPUID. (The kernel's own functions for this are not for modules.) */
static u32 host_leaf(bool hints)
{
	u32 base = cpuid_base_hypervisor(KVM_SIGNATURE, 0);

	if (!base)
		return 0;
	return hints ? cpuid_edx(base | KVM_CPUID_FEATURES) : cpuid_eax(base | KVM_CPUID_FEATURES);
}

static u32 host_features(void)
{
	u32 leaf = host_leaf(false);
	u32 found = 0;

	if (leaf & BIT(KVM_FEATURE_STEAL_TIME))
		found |= HAS_STEAL_TIME;
	if (leaf & BIT(KVM_FEATURE_PV_UNHALT))
		found |= HAS_UNHALT;
	if (leaf & BIT(KVM_FEATURE_PV_SCHED_YIELD))
		found |= HAS_SCHED_YIELD;
	if (boot_cpu_has(X86_FEATURE_VMMCALL))
		found |= USES_VMMCALL;
	return found;
}

/* On each CPU: where Linux told KVM to write. */
static int cpu_is_up(unsigned int cpu)
{
	void *record = NULL;
	u64 at = 0;

	if (features & HAS_STEAL_TIME && !rdmsrq_safe(MSR_KVM_STEAL_TIME, &at) && at & KVM_MSR_ENABLED)
		record = __va(at & ~(u64)KVM_MSR_ENABLED);
	preempt_disable();
	pvq_cpu_is_up(per_cpu(x86_cpu_to_apicid, cpu), record);
	preempt_enable();
	return 0;
}

/* On a CPU that goes: the host cannot call it any more, until it is back and has told where it is. */
static int cpu_goes(unsigned int cpu)
{
	preempt_disable();
	/* All ones are no CPU's id: it has none, and so it does not halt either. */
	pvq_cpu_is_up(U32_MAX, NULL);
	preempt_enable();
	return 0;
}

static int check_machine(void)
{
	if (!kvm_para_available()) {
		pr_err("pvqspin: this is no guest of KVM\n");
		return -ENODEV;
	}
	/* VMCALL is an exception there, and the kernel's handler of it knows no such reason. */
	if (boot_cpu_has(X86_FEATURE_TDX_GUEST)) {
		pr_err("pvqspin: this is a guest of TDX, in which a module cannot call the host\n");
		return -EOPNOTSUPP;
	}
	if (num_possible_cpus() == 1) {
		pr_err("pvqspin: there is one CPU, so no lock is ever waited for\n");
		return -ENODEV;
	}
	if (nr_cpu_ids > MOST_CPUS) {
		pr_err("pvqspin: the lock's word has numbers for %d CPUs, and there may be %u\n", MOST_CPUS, nr_cpu_ids);
		return -ERANGE;
	}
	if (host_leaf(true) & BIT(KVM_HINTS_REALTIME)) {
		pr_err("pvqspin: the host promises a processor to each vCPU: there is nothing to gain\n");
		return -ENODEV;
	}
	/*
	 * The kernel's functions that are found by name may have no mark for indirect branches, and a
	 * branch to one without is a panic.
	 */
	if (IS_ENABLED(CONFIG_X86_KERNEL_IBT) && boot_cpu_has(X86_FEATURE_IBT)) {
		pr_err("pvqspin: the kernel has indirect branch tracking (IBT) on: boot with ibt=off\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/*
 * A module that exchanged the spinlock after this one leads to this one, and lets the kernel lead here
 * again when it goes. Until then this one stays. (One that exchanges it later than when it is loaded
 * is not noticed.)
 */
static int keep_while_others_lead_here(struct notifier_block *self, unsigned long state, void *module)
{
	static bool kept;

	if (state != MODULE_STATE_LIVE && state != MODULE_STATE_GOING)
		return NOTIFY_DONE;
	mutex_lock(&changing);
	if (kept && exchange_is_still()) {
		kept = false;
		module_put(THIS_MODULE);
	} else if (!kept && loaded && !exchange_is_still()) {
		kept = try_module_get(THIS_MODULE);
	}
	mutex_unlock(&changing);
	return NOTIFY_DONE;
}

static struct notifier_block other_modules = { .notifier_call = keep_while_others_lead_here };

static int __init pvqspin_init(void)
{
	static const char *const uses[] = { "nothing of the host", "kicks and halts", "directed yields" };
	size_t bytes = max_t(size_t, pvq_percpu_bytes() * nr_cpu_ids, PAGE_SIZE);
	u32 use;
	int error = check_machine();

	if (error)
		return error;
	error = find_symbols();
	if (error) {
		pr_err("pvqspin: the kernel's symbols cannot be found (CONFIG_KPROBES, CONFIG_KALLSYMS)\n");
		return error;
	}
	error = exchange_prepare();
	if (error)
		return error;
	/* Of whole pages, so that each part is aligned as it must be. */
	per_cpu_memory = kvzalloc(PAGE_ALIGN(bytes), GFP_KERNEL);
	if (!per_cpu_memory)
		return -ENOMEM;
	features = host_features();
	use = pvq_start(per_cpu_memory, nr_cpu_ids, tsc_khz, features);
	if (!use) {
		pr_err("pvqspin: the host offers neither directed yields nor kicks (PV_SCHED_YIELD, STEAL_TIME, PV_UNHALT)\n");
		error = -ENODEV;
		goto free;
	}
	error = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "pvqspin:online", cpu_is_up, cpu_goes);
	if (error < 0)
		goto free;
	hotplug_state = error;
	mutex_lock(&changing);
	error = exchange_set(asked, names);
	loaded = !error;
	mutex_unlock(&changing);
	if (error)
		goto stay_unknown;
	/* Cannot fail. */
	register_module_notifier(&other_modules);
	debugfs_make();
	pr_info("pvqspin: policy %s, %s, %u functions name the holder\n", policy_names[asked], uses[use],
		names_patched());
	return 0;
stay_unknown:
	cpuhp_remove_state(hotplug_state);
free:
	kvfree(per_cpu_memory);
	return error;
}

static void __exit pvqspin_exit(void)
{
	debugfs_remove_all();
	unregister_module_notifier(&other_modules);
	mutex_lock(&changing);
	loaded = false;
	exchange_undo();
	mutex_unlock(&changing);
	cpuhp_remove_state(hotplug_state);
	kvfree(per_cpu_memory);
	pr_info("pvqspin: the spinlock is the kernel's own again\n");
}

module_init(pvqspin_init);
module_exit(pvqspin_exit);
