/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A lock that all CPUs take in handlers of NMIs, and nothing else takes. */
#ifndef PVQSPIN_NMI_H
#define PVQSPIN_NMI_H

/* From here on a handler takes it, and spends so many loops inside. */
int nmi_begin(unsigned long loops);
/* Interrupts all CPUs but this one. */
void nmi_send(void);
/* No handler takes it any more. Tells how many sections there were, by the lock's counter and by the CPUs'. */
void nmi_end(unsigned long *counted, unsigned long *expected);

#endif
