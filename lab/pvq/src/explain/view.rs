//! How everything stood at a step: the word's fields, the queue, the edges, the host.

use std::fmt::Write as _;

use pvqspin::word::{LOCKED, PENDING, head_of};
use pvqspin::{Format, Idx3, NodeState, SpareBit, Tail};
use pvqspin_abi::{Cpu, RunState};
use pvqspin_rivals::catalog::Entry;
use pvqspin_simulator::Snapshot;

/// The more waiters than this cannot be: a walk that goes on is going in a circle.
const LONGEST_WALK: usize = 64;

/// How a lock's word is read.
#[derive(Clone, Copy)]
pub(crate) struct Reader {
    tail: fn(u32) -> Tail,
    native: bool,
    bits: bool,
}

impl Reader {
    pub(crate) fn of(lock: &Entry) -> Self {
        let bits = lock.word == Some(SpareBit::NAME);
        Self {
            tail: if bits { SpareBit::tail } else { Idx3::tail },
            native: lock.word.is_none(),
            bits,
        }
    }

    pub(crate) fn tail(self, word: u32) -> Tail {
        (self.tail)(word)
    }

    /// Whether the lock knows nothing of a host.
    pub(crate) fn is_native(self) -> bool {
        self.native
    }

    /// The fields of a word, by name.
    fn fields(self, word: u32) -> String {
        let tail = match self.tail(word) {
            Tail::Empty => "none".to_owned(),
            Tail::SoleHolder(cpu) if self.bits => format!("{}, sole holder (bit H)", name(cpu)),
            Tail::SoleHolder(cpu) => format!("{}, sole holder (idx 3)", name(cpu)),
            Tail::Waiter(cpu, context) => format!("{}, last waiter (idx {context})", name(cpu)),
        };
        let head = head_of(word).map_or("none".to_owned(), name);
        format!(
            "{word:#010x}  tail: {tail} | head: {head} | P: {} | L: {}",
            u32::from(word & PENDING != 0),
            word & LOCKED
        )
    }

    /// The waiters that the word leads to, the head first. One that has not linked itself yet leads
    /// nowhere: whatever stands between it and the head is not known.
    fn queue(self, snapshot: &Snapshot) -> Vec<Cpu> {
        let mut at = snapshot.word.unwrap_or(0);
        let mut queue = Vec::new();
        while let Tail::Waiter(cpu, _) = self.tail(at) {
            let Some(vcpu) = snapshot.vcpus.get(cpu.index()) else {
                break;
            };
            queue.push(cpu);
            let first = vcpu.node.state == NodeState::Head || head_of_word(snapshot) == Some(cpu);
            if first || queue.len() > LONGEST_WALK {
                break;
            }
            at = vcpu.node.pred;
        }
        if let Some(head) = head_of_word(snapshot).filter(|_| !self.native)
            && !queue.is_empty()
            && !queue.contains(&head)
            && snapshot
                .vcpus
                .get(head.index())
                .is_some_and(|vcpu| vcpu.node.in_use)
        {
            queue.push(head);
        }
        queue.reverse();
        queue
    }
}

fn head_of_word(snapshot: &Snapshot) -> Option<Cpu> {
    snapshot.word.and_then(head_of)
}

/// A vCPU as it is called.
pub(crate) fn name(cpu: Cpu) -> String {
    format!("cpu{}", cpu.index())
}

/// The four lines under a step. Those that have changed since the step before are marked.
pub(crate) fn view(reader: Reader, snapshot: &Snapshot, before: Option<&Snapshot>) -> String {
    let now = lines(reader, snapshot);
    let then = before.map(|before| lines(reader, before));
    let mut text = String::new();
    for (index, (label, line)) in ["word ", "queue", "edges", "host "]
        .iter()
        .zip(&now)
        .enumerate()
    {
        let changed = then.as_ref().is_some_and(|then| then[index] != *line);
        let mark = if changed { '*' } else { ' ' };
        let _ = writeln!(text, "  {mark} {label} {line}");
    }
    text
}

fn lines(reader: Reader, snapshot: &Snapshot) -> [String; 4] {
    let word = snapshot
        .word
        .map_or_else(|| "unknown".to_owned(), |word| reader.fields(word));
    [
        word,
        queue(reader, snapshot),
        edges(reader, snapshot),
        host(snapshot),
    ]
}

fn queue(reader: Reader, snapshot: &Snapshot) -> String {
    let queue = reader.queue(snapshot);
    let mut parts: Vec<String> = (queue.iter())
        .map(|cpu| {
            let node = &snapshot.vcpus[cpu.index()].node;
            let state = match node.state {
                NodeState::Head => "head",
                NodeState::Halted => "halted",
                NodeState::Waiting if queue.first() == Some(cpu) && node.pred == 0 => "first",
                NodeState::Waiting if node.pred == 0 => "not linked",
                NodeState::Waiting => "waiting",
            };
            let next = match reader.tail(node.next) {
                Tail::Waiter(next, _) => format!("next: {}", name(next)),
                _ => "next: none".to_owned(),
            };
            format!("{} ({state}, {next})", name(*cpu))
        })
        .collect();
    if snapshot
        .word
        .is_some_and(|word| reader.native && word & PENDING != 0)
    {
        parts.insert(0, "one pending, without a node".to_owned());
    }
    if parts.is_empty() {
        return "empty".to_owned();
    }
    parts.join(" <- ")
}

fn edges(reader: Reader, snapshot: &Snapshot) -> String {
    if reader.native {
        return "none: a native lock tells the host nothing".to_owned();
    }
    let edge = |(index, vcpu): (usize, &pvqspin_simulator::VcpuSnapshot)| {
        let to = vcpu.waits_for?;
        Some(format!("cpu{index} waits for {}", name(to)))
    };
    let edges: Vec<String> = snapshot.vcpus.iter().enumerate().filter_map(edge).collect();
    if edges.is_empty() {
        "none".to_owned()
    } else {
        edges.join(", ")
    }
}

fn host(snapshot: &Snapshot) -> String {
    let cpu = |vcpu: &u32| format!("cpu{vcpu}");
    let mut parts: Vec<String> = (snapshot.host.pcpus.iter().enumerate())
        .map(|(pcpu, vcpu)| {
            let who = vcpu.as_ref().map_or("idle".to_owned(), cpu);
            format!("pCPU {pcpu}: {who}")
        })
        .collect();
    let waiting: Vec<String> = snapshot.host.queue.iter().map(cpu).collect();
    if !waiting.is_empty() {
        parts.push(format!("wait for a pCPU: {}", waiting.join(", ")));
    }
    let halted: Vec<String> = (snapshot.vcpus.iter().enumerate())
        .filter(|(_, vcpu)| vcpu.run.state() == RunState::Halted)
        .map(|(index, _)| format!("cpu{index}"))
        .collect();
    if !halted.is_empty() {
        parts.push(format!("halted: {}", halted.join(", ")));
    }
    parts.join(" | ")
}
