/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef PVQSPIN_CALLERS_H
#define PVQSPIN_CALLERS_H

#include <linux/debugfs.h>

/* The file `callers` in this folder. */
int callers_create(struct dentry *directory);

#endif
