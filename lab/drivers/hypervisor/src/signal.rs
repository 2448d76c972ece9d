//! The signal that takes a vCPU off its pCPU.
//!
//! ```text
//!              signal
//!                |
//!      on whose stack are we?
//!        |                \
//!   a vCPU's           the pCPU's own
//!        |                  \
//!   in_hypervisor?        not on its way into a guest: nothing; the loop looks by itself
//!     | no     \ yes      on its way: try again in 20 us
//!     |         \
//!   leave()     try again in 20 us
//! ```
//!
//! The handler runs on the stack that it interrupts (no alternate stack). To preempt a vCPU it
//! simply leaves in the middle of the handler; when the vCPU is entered again, perhaps on another
//! thread, the handler returns, and the kernel restores what it saved in the frame below:
//!
//! - *registers, SSE and AVX state*: complete, whatever used them meanwhile;
//! - *the alternate stack*: pCPU threads have none ([`without_alternate_stack`]), so a return on
//!   another thread does not give it the stack of this one;
//! - not the FS base: thread-local storage stays that of the thread. Guest code uses none, and
//!   the handler none after `leave`;
//! - *the signal mask*: that of the interrupted guest. It is the same on all pCPU threads.
//!
//! # The mask
//!
//! The kernel blocks the signal in the handler. If it did not, signals that come faster than they
//! are delivered would pile up their frames on a vCPU's stack until it is full (a storm of pokes
//! does that within a millisecond). So a pCPU that is left by a preempted vCPU finds the signal
//! blocked, and a vCPU that was preempted unblocks it as it returns from the handler:
//!
//! ```text
//!                    the vCPU to enter left by ...
//!   the signal is    a signal                     a call, or never ran
//!   blocked          enter; its return unblocks   unblock, then enter
//!   open             block, then enter            enter
//! ```
//!
//! The common cases, preemption followed by a vCPU that was preempted before, and hypercalls among
//! themselves, make no system call. A vCPU's stack holds one signal frame at most. A signal that
//! comes while it is blocked is delivered at the return, in guest mode.

use core::ffi::c_int;
use core::mem;
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;
use std::cell::Cell;
use std::io;

use crate::arena;
use crate::pcpu::{Mode, Pcpu};
use crate::pcpu_signal::SIGNAL;
use crate::vcb::{ExitReason, Vcb};

/// After what time a preemption that came at a bad moment is tried again.
const RETRY_NS: u64 = 20_000;

thread_local! {
    /// The pCPU that this thread is. Used on the thread's own stack only.
    static PCPU: Cell<*const Pcpu> = const { Cell::new(ptr::null()) };
}

extern "C" fn on_signal(_signal: c_int) {
    match arena::current() {
        Some(vcb) => on_vcpu_stack(vcb),
        None => on_thread_stack(),
    }
}

fn on_vcpu_stack(vcb: &Vcb) {
    // SAFETY: set by the pCPU that entered the vCPU, before it did, and pCPUs outlive the run.
    let pcpu = unsafe { &*vcb.pcpu.load(Relaxed) };
    pcpu.timer.note_signal();
    if vcb.in_hypervisor.load(Relaxed) {
        pcpu.timer.retry_in(RETRY_NS);
        return;
    }
    vcb.lose_pcpu(ExitReason::Timer);
}

// Not inlined: the address of a thread-local variable must not be computed before it is known
// that this is the thread's own stack.
#[inline(never)]
fn on_thread_stack() {
    // SAFETY: null, or the pCPU that this thread is, which outlives `Registration`.
    let Some(pcpu) = (unsafe { PCPU.get().as_ref() }) else {
        return;
    };
    pcpu.timer.note_signal();
    if pcpu.mode() == Mode::Guest {
        pcpu.timer.retry_in(RETRY_NS);
    }
}

/// The handler in place; puts the former one back when dropped.
#[derive(Debug)]
pub(crate) struct Handler {
    former: SigAction,
}

/// `libc::sigaction`, which has no `Debug` of its own on every target.
struct SigAction(libc::sigaction);

impl core::fmt::Debug for SigAction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("sigaction")
    }
}

impl Handler {
    /// Installs the handler for the whole process.
    pub(crate) fn install() -> io::Result<Self> {
        // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = on_signal as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: as above.
        let mut former: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: both point to valid structures. The handler touches atomics, and leaves the
        // stack only in guest code, which holds nothing of the host's.
        let done = unsafe { libc::sigaction(SIGNAL, &action, &mut former) };
        if done == 0 {
            Ok(Self {
                former: SigAction(former),
            })
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // SAFETY: puts back what `install` found.
        unsafe { libc::sigaction(SIGNAL, &self.former.0, ptr::null_mut()) };
    }
}

/// The calling thread as a pCPU: knows its pCPU, takes [`SIGNAL`] and no other asynchronous
/// signal, has no alternate signal stack. All of it is undone when this is dropped.
pub(crate) struct Registration {
    former_mask: libc::sigset_t,
    former_stack: libc::stack_t,
}

impl Registration {
    /// Registers the calling thread. `pcpu` must outlive the registration: `session` joins the
    /// thread before it drops its pCPUs.
    pub(crate) fn new(pcpu: &Pcpu) -> io::Result<Self> {
        let former_stack = without_alternate_stack()?;
        PCPU.set(pcpu);
        let former_mask = take_only_our_signal()?;
        Ok(Self {
            former_mask,
            former_stack,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        PCPU.set(ptr::null());
        // SAFETY: puts back what `new` found, on the same thread: neither type is `Send`-able
        // out of the pCPU's thread function.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.former_mask, ptr::null_mut());
            libc::sigaltstack(&self.former_stack, ptr::null_mut());
        }
    }
}

/// Takes the alternate signal stack away from this thread (Rust's runtime sets one up to report
/// stack overflows), and returns it.
fn without_alternate_stack() -> io::Result<libc::stack_t> {
    let none = libc::stack_t {
        ss_sp: ptr::null_mut(),
        ss_flags: libc::SS_DISABLE,
        ss_size: 0,
    };
    let mut former = none;
    // SAFETY: both point to valid structures; disabling the alternate stack is always allowed
    // from a thread that is not running on it.
    match unsafe { libc::sigaltstack(&none, &mut former) } {
        0 => Ok(former),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Blocks every signal but ours and those that a fault of the thread itself raises, so that no
/// other handler ever runs on a vCPU's stack. Returns the former mask.
fn take_only_our_signal() -> io::Result<libc::sigset_t> {
    const FAULTS: [c_int; 6] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
        libc::SIGABRT,
    ];
    // SAFETY: plain calls on structures of our own.
    unsafe {
        let mut mask: libc::sigset_t = mem::zeroed();
        let mut former: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut mask);
        for signal in FAULTS.into_iter().chain([SIGNAL]) {
            libc::sigdelset(&mut mask, signal);
        }
        match libc::pthread_sigmask(libc::SIG_SETMASK, &mask, &mut former) {
            0 => Ok(former),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

impl Pcpu {
    /// Makes the calling thread this pCPU, until what it returns is dropped.
    pub(crate) fn adopt_caller(&self) -> io::Result<Adopted<'_>> {
        let registration = Registration::new(self)?;
        self.target.set_to_caller();
        self.timer.create(SIGNAL)?;
        Ok(Adopted {
            pcpu: self,
            _registration: registration,
        })
    }
}

/// A thread that is a pCPU. Dropped on the same thread, it stops being one.
pub(crate) struct Adopted<'a> {
    pcpu: &'a Pcpu,
    _registration: Registration,
}

impl Drop for Adopted<'_> {
    fn drop(&mut self) {
        self.pcpu.timer.delete();
        self.pcpu.target.clear();
    }
}
