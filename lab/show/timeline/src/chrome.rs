//! A scene as a file that Perfetto's UI and Chrome's `about:tracing` open: the Trace Event Format, as
//! JSON.
//!
//! ```text
//!   process "pCPUs"    a track for each pCPU: who was on it     counter: vCPUs without a pCPU
//!   process "VM 0"     a track for each vCPU: what it did       counter: waiting for the lock
//!   arrows             from the caller to the vCPU that was put on a pCPU by it
//! ```
//!
//! The format is Google's (Nat Duca and Dan Sinclair, "Trace Event Format", 2016). Every slice is a
//! complete event (`X`), slices of a track neither overlap nor nest, and are written in order of time.
//! An arrow is a pair of flow events (`s` and `f`, the latter bound to the slice around it), each
//! within a slice of its own track. Times are in µs, to the nanosecond.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::scene::{Call, CallKind, Doing, Place, Scene, Span};

/// The process that stands for the host.
const HOST: u32 = 1;

/// What is said about a trace beside its events.
pub type About = Map<String, Value>;

#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    ph: &'a str,
    pid: u32,
    tid: u32,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    cat: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    /// Of a flow's end: it belongs to the slice around it.
    #[serde(skip_serializing_if = "str::is_empty")]
    bp: &'a str,
    /// Of an instant: how far it reaches.
    #[serde(skip_serializing_if = "str::is_empty")]
    s: &'a str,
    /// Chrome's colour.
    #[serde(skip_serializing_if = "str::is_empty")]
    cname: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: Value,
}

const BLANK: Event<'static> = Event {
    name: "",
    ph: "",
    pid: HOST,
    tid: 0,
    ts: 0.0,
    dur: None,
    cat: "",
    id: None,
    bp: "",
    s: "",
    cname: "",
    args: Value::Null,
};

/// Writes a scene.
///
/// # Errors
///
/// What the writer says.
pub fn write(scene: &Scene, about: &About, to: &mut dyn Write) -> io::Result<()> {
    let mut about = about.clone();
    about.insert("events_dropped".to_owned(), scene.dropped.into());
    let about = serde_json::to_string(&about)?;
    write!(
        to,
        "{{\"displayTimeUnit\":\"ns\",\"otherData\":{about},\"traceEvents\":["
    )?;
    let mut writer = Writer {
        scene,
        to,
        first: true,
    };
    writer.names()?;
    writer.pcpus()?;
    writer.vcpus()?;
    writer.calls()?;
    writer.counters()?;
    writeln!(to, "\n]}}")
}

struct Writer<'a> {
    scene: &'a Scene,
    to: &'a mut dyn Write,
    first: bool,
}

impl Writer<'_> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let separator = if core::mem::take(&mut self.first) {
            "\n"
        } else {
            ",\n"
        };
        self.to.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut *self.to, event).map_err(io::Error::from)
    }

    fn us(&self, at_ns: u64) -> f64 {
        at_ns.saturating_sub(self.scene.from_ns) as f64 / 1e3
    }

    fn pid_of_vm(vm: u32) -> u32 {
        HOST + 1 + vm
    }

    /// Tracks have numbers of their own over all processes: some readers know threads by number alone.
    fn tid_of_pcpu(pcpu: usize) -> u32 {
        1 + pcpu as u32
    }

    fn tid_of_vcpu(&self, vcpu: u32) -> u32 {
        1 + self.scene.stays.len() as u32 + vcpu
    }

    fn named(&mut self, pid: u32, tid: Option<u32>, name: &str) -> io::Result<()> {
        let (kind, sort) = match tid {
            None => ("process_name", "process_sort_index"),
            Some(_) => ("thread_name", "thread_sort_index"),
        };
        for (kind, args) in [
            (kind, json!({ "name": name })),
            (sort, json!({ "sort_index": tid.unwrap_or(pid) })),
        ] {
            self.event(&Event {
                name: kind,
                ph: "M",
                pid,
                tid: tid.unwrap_or(0),
                args,
                ..BLANK
            })?;
        }
        Ok(())
    }

    fn names(&mut self) -> io::Result<()> {
        self.named(HOST, None, "pCPUs")?;
        for pcpu in 0..self.scene.stays.len() {
            self.named(HOST, Some(Self::tid_of_pcpu(pcpu)), &format!("pCPU {pcpu}"))?;
        }
        for vm in 0..self.scene.waiting.len() as u32 {
            self.named(Self::pid_of_vm(vm), None, &format!("VM {vm}"))?;
        }
        for (vcpu, lane) in (0..).zip(&self.scene.lanes) {
            let tid = self.tid_of_vcpu(vcpu);
            let name = format!("vCPU {}", lane.cpu);
            self.named(Self::pid_of_vm(lane.vm), Some(tid), &name)?;
        }
        Ok(())
    }

    fn pcpus(&mut self) -> io::Result<()> {
        for (pcpu, stays) in self.scene.stays.iter().enumerate() {
            for stay in stays {
                self.event(&Event {
                    name: &self.scene.name(stay.vcpu),
                    ph: "X",
                    cat: "pcpu",
                    tid: Self::tid_of_pcpu(pcpu),
                    ts: self.us(stay.from_ns),
                    dur: Some(length(stay.from_ns, stay.to_ns)),
                    ..BLANK
                })?;
            }
        }
        Ok(())
    }

    fn vcpus(&mut self) -> io::Result<()> {
        for (vcpu, lane) in (0..).zip(&self.scene.lanes) {
            let (pid, tid) = (Self::pid_of_vm(lane.vm), self.tid_of_vcpu(vcpu));
            for span in &lane.spans {
                let Some((name, cname)) = drawn(span) else {
                    continue;
                };
                let args = match (span.place, span.lock) {
                    (Place::Running(pcpu), Some(lock)) => json!({ "pcpu": pcpu, "lock": lock }),
                    (Place::Running(pcpu), None) => json!({ "pcpu": pcpu }),
                    (Place::Preempted(why), _) => json!({ "why": why.words() }),
                    _ => Value::Null,
                };
                self.event(&Event {
                    name,
                    ph: "X",
                    cat: "vcpu",
                    pid,
                    tid,
                    ts: self.us(span.from_ns),
                    dur: Some(length(span.from_ns, span.to_ns)),
                    cname,
                    args,
                    ..BLANK
                })?;
            }
        }
        Ok(())
    }

    /// An arrow for a call that put a vCPU on a pCPU, a mark for one that did not.
    fn calls(&mut self) -> io::Result<()> {
        for (number, call) in self.scene.calls.iter().enumerate() {
            if call.at_ns <= self.scene.from_ns {
                continue;
            }
            let at = self.track_of(call.by);
            // Just before the call, so that it leaves from what the caller did, and not from what
            // became of it.
            let from = call.at_ns - 1;
            let arrow = call.ran.filter(|&(vcpu, at_ns)| {
                self.is_drawn(call.by, from) && self.is_drawn(vcpu, at_ns + 1)
            });
            let event = Event {
                name: name_of(call.kind),
                cat: "call",
                pid: at.0,
                tid: at.1,
                ts: self.us(from),
                args: self.args_of(call),
                ..BLANK
            };
            match arrow {
                None => self.event(&Event {
                    ph: "i",
                    s: "t",
                    ..event
                })?,
                Some((vcpu, ran_ns)) => {
                    let to = self.track_of(vcpu);
                    let id = Some(number);
                    let args = event.args.clone();
                    self.event(&Event {
                        ph: "s",
                        id,
                        ..event
                    })?;
                    self.event(&Event {
                        name: name_of(call.kind),
                        cat: "call",
                        ph: "f",
                        bp: "e",
                        pid: to.0,
                        tid: to.1,
                        // And just after the beginning, for readers to which the slice before
                        // ends then.
                        ts: self.us(ran_ns + 1),
                        id,
                        args,
                        ..BLANK
                    })?;
                }
            }
        }
        Ok(())
    }

    fn track_of(&self, vcpu: u32) -> (u32, u32) {
        let vm = self.scene.lanes[vcpu as usize].vm;
        (Self::pid_of_vm(vm), self.tid_of_vcpu(vcpu))
    }

    fn is_drawn(&self, vcpu: u32, at_ns: u64) -> bool {
        let span = self.scene.lanes[vcpu as usize].at(at_ns);
        span.is_some_and(|span| at_ns < span.to_ns && drawn(span).is_some())
    }

    fn args_of(&self, call: &Call) -> Value {
        let name = |vcpu: Option<u32>| vcpu.map(|vcpu| self.scene.name(vcpu));
        json!({
            "named": name(call.named),
            "ran": name(call.ran.map(|(vcpu, _)| vcpu)),
            "status": format!("{:?}", call.status),
        })
    }

    fn counters(&mut self) -> io::Result<()> {
        let waiting = (self.scene.waiting.iter().zip(0..))
            .map(|(levels, vm)| ("waiting for a lock", Self::pid_of_vm(vm), levels));
        let runnable = ("vCPUs without a pCPU", HOST, &self.scene.runnable);
        for (name, pid, levels) in waiting.chain([runnable]) {
            for level in levels {
                self.event(&Event {
                    name,
                    ph: "C",
                    pid,
                    ts: self.us(level.at_ns),
                    args: json!({ "vCPUs": level.count }),
                    ..BLANK
                })?;
            }
        }
        Ok(())
    }
}

/// The length of a slice, in µs: half a nanosecond short, so that whichever way a reader rounds, it is
/// over when the next one begins.
fn length(from_ns: u64, to_ns: u64) -> f64 {
    ((to_ns - from_ns) as f64 - 0.5) / 1e3
}

/// What a span is called, and Chrome's colour for it. `None`: there is nothing to draw.
fn drawn(span: &Span) -> Option<(&'static str, &'static str)> {
    Some(match (span.place, span.doing) {
        (Place::Unknown | Place::Ended, _) => return None,
        (Place::Running(_), Doing::Outside) => ("runs", "thread_state_running"),
        (Place::Running(_), Doing::Waits) => ("spins", "bad"),
        (Place::Running(_), Doing::Holds) => ("holds", "good"),
        (Place::Preempted(_), Doing::Outside) => ("preempted", "thread_state_runnable"),
        (Place::Preempted(_), Doing::Waits) => ("preempted, waits", "thread_state_iowait"),
        (Place::Preempted(_), Doing::Holds) => ("preempted, holds", "terrible"),
        (Place::Halted, Doing::Outside) => ("halted", "thread_state_sleeping"),
        (Place::Halted, Doing::Waits) => ("halted, waits", "thread_state_sleeping"),
        (Place::Halted, Doing::Holds) => ("halted, holds", "terrible"),
    })
}

const fn name_of(call: CallKind) -> &'static str {
    match call {
        CallKind::Halt => "halt",
        CallKind::Kick => "kick",
        CallKind::YieldTo => "yield to",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_sample_becomes_slices_arrows_and_counters() {
        let mut about = About::new();
        about.insert("command".to_owned(), "pvq trace".into());
        let mut text = Vec::new();
        write(&samples::scene(), &about, &mut text).expect("memory takes everything");
        let json: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(json["otherData"]["command"], "pvq trace");
        assert_eq!(json["otherData"]["events_dropped"], 0);
        let events = json["traceEvents"].as_array().expect("a list");
        let of = |ph: &str| -> Vec<&Value> { events.iter().filter(|e| e["ph"] == ph).collect() };
        // cpu1 lends its pCPU at 20 µs, and cpu0 is there at 20 µs.
        let (starts, ends) = (of("s"), of("f"));
        assert_eq!((starts.len(), ends.len()), (1, 1));
        assert_eq!(
            (&starts[0]["ts"], &ends[0]["ts"]),
            (&json!(18.999), &json!(19.001))
        );
        assert_eq!(starts[0]["args"]["ran"], "cpu0");
        assert_eq!(of("i").len(), 1, "the kick that was not needed");
        assert_eq!(of("X").iter().filter(|e| e["pid"] == HOST).count(), 5);
        assert!(of("C").iter().any(|e| e["args"]["vCPUs"] == 2));
        assert!(events.iter().any(|e| e["name"] == "preempted, holds"));
    }
}
