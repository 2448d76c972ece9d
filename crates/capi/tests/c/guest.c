/* A guest with a host: what the lock asks of it, on one thread that plays two CPUs. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "pvqspin.h"

#define CPUS 2

static pvq_nodes nodes[CPUS];
static uint32_t now_on, waiting_for[CPUS] = {PVQ_NO_CPU, PVQ_NO_CPU}, yielded_to = PVQ_NO_CPU;
static bool preempted[CPUS];
static pvq_lock lock = PVQ_LOCK_INIT;
static pvq_token held;

uint32_t pvq_cpu(void) { return now_on; }
uint32_t pvq_cpu_count(void) { return CPUS; }
pvq_nodes *pvq_cpu_nodes(uint32_t cpu) { return &nodes[cpu]; }
uint64_t pvq_now_ns(void) {
    static uint64_t now;
    return now += 100;
}
enum pvq_run_state pvq_run_sample(uint32_t cpu, uint32_t *generation) {
    *generation = 7;
    return preempted[cpu] ? PVQ_PREEMPTED : PVQ_RUNNING;
}
bool pvq_pressure(void) { return true; }
bool pvq_may_lend(void) { return true; }
void pvq_set_waiting_for(uint32_t cpu, uint32_t target) { waiting_for[cpu] = target; }
uint32_t pvq_waiting_for(uint32_t cpu) { return waiting_for[cpu]; }
void pvq_halt(uint32_t target, uint32_t generation) {
    (void)target, (void)generation;
    assert(!"no CPU halts here");
}
void pvq_kick(uint32_t cpu) {
    (void)cpu;
    assert(!"no CPU is kicked here");
}
enum pvq_yield_status pvq_yield_to(uint32_t target, uint32_t generation) {
    assert(generation == 7 && waiting_for[1] == 0);
    yielded_to = target;
    /* The host runs the holder, which releases. */
    preempted[0] = false;
    now_on = 0;
    pvq_unlock_fifo(&lock, held);
    now_on = 1;
    return PVQ_RAN;
}

int main(void) {
    held = pvq_lock_fifo(&lock);
    preempted[0] = true;
    now_on = 1;
    pvq_token token = pvq_lock_fifo(&lock);
    assert(yielded_to == 0 && waiting_for[1] == PVQ_NO_CPU);
    pvq_unlock_fifo(&lock, token);
    assert(lock.word == 0);
    puts("ok");
    return 0;
}
