// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What happens between two steps of an exchange gets the time to happen:
 *
 *   echo MILLISECONDS >hold_text; taskset 1 rmmod pvqspin
 *
 * The kernel's text stays as it is until a task waits to change it, and for 100 ms more. The unloading
 * module has made the policy the kernel's own by then, and all calls of the spinlock still lead into the
 * module. One of them begins then, and does not return for so many milliseconds: a CPU holds a lock, and
 * another waits for it. The first CPU has no part in that, and can change the text meanwhile.
 *
 *   echo MILLISECONDS >hold_calls
 *
 * No static call changes for so long. What begins to change one meanwhile has looked what it was.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "../shim/pvqspin.h"
#include "hold.h"

/* The lowest bit of a mutex's word for its owner: tasks wait for it. */
#define HAS_WAITERS 1
#define LONGEST_S 60
/* A CPU that keeps a lock has its interrupts, but no task: the kernel's watchdog barks after 20 s. */
#define AWAITED_S 10
#define KEPT_MS_MAX 5000

static DECLARE_COMPLETION(is_held);
static DECLARE_COMPLETION(is_awaited);
static DEFINE_SPINLOCK(kept);
static unsigned int kept_ms, calls_ms;

static void await(struct work_struct *unused)
{
	spin_lock(&kept);
	spin_unlock(&kept);
}
static DECLARE_WORK(awaiting, await);

static void keep(struct work_struct *unused)
{
	unsigned long until = jiffies + AWAITED_S * HZ;

	spin_lock(&kept);
	schedule_work_on(cpumask_next(smp_processor_id(), cpu_online_mask), &awaiting);
	while (!spin_is_contended(&kept) && time_before(jiffies, until))
		cpu_relax();
	complete(&is_awaited);
	until = jiffies + msecs_to_jiffies(kept_ms);
	while (time_before(jiffies, until))
		cpu_relax();
	spin_unlock(&kept);
}
static DECLARE_WORK(keeping, keep);

/* A mutex of a real-time kernel is another thing: `hold_text` is not for those. */
static bool is_awaited_by_task(struct mutex *mutex)
{
#ifdef CONFIG_PREEMPT_RT
	return true;
#else
	return atomic_long_read(&mutex->owner) & HAS_WAITERS;
#endif
}

static void hold(struct work_struct *unused)
{
	struct mutex *text = symbol("text_mutex");
	unsigned long until = jiffies + LONGEST_S * HZ;

	mutex_lock(text);
	complete(&is_held);
	while (!is_awaited_by_task(text) && time_before(jiffies, until))
		msleep(1);
	msleep(100);
	schedule_work_on(cpumask_next(smp_processor_id(), cpu_online_mask), &keeping);
	wait_for_completion(&is_awaited);
	mutex_unlock(text);
}
static DECLARE_WORK(holding, hold);

static void hold_calls(struct work_struct *unused)
{
	struct mutex *calls = symbol("static_call_mutex");

	mutex_lock(calls);
	complete(&is_held);
	msleep(calls_ms);
	mutex_unlock(calls);
}
static DECLARE_WORK(holding_calls, hold_calls);

static int read_ms(const char __user *from, size_t length, unsigned int *ms)
{
	int error = kstrtouint_from_user(from, length, 0, ms);

	return error ? error : *ms > KEPT_MS_MAX ? -EINVAL : 0;
}

static ssize_t hold_write(struct file *file, const char __user *from, size_t length, loff_t *at)
{
	unsigned int ms;
	int error = read_ms(from, length, &ms);

	if (error)
		return error;
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || !symbol("text_mutex") || num_online_cpus() < 3)
		return -EOPNOTSUPP;
	hold_end();
	kept_ms = ms;
	reinit_completion(&is_held);
	reinit_completion(&is_awaited);
	if (!schedule_work_on(cpumask_first(cpu_online_mask), &holding))
		return -EBUSY;
	wait_for_completion(&is_held);
	return length;
}

static const struct file_operations hold_operations = {
	.owner = THIS_MODULE,
	.write = hold_write,
};

static ssize_t calls_write(struct file *file, const char __user *from, size_t length, loff_t *at)
{
	unsigned int ms;
	int error = read_ms(from, length, &ms);

	if (error)
		return error;
	if (!symbol("static_call_mutex"))
		return -EOPNOTSUPP;
	hold_end();
	calls_ms = ms;
	reinit_completion(&is_held);
	schedule_work(&holding_calls);
	wait_for_completion(&is_held);
	return length;
}

static const struct file_operations calls_operations = {
	.owner = THIS_MODULE,
	.write = calls_write,
};

void hold_create(struct dentry *directory)
{
	debugfs_create_file("hold_calls", 0200, directory, NULL, &calls_operations);
	debugfs_create_file("hold_text", 0200, directory, NULL, &hold_operations);
}

void hold_end(void)
{
	flush_work(&holding_calls);
	flush_work(&holding);
	flush_work(&keeping);
	flush_work(&awaiting);
}
