//! Pairs of lock and unlock for `cargo xtask instructions`, which runs this under callgrind.
//!
//! Prints the names in the order in which they are counted. Each has three calls of `pairs_mark`,
//! whose symbol callgrind is told to look for; see [`pvqspin_user_space::uncontended::Contender::count`].

use std::hint::black_box;

use pvqspin_user_space::uncontended::{contenders, nothing};

/// Where callgrind takes stock.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pairs_mark() {
    black_box(());
}

fn main() {
    let pairs = std::env::args()
        .nth(1)
        .and_then(|pairs| pairs.parse().ok())
        .filter(|&pairs| pairs > 0)
        .unwrap_or(1_000);
    for contender in [nothing()].into_iter().chain(contenders()) {
        println!("{}", contender.name);
        contender.count(pairs, || pairs_mark());
    }
}
