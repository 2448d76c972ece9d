//! Lending one's pCPU to a CPU that is in the way, as the rivals do that can name one.

use pvqspin::{Budget, Cpu, Env, Hint, Status};

/// How long to wait, in ns, before asking again after a call that ran no vCPU.
///
/// The same as in our own policies; news of the target or of the lock ends it earlier.
pub const RETRY_NS: u32 = 15_000;

/// Whether a CPU could run and does not.
#[inline]
pub(crate) fn is_preempted<E: Env>(cpu: Cpu) -> bool {
    E::run_sample(cpu).is_preempted()
}

/// Lends this pCPU to `cpu`, if it is preempted and still in the way. Returns whether it was.
///
/// The hint carries the target's generation, as Power's `H_CONFER` does, so that the host drops a
/// late call.
pub(crate) fn lend_to<E: Env>(cpu: Cpu, out_of_the_way: impl Fn() -> bool) -> bool {
    // The sample first, the lock after it: if the lock still says the same, the sample is of one
    // that is in the way, and a call is worth its price.
    let sample = E::run_sample(cpu);
    if !sample.is_preempted() || out_of_the_way() {
        return false;
    }
    let status = E::yield_to(Hint {
        cpu,
        generation: sample.generation(),
    });
    if matches!(status, Status::AlreadyRunning | Status::Refused) {
        let news = || out_of_the_way() || E::run_sample(cpu) != sample;
        E::spin_until(news, Budget::ns(RETRY_NS));
    }
    true
}
