//! A scene as a file for Perfetto's UI: packets of its protobuf format, compressed.
//!
//! ```text
//!   "pCPUs"    a track for each pCPU: the vCPU on it     counter: vCPUs without a pCPU
//!   "VM 0"     a track for each vCPU: what it did        counter: waiting for a lock
//!   arrows     from a call to the vCPU that was put on a pCPU by it
//! ```
//!
//! Times are in ns on the clock of the run, and a vCPU has the name that it has in text and pictures
//! ([`Scene::name`]). Slices of a track neither overlap nor nest.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use prost::Message;

use crate::scene::{Call, CallKind, Doing, Place, Scene, Span};
use crate::wire::{
    CLEARED, Counter, Event, Interned, Kind, NEEDED, Name, Note, Packet, Process, Trace, Track,
};

/// The number of the only sequence of packets.
const SEQUENCE: u32 = 1;

/// How much is compressed at once, in bytes: far less than the 512 KiB that readers accept.
const BLOCK: usize = 128 << 10;

/// Tracks are ordered by their ranks.
const BY_RANK: i32 = 3;

/// What is said about a trace beside its events: names and values.
pub type About = Vec<(String, String)>;

/// Writes a scene.
///
/// # Errors
///
/// What the writer says.
pub fn write(scene: &Scene, about: &About, to: &mut dyn Write) -> io::Result<()> {
    let mut writer = Writer {
        scene,
        to,
        block: Trace::default(),
        bytes: 0,
        events: Names::default(),
        notes: Names::default(),
        started: false,
    };
    writer.tracks()?;
    writer.about(about)?;
    writer.pcpus()?;
    writer.vcpus()?;
    writer.calls()?;
    writer.counters()?;
    writer.flush()
}

/// Reads what [`write()`] wrote: all packets, decompressed.
///
/// # Errors
///
/// If it is no such file.
pub fn read(bytes: &[u8]) -> io::Result<Vec<Packet>> {
    let mut packets = Vec::new();
    for packet in Trace::decode(bytes)?.packet {
        match packet.compressed {
            None => packets.push(packet),
            Some(compressed) => {
                let mut inner = Vec::new();
                ZlibDecoder::new(compressed.as_slice()).read_to_end(&mut inner)?;
                packets.extend(Trace::decode(inner.as_slice())?.packet);
            }
        }
    }
    Ok(packets)
}

/// Names by their numbers, and those that no packet has told yet.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u64>,
    untold: Vec<Name>,
}

impl Names {
    fn number(&mut self, name: &str) -> u64 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len() as u64 + 1;
        self.numbers.insert(name.to_owned(), number);
        self.untold.push(Name {
            number: Some(number),
            name: Some(name.to_owned()),
        });
        number
    }
}

struct Writer<'a> {
    scene: &'a Scene,
    to: &'a mut dyn Write,
    block: Trace,
    bytes: usize,
    events: Names,
    notes: Names,
    started: bool,
}

impl Writer<'_> {
    fn packet(&mut self, mut packet: Packet) -> io::Result<()> {
        packet.sequence = Some(SEQUENCE);
        let first = !core::mem::replace(&mut self.started, true);
        packet.flags = Some(if first { CLEARED } else { NEEDED });
        if !self.events.untold.is_empty() || !self.notes.untold.is_empty() {
            packet.interned = Some(Interned {
                events: core::mem::take(&mut self.events.untold),
                notes: core::mem::take(&mut self.notes.untold),
            });
        }
        self.bytes += packet.encoded_len();
        self.block.packet.push(packet);
        if self.bytes >= BLOCK {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.block.encode_to_vec())?;
        let packet = Packet {
            compressed: Some(encoder.finish()?),
            ..Packet::default()
        };
        let outer = Trace {
            packet: vec![packet],
        };
        (self.bytes, self.block) = (0, Trace::default());
        self.to.write_all(&outer.encode_to_vec())
    }

    fn event(&mut self, at_ns: u64, track: u64, kind: Kind, event: Event) -> io::Result<()> {
        self.packet(Packet {
            timestamp: Some(at_ns),
            event: Some(Event {
                kind: Some(kind.into()),
                track: Some(track),
                ..event
            }),
            ..Packet::default()
        })
    }

    fn named(&mut self, name: &str, notes: Vec<(&str, Value)>) -> Event {
        let note = |(name, value)| {
            let name = Some(self.notes.number(name));
            match value {
                Value::Number(number) => Note {
                    name,
                    number: Some(number),
                    text: None,
                },
                Value::Text(text) => Note {
                    name,
                    number: None,
                    text: Some(text),
                },
            }
        };
        let notes = notes.into_iter().map(note).collect();
        Event {
            name: Some(self.events.number(name)),
            notes,
            ..Event::default()
        }
    }

    fn slice(&mut self, (from, to): (u64, u64), track: u64, event: Event) -> io::Result<()> {
        self.event(from, track, Kind::Begin, event)?;
        self.event(to, track, Kind::End, Event::default())
    }

    // --- tracks ------------------------------------------------------------------------------

    const HOST: u64 = 1;
    const RUNNABLE: u64 = 2;

    fn of_vm(vm: u32) -> u64 {
        10 + 2 * u64::from(vm)
    }

    fn waiting_in(vm: u32) -> u64 {
        Self::of_vm(vm) + 1
    }

    fn of_pcpu(&self, pcpu: usize) -> u64 {
        Self::of_vm(self.scene.waiting.len() as u32) + pcpu as u64
    }

    fn of_vcpu(&self, vcpu: u32) -> u64 {
        self.of_pcpu(self.scene.stays.len()) + u64::from(vcpu)
    }

    fn track(&mut self, track: Track) -> io::Result<()> {
        self.packet(Packet {
            track: Some(track),
            ..Packet::default()
        })
    }

    fn group(&mut self, uuid: u64, name: &str, pid: i32) -> io::Result<()> {
        self.track(Track {
            uuid: Some(uuid),
            process: Some(Process {
                pid: Some(pid),
                name: Some(name.to_owned()),
            }),
            ordering: Some(BY_RANK),
            ..Track::default()
        })
    }

    fn member(&mut self, uuid: u64, parent: u64, name: &str, counter: bool) -> io::Result<()> {
        self.track(Track {
            uuid: Some(uuid),
            parent: Some(parent),
            name: Some(name.to_owned()),
            counter: counter.then(Counter::default),
            // In the order of their numbers.
            rank: i32::try_from(uuid).ok(),
            ..Track::default()
        })
    }

    fn tracks(&mut self) -> io::Result<()> {
        self.group(Self::HOST, "pCPUs", 1)?;
        self.member(Self::RUNNABLE, Self::HOST, "vCPUs without a pCPU", true)?;
        for pcpu in 0..self.scene.stays.len() {
            self.member(
                self.of_pcpu(pcpu),
                Self::HOST,
                &format!("pcpu{pcpu}"),
                false,
            )?;
        }
        for vm in 0..self.scene.waiting.len() as u32 {
            self.group(Self::of_vm(vm), &format!("VM {vm}"), 2 + vm as i32)?;
            let (uuid, name) = (Self::waiting_in(vm), "vCPUs that wait for a lock");
            self.member(uuid, Self::of_vm(vm), name, true)?;
        }
        for vcpu in 0..self.scene.lanes.len() as u32 {
            let vm = self.scene.lanes[vcpu as usize].vm;
            let name = self.scene.name(vcpu);
            self.member(self.of_vcpu(vcpu), Self::of_vm(vm), &name, false)?;
        }
        Ok(())
    }

    // --- events ------------------------------------------------------------------------------

    fn about(&mut self, about: &About) -> io::Result<()> {
        let mut notes: Vec<(&str, Value)> = about
            .iter()
            .map(|(name, value)| (name.as_str(), Value::Text(value.clone())))
            .collect();
        notes.push(("events_dropped", Value::Number(self.scene.dropped)));
        let event = self.named("about this trace", notes);
        self.event(self.scene.from_ns, Self::HOST, Kind::Instant, event)
    }

    fn pcpus(&mut self) -> io::Result<()> {
        for (pcpu, stays) in self.scene.stays.iter().enumerate() {
            for stay in stays {
                let event = self.named(&self.scene.name(stay.vcpu), Vec::new());
                self.slice((stay.from_ns, stay.to_ns), self.of_pcpu(pcpu), event)?;
            }
        }
        Ok(())
    }

    fn vcpus(&mut self) -> io::Result<()> {
        for (vcpu, lane) in (0..).zip(&self.scene.lanes) {
            for span in &lane.spans {
                let Some(name) = drawn(span) else { continue };
                let pcpu = |pcpu: u32| ("pcpu", Value::Number(pcpu.into()));
                let notes = match (span.place, span.lock) {
                    (Place::Running(on), Some(lock)) => {
                        vec![pcpu(on), ("lock", Value::Number(lock.into()))]
                    }
                    (Place::Running(on), None) => vec![pcpu(on)],
                    (Place::Preempted(why), _) => {
                        vec![("why", Value::Text(why.words().to_owned()))]
                    }
                    _ => Vec::new(),
                };
                let event = self.named(name, notes);
                self.slice((span.from_ns, span.to_ns), self.of_vcpu(vcpu), event)?;
            }
        }
        Ok(())
    }

    /// A moment for each call, and an arrow from it to the vCPU that was put on a pCPU by it.
    fn calls(&mut self) -> io::Result<()> {
        for (number, call) in (1..).zip(&self.scene.calls) {
            if call.at_ns < self.scene.from_ns {
                continue;
            }
            let notes = self.notes_of(call);
            let mut event = self.named(name_of(call.kind), notes);
            if let Some((vcpu, ran_ns)) = call.ran {
                event.flows.push(number);
                let mut end = self.named("is put on a pCPU", Vec::new());
                end.flow_ends.push(number);
                self.event(call.at_ns, self.of_vcpu(call.by), Kind::Instant, event)?;
                // Not before the call, whatever the clocks of two pCPUs say.
                let ran_ns = ran_ns.max(call.at_ns);
                self.event(ran_ns, self.of_vcpu(vcpu), Kind::Instant, end)?;
            } else {
                self.event(call.at_ns, self.of_vcpu(call.by), Kind::Instant, event)?;
            }
        }
        Ok(())
    }

    fn notes_of(&self, call: &Call) -> Vec<(&'static str, Value)> {
        let name = |vcpu: u32| Value::Text(self.scene.name(vcpu));
        let named = call.named.map(|vcpu| ("named", name(vcpu)));
        let ran = call.ran.map(|(vcpu, _)| ("ran", name(vcpu)));
        let status = ("status", Value::Text(format!("{:?}", call.status)));
        named.into_iter().chain(ran).chain([status]).collect()
    }

    fn counters(&mut self) -> io::Result<()> {
        let waiting = (0..).zip(&self.scene.waiting);
        let waiting = waiting.map(|(vm, levels)| (Self::waiting_in(vm), levels));
        for (track, levels) in waiting.chain([(Self::RUNNABLE, &self.scene.runnable)]) {
            for level in levels {
                let event = Event {
                    value: i64::try_from(level.count).ok(),
                    ..Event::default()
                };
                self.event(level.at_ns, track, Kind::Counter, event)?;
            }
        }
        Ok(())
    }
}

enum Value {
    Number(u64),
    Text(String),
}

/// What a span is called. `None`: there is nothing to draw.
const fn drawn(span: &Span) -> Option<&'static str> {
    Some(match (span.place, span.doing) {
        (Place::Unknown | Place::Ended, _) => return None,
        (Place::Running(_), Doing::Outside) => "runs",
        (Place::Running(_), Doing::Waits) => "spins",
        (Place::Running(_), Doing::Holds) => "holds",
        (Place::Preempted(_), Doing::Outside) => "preempted",
        (Place::Preempted(_), Doing::Waits) => "preempted, waits",
        (Place::Preempted(_), Doing::Holds) => "preempted, holds",
        (Place::Halted, Doing::Outside) => "halted",
        (Place::Halted, Doing::Waits) => "halted, waits",
        (Place::Halted, Doing::Holds) => "halted, holds",
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
mod tests;
