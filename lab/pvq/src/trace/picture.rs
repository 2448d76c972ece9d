//! The picture of one event under two locks, from simulated runs of one schedule.
//!
//! Both runs have the same machine, the same work and the same seed. The seed is the first with which
//! the first slice ends in a critical section under both locks, while others wait: the same event,
//! at the same time, to the microsecond.

use std::ffi::OsStr;
use std::path::Path;

use pvqspin_load::{Section, WorkloadConfig};
use pvqspin_report::figures::exact_time;
use pvqspin_report::files;
use pvqspin_rivals::catalog::LockId;
use pvqspin_simulator::SimConfig;
use pvqspin_timeline::picture::{Extent, Panel, svg};
use pvqspin_timeline::{Episode, Place, Scene, Trouble, Why};

use crate::output::failure::{Done, Failure, print};

const WITHOUT: LockId = LockId::NativeQueued;
const WITH: LockId = LockId::Fifo;

const PCPUS: usize = 2;
const VCPUS: usize = 4;
/// Inside and outside: long enough to be seen beside a slice.
const SECTION_NS: u32 = 20_000;

const EXTENT: Extent = Extent {
    before_ns: 500_000,
    after_ns: 3_500_000,
};

/// Seeds that are tried. About one in two will do.
const SEEDS: u64 = 100;

/// Writes the picture.
pub(crate) fn write(path: &Path) -> Done {
    let ending = path.extension().unwrap_or(OsStr::new("svg"));
    if !ending.eq_ignore_ascii_case("svg") {
        let shown = path.display();
        return Err(Failure::bad_input(format!(
            "the picture is SVG, and {shown} would say otherwise; give it a name that ends in .svg"
        )));
    }
    files::check_writable(path).map_err(Failure::BadInput)?;
    let picture = picture()?;
    files::write_atomically(path, |to| to.write_all(picture.as_bytes()))
        .map_err(Failure::Failed)?;
    print(&format!("written: {}\n", path.display()))
}

/// The picture as SVG text: the same every time.
fn picture() -> Result<String, Failure> {
    for seed in 1..=SEEDS {
        let without = scene(WITHOUT, seed)?;
        let with = scene(WITH, seed)?;
        let (Some(lost), Some(lent)) = (first_event(&without), first_event(&with)) else {
            continue;
        };
        if lost.off_ns.abs_diff(lent.off_ns) > 1_000 {
            continue;
        }
        let config = config(WITH, seed);
        let caption = format!(
            "Simulated, the same schedule for both: {PCPUS} pCPUs, {VCPUS} vCPUs, {} slices of {}, {} \
             inside the lock and {} outside on average, seed {seed}. Made by: pvq trace --picture FILE",
            config.run.host.scheduling.name(),
            exact_time(config.run.host.slice_ns),
            exact_time(SECTION_NS.into()),
            exact_time(SECTION_NS.into()),
        );
        let panels = [
            Panel {
                title: &format!("Without the hint: {}", WITHOUT.entry().name),
                subtitle: "strict order; the host does not know which vCPU all wait for",
                scene: &without,
                episode: &lost,
            },
            Panel {
                title: &format!("With the hint: {}", WITH.entry().name),
                subtitle: "strict order; the waiters name it, and the host runs it",
                scene: &with,
                episode: &lent,
            },
        ];
        return Ok(svg(panels, &caption, EXTENT));
    }
    Err(Failure::failed(format!(
        "in none of {SEEDS} schedules a slice ends in a critical section under both locks"
    )))
}

/// The first event, if it is what the picture is about: a slice that ends in a critical section.
fn first_event(scene: &Scene) -> Option<Episode> {
    let first = (scene.episodes().into_iter()).min_by_key(|episode| episode.off_ns)?;
    let slice_end = first.place == Place::Preempted(Why::SliceEnd);
    (first.trouble == Trouble::Holder && slice_end).then_some(first)
}

fn scene(lock: LockId, seed: u64) -> Result<Scene, Failure> {
    let result = pvqspin_simulator::run(&config(lock, seed)).map_err(Failure::failed)?;
    Ok(Scene::replay(&result.trace, PCPUS, &[VCPUS]))
}

fn config(lock: LockId, seed: u64) -> SimConfig {
    let section = Section::uniform(SECTION_NS);
    SimConfig::default().with(|sim| {
        sim.run.lock = lock;
        sim.run.workload = WorkloadConfig::hot_lock(section, section, seed);
        sim.run.host.pcpus = PCPUS;
        sim.run.vcpus = VCPUS;
        sim.run.warmup_ns = Some(0);
        sim.run.duration_ns = 8_000_000;
        sim.seed = seed;
        sim.run.trace = true;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_on_disk_is_what_the_command_draws() {
        let drawn = picture().expect("a schedule is found");
        assert!(drawn.len() < 60 << 10, "{} bytes are too many", drawn.len());
        let on_disk = include_str!("../../../../docs/generated/event.svg");
        assert!(
            drawn == on_disk,
            "docs/generated/event.svg is old; make it anew: cargo run --release -- trace --picture docs/generated/event.svg"
        );
    }
}
