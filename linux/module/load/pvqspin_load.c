// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Work for the kernel's spinlocks, whichever algorithm they have: a thread on each CPU takes one lock
 * over and over. /sys/kernel/debug/pvqspin_load/run starts it when a line is written:
 *
 *	hot INSIDE_NS OUTSIDE_NS MILLISECONDS	one lock, from threads
 *	nested INSIDE_NS OUTSIDE_NS MILLISECONDS	three locks, from threads, softirqs and hardirqs
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
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>

#include "callers.h"

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Work for the kernel's spinlocks");

#define BUCKETS 40

/* A lock, and what it guards, away from other lines. */
struct guarded {
	spinlock_t lock;
	unsigned long counted;
} ____cacheline_aligned_in_smp;

struct worker {
	struct task_struct *thread;
	struct hrtimer hard;
	struct timer_list soft;
	unsigned long sections, hard_sections, soft_sections;
	u64 longest_ns, total_ns;
	/* Of the longest wait: how long this CPU did not run, and how often others took the lock. */
	u64 longest_stolen_ns;
	unsigned long longest_others;
	/* Where the host tells how long this CPU has not run, or NULL. */
	struct kvm_steal_time *record;
	u32 waits[BUCKETS];
	bool nested;
} ____cacheline_aligned_in_smp;

static struct guarded task, softirq, hardirq;
static struct worker *workers;
static unsigned long loops_inside, loops_outside, loops_per_ms;
static bool stop;
static atomic_t running;
static DEFINE_MUTEX(one_at_a_time);
static char result[1024];

/* The CPU's own time, not the wall's: what a host takes away is not worked off. */
static noinline void work(unsigned long loops)
{
	while (loops--)
		barrier();
}

/*
 * How many loops a CPU does in a ms when nothing disturbs it. Rounds are short, so that some are not
 * disturbed, and the best of all trials counts: each has the same work then.
 */
static void calibrate(void)
{
	unsigned long loops = 20000, round;
	u64 best = U64_MAX;

	for (round = 0; round < 200; round++) {
		u64 took;

		preempt_disable();
		took = local_clock();
		work(loops);
		took = local_clock() - took;
		preempt_enable();
		best = min(best, took);
	}
	loops_per_ms = max(loops_per_ms, loops * 1000000 / max_t(u64, best, 1));
}

/* A wait: what stood on the clock, the record and the lock's counter before it. */
struct wait {
	u64 began, stolen;
	unsigned long counted;
};

static u64 stolen(const struct worker *self)
{
	return self->record ? READ_ONCE(self->record->steal) : 0;
}

static void begin(const struct worker *self, struct wait *wait)
{
	wait->counted = READ_ONCE(task.counted);
	wait->stolen = stolen(self);
	wait->began = local_clock();
}

static void note(struct worker *self, const struct wait *wait)
{
	u64 waited = local_clock() - wait->began;

	self->total_ns += waited;
	if (waited > self->longest_ns) {
		self->longest_ns = waited;
		self->longest_stolen_ns = stolen(self) - wait->stolen;
		self->longest_others = task.counted - wait->counted;
	}
	self->waits[min_t(unsigned int, BUCKETS - 1, waited ? ilog2(waited) : 0)]++;
}

static enum hrtimer_restart from_hardirq(struct hrtimer *timer)
{
	struct worker *self = container_of(timer, struct worker, hard);

	spin_lock(&hardirq.lock);
	hardirq.counted++;
	work(loops_inside);
	spin_unlock(&hardirq.lock);
	self->hard_sections++;
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
	work(loops_inside);
	spin_unlock(&softirq.lock);
	self->soft_sections++;
	if (!READ_ONCE(stop))
		mod_timer(timer, jiffies + 1);
}

static void other_contexts(struct worker *self)
{
	unsigned long flags;

	spin_lock_irqsave(&hardirq.lock, flags);
	hardirq.counted++;
	work(loops_inside);
	spin_unlock_irqrestore(&hardirq.lock, flags);
	self->hard_sections++;
	spin_lock_bh(&softirq.lock);
	softirq.counted++;
	work(loops_inside);
	spin_unlock_bh(&softirq.lock);
	self->soft_sections++;
}

static int run(void *data)
{
	struct worker *self = data;
	u64 record;

	if (self->nested) {
		hrtimer_setup(&self->hard, from_hardirq, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
		hrtimer_start(&self->hard, ns_to_ktime(500000), HRTIMER_MODE_REL_PINNED_HARD);
		timer_setup(&self->soft, from_softirq, TIMER_PINNED);
		mod_timer(&self->soft, jiffies + 1);
	}
	if (!rdmsrq_safe(MSR_KVM_STEAL_TIME, &record) && record & KVM_MSR_ENABLED)
		self->record = __va(record & ~(u64)KVM_MSR_ENABLED);
	while (!READ_ONCE(stop)) {
		struct wait wait;

		begin(self, &wait);
		spin_lock(&task.lock);
		note(self, &wait);
		task.counted++;
		work(loops_inside);
		spin_unlock(&task.lock);
		self->sections++;
		if (self->nested)
			other_contexts(self);
		work(loops_outside);
		cond_resched();
	}
	if (self->nested) {
		hrtimer_cancel(&self->hard);
		timer_delete_sync(&self->soft);
	}
	atomic_dec(&running);
	while (!kthread_should_stop())
		msleep(1);
	return 0;
}

/* Below how many ns so many millionths of the waits were: a power of two. */
static u64 below(const u32 *waits, u64 all, u64 millionths)
{
	u64 seen = 0;
	unsigned int bucket;

	for (bucket = 0; bucket < BUCKETS; bucket++) {
		seen += waits[bucket];
		if (seen * 1000000 >= all * millionths)
			break;
	}
	return 2ULL << min(bucket, BUCKETS - 1U);
}

/* Sleeps so that a suspend does not wait for it. */
static void sleep_ms(unsigned int ms)
{
	unsigned long until = jiffies + msecs_to_jiffies(ms);
	long left;

	while ((left = until - jiffies) > 0) {
		set_current_state(TASK_IDLE | TASK_FREEZABLE);
		schedule_timeout(left);
	}
}

static int trial(bool nested, unsigned long inside_ns, unsigned long outside_ns, unsigned int ms)
{
	unsigned long expected[3] = {}, fewest = ULONG_MAX, most = 0;
	unsigned int cpu;
	u32 waits[BUCKETS] = {};
	u64 took, longest = 0, longest_stolen = 0, total = 0;
	unsigned long longest_others = 0;
	int error = 0;

	workers = kvcalloc(nr_cpu_ids, sizeof(*workers), GFP_KERNEL);
	if (!workers)
		return -ENOMEM;
	calibrate();
	loops_inside = inside_ns * loops_per_ms / 1000000;
	loops_outside = outside_ns * loops_per_ms / 1000000;
	task.counted = softirq.counted = hardirq.counted = 0;
	WRITE_ONCE(stop, false);
	atomic_set(&running, 0);
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct worker *self = &workers[cpu];

		self->nested = nested;
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
	sleep_ms(ms);
	WRITE_ONCE(stop, true);
	took = ktime_get_ns() - took;
	while (atomic_read(&running))
		sleep_ms(1);
	for_each_possible_cpu(cpu) {
		struct worker *self = &workers[cpu];
		unsigned int bucket;

		if (!self->thread)
			continue;
		kthread_stop(self->thread);
		expected[0] += self->sections;
		expected[1] += self->soft_sections;
		expected[2] += self->hard_sections;
		fewest = min(fewest, self->sections);
		most = max(most, self->sections);
		if (self->longest_ns > longest) {
			longest = self->longest_ns;
			longest_stolen = self->longest_stolen_ns;
			longest_others = self->longest_others;
		}
		total += self->total_ns;
		for (bucket = 0; bucket < BUCKETS; bucket++)
			waits[bucket] += self->waits[bucket];
	}
	scnprintf(result, sizeof(result),
		  "ms %llu\ncounted %lu\nexpected %lu\nsoftirq_counted %lu\nsoftirq_expected %lu\nhardirq_counted %lu\nhardirq_expected %lu\nper_second %llu\nfewest %lu\nmost %lu\nlongest_wait_ns %llu\nlongest_wait_stolen_ns %llu\nlongest_wait_others %lu\ntotal_wait_ns %llu\nhalf_below_ns %llu\np99_below_ns %llu\np999_below_ns %llu\n",
		  took / 1000000, task.counted, expected[0], softirq.counted, expected[1], hardirq.counted,
		  expected[2], task.counted * 1000000000ULL / max_t(u64, took, 1), fewest, most, longest,
		  longest_stolen, longest_others, total,
		  below(waits, expected[0], 500000), below(waits, expected[0], 990000),
		  below(waits, expected[0], 999000));
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
	char text[80], kind[8];
	unsigned long inside_ns, outside_ns;
	unsigned int ms;
	ssize_t copied = simple_write_to_buffer(text, sizeof(text) - 1, at, from, length);
	int error;

	if (copied < 0)
		return copied;
	text[copied] = 0;
	if (sscanf(text, "%7s %lu %lu %u", kind, &inside_ns, &outside_ns, &ms) != 4 || ms > 600000 ||
	    inside_ns > 20000000 || outside_ns > 10000000 || (strcmp(kind, "hot") && strcmp(kind, "nested")))
		return -EINVAL;
	mutex_lock(&one_at_a_time);
	error = trial(!strcmp(kind, "nested"), inside_ns, outside_ns, ms);
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

	calibrate();
	spin_lock_init(&task.lock);
	spin_lock_init(&softirq.lock);
	spin_lock_init(&hardirq.lock);
	directory = debugfs_create_dir("pvqspin_load", NULL);
	debugfs_create_file("run", 0600, directory, NULL, &run_operations);
	error = callers_create(directory);
	if (error)
		debugfs_remove_recursive(directory);
	return error;
}

static void __exit load_exit(void)
{
	debugfs_remove_recursive(directory);
}

module_init(load_init);
module_exit(load_exit);
