/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef PVQSPIN_ACROSS_H
#define PVQSPIN_ACROSS_H

#include <linux/debugfs.h>

/* The file `across` in this folder. */
void across_create(struct dentry *directory);
/* Takes back what it has put into the kernel. */
void across_end(void);

#endif
