// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Handlers of NMIs that wait for a lock while the policy changes:
 *
 *   echo 1 >across; echo fifo >/sys/module/pvqspin/parameters/policy; cat across; echo 0 >across
 *
 * All CPUs stand still then, but for what an NMI begins. A probe on the function that changes the policy
 * sends one to all other CPUs. The first of them takes a lock, and keeps it until the policy is another.
 * The others wait for it. What is read is how many have waited.
 */
#include <linux/kprobes.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <asm/irq_vectors.h>
#include <asm/nmi.h>

#include "../shim/pvqspin.h"
#include "across.h"

/* Nothing here waits for longer. */
#define LONGEST_NS NSEC_PER_SEC
/* What a CPU takes at most from its last word to its place in a queue. */
#define QUEUED_NS (20 * NSEC_PER_MSEC)

static DEFINE_SPINLOCK(kept);
static DEFINE_MUTEX(arming);
static bool armed;
static void (*send)(unsigned int vector);
static typeof(exchange_policy) *policy_now;
static enum policy before;
static atomic_t came, arrived;
static bool changes, is_kept;
/* Under the lock. */
static unsigned int waited;

static bool is_before(u64 until)
{
	cpu_relax();
	return ktime_get_mono_fast_ns() < until;
}

static int from_nmi(unsigned int type, struct pt_regs *registers)
{
	u64 until = ktime_get_mono_fast_ns() + LONGEST_NS;

	if (!READ_ONCE(changes))
		return NMI_DONE;
	if (atomic_inc_return(&came) == 1) {
		spin_lock(&kept);
		WRITE_ONCE(is_kept, true);
		while (policy_now() == before && is_before(until))
			;
	} else {
		while (!READ_ONCE(is_kept) && is_before(until))
			;
		atomic_inc(&arrived);
		spin_lock(&kept);
		waited += policy_now() != before;
	}
	spin_unlock(&kept);
	return NMI_HANDLED;
}

static int at_change(struct kprobe *probe, struct pt_regs *registers)
{
	int waiters = num_online_cpus() - 2;
	u64 until = ktime_get_mono_fast_ns() + LONGEST_NS;

	before = policy_now();
	WRITE_ONCE(changes, true);
	send(NMI_VECTOR);
	while (atomic_read(&arrived) < waiters && is_before(until))
		;
	until = ktime_get_mono_fast_ns() + QUEUED_NS;
	while (is_before(until))
		;
	return 0;
}

static struct kprobe probe;

static int arm(void)
{
	int error;

	send = symbol("apic_send_IPI_allbutself");
	policy_now = symbol("exchange_policy");
	if (!send || !policy_now)
		return -EOPNOTSUPP;
	waited = 0;
	atomic_set(&came, 0);
	atomic_set(&arrived, 0);
	changes = is_kept = false;
	error = register_nmi_handler(NMI_LOCAL, from_nmi, 0, "pvqspin_load_across");
	if (error)
		return error;
	probe = (struct kprobe){ .symbol_name = "pvqspin:flip", .pre_handler = at_change };
	error = register_kprobe(&probe);
	if (error)
		unregister_nmi_handler(NMI_LOCAL, "pvqspin_load_across");
	return error;
}

static void disarm(void)
{
	unregister_kprobe(&probe);
	unregister_nmi_handler(NMI_LOCAL, "pvqspin_load_across");
}

static int arm_if(bool wanted)
{
	int error = 0;

	mutex_lock(&arming);
	if (armed)
		disarm();
	armed = false;
	if (wanted)
		error = arm();
	armed = wanted && !error;
	mutex_unlock(&arming);
	return error;
}

static int across_show(struct seq_file *out, void *unused)
{
	seq_printf(out, "%u\n", READ_ONCE(waited));
	return 0;
}

static int across_open(struct inode *inode, struct file *file)
{
	return single_open(file, across_show, NULL);
}

static ssize_t across_write(struct file *file, const char __user *from, size_t length, loff_t *at)
{
	bool wanted;
	int error = kstrtobool_from_user(from, length, &wanted);

	if (!error)
		error = arm_if(wanted);
	return error ? error : length;
}

static const struct file_operations across_operations = {
	.owner = THIS_MODULE,
	.open = across_open,
	.read = seq_read,
	.write = across_write,
	.llseek = seq_lseek,
	.release = single_release,
};

void across_create(struct dentry *directory)
{
	debugfs_create_file("across", 0600, directory, NULL, &across_operations);
}

void across_end(void)
{
	arm_if(false);
}
