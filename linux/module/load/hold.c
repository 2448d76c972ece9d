// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Who writes to `hold_text` keeps the kernel's text as it is until a task waits to change it, and for
 * 100 ms more. So what happens between two steps of an exchange gets the time to happen:
 *
 *   echo >hold_text; rmmod pvqspin
 *
 * The unloading module has made the policy the kernel's own by then, and all calls of the spinlock still
 * lead into the module.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include "../shim/pvqspin.h"
#include "hold.h"

/* The lowest bit of a mutex's word for its owner: tasks wait for it. */
#define HAS_WAITERS 1
#define LONGEST_S 60

static DECLARE_COMPLETION(is_held);

static void hold(struct work_struct *unused)
{
	struct mutex *text = symbol("text_mutex");
	unsigned long until = jiffies + LONGEST_S * HZ;

	mutex_lock(text);
	complete(&is_held);
	while (!(atomic_long_read(&text->owner) & HAS_WAITERS) && time_before(jiffies, until))
		msleep(1);
	msleep(100);
	mutex_unlock(text);
}
static DECLARE_WORK(holding, hold);

static ssize_t hold_write(struct file *file, const char __user *from, size_t length, loff_t *at)
{
	if (!symbol("text_mutex"))
		return -EOPNOTSUPP;
	reinit_completion(&is_held);
	if (!schedule_work(&holding))
		return -EBUSY;
	wait_for_completion(&is_held);
	return length;
}

static const struct file_operations hold_operations = {
	.owner = THIS_MODULE,
	.write = hold_write,
};

void hold_create(struct dentry *directory)
{
	debugfs_create_file("hold_text", 0200, directory, NULL, &hold_operations);
}

void hold_end(void)
{
	flush_work(&holding);
}
