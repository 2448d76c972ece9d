// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Which calls and jumps in the kernel's text lead to a function, of the kernel or of a module: a line for
 * each, with its address and the function that it is in:
 *
 *   echo __pv_queued_spin_lock_slowpath >callers; cat callers
 *
 * It looks at each byte of the text, and at no list. So it sees a caller that an exchange of the lock
 * has left out.
 */
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/text-patching.h>

#include "../shim/pvqspin.h"
#include "callers.h"

static char name[80];

static void callers_of(const void *function, struct seq_file *out)
{
	const u8 *at = symbol("_stext"), *end = symbol("_etext");
	for (; at && at + CALL_INSN_SIZE <= end; at++) {
		s32 distance;

		if (*at != CALL_INSN_OPCODE && *at != JMP32_INSN_OPCODE)
			continue;
		memcpy(&distance, at + 1, sizeof(distance));
		if (at + CALL_INSN_SIZE + distance == (const u8 *)function)
			seq_printf(out, "%px %ps\n", at, at);
	}
}

static int callers_show(struct seq_file *out, void *unused)
{
	const void *function = symbol(name);

	if (!function)
		return -ENOENT;
	callers_of(function, out);
	return 0;
}

static int callers_open(struct inode *inode, struct file *file)
{
	return single_open(file, callers_show, NULL);
}

static ssize_t callers_write(struct file *file, const char __user *from, size_t length, loff_t *at)
{
	if (length >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, from, length))
		return -EFAULT;
	name[length] = 0;
	strim(name);
	return length;
}

static const struct file_operations callers_operations = {
	.owner = THIS_MODULE,
	.open = callers_open,
	.read = seq_read,
	.write = callers_write,
	.llseek = seq_lseek,
	.release = single_release,
};

int callers_create(struct dentry *directory)
{
	int error = find_symbols();

	if (error)
		return error;
	debugfs_create_file("callers", 0600, directory, NULL, &callers_operations);
	return 0;
}
