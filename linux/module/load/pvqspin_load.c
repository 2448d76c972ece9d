// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Work for the kernel's spinlocks, whichever algorithm they have: a thread on each CPU takes one lock
 * over and over. /sys/kernel/debug/pvqspin_load/run starts it when a line is written:
 *
 *	hot INSIDE_NS OUTSIDE_NS MILLISECONDS	one lock, from threads
 *	rw INSIDE_NS OUTSIDE_NS MILLISECONDS	one reader-writer lock, written from threads
 *	nested INSIDE_NS OUTSIDE_NS MILLISECONDS	three locks, from threads, softirqs and hardirqs
 *	nmi INSIDE_NS OUTSIDE_NS MILLISECONDS	four, and the fourth from NMIs
 *
 *	stop					ends what runs
 *
 * and tells, when it is read, what came of it. Each critical section adds 1 to a plain counter, so a
 * lock that lets two in loses some: `counted` and `expected` differ then.
 */
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

#include "across.h"
#include "callers.h"
#include "hold.h"
#include "nmi.h"
#include "own_time.h"
#include "waits.h"

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Work for the kernel's spinlocks");

enum kind { HOT, RW, NESTED, NMI, KINDS };

static const char *const kinds[KINDS + 1] = { "hot", "rw", "nested", "nmi" };

/* A lock, and what it guards, away from other lines. */
struct guarded {
	spinlock_t lock;
	unsigned long counted;
} ____cacheline_aligned_in_smp;

struct worker {
	struct task_struct *thread;
	struct hrtimer hard;
	struct timer_list soft;
	/* Under the locks of their contexts, as timers move to another CPU when theirs goes. */
	unsigned long sections, hard_sections, soft_sections;
	struct waits waits;
	enum kind kind;
	/* One CPU sends the NMIs. */
	bool sends;
} ____cacheline_aligned_in_smp;

static struct guarded task, softirq, hardirq;
/* In the place of the first one's lock, for `rw`. */
static DEFINE_RWLOCK(task_written);
static struct worker *workers;
static unsigned long loops_inside, loops_outside;
static bool stop;
static atomic_t running;
static DEFINE_MUTEX(one_at_a_time);
static char result[1024];

static enum hrtimer_restart from_hardirq(struct hrtimer *timer)
{
	struct worker *self = container_of(timer, struct worker, hard);

	spin_lock(&hardirq.lock);
	hardirq.counted++;
	self->hard_sections++;
	spend(loops_inside);
	spin_unlock(&hardirq.lock);
	if (self->kind == NMI && self->sends)
		nmi_send();
	if (READ_ONCE(stop))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(500000));
	return HRTIMER_RESTART;
}

static void from_softirq(struct timer_list *timer)
{
	struct worker *self = timer_container_of(self, timer, soft);

	spin_lock(&softirq.lock);
	softirq.counted++;
	self->soft_sections++;
	spend(loops_inside);
	spin_unlock(&softirq.lock);
	if (!READ_ONCE(stop))
		mod_timer(timer, jiffies + 1);
}

static void other_contexts(struct worker *self)
{
	unsigned long flags;

	spin_lock_irqsave(&hardirq.lock, flags);
	hardirq.counted++;
	self->hard_sections++;
	spend(loops_inside);
	spin_unlock_irqrestore(&hardirq.lock, flags);
	spin_lock_bh(&softirq.lock);
	softirq.counted++;
	self->soft_sections++;
	spend(loops_inside);
	spin_unlock_bh(&softirq.lock);
}

static void take(const struct worker *self)
{
	if (self->kind == RW)
		write_lock(&task_written);
	else
		spin_lock(&task.lock);
}

static void release(const struct worker *self)
{
	if (self->kind == RW)
		write_unlock(&task_written);
	else
		spin_unlock(&task.lock);
}

static int run(void *data)
{
	struct worker *self = data;
	bool nested = self->kind >= NESTED;

	if (nested) {
		hrtimer_setup(&self->hard, from_hardirq, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
		hrtimer_start(&self->hard, ns_to_ktime(500000), HRTIMER_MODE_REL_PINNED_HARD);
		timer_setup(&self->soft, from_softirq, TIMER_PINNED);
		mod_timer(&self->soft, jiffies + 1);
	}
	waits_start(&self->waits);
	while (!READ_ONCE(stop)) {
		struct wait wait;

		wait_begin(&self->waits, &wait, READ_ONCE(task.counted));
		take(self);
		wait_end(&self->waits, &wait, task.counted);
		task.counted++;
		spend(loops_inside);
		release(self);
		self->sections++;
		if (nested)
			other_contexts(self);
		spend(loops_outside);
		cond_resched();
	}
	if (nested) {
		hrtimer_cancel(&self->hard);
		timer_delete_sync(&self->soft);
	}
	atomic_dec(&running);
	while (!kthread_should_stop())
		msleep(1);
	return 0;
}

/* Sleeps so that a suspend does not wait for it. */
static void sleep_a_tick(void)
{
	set_current_state(TASK_IDLE | TASK_FREEZABLE);
	schedule_timeout(1);
}

static int trial(enum kind kind, unsigned long inside_ns, unsigned long outside_ns, unsigned int ms)
{
	unsigned long expected[4] = {}, nmi_counted = 0, free_ps, fewest = ULONG_MAX, most = 0;
	unsigned int cpu;
	struct waits waits = {};
	unsigned long until;
	u64 took;
	int error = 0;

	workers = kvcalloc(nr_cpu_ids, sizeof(*workers), GFP_KERNEL);
	if (!workers)
		return -ENOMEM;
	free_ps = pair_ps();
	loops_inside = loops_of_ns(inside_ns);
	loops_outside = loops_of_ns(outside_ns);
	task.counted = softirq.counted = hardirq.counted = 0;
	if (kind == NMI) {
		error = nmi_begin(loops_inside);
		if (error) {
			kvfree(workers);
			return error;
		}
	}
	WRITE_ONCE(stop, false);
	atomic_set(&running, 0);
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct worker *self = &workers[cpu];

		self->kind = kind;
		self->sends = cpu == cpumask_first(cpu_online_mask);
		self->thread = kthread_create_on_cpu(run, self, cpu, "pvqspin_load/%u");
		if (IS_ERR(self->thread)) {
			error = PTR_ERR(self->thread);
			self->thread = NULL;
			break;
		}
	}
	took = ktime_get_ns();
	for_each_possible_cpu(cpu)
		if (!error && workers[cpu].thread) {
			atomic_inc(&running);
			wake_up_process(workers[cpu].thread);
		}
	cpus_read_unlock();
	until = jiffies + msecs_to_jiffies(ms);
	while (!READ_ONCE(stop) && time_before(jiffies, until))
		sleep_a_tick();
	WRITE_ONCE(stop, true);
	took = ktime_get_ns() - took;
	while (atomic_read(&running))
		sleep_a_tick();
	if (kind == NMI)
		nmi_end(&nmi_counted, &expected[3]);
	for_each_possible_cpu(cpu) {
		struct worker *self = &workers[cpu];

		if (!self->thread)
			continue;
		kthread_stop(self->thread);
		expected[0] += self->sections;
		expected[1] += self->soft_sections;
		expected[2] += self->hard_sections;
		fewest = min(fewest, self->sections);
		most = max(most, self->sections);
		waits_add(&waits, &self->waits);
	}
	scnprintf(result, sizeof(result),
		  "ms %llu\ncounted %lu\nexpected %lu\nsoftirq_counted %lu\nsoftirq_expected %lu\nhardirq_counted %lu\nhardirq_expected %lu\nnmi_counted %lu\nnmi_expected %lu\nfree_ps %lu\nper_second %llu\nfewest %lu\nmost %lu\nlongest_wait_ns %llu\nlongest_wait_stolen_ns %llu\nlongest_wait_others %lu\nlongest_in_order_ns %llu\ntotal_wait_ns %llu\nhalf_below_ns %llu\np99_below_ns %llu\np999_below_ns %llu\n",
		  took / 1000000, task.counted, expected[0], softirq.counted, expected[1], hardirq.counted,
		  expected[2], nmi_counted, expected[3], free_ps,
		  task.counted * 1000000000ULL / max_t(u64, took, 1), fewest, most, waits.longest_ns,
		  waits.longest_stolen_ns, waits.longest_others, waits.longest_in_order_ns, waits.total_ns,
		  waits_below(&waits, 500000), waits_below(&waits, 990000), waits_below(&waits, 999000));
	kvfree(workers);
	return error;
}

static int result_show(struct seq_file *out, void *unused)
{
	mutex_lock(&one_at_a_time);
	seq_puts(out, result);
	mutex_unlock(&one_at_a_time);
	return 0;
}

static int result_open(struct inode *inode, struct file *file)
{
	return single_open(file, result_show, NULL);
}

static ssize_t run_write(struct file *file, const char __user *from, size_t length, loff_t *at)
{
	char text[80], name[8];
	unsigned long inside_ns, outside_ns;
	unsigned int ms;
	ssize_t copied = simple_write_to_buffer(text, sizeof(text) - 1, at, from, length);
	int kind, error;

	if (copied < 0)
		return copied;
	text[copied] = 0;
	if (sysfs_streq(text, "stop")) {
		WRITE_ONCE(stop, true);
		return length;
	}
	if (sscanf(text, "%7s %lu %lu %u", name, &inside_ns, &outside_ns, &ms) != 4 || ms > 600000 ||
	    inside_ns > 20000000 || outside_ns > 10000000)
		return -EINVAL;
	kind = match_string(kinds, KINDS, name);
	if (kind < 0)
		return kind;
	mutex_lock(&one_at_a_time);
	error = trial(kind, inside_ns, outside_ns, ms);
	mutex_unlock(&one_at_a_time);
	return error ? error : length;
}

static const struct file_operations run_operations = {
	.owner = THIS_MODULE,
	.open = result_open,
	.read = seq_read,
	.write = run_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static struct dentry *directory;

static int __init load_init(void)
{
	int error;

	own_time_calibrate();
	spin_lock_init(&task.lock);
	spin_lock_init(&softirq.lock);
	spin_lock_init(&hardirq.lock);
	directory = debugfs_create_dir("pvqspin_load", NULL);
	debugfs_create_file("run", 0600, directory, NULL, &run_operations);
	error = callers_create(directory);
	if (error) {
		debugfs_remove_recursive(directory);
		return error;
	}
	hold_create(directory);
	across_create(directory);
	return 0;
}

static void __exit load_exit(void)
{
	debugfs_remove_recursive(directory);
	hold_end();
	across_end();
}

module_init(load_init);
module_exit(load_exit);
