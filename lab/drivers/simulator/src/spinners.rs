//! vCPUs that spin on a condition: which of them have to evaluate it again, and when they see it.

use crate::machine::Machine;
use crate::pcpu::Phase;
use crate::request::Condition;
use crate::vcpu::{Activity, Spin};

impl Machine<'_> {
    /// Whether a spinner goes on: it sees that its condition holds, or its budget is spent. The
    /// reply says which.
    pub(crate) fn spin_is_over(&mut self, vcpu: usize) -> bool {
        let now = self.now();
        let Activity::Spin(spin) = &mut self.vcpus[vcpu].activity else {
            return true;
        };
        let spent = spin.left == Some(0);
        let sees = spin.sees_at.is_some_and(|at| at <= now);
        let condition = spin.condition;
        if sees {
            spin.sees_at = None;
        }
        let held = (sees || spent) && self.holds(vcpu, condition);
        self.vcpus[vcpu].reply.held = held;
        held || spent
    }

    /// Evaluates the condition of a vCPU that is suspended in it.
    fn holds(&self, vcpu: usize, condition: Condition) -> bool {
        self.shared.current.set(vcpu);
        self.shared.evaluating.set(true);
        // SAFETY: the vCPU is suspended in `spin_until`, whose frame owns the condition, and
        // will not evaluate it before it is resumed.
        let held = unsafe { (*condition)() };
        self.shared.evaluating.set(false);
        held
    }

    /// A pCPU may have written to a VM's memory: spinners there see it, a line transfer later.
    pub(crate) fn recheck(&mut self, vm: usize, writer: usize) {
        let mut from = 0;
        while let Some(p) = self.watchers.next(vm, from) {
            self.recheck_on(p, writer);
            from = p + 1;
        }
    }

    /// Whether no spinner has missed that its condition holds.
    pub(crate) fn all_rechecked(&self) -> bool {
        (self.pcpus.iter()).all(|pcpu| match (pcpu.phase, pcpu.run.vcpu) {
            (Phase::Guest, Some(id)) => match self.vcpus[id.index()].activity {
                Activity::Spin(Spin {
                    condition,
                    sees_at: None,
                    ..
                }) => !self.holds(id.index(), condition),
                _ => true,
            },
            _ => true,
        })
    }

    pub(crate) fn recheck_on(&mut self, p: usize, writer: usize) {
        let (Phase::Guest, Some(id)) = (self.pcpus[p].phase, self.pcpus[p].run.vcpu) else {
            return;
        };
        let vcpu = id.index();
        let Activity::Spin(Spin {
            condition,
            sees_at: None,
            ..
        }) = self.vcpus[vcpu].activity
        else {
            return;
        };
        if !self.holds(vcpu, condition) {
            return;
        }
        let sees_at = self.now() + self.shared.sight(vcpu, writer, p);
        if let Activity::Spin(spin) = &mut self.vcpus[vcpu].activity {
            spin.sees_at = Some(sees_at);
        }
        self.refresh(p);
    }
}
