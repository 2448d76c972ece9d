// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * /sys/kernel/debug/pvqspin: `stats` has a row for each count and a column for each CPU; writing to
 * it sets them to 0. `names` says how many functions of the kernel name the holder, or that all do.
 */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "pvqspin.h"

static struct dentry *directory;
/* What was counted before the last reset: 0 for maxima, which begin anew. */
static u64 *before;

static u64 *before_of(u32 row, u32 cpu)
{
	return &before[row * nr_cpu_ids + cpu];
}

static int stats_show(struct seq_file *out, void *unused)
{
	u32 row, rows = pvq_stat_rows();
	unsigned int cpu;

	/* All rows have the columns of the first. */
	cpus_read_lock();
	seq_printf(out, "%-24s %12s", "policy " , policy_names[exchange_policy()]);
	for_each_online_cpu(cpu)
		seq_printf(out, " %9s%-2u", "cpu", cpu);
	seq_putc(out, '\n');
	for (row = 0; row < rows; row++) {
		u32 length = 0;
		const char *name = pvq_stat_name(row, &length);
		bool is_sum = pvq_stat_is_sum(row);
		u64 all = 0;

		for_each_possible_cpu(cpu) {
			u64 value = pvq_stat(row, cpu) - *before_of(row, cpu);

			all = is_sum ? all + value : max(all, value);
		}
		seq_printf(out, "%-24.*s %12llu", (int)length, name, all);
		for_each_online_cpu(cpu)
			seq_printf(out, " %11llu", pvq_stat(row, cpu) - *before_of(row, cpu));
		seq_putc(out, '\n');
	}
	cpus_read_unlock();
	return 0;
}

static int stats_open(struct inode *inode, struct file *file)
{
	return single_open(file, stats_show, NULL);
}

static ssize_t stats_write(struct file *file, const char __user *text, size_t length, loff_t *at)
{
	u32 row, rows = pvq_stat_rows();
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		pvq_stat_reset(cpu);
		for (row = 0; row < rows; row++)
			*before_of(row, cpu) = pvq_stat_is_sum(row) ? pvq_stat(row, cpu) : 0;
	}
	return length;
}

static const struct file_operations stats_operations = {
	.owner = THIS_MODULE,
	.open = stats_open,
	.read = seq_read,
	.write = stats_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int names_show(struct seq_file *out, void *unused)
{
	if (names_are_built_in())
		seq_puts(out, "all\n");
	else
		seq_printf(out, "%u\n", names_patched());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(names);

void debugfs_make(void)
{
	before = kvcalloc(pvq_stat_rows() * nr_cpu_ids, sizeof(*before), GFP_KERNEL);
	if (!before)
		return;
	directory = debugfs_create_dir("pvqspin", NULL);
	debugfs_create_file("stats", 0600, directory, NULL, &stats_operations);
	debugfs_create_file("names", 0400, directory, NULL, &names_fops);
}

void debugfs_remove_all(void)
{
	debugfs_remove_recursive(directory);
	kvfree(before);
}
