//! Caps: at most so much pCPU time in each period, however much is free.
//!
//! ```text
//!      |---- period ----|---- period ----|
//!      ####  held back  ####
//!      quota            quota
//! ```
//!
//! A vCPU that has used its quota up is *held back*: it could run, is not queued, and looks preempted to its
//! guest. There is no timer for each. Those that are held back stand in one heap, by the instant from which
//! they may run again, and one pCPU, the *keeper*, has its next event no later than the first of them.
//!
//! A loan is charged to the lender, so it counts against the lender's quota. A vCPU that is held back may
//! borrow: a lock holder that has used its quota up runs on the slice of a sibling that waits for it, and
//! its VM gets no more by that.

use crate::budget::{Budget, Cap, Keeper};
use crate::config::ConfigError;
use crate::heap::Key;
use crate::host::Host;
use crate::ids::{VcpuId, VmId};
use crate::loan::Terms;
use crate::pages::GuestPages;
use crate::state::vcpu::State;

/// The shortest slice that is begun on what is left of a quota, in nanoseconds.
const LEAST_SLICE_NS: u64 = 10_000;

/// How many that were held back one event lets go on.
const MOST_LET_GO: usize = 4;

impl<P: GuestPages> Host<P> {
    /// Caps each vCPU of a VM, so that the VM gets at most as many quotas as it has vCPUs; `None`: no cap. See
    /// [`set_vcpu_cap`](Self::set_vcpu_cap). Does nothing if there is no such VM.
    ///
    /// # Errors
    ///
    /// If the cap makes no sense, or under strict co-scheduling, which knows none.
    pub fn set_cap(&mut self, now: u64, vm: VmId, cap: Option<Cap>) -> Result<(), ConfigError> {
        self.check_cap(cap)?;
        for vcpu in self.ids_of(vm) {
            self.cap_vcpu(now, vcpu, cap);
        }
        Ok(())
    }

    /// Caps a vCPU; `None`: no cap. Its period begins now. A slice that it owns ends when it was to end; what
    /// that is too much, it lacks later. Does nothing if there is no such vCPU.
    ///
    /// # Errors
    ///
    /// If the cap makes no sense, or under strict co-scheduling, which knows none.
    pub fn set_vcpu_cap(
        &mut self,
        now: u64,
        vcpu: VcpuId,
        cap: Option<Cap>,
    ) -> Result<(), ConfigError> {
        self.check_cap(cap)?;
        self.cap_vcpu(now, vcpu, cap);
        Ok(())
    }

    fn check_cap(&self, cap: Option<Cap>) -> Result<(), ConfigError> {
        let Some(cap) = cap else {
            return Ok(());
        };
        if self.policy.is_strict() {
            return Err(ConfigError::NoCaps);
        }
        let least_ns = self.config.min_loan_ns.max(LEAST_SLICE_NS);
        let period_fits = (1..=crate::MAX_SLICE_NS).contains(&cap.period_ns);
        if !period_fits || !(least_ns..=cap.period_ns).contains(&cap.quota_ns) {
            return Err(ConfigError::BadCap { cap, least_ns });
        }
        Ok(())
    }

    fn cap_vcpu(&mut self, now: u64, vcpu: VcpuId, cap: Option<Cap>) {
        self.advance(now);
        if self.locate(vcpu).is_none() {
            return;
        }
        if let Some(p) = self.vcpus[vcpu.index()].owns {
            self.charge(p);
        }
        let since = self.clock;
        let state = &mut self.vcpus[vcpu.index()];
        state.budget = Budget::new(cap, since);
        if state.state == State::HeldBack {
            self.let_go_on(vcpu);
        }
        self.finish();
    }

    // --- quotas --------------------------------------------------------------------------------

    /// What has to be left of a quota for a slice to begin.
    fn need_ns(&self) -> u64 {
        LEAST_SLICE_NS.min(self.config.slice_ns)
    }

    /// Until when a vCPU may not be queued, if so.
    fn is_spent_until(&mut self, vcpu: VcpuId) -> Option<u64> {
        let (now, need_ns) = (self.clock, self.need_ns());
        (self.vcpus[vcpu.index()].budget).lacks_until(now, need_ns)
    }

    /// Whether a vCPU would be held back if it were to be queued now.
    #[cold]
    pub(crate) fn is_spent(&self, vcpu: VcpuId) -> bool {
        let mut budget = self.vcpus[vcpu.index()].budget;
        (budget.lacks_until(self.clock, self.need_ns())).is_some()
    }

    /// A slice that the quota is enough for.
    #[cold]
    pub(crate) fn within_cap(&mut self, vcpu: VcpuId, terms: Terms) -> Terms {
        let now = self.clock;
        let budget = &mut self.vcpus[vcpu.index()].budget;
        budget.begin();
        let Some(left_ns) = budget.left_ns(now) else {
            return terms;
        };
        Terms {
            // A borrower that goes on at its own cost may have less left than it takes to begin.
            slice_ns: terms.slice_ns.min(left_ns.max(self.need_ns())),
            ..terms
        }
    }

    // --- holding back --------------------------------------------------------------------------

    /// Holds a vCPU back instead of queueing it, if its quota is used up. Returns whether it did.
    #[cold]
    pub(crate) fn hold_back(&mut self, vcpu: VcpuId) -> bool {
        let Some(time) = self.is_spent_until(vcpu) else {
            return false;
        };
        if self.held_back.is_empty() {
            // One that was keeper long ago: nothing had to be kept since.
            self.held_back.keeper = None;
        }
        let turn = self.queues.next_turn();
        self.held_back.heap.insert(vcpu.index(), Key { time, turn });
        let vm = self.vcpus[vcpu.index()].vm;
        self.vms[vm.index()].held_back += 1;
        self.set_state(vcpu, State::HeldBack);
        self.vcpus[vcpu.index()].waits_since = self.clock;
        self.tell(vm);
        true
    }

    /// A vCPU is not held back any more. Its caller says what it does instead.
    pub(crate) fn take_from_held_back(&mut self, vcpu: VcpuId) {
        if self.held_back.heap.remove(vcpu.index()) {
            let state = &mut self.vcpus[vcpu.index()];
            state.stats.held_back_ns += self.clock.saturating_sub(state.waits_since);
            self.vms[state.vm.index()].held_back -= 1;
        }
    }

    fn let_go_on(&mut self, vcpu: VcpuId) {
        self.take_from_held_back(vcpu);
        self.wake_from_outside(vcpu);
    }

    /// Lets those go on that may: a few at once. The keeper's next event lets others go.
    #[cold]
    pub(crate) fn let_due_go_on(&mut self) {
        for _ in 0..MOST_LET_GO {
            match self.held_back.first() {
                Some((due, vcpu)) if due <= self.clock => self.let_go_on(vcpu),
                _ => return,
            }
        }
    }

    /// Whether a pCPU's event may have come for those that are held back.
    pub(crate) fn keeps_time(&self, p: usize) -> bool {
        self.held_back.keeper.is_some_and(|keeper| keeper.pcpu == p)
    }

    /// When a pCPU has its next event at the latest: sooner than for its slice, if it becomes the keeper.
    #[cold]
    pub(crate) fn keep_time(&mut self, p: usize, until: Option<u64>) -> Option<u64> {
        let held_back = &mut self.held_back;
        held_back.forget(p);
        let (true, Some((due, _))) = (held_back.needs_keeper(), held_back.first()) else {
            return until;
        };
        let at = until.map_or(due, |until| until.min(due));
        held_back.keeper = Some(Keeper { pcpu: p, at });
        Some(at)
    }

    /// Makes a pCPU the keeper if there has to be one: it is poked, and becomes it with its next event.
    #[cold]
    pub(crate) fn appoint_keeper(&mut self) {
        if !self.held_back.needs_keeper() {
            return;
        }
        let keeper = self.held_back.keeper.map(|keeper| keeper.pcpu);
        let online = || self.pcpus.iter().position(|pcpu| !pcpu.offline);
        if let Some(p) = keeper.or_else(|| self.idle.first()).or_else(online) {
            self.poke(p);
        }
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check_caps(&self) {
        let poked = || self.pcpus.iter().any(|pcpu| pcpu.poked && !pcpu.offline);
        debug_assert!(
            !self.held_back.needs_keeper() || poked(),
            "a pCPU keeps the time of those that are held back"
        );
        let of_vms: usize = self.vms.iter().map(|vm| vm.held_back).sum();
        debug_assert_eq!(self.held_back.heap.len(), of_vms, "held back");
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check_cap_of(&self, number: usize) {
        let vcpu = &self.vcpus[number];
        let held_back = vcpu.state == State::HeldBack;
        debug_assert_eq!(self.held_back.contains(number), held_back, "vCPU {number}");
        debug_assert!(!held_back || vcpu.owns.is_none(), "vCPU {number}");
        if let Some((cap, used_ns)) = vcpu.budget.used() {
            // A slice that was running when the cap came, one whose timer was late, and a short one.
            let most = cap.quota_ns + (2 * crate::fair::LATE_SLICES + 1) * self.config.slice_ns;
            debug_assert!(used_ns <= most, "vCPU {number} overdrew");
        }
    }
}
