//! An episode in words: the holder, the vCPU that was off, what was named, and what it cost.

use pvqspin_abi::Status;
use pvqspin_report::figures::time;

use crate::episode::{Episode, Trouble};
use crate::scene::{Call, CallKind, Doing, Place, Scene};

/// More of one kind than this is said in one line.
const MOST_JOINS: usize = 4;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// When.
    pub at_ns: u64,
    /// In words.
    pub words: String,
}

/// What happened in an episode, in order of time.
#[must_use]
pub fn steps(scene: &Scene, episode: &Episode) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut say = |at_ns, words| steps.push(Step { at_ns, words });
    let who = scene.name(episode.vcpu);
    let off = match episode.place {
        Place::Preempted(why) => why.words(),
        _ => "it has halted",
    };
    match episode.trouble {
        Trouble::Holder => {
            say(episode.began_ns, format!("{who} has the lock"));
            say(
                episode.off_ns,
                format!("{who} loses its pCPU while it holds the lock: {off}"),
            );
        }
        Trouble::Waiter => {
            say(
                episode.began_ns,
                format!("{who} begins to wait for the lock"),
            );
            for span in scene.lanes[episode.vcpu as usize]
                .between(episode.began_ns, episode.off_ns)
                .filter(|span| span.place.is_off() && span.from_ns > episode.began_ns)
                .take(1)
            {
                say(
                    span.from_ns,
                    format!("{who} loses its pCPU while it waits: {off}"),
                );
            }
            say(
                episode.off_ns,
                format!("the lock is free, and {who} is the one to take it, which is off"),
            );
        }
    }
    for step in joins(scene, episode) {
        say(step.at_ns, step.words);
    }
    for call in calls(scene, episode) {
        say(call.at_ns, words_of(scene, call));
    }
    let away = time((episode.on_ns - episode.off_ns) as f64);
    say(
        episode.on_ns,
        format!("{who} is on a pCPU again, after {away}"),
    );
    say(
        episode.ended_ns,
        match episode.trouble {
            Trouble::Holder => format!("{who} has released the lock"),
            Trouble::Waiter => format!("{who} has the lock"),
        },
    );
    if episode.trouble == Trouble::Holder
        && let Some((at, next)) = next_holder(scene, episode)
    {
        say(at, format!("{} has the lock next", scene.name(next)));
    }
    steps.sort_by_key(|step| step.at_ns);
    steps
}

/// The calls of its VM while it was off. Sorted by time.
pub fn calls<'a>(scene: &'a Scene, episode: &Episode) -> impl Iterator<Item = &'a Call> {
    let vm = scene.lanes[episode.vcpu as usize].vm;
    let (from, to) = (episode.off_ns, episode.on_ns);
    let start = scene.calls.partition_point(|call| call.at_ns < from);
    (scene.calls[start..].iter())
        .take_while(move |call| call.at_ns <= to)
        .filter(move |call| scene.lanes[call.by as usize].vm == vm)
}

/// What it came to, in one sentence.
#[must_use]
pub fn verdict(scene: &Scene, episode: &Episode) -> String {
    let who = scene.name(episode.vcpu);
    let helped = calls(scene, episode)
        .filter(|call| call.ran.is_some_and(|(ran, _)| ran == episode.vcpu))
        .last();
    let ended_by = match (helped, episode.place) {
        (Some(call), _) => {
            let by = scene.name(call.by);
            match call.kind {
                CallKind::Kick => format!("{by} kicked it"),
                CallKind::Halt => format!("{by} named it as it halted"),
                CallKind::YieldTo => format!("{by} lent it its pCPU"),
            }
        }
        (None, _) => "its turn came: no vCPU had asked for it".to_owned(),
    };
    let waiters = match episode.waiters {
        1 => "1 other waited".to_owned(),
        many => format!("{many} others waited"),
    };
    let what = match episode.trouble {
        Trouble::Holder => "with the lock",
        Trouble::Waiter => "with the free lock reserved for it",
    };
    format!(
        "Cost: for {} no vCPU could get the lock, because {who} was off its pCPU {what}; {waiters}. \
         It ended because {ended_by}.",
        time(episode.cost_ns() as f64)
    )
}

/// Who began to wait in that time.
fn joins(scene: &Scene, episode: &Episode) -> Vec<Step> {
    let vm = scene.lanes[episode.vcpu as usize].vm;
    let mut joins: Vec<(u64, u32)> = (scene.lanes_of(vm))
        .filter(|&(vcpu, _)| vcpu != episode.vcpu)
        .flat_map(|(vcpu, lane)| {
            (lane.between(episode.began_ns, episode.on_ns))
                .filter(|span| span.doing == Doing::Waits && span.place.runs())
                .filter(move |span| {
                    let before = lane.at(span.from_ns.saturating_sub(1));
                    before.is_none_or(|before| before.doing != Doing::Waits)
                })
                .filter(|span| span.from_ns >= episode.began_ns)
                .map(move |span| (span.from_ns, vcpu))
        })
        .collect();
    joins.sort_unstable();
    let rest = joins.len().saturating_sub(MOST_JOINS);
    let mut steps: Vec<Step> = (joins.iter().take(MOST_JOINS))
        .map(|&(at_ns, vcpu)| Step {
            at_ns,
            words: format!("{} wants the lock too, and spins", scene.name(vcpu)),
        })
        .collect();
    if rest > 0 {
        steps.push(Step {
            at_ns: joins[MOST_JOINS].0,
            words: format!("and {rest} more times a vCPU does"),
        });
    }
    steps
}

fn next_holder(scene: &Scene, episode: &Episode) -> Option<(u64, u32)> {
    let vm = scene.lanes[episode.vcpu as usize].vm;
    (scene.lanes_of(vm))
        .filter(|&(vcpu, _)| vcpu != episode.vcpu)
        .filter_map(|(vcpu, lane)| {
            let start = (lane.spans).partition_point(|span| span.from_ns < episode.ended_ns);
            let hold = lane.spans[start..]
                .iter()
                .find(|span| span.doing == Doing::Holds)?;
            Some((hold.from_ns, vcpu))
        })
        .min()
}

fn words_of(scene: &Scene, call: &Call) -> String {
    let by = scene.name(call.by);
    let named = call
        .named
        .map_or_else(|| "no vCPU".to_owned(), |vcpu| scene.name(vcpu));
    let asked = match call.kind {
        CallKind::Halt => format!("{by} halts and names {named}"),
        CallKind::Kick => format!("{by} kicks {named}"),
        CallKind::YieldTo => format!("{by} names {named}, and lends it its pCPU"),
    };
    let came = match (call.ran, call.status) {
        (Some((vcpu, _)), _) if Some(vcpu) == call.named => "it runs at once".to_owned(),
        (Some((vcpu, _)), _) => {
            format!("the host follows the chain, and runs {}", scene.name(vcpu))
        }
        (None, Status::Ran) => "done".to_owned(),
        (None, Status::AlreadyRunning) => "the vCPU that all wait for runs already".to_owned(),
        (None, Status::Stale) => "too late, it has run since".to_owned(),
        (None, Status::Refused) => "the host refuses".to_owned(),
    };
    format!("{asked}: {came}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_words_name_everybody_and_the_cost() {
        let scene = samples::scene();
        let episodes = scene.episodes();
        let words: Vec<String> = (steps(&scene, &episodes[0]).into_iter())
            .map(|step| format!("{} {}", step.at_ns / 1_000, step.words))
            .collect();
        assert_eq!(
            words,
            [
                "2 cpu0 has the lock",
                "4 cpu0 loses its pCPU while it holds the lock: its slice is over",
                "5 cpu1 wants the lock too, and spins",
                "6 cpu2 wants the lock too, and spins",
                "20 cpu1 names cpu0, and lends it its pCPU: it runs at once",
                "20 cpu0 is on a pCPU again, after 16.0 us",
                "22 cpu0 has released the lock",
                "41 cpu1 has the lock next",
            ]
            .map(|line| line.replace("16.0 us", &time(16_000.0)))
        );
        let verdict = verdict(&scene, &episodes[0]);
        assert!(verdict.contains("2 others waited"), "{verdict}");
        assert!(verdict.contains("cpu1 lent it its pCPU"), "{verdict}");
        let verdict = super::verdict(&scene, &episodes[1]);
        assert!(verdict.contains("free lock reserved for it"), "{verdict}");
        assert!(verdict.contains("no vCPU had asked"), "{verdict}");
    }
}
