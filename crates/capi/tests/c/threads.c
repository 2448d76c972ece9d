/*
 * A thread is a CPU: locks exclude, readers read together, and all of it ends. There are no more threads than CPUs of this
 * machine: a native queued lock with more hands over once in a time slice.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PVQ_BARE_METAL
#include "pvqspin.h"

#define CPUS 8
#define ROUNDS 20000

static pvq_nodes nodes[CPUS];
static _Thread_local uint32_t this_cpu;

uint32_t pvq_cpu(void) { return this_cpu; }
uint32_t pvq_cpu_count(void) { return CPUS; }
pvq_nodes *pvq_cpu_nodes(uint32_t cpu) {
    assert(cpu < CPUS);
    return &nodes[cpu];
}
uint64_t pvq_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static pvq_lock native = PVQ_LOCK_INIT, fifo = PVQ_LOCK_INIT, bounded = PVQ_LOCK_INIT;
static pvq_rwlock rw = PVQ_RWLOCK_INIT;
static long counts[3];
static long written[2];

#define ADD(policy, at)                                                                           \
    do {                                                                                          \
        pvq_token token = pvq_lock_##policy(&policy);                                             \
        counts[at]++;                                                                             \
        pvq_unlock_##policy(&policy, token);                                                      \
    } while (0)

static void *work(void *cpu) {
    this_cpu = (uint32_t)(uintptr_t)cpu;
    for (int round = 0; round < ROUNDS; round++) {
        ADD(native, 0);
        ADD(fifo, 1);
        ADD(bounded, 2);
        if (round % 8 == 0) {
            pvq_write_token token = pvq_write_lock_fifo(&rw);
            written[0]++;
            written[1]++;
            pvq_write_unlock_fifo(&rw, token);
        } else {
            pvq_token token = pvq_read_lock_fifo(&rw);
            assert(written[0] == written[1]);
            pvq_read_unlock_fifo(&rw, token);
        }
        if (round % 64 == 0)
            sched_yield();
    }
    return NULL;
}

int main(void) {
    /* Alone first. */
    pvq_token token, other;
    assert(pvq_try_lock_fifo(&fifo, &token));
    assert(!pvq_try_lock_fifo(&fifo, &other));
    char text[64], tiny[8];
    size_t length = pvq_report_fifo(&fifo, text, sizeof text);
    assert(strstr(text, "held by cpu0") != NULL);
    assert(length > sizeof text && strlen(text) == sizeof text - 1);
    assert(pvq_report_fifo(&fifo, tiny, sizeof tiny) == length && strlen(tiny) == 7);
    assert(pvq_report_fifo(&fifo, NULL, 0) == length);
    pvq_unlock_fifo(&fifo, token);
    assert(fifo.word == 0);

    pvq_token one = pvq_read_lock_fifo(&rw), two = pvq_read_lock_nested_fifo(&rw);
    pvq_write_token writer;
    assert(!pvq_try_write_lock_fifo(&rw, &writer));
    pvq_read_unlock_fifo(&rw, two);
    pvq_read_unlock_fifo(&rw, one);
    assert(pvq_try_write_lock_fifo(&rw, &writer));
    assert(!pvq_try_read_lock_fifo(&rw, &one));
    pvq_write_unlock_fifo(&rw, writer);
    assert(rw.word == 0 && rw.queue == 0);

    pthread_t threads[CPUS];
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int used = online < 2 ? 2 : online > CPUS ? CPUS : (int)online;
    for (uintptr_t cpu = 0; cpu < (uintptr_t)used; cpu++)
        assert(pthread_create(&threads[cpu], NULL, work, (void *)cpu) == 0);
    for (int cpu = 0; cpu < used; cpu++)
        pthread_join(threads[cpu], NULL);
    for (int at = 0; at < 3; at++)
        assert(counts[at] == (long)used * ROUNDS);
    assert(written[0] == (long)used * (ROUNDS / 8) && written[1] == written[0]);
    assert(native.word == 0 && fifo.word == 0 && bounded.word == 0 && rw.word == 0);
    puts("ok");
    return 0;
}
