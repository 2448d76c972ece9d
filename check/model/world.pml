/* The machine: vCPUs on pCPUs, halting, kicks, directed yields. Models crates/host.
 *
 *            put_on                     halt
 *    OFF <------------> ON ----------------------------> HALTED
 *     ^     preempt      \ stop                            |
 *     |                   -> IDLE (for ever)               |
 *     +------------------------ kick ----------------------+
 *
 * Preemption at any step: `host` takes any vCPU off and puts any on, whenever it likes, and every
 * step of a vCPU may push another one off its pCPU.
 *
 * Fairness: a vCPU that is off its pCPU can always take its next step, by taking a pCPU from
 * a CPU (`on`). So weak fairness of the vCPU's process says what a host promises and no more: a
 * vCPU that could run takes a step again, some time. Not how soon, not how many, not when.
 *
 * CPUs are numbered from 1, as in the word (`Cpu::plus_one`); 0 is none.
 */
#define OFF    0   /* RunState::Preempted */
#define ON     1   /* RunState::Running */
#define HALTED 2   /* RunState::Halted */
#define IDLE   3   /* RunState::Idle */

byte state[V+1];
bit  kick_pending[V+1];   /* host/src/state/vcpu.rs: kick_pending */

/* The context of each CPU that executes: 0, or 1 inside an interrupt handler. */
byte level_of[V+1];

/* Scratch, dead between steps. */
SCRATCH byte x_;

/* `me` can take a step. */
#define CAN_STEP (state[me] != HALTED && level_of[me] == level)

/* host/src/kick.rs: kick_sibling(). Who makes room for the woken one is up to `host`. */
inline kick(c) {
	if
	:: state[c] == HALTED -> state[c] = OFF
	:: state[c] == IDLE
#ifdef MUTANT_host_forgets_kick
	:: state[c] == OFF || state[c] == ON
#else
	:: state[c] == OFF || state[c] == ON -> kick_pending[c] = 1
#endif
	fi
}


#if HINTS
#include "pcpus.pml"
#else
/* Any number of pCPUs, any host: who is on one makes no difference, and advice is left out. */
#define on()              skip
#define take_off(c)       skip
#define sample(c)         skip
#define yield_to_hinted() skip
#define saw(held)         skip
#define hold_ended()      skip
#define note_slept()      skip
/* env.rs: pressure() is false. Others may want a pCPU, or not, whenever a CPU looks. */
#define NO_PRESSURE       true

/* host/src/yielding.rs: halt(). A remembered kick ends it before it begins. */
inline halt_hinting() {
	if
	:: kick_pending[me] -> kick_pending[me] = 0
	:: else -> state[me] = HALTED
	fi
}
#endif
