//! From events to a scene: the state of every vCPU and pCPU is followed through the trace.
//!
//! ```text
//!   pCPU   Enter(a) ... SliceEnd(a) ... Enter(b)     a was there until its slice ended
//!          Enter(a) ... SliceEnd(a) ... mark of a    a went on: nothing has changed
//! ```
//!
//! A lock is held from the first that says so (the slow path passed `Taken`, or the guest has it)
//! until the first that says that it is not (the slow path passed `Released`, the guest has left, or
//! another vCPU holds the same lock).

use pvqspin::Point;
use pvqspin_abi::{Cpu, Status};
use pvqspin_driver_common::{Trace, TraceEvent, What};

use crate::scene::{Call, CallKind, Doing, Lane, Level, Place, Scene, Stay, Why};
use crate::vcpu::Vcpu;

impl Scene {
    /// Replays a trace of a host with so many pCPUs, and so many vCPUs in each VM.
    #[must_use]
    pub fn replay(trace: &Trace, pcpus: usize, vms: &[usize]) -> Self {
        let mut replay = Replay::new(trace, pcpus, vms);
        for event in &trace.events {
            replay.event(event);
        }
        replay.finish()
    }
}

#[derive(Clone, Default)]
struct Pcpu {
    current: Option<(u32, u64)>,
    /// It asked the host at that time: if another vCPU comes next, the old one left then, to
    /// there.
    asked: Option<(u64, Place)>,
    /// The call that it was.
    call: Option<usize>,
    stays: Vec<Stay>,
}

struct Replay {
    from_ns: u64,
    now: u64,
    vcpus: Vec<Vcpu>,
    pcpus: Vec<Pcpu>,
    cpus_in_vm: Vec<u32>,
    /// Who said last that it holds each lock.
    holders: Vec<Option<u32>>,
    waiting_now: Vec<usize>,
    runnable_now: usize,
    scene: Scene,
}

impl Replay {
    fn new(trace: &Trace, pcpus: usize, vms: &[usize]) -> Self {
        let first = trace.events.first().map_or(0, |event| event.at_ns);
        let from_ns = trace.complete_from_ns.max(first);
        let mut vcpus = Vec::new();
        for (vm, &count) in vms.iter().enumerate() {
            let vm_range = (vcpus.len() as u32, count as u32);
            let vcpu = Vcpu {
                vm,
                vm_range,
                place: match trace.dropped {
                    0 => Place::Preempted(Why::New),
                    _ => Place::Unknown,
                },
                waits: false,
                taken: false,
                locks: Vec::new(),
                released: false,
                since_ns: from_ns,
                spans: Vec::new(),
                kicked_by: None,
            };
            vcpus.extend(core::iter::repeat_n(vcpu, count));
        }
        Self {
            from_ns,
            now: from_ns,
            pcpus: vec![Pcpu::default(); pcpus],
            cpus_in_vm: vms.iter().flat_map(|&count| 0..count as u32).collect(),
            holders: Vec::new(),
            waiting_now: vec![0; vms.len()],
            runnable_now: match trace.dropped {
                0 => vcpus.len(),
                _ => 0,
            },
            vcpus,
            scene: Scene {
                from_ns,
                dropped: trace.dropped,
                waiting: vec![Vec::new(); vms.len()],
                ..Scene::default()
            },
        }
    }

    fn event(&mut self, event: &TraceEvent) {
        self.now = event.at_ns;
        let vcpu = event
            .vcpu
            .filter(|&vcpu| (vcpu as usize) < self.vcpus.len());
        if let (true, Some(vcpu)) = (event.what.is_mark(), vcpu) {
            self.goes_on(vcpu);
            self.mark(vcpu, event.what);
            return;
        }
        if let What::HaltTimeout = event.what
            && let Some(vcpu) = vcpu
        {
            self.wake(vcpu, None);
            return;
        }
        let Some(p) = event
            .pcpu
            .map(|p| p as usize)
            .filter(|&p| p < self.pcpus.len())
        else {
            return;
        };
        match (event.what, vcpu) {
            (What::Enter, Some(vcpu)) => self.enter(p, vcpu),
            (What::Idle, _) => {
                self.leave(p);
                (self.pcpus[p].current, self.pcpus[p].call) = (None, None);
            }
            (what, Some(vcpu)) => self.asks(p, vcpu, what),
            (_, None) => {}
        }
    }

    // --- the host's events ---------------------------------------------------------------------

    fn enter(&mut self, p: usize, vcpu: u32) {
        if self.pcpus[p]
            .current
            .is_none_or(|(current, _)| current != vcpu)
        {
            self.leave(p);
            // It cannot be in two places: what it left, it left.
            for other in 0..self.pcpus.len() {
                if self.pcpus[other]
                    .current
                    .is_some_and(|(current, _)| current == vcpu)
                {
                    self.leave(other);
                    self.pcpus[other].current = None;
                }
            }
            self.pcpus[p].current = Some((vcpu, self.now));
            let kick = self.vcpus[vcpu as usize].kicked_by.take();
            let call = self.pcpus[p].call.take().or(kick);
            if let Some(call) = call {
                self.scene.calls[call].ran = Some((vcpu, self.now));
            }
        }
        self.pcpus[p].asked = None;
        self.change(vcpu, self.now, |vcpu| vcpu.place = Place::Running(p as u32));
    }

    /// The vCPU on a pCPU has left it, when the pCPU asked the host.
    fn leave(&mut self, p: usize) {
        let now = self.now;
        let pcpu = &mut self.pcpus[p];
        let (at, to) = (pcpu.asked.take()).unwrap_or((now, Place::Preempted(Why::Poked)));
        let Some((vcpu, since)) = pcpu.current else {
            return;
        };
        let from_ns = since.max(self.from_ns);
        if at > from_ns {
            pcpu.stays.push(Stay {
                from_ns,
                to_ns: at,
                vcpu,
            });
        }
        if self.vcpus[vcpu as usize].place == Place::Running(p as u32) {
            self.change(vcpu, at, |vcpu| vcpu.place = to);
        }
    }

    /// A pCPU asks the host, about its vCPU.
    fn asks(&mut self, p: usize, vcpu: u32, what: What) {
        let named = |cpu: Cpu| {
            let (base, count) = self.vcpus[vcpu as usize].vm_range;
            Some(cpu.index() as u32)
                .filter(|&cpu| cpu < count)
                .map(|cpu| base + cpu)
        };
        let (to, call) = match what {
            What::SliceEnd => (Place::Preempted(Why::SliceEnd), None),
            What::Poked => (Place::Preempted(Why::Poked), None),
            What::Fault(_) | What::Jitter => (Place::Preempted(Why::Forced), None),
            What::Done => (Place::Ended, None),
            What::Halt(hint, status) => (
                Place::Halted,
                Some((CallKind::Halt, hint.and_then(named), status)),
            ),
            What::Kick(cpu, status) => (
                Place::Preempted(Why::Lent),
                Some((CallKind::Kick, named(cpu), status)),
            ),
            What::YieldTo(cpu, status) => (
                Place::Preempted(Why::Lent),
                Some((CallKind::YieldTo, named(cpu), status)),
            ),
            _ => return,
        };
        self.pcpus[p].call = None;
        if self.pcpus[p]
            .current
            .is_some_and(|(current, _)| current == vcpu)
        {
            self.pcpus[p].asked = Some((self.now, to));
        }
        if what == What::Done {
            self.change(vcpu, self.now, |vcpu| {
                (vcpu.waits, vcpu.taken) = (false, false);
                vcpu.locks.clear();
            });
        }
        let Some((kind, named, status)) = call else {
            return;
        };
        let number = self.scene.calls.len();
        self.scene.calls.push(Call {
            at_ns: self.now,
            by: vcpu,
            kind,
            named,
            status,
            ran: None,
        });
        match (kind, named) {
            (CallKind::Kick, Some(target)) => self.wake(target, Some(number)),
            _ if status == Status::Ran => self.pcpus[p].call = Some(number),
            _ => {}
        }
    }

    fn wake(&mut self, vcpu: u32, call: Option<usize>) {
        let woken = Place::Preempted(Why::Woken);
        for pcpu in &mut self.pcpus {
            if let (Some((current, _)), Some((_, to @ Place::Halted))) =
                (pcpu.current, &mut pcpu.asked)
                && current == vcpu
            {
                *to = woken;
            }
        }
        let place = self.vcpus[vcpu as usize].place;
        if place.is_off() {
            self.vcpus[vcpu as usize].kicked_by = call;
        }
        if place == Place::Halted {
            self.change(vcpu, self.now, |vcpu| vcpu.place = woken);
        }
    }

    // --- the guests' marks ---------------------------------------------------------------------

    /// A vCPU does something, so whatever its pCPU asked, it is still there.
    fn goes_on(&mut self, vcpu: u32) {
        for pcpu in &mut self.pcpus {
            if pcpu.current.is_some_and(|(current, _)| current == vcpu) {
                pcpu.asked = None;
                pcpu.call = None;
            }
        }
    }

    fn mark(&mut self, vcpu: u32, what: What) {
        if let What::Holds(lock) = what {
            if self.holders.len() <= lock as usize {
                self.holders.resize(lock as usize + 1, None);
            }
            let before = self.holders[lock as usize].replace(vcpu);
            if let Some(other) = before
                .filter(|&other| other != vcpu && self.vcpus[other as usize].locks.contains(&lock))
            {
                self.change(other, self.now, |other| {
                    other.locks.retain(|&held| held != lock);
                    other.released = true;
                });
            }
        }
        self.change(vcpu, self.now, |vcpu| match what {
            What::Passed(Point::Joined) => vcpu.waits = true,
            What::Passed(Point::Taken) => (vcpu.waits, vcpu.taken) = (false, true),
            What::Passed(Point::Released) => {
                vcpu.released = vcpu.locks.pop().is_some();
                vcpu.taken = false;
            }
            What::Holds(lock) => {
                (vcpu.waits, vcpu.taken, vcpu.released) = (false, false, false);
                vcpu.locks.push(lock);
            }
            What::Left(lock) if !core::mem::take(&mut vcpu.released) => {
                vcpu.locks.retain(|&held| held != lock);
                vcpu.taken = false;
            }
            _ => {}
        });
    }

    // --- spans ---------------------------------------------------------------------------------

    fn change(&mut self, vcpu: u32, at: u64, change: impl FnOnce(&mut Vcpu)) {
        let vcpu = &mut self.vcpus[vcpu as usize];
        let before = vcpu.state();
        change(vcpu);
        let after = vcpu.state();
        if before == after {
            return;
        }
        let at = at.max(vcpu.since_ns);
        vcpu.close(before, at);
        let (vm, moved) = (vcpu.vm, before.0 != after.0);
        if moved && (before.0 == Doing::Waits || after.0 == Doing::Waits) {
            let waiting = &mut self.waiting_now[vm];
            *waiting = match after.0 {
                Doing::Waits => *waiting + 1,
                _ => waiting.saturating_sub(1),
            };
            note(&mut self.scene.waiting[vm], at.max(self.from_ns), *waiting);
        }
        let off = |place| matches!(place, Place::Preempted(_));
        if off(before.1) != off(after.1) {
            self.runnable_now = match off(after.1) {
                true => self.runnable_now + 1,
                false => self.runnable_now.saturating_sub(1),
            };
            let at = self.now.max(self.from_ns);
            note(&mut self.scene.runnable, at, self.runnable_now);
        }
    }

    fn finish(mut self) -> Scene {
        let end = self.now;
        for p in 0..self.pcpus.len() {
            if let Some((vcpu, since)) = self.pcpus[p].current {
                let to_ns = self.pcpus[p].asked.map_or(end, |(at, _)| at);
                let from_ns = since.max(self.from_ns);
                if to_ns > from_ns {
                    self.pcpus[p].stays.push(Stay {
                        from_ns,
                        to_ns,
                        vcpu,
                    });
                }
            }
        }
        for vcpu in &mut self.vcpus {
            let state = vcpu.state();
            vcpu.close(state, end);
        }
        Scene {
            to_ns: end,
            locks: self.holders.len(),
            lanes: (self.vcpus.into_iter().zip(self.cpus_in_vm))
                .map(|(vcpu, cpu)| Lane {
                    vm: vcpu.vm as u32,
                    cpu,
                    spans: vcpu.spans,
                })
                .collect(),
            stays: self.pcpus.into_iter().map(|pcpu| pcpu.stays).collect(),
            ..self.scene
        }
    }
}

/// Notes a number, once for each instant and only if it has changed. Times never go back.
fn note(levels: &mut Vec<Level>, at_ns: u64, count: usize) {
    let at_ns = levels.last().map_or(at_ns, |last| last.at_ns.max(at_ns));
    if let Some(last) = levels.last_mut().filter(|last| last.at_ns == at_ns) {
        last.count = count;
    } else if levels.last().is_none_or(|last| last.count != count) {
        levels.push(Level { at_ns, count });
    }
}
