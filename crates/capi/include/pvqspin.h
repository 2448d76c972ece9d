/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * pvqspin: a fair queued spinlock that tells the hypervisor which virtual CPU to run.
 *
 * For kernels that are not in Rust. Link libpvqspin_c.a, and define the functions of the section
 * "What the kernel defines". On bare metal, one line defines the paravirtual ones as nothing:
 *
 *     #define PVQ_BARE_METAL
 *     #include "pvqspin.h"        // in exactly one file
 *
 * Contract: while a lock is taken or held, the CPU does not change (no preemption by this kernel).
 * A lock that an interrupt handler takes is taken with that interrupt masked. An NMI handler calls
 * only pvq_try_*, the unlock that goes with what it got, and pvq_report_*.
 *
 * C11 or later, or C++11.
 */
#ifndef PVQSPIN_H
#define PVQSPIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define PVQ_ALIGNED(n) alignas(n)
extern "C" {
#else
#define PVQ_ALIGNED(n) _Alignas(n)
#endif

/* ---- Locks. All zero is free. ------------------------------------------------------------- */

/* A spinlock: four bytes. The library reads and writes the word, and nothing else may. */
typedef struct {
    uint32_t word;
} pvq_lock;

/* A reader-writer lock: eight bytes. */
typedef struct {
    uint32_t word;
    uint32_t queue;
} pvq_rwlock;

#define PVQ_LOCK_INIT {0}
#define PVQ_RWLOCK_INIT {0, 0}

/* What an acquisition must remember until its release, on the CPU that took the lock. */
typedef uint32_t pvq_token;
typedef uint64_t pvq_write_token;

/* How waiters wait. All locks have the same policy:
 *   PVQ_NATIVE  spins: bare metal, or a vCPU that has a pCPU of its own
 *   PVQ_FIFO    strict order: a host that runs the vCPU that a hypercall names
 *   PVQ_BOUNDED order among those who run: a host that takes hints (stock KVM)
 * The policy is a suffix of each function. A lock is used with one of them only, always the same. */

#define PVQ_FUNCTIONS(policy)                                                                     \
    /* Takes the lock, waiting for as long as it takes. */                                        \
    pvq_token pvq_lock_##policy(pvq_lock *lock);                                                  \
    /* Takes it if it is free and nothing waits; says whether. token is not NULL, and is written  \
       on success only. */                                                                        \
    bool pvq_try_lock_##policy(pvq_lock *lock, pvq_token *token);                                 \
    /* Releases it. The running CPU holds it, and the token is what taking it returned. */        \
    void pvq_unlock_##policy(pvq_lock *lock, pvq_token token);                                    \
    /* Which CPU holds it, which wait: writes at most size bytes, the last of them a 0; returns   \
       the length of the whole text, so that a result of size or more means that it was cut.      \
       text may be NULL if size is 0. Reads the lock, and changes nothing. */                     \
    size_t pvq_report_##policy(const pvq_lock *lock, char *text, size_t size);                    \
    pvq_token pvq_read_lock_##policy(pvq_rwlock *lock);                                           \
    bool pvq_try_read_lock_##policy(pvq_rwlock *lock, pvq_token *token);                          \
    /* For interrupt handlers: waits for a writer that holds the lock, and for nothing else. */   \
    pvq_token pvq_read_lock_nested_##policy(pvq_rwlock *lock);                                    \
    void pvq_read_unlock_##policy(pvq_rwlock *lock, pvq_token token);                             \
    pvq_write_token pvq_write_lock_##policy(pvq_rwlock *lock);                                    \
    bool pvq_try_write_lock_##policy(pvq_rwlock *lock, pvq_write_token *token);                   \
    void pvq_write_unlock_##policy(pvq_rwlock *lock, pvq_write_token token);

PVQ_FUNCTIONS(native)
PVQ_FUNCTIONS(fifo)
PVQ_FUNCTIONS(bounded)
#undef PVQ_FUNCTIONS

/* ---- What the kernel defines. -------------------------------------------------------------- */

/* The most CPUs: their numbers are below. */
#define PVQ_MAX_CPUS 16382u

/* The queue nodes of a CPU. All zero at first. A kernel has one for each possible CPU. */
#define PVQ_NODES_SIZE 256
typedef struct {
    PVQ_ALIGNED(128) unsigned char opaque[PVQ_NODES_SIZE];
} pvq_nodes;

/* The number of the running CPU, below pvq_cpu_count(). On every fast path. */
uint32_t pvq_cpu(void);

/* How many CPUs there are at most. Constant. (A CPU with a larger number would share another one's
 * nodes, and hang: check it when the CPU comes up.) */
uint32_t pvq_cpu_count(void);

/* The nodes of a CPU: always the same place, a different one for each. cpu < pvq_cpu_count(). */
pvq_nodes *pvq_cpu_nodes(uint32_t cpu);

/* Monotonic time in ns, comparable between CPUs. 0, always, where there is no clock: budgets then
 * count looks, of about 10 ns each, and PVQ_BOUNDED bounds nothing. */
uint64_t pvq_now_ns(void);

/* What a vCPU does, as far as the kernel can tell. */
enum pvq_run_state {
    PVQ_RUNNING = 0,
    PVQ_PREEMPTED = 1,
    PVQ_HALTED = 2,
};

/* What cpu does now. *generation: a number that changes whenever it is put on a pCPU. */
enum pvq_run_state pvq_run_sample(uint32_t cpu, uint32_t *generation);

/* Whether any vCPU that could run may lack a pCPU. Waiters halt only then. */
bool pvq_pressure(void);

/* Whether the running CPU may lend its pCPU, and halt: false in an NMI handler. */
bool pvq_may_lend(void);

#define PVQ_NO_CPU UINT32_MAX

/* The CPU that cpu waits for: the kernel keeps one word for each CPU, PVQ_NO_CPU at first (which is
 * not all zero: initialise it). */
void pvq_set_waiting_for(uint32_t cpu, uint32_t target);
uint32_t pvq_waiting_for(uint32_t cpu);

/* Halts the running CPU until it is kicked, after asking the host to run target (or
 * PVQ_NO_CPU) if its generation still is this one. May return at any time.
 * A kick of a CPU that has not halted yet ends its next halt. */
void pvq_halt(uint32_t target, uint32_t generation);
void pvq_kick(uint32_t cpu);

/* What became of a directed yield. */
enum pvq_yield_status {
    PVQ_RAN = 0,
    PVQ_ALREADY_RUNNING = 1,
    PVQ_STALE = 2,
    PVQ_REFUSED = 3,
};

/* Lends this pCPU to target, or to the CPU that it waits for in the end, if target has not run since
 * that generation. */
enum pvq_yield_status pvq_yield_to(uint32_t target, uint32_t generation);

#ifdef PVQ_BARE_METAL
enum pvq_run_state pvq_run_sample(uint32_t cpu, uint32_t *generation) {
    (void)cpu;
    *generation = 0;
    return PVQ_RUNNING;
}
bool pvq_pressure(void) { return false; }
bool pvq_may_lend(void) { return true; }
void pvq_set_waiting_for(uint32_t cpu, uint32_t target) { (void)cpu, (void)target; }
uint32_t pvq_waiting_for(uint32_t cpu) { (void)cpu; return PVQ_NO_CPU; }
void pvq_halt(uint32_t target, uint32_t generation) { (void)target, (void)generation; }
void pvq_kick(uint32_t cpu) { (void)cpu; }
enum pvq_yield_status pvq_yield_to(uint32_t target, uint32_t generation) {
    (void)target, (void)generation;
    return PVQ_REFUSED;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
