/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Work that takes a CPU's own time, not the wall's: what a host takes away is not worked off. */
#ifndef PVQSPIN_OWN_TIME_H
#define PVQSPIN_OWN_TIME_H

/* Measures how long a loop takes. Once for all trials, so that each has the same work. */
void own_time_calibrate(void);
/* How many loops so many ns are. */
unsigned long loops_of_ns(unsigned long ns);
/* Spends them. */
void spend(unsigned long loops);
/* What taking and releasing a lock that is free takes here and now, in ps: the best of some rounds. */
unsigned long pair_ps(void);

#endif
