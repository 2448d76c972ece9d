//! A preempted holder or waiter, step by step: each step from an event of a simulated run.
//!
//! ```text
//!   run once ──► Scene ──► the first such episode ──► run again, looking at each event of it
//!                                                     └─► word, queue, edges, host; a sentence
//! ```

mod view;
mod words;

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};

use pvqspin_load::{Section, WorkloadConfig};
use pvqspin_report::figures::{count, exact_time, time};
use pvqspin_rivals::catalog::{Entry, LockId};
use pvqspin_simulator::{SimConfig, SimResult, Snapshot, What};
use pvqspin_timeline::{Episode, Place, Scene, Trouble, Why};

use crate::explain::view::{Reader, view};
use crate::explain::words::{Narrator, says_nothing};
use crate::options::trace::{ExplainArgs, Topic};
use crate::output::failure::{Done, Failure, print};
use crate::output::terminal::{self, wrapped};
use crate::runs::interrupt;

const PCPUS: usize = 2;
const VCPUS: usize = 4;
const INSIDE_NS: u32 = 1_000;
const OUTSIDE_NS: u32 = 2_000;

/// How long the compared runs are.
const COMPARED_NS: u64 = 50_000_000;

/// A free lock that waits for a sleeper for this long is worth a story.
const SHORTEST_GAP_NS: u64 = 500;

/// How much of what led to it is shown: who waits for a rotation has seen thousands of events.
const BEFORE_NS: u64 = 6_000;
const AFTER_NS: u64 = 3_000;

/// More steps than this are too many to follow.
const MOST_STEPS: usize = 40;

/// Runs that are tried.
const SEEDS: u64 = 50;

/// Runs `pvq explain`.
pub(crate) fn run(args: &ExplainArgs) -> Done {
    let lock = args.lock;
    let without = lock.id == LockId::NativeQueued;
    if lock.policy.is_none() && !without {
        return Err(Failure::bad_input(format!(
            "'{}' has a word of its own that nothing here can read; explain knows the pvqspin locks of \
             `pvq list` (fifo, fifo-bit, fifo-halt, fifo-holder, bounded), and native-queued",
            lock.name
        )));
    }
    let story = Story::find(lock, args.topic, args.seed)?;
    let snapshots = story.snapshots(lock)?;
    let steps = steps(lock, &story, &snapshots);
    let stops = args.step && io::stdout().is_terminal() && io::stdin().is_terminal();
    print(&introduction(lock, &story))?;
    tell(&steps, stops)?;
    print(&ending(lock, args.topic, &story)?)
}

/// A run, and the episode in it that is told.
struct Story {
    seed: u64,
    scene: Scene,
    episode: Episode,
}

impl Story {
    /// The first such episode in the first run that has one.
    fn find(lock: &Entry, topic: Topic, first_seed: u64) -> Result<Self, Failure> {
        let last_seed = first_seed.saturating_add(SEEDS - 1);
        for seed in first_seed..=last_seed {
            if interrupt::asked() {
                return Err(Failure::Interrupted);
            }
            if let Some(story) = Self::with_seed(lock, topic, seed)? {
                return Ok(story);
            }
        }
        Err(Failure::failed(format!(
            "no such event happened under {} with the seeds {first_seed} to {last_seed}; try another \
             --seed",
            lock.name,
        )))
    }

    fn with_seed(lock: &Entry, topic: Topic, seed: u64) -> Result<Option<Self>, Failure> {
        let scene = scene_of(&simulate(lock.id, seed, None)?);
        Ok(first_of(&scene, topic).map(|episode| Self {
            seed,
            scene,
            episode,
        }))
    }

    fn snapshots(&self, lock: &Entry) -> Result<Vec<Snapshot>, Failure> {
        let episode = &self.episode;
        // A waiter lost its pCPU before its turn came.
        let lane = &self.scene.lanes[episode.vcpu as usize];
        let lost = lane
            .at(episode.off_ns)
            .map_or(episode.off_ns, |span| span.from_ns);
        let from = episode.began_ns.max(lost.saturating_sub(BEFORE_NS));
        let to = episode.ended_ns + AFTER_NS;
        Ok(simulate(lock.id, self.seed, Some((from, to)))?.snapshots)
    }
}

fn first_of(scene: &Scene, topic: Topic) -> Option<Episode> {
    let episodes = scene.episodes_from(SHORTEST_GAP_NS);
    let by_slice = |episode: &Episode| episode.place == Place::Preempted(Why::SliceEnd);
    let trouble = match topic {
        Topic::Holder => Trouble::Holder,
        Topic::Waiter => Trouble::Waiter,
    };
    (episodes.into_iter())
        .filter(|episode| episode.trouble == trouble && by_slice(episode))
        .min_by_key(|episode| episode.off_ns)
}

fn scene_of(result: &SimResult) -> Scene {
    Scene::replay(&result.trace, PCPUS, &[VCPUS])
}

fn simulate(lock: LockId, seed: u64, snapshots: Option<(u64, u64)>) -> Result<SimResult, Failure> {
    let config = SimConfig::default().with(|sim| {
        sim.run.lock = lock;
        sim.run.workload = WorkloadConfig::hot_lock(
            Section::uniform(INSIDE_NS),
            Section::uniform(OUTSIDE_NS),
            seed,
        );
        sim.run.host.pcpus = PCPUS;
        sim.run.vcpus = VCPUS;
        sim.run.warmup_ns = Some(0);
        sim.run.duration_ns = COMPARED_NS;
        sim.seed = seed;
        sim.run.trace = true;
        sim.snapshots = snapshots;
    });
    pvqspin_simulator::run(&config).map_err(Failure::failed)
}

// --- what is printed -------------------------------------------------------------------------

fn introduction(lock: &Entry, story: &Story) -> String {
    let what = match story.episode.trouble {
        Trouble::Holder => "A lock holder is preempted",
        Trouble::Waiter => "A waiter is preempted, and then it is its turn",
    };
    let machine = format!(
        "{what}: {}, simulated with seed {}, {PCPUS} pCPUs, {VCPUS} vCPUs (cpu0 to cpu{}), slices of 3 ms, \
         {} inside the lock and {} outside.",
        lock.name,
        story.seed,
        VCPUS - 1,
        exact_time(INSIDE_NS.into()),
        exact_time(OUTSIDE_NS.into()),
    );
    let times = format!(
        "Times count from the moment when {} is off and all wait for it. Under each step, * marks what has \
         changed:",
        story.scene.name(story.episode.vcpu),
    );
    format!(
        "{}\n{}\n\n\
         \x20   word   the lock's 32 bits: tail and head name CPUs, L is held, P is pending\n\
         \x20          or about the head\n\
         \x20   queue  the nodes of the waiters, the first one on the left\n\
         \x20   edges  what the guest's pages tell the host: what each vCPU waits for\n\
         \x20   host   who is on which pCPU, who waits for one, who has halted\n\n",
        wrapped(&machine, width()).join("\n"),
        wrapped(&times, width()).join("\n"),
    )
}

/// How wide text is.
fn width() -> usize {
    terminal::width().clamp(40, 110)
}

/// The steps as text: a time, a sentence, and how everything stands.
fn steps(lock: &Entry, story: &Story, snapshots: &[Snapshot]) -> Vec<String> {
    let reader = Reader::of(lock);
    let narrator = Narrator {
        reader,
        scene: &story.scene,
    };
    let width = width();
    let mut steps = Vec::new();
    let mut before: Option<&Snapshot> = None;
    for (index, snapshot) in snapshots.iter().enumerate() {
        let mut same_vcpu = snapshots[..index].iter().rev();
        let same_vcpu = same_vcpu.find(|other| {
            let remark = matches!(other.event.what, What::LongWait(_));
            other.event.vcpu == snapshot.event.vcpu && !remark
        });
        if says_nothing(snapshot, same_vcpu) {
            continue;
        }
        let since = snapshot.event.at_ns as f64 - story.episode.off_ns as f64;
        let sign = if since < 0.0 { '-' } else { '+' };
        let sentence = narrator.sentence(snapshot, before);
        let mut text = String::new();
        let at = format!("{sign}{}", time(since.abs()));
        for (line, words) in wrapped(&sentence, width - 18).iter().enumerate() {
            let _ = match line {
                0 => writeln!(text, "{:>3}. {at:>10}   {words}", steps.len() + 1),
                _ => writeln!(text, "{:18}{words}", ""),
            };
        }
        text += &view(reader, snapshot, before);
        steps.push(text);
        before = Some(snapshot);
    }
    steps
}

/// Prints the steps; stops after each until Enter, on a terminal.
fn tell(steps: &[String], stops: bool) -> Done {
    let half = MOST_STEPS / 2;
    let skipped = steps.len().saturating_sub(MOST_STEPS);
    let mut stops = stops;
    for (index, step) in steps.iter().enumerate() {
        if (half..half + skipped).contains(&index) {
            if index == half {
                print(&format!(
                    "     ... {skipped} steps of the same kind ...\n\n"
                ))?;
            }
            continue;
        }
        print(&format!("{step}\n"))?;
        if stops && index + 1 < steps.len() {
            stops = wait_for_enter()?;
        }
    }
    Ok(())
}

/// Whether to stop again.
fn wait_for_enter() -> Result<bool, Failure> {
    print("     Enter: the next step; q and Enter: all the others ")?;
    io::stdout().flush().map_err(Failure::failed)?;
    let mut line = String::new();
    let read = io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(Failure::failed)?;
    print("\n")?;
    Ok(read > 0 && !line.trim().eq_ignore_ascii_case("q"))
}

/// What it cost, and what the same schedule is like without the hint (or with it).
fn ending(lock: &Entry, topic: Topic, story: &Story) -> Result<String, Failure> {
    let other = match lock.id {
        LockId::NativeQueued => LockId::Fifo,
        _ => LockId::NativeQueued,
    }
    .entry();
    let verdict = pvqspin_timeline::story::verdict(&story.scene, &story.episode);
    let mut text = format!("{}\n\n", wrapped(&verdict, width()).join("\n"));
    let _ = writeln!(
        text,
        "{} of the same schedule (the same machine, work and seed):\n",
        exact_time(COMPARED_NS)
    );
    let _ = writeln!(
        text,
        "  {:14} {:>12} {:>13} {:>11} {:>17}",
        "lock", "acquisitions", "longest wait", "hypercalls", "first event cost"
    );
    for lock in [lock, other] {
        let result = simulate(lock.id, story.seed, None)?;
        let cost = first_of(&scene_of(&result), topic).map_or("none came".to_owned(), |episode| {
            time(episode.cost_ns() as f64)
        });
        let calls = &result.outcome.hypercalls;
        let _ = writeln!(
            text,
            "  {:14} {:>12} {:>13} {:>11} {cost:>17}",
            lock.name,
            count(result.outcome.acquisitions as f64),
            time(result.longest_wait.ns as f64),
            count((calls.halt + calls.kick + calls.yield_to) as f64),
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lock: LockId, topic: Topic) -> (Story, String) {
        let lock = lock.entry();
        let story = Story::find(lock, topic, 1).expect("such an event comes");
        let snapshots = story.snapshots(lock).expect("the same run again");
        // Lines are broken where the terminal wants it.
        let steps = steps(lock, &story, &snapshots).concat();
        let words: Vec<&str> = steps.split_whitespace().collect();
        (story, words.join(" "))
    }

    #[test]
    fn a_holder_that_is_named_is_back_at_once() {
        let (story, all) = told(LockId::Fifo, Topic::Holder);
        for part in [
            "this is lock-holder preemption",
            "YIELD_TO(cpu",
            "sole holder (idx 3)",
            "waits for cpu",
        ] {
            assert!(all.contains(part), "no {part} in\n{all}");
        }
        let (unnamed, native) = told(LockId::NativeQueued, Topic::Holder);
        assert!(
            !native.contains("YIELD_TO") && native.contains("lock-holder preemption"),
            "{native}"
        );
        let ratio = unnamed.episode.cost_ns() / story.episode.cost_ns();
        assert!(ratio > 50, "{:?} {:?}", story.episode, unnamed.episode);
    }

    #[test]
    fn a_waiter_whose_turn_comes_is_run_by_whoever_releases() {
        let (_, all) = told(LockId::Fifo, Topic::Waiter);
        for part in [
            "this is lock-waiter preemption",
            "only that one may take it",
            "YIELD_TO(cpu",
        ] {
            assert!(all.contains(part), "no {part} in\n{all}");
        }
    }

    #[test]
    fn every_lock_of_ours_has_a_story() {
        for lock in [
            LockId::FifoBit,
            LockId::FifoHalt,
            LockId::FifoHolder,
            LockId::Bounded,
        ] {
            for topic in [Topic::Holder, Topic::Waiter] {
                let found = Story::find(lock.entry(), topic, 1);
                assert!(found.is_ok(), "{lock:?} {topic:?}");
            }
        }
    }

    #[test]
    fn words_are_wrapped_and_none_is_lost() {
        let text = "the quick brown fox jumps over the lazy dog";
        let lines = wrapped(text, 12);
        assert!(lines.iter().all(|line| line.len() <= 12), "{lines:?}");
        assert_eq!(lines.join(" "), text);
    }
}
