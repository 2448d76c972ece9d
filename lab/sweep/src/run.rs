//! Runs points on so many threads. What is finished first is told first; the order of the rows is
//! the points' own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

use pvqspin_simulator::SimError;

use crate::plan::Plan;
use crate::point::Row;

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

/// Runs the points of these numbers, the longest first, and hands each row, or why there is none, to
/// `each` on the calling thread.
///
/// It ends before all are done if `stop` says so, or if `each` fails; what is being simulated is
/// finished and handed over.
///
/// # Errors
///
/// What `each` returned.
pub fn run<E>(
    plan: &Plan,
    numbers: &[usize],
    threads: usize,
    stop: impl Fn() -> bool + Sync,
    mut each: impl FnMut(Result<Row, PointError>) -> Result<(), E>,
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
        for _ in 0..threads.clamp(1, order.len().max(1)) {
            let sender = sender.clone();
            let (order, next, failed, stop) = (&order, &next, &failed, &stop);
            scope.spawn(move || {
                // Relaxed: the counter alone is shared, and what comes out goes through the channel.
                while !failed.load(Relaxed) && !stop() {
                    let Some(&number) = order.get(next.fetch_add(1, Relaxed)) else {
                        break;
                    };
                    let point = &plan.points[number];
                    let row = point.run(number).map_err(|error| PointError {
                        number,
                        point: point.line(),
                        error,
                    });
                    if sender.send(row).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut result = Ok(());
        for row in receiver {
            let done = each(row);
            if done.is_err() && result.is_ok() {
                failed.store(true, Relaxed);
                result = done;
            }
        }
        result
    })
}
