/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef PVQSPIN_HOLD_H
#define PVQSPIN_HOLD_H

#include <linux/debugfs.h>

/* The files `hold_text` and `hold_calls` in this folder. */
void hold_create(struct dentry *directory);
/* Waits until nothing is held any more. */
void hold_end(void);

#endif
