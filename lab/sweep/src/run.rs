//! Runs points on so many threads. What is finished first is told first; the order of the rows is
//! the points' own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pvqspin_simulator::SimError;

use crate::plan::Plan;
use crate::point::Row;

/// How often a thread tells how far its point is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What a thread tells of its point.
enum News {
    Done(Box<Result<Row, PointError>>),
    /// How much of it is done.
    Part(f64),
}

/// A point that gave no result.
#[derive(Debug, thiserror::Error)]
#[error("{point}\n{error}")]
pub struct PointError {
    /// Its number in the plan.
    pub number: usize,
    /// Which one, in one line.
    pub point: String,
    /// What went wrong.
    pub error: SimError,
}

/// What the caller of [`run`] is told.
#[derive(Debug)]
pub enum Told {
    /// A point is done: its row, or why there is none.
    Done(Box<Result<Row, PointError>>),
    /// What is being simulated is worth so many points by now.
    Underway(f64),
}

/// Runs the points of these numbers, the longest first, and tells `each` of them on the calling
/// thread.
///
/// It ends before all are done if `stop` says so, and what is being simulated is then cut; or if
/// `each` fails.
///
/// # Errors
///
/// What `each` returned.
pub fn run<E>(
    plan: &Plan,
    numbers: &[usize],
    threads: usize,
    stop: impl Fn() -> bool + Sync,
    mut each: impl FnMut(Told) -> Result<(), E>,
) -> Result<(), E> {
    let mut order = numbers.to_vec();
    // The last to finish decides when all are done: let it not be a long one.
    order.sort_by(|a, b| {
        let work = |number: &usize| plan.points[*number].work();
        work(b).total_cmp(&work(a)).then(a.cmp(b))
    });
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let threads = threads.clamp(1, order.len().max(1));
        for thread in 0..threads {
            let sender = sender.clone();
            let (order, next, failed, stop) = (&order, &next, &failed, &stop);
            scope.spawn(move || {
                // Relaxed: the counter alone is shared, and what comes out goes through the channel.
                while !failed.load(Relaxed) && !stop() {
                    let Some(&number) = order.get(next.fetch_add(1, Relaxed)) else {
                        break;
                    };
                    let point = &plan.points[number];
                    let mut told = Instant::now();
                    let row = point.run_while(number, &mut |underway| {
                        if told.elapsed() >= TELL_EVERY {
                            told = Instant::now();
                            let _ = sender.send((thread, News::Part(underway.part())));
                        }
                        !failed.load(Relaxed) && !stop()
                    });
                    let row = match row {
                        Err(SimError::Stopped(_)) => break,
                        row => row.map_err(|error| PointError {
                            number,
                            point: point.line(),
                            error,
                        }),
                    };
                    if sender.send((thread, News::Done(Box::new(row)))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut result = Ok(());
        let mut parts = vec![0.0; threads];
        for (thread, news) in receiver {
            let (part, told) = match news {
                News::Part(part) => (part, None),
                News::Done(row) => (0.0, Some(Told::Done(row))),
            };
            parts[thread] = part;
            let told = told.unwrap_or_else(|| Told::Underway(parts.iter().sum()));
            let done = each(told);
            if done.is_err() && result.is_ok() {
                failed.store(true, Relaxed);
                result = done;
            }
        }
        result
    })
}
