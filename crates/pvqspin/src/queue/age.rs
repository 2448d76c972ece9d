//! How long a CPU has been waiting. `Bounded` passes over no CPU whose wait has reached the bound,
//! and a report says it.

use crate::env::Env;
use crate::nodes::CpuNodes;
use crate::policy::Policy;
use pvqspin_abi::Cpu;

/// Notes when the oldest wait of this CPU began. A paravirtual policy without a bound does so later.
pub(crate) fn note_wait_begins<E: Env, P: Policy>(nodes: &CpuNodes, context: usize) {
    if context != 0 {
        return;
    }
    if notes_late::<P>() {
        nodes.forget_waiting_since();
        return;
    }
    let now = E::now_ns();
    // A report on a hanging kernel wants to know it, too. Without a clock (the constant 0) all of
    // this compiles to nothing.
    if P::RULES.passes_over() || now != 0 {
        nodes.set_waiting_since(Some(now));
    }
}

/// A spin budget is gone. If it was not noted when the oldest wait of this CPU began, it is noted now:
/// it began one budget ago, and a report does not mind. A short wait takes no longer than a look at a
/// kernel's clock.
pub(crate) fn note_wait_goes_on<E: Env, P: Policy>(nodes: &CpuNodes) {
    if notes_late::<P>() && !nodes.knows_waiting_since() {
        let now = E::now_ns();
        if now != 0 {
            nodes.set_waiting_since(Some(now));
        }
    }
}

/// Without a host, budgets last for seconds.
const fn notes_late<P: Policy>() -> bool {
    P::RULES.paravirtual() && !P::RULES.passes_over()
}

/// The oldest wait of this CPU is over. (Policies other than `Bounded` can do without: the stamp
/// counts only while a node is in use.)
pub(crate) fn note_wait_ends<P: Policy>(nodes: &CpuNodes, context: usize) {
    if P::RULES.passes_over() && context == 0 {
        nodes.set_waiting_since(None);
    }
}

/// How long the oldest wait of `cpu` has lasted, in µs, if it noted when it began. From 71 minutes
/// on: `u32::MAX`.
pub(crate) fn age_us<E: Env>(cpu: Cpu) -> Option<u32> {
    E::nodes(cpu).waited_us(E::now_ns())
}

/// Whether `head` has waited so long that no CPU may pass over it any more.
pub(crate) fn is_closed<E: Env, P: Policy>(head: Cpu) -> bool {
    closes::<P>(age_of_head::<E>(head))
}

/// Whether a head of this age, in µs, may not be passed over any more.
pub(crate) fn closes<P: Policy>(age_us: u32) -> bool {
    age_us >= P::RULES.pass_over_us
}

/// The age of a CPU that is known to wait, in µs. It noted when it began; that we cannot see it yet
/// must not make it young. (An interrupt that waits between the claim of the outer node and the
/// note is seen so, too.)
pub(crate) fn age_of_head<E: Env>(head: Cpu) -> u32 {
    age_us::<E>(head).unwrap_or(u32::MAX)
}
