//! A search for programs of guests that take a neighbour's share of a host.
//!
//! ```text
//!   bytes --> Case --> the greedy VM runs its program   --> what the victim ran   \
//!                  \-> the same VM, and it only computes --> what the victim ran   > verdict
//!                  \-> the weights                       --> what it is entitled to/
//! ```
//!
//! A case is a host, a *victim* VM whose vCPUs only compute, perhaps a bystander, and a *greedy* VM
//! whose vCPUs run programs: naps, halts with and without hints, kicks, yields, timers, garbage
//! edges, and the whole VM may be removed and added again. The victim must get what it gets beside a
//! VM of the same size that only computes, and what its weights entitle it to, but for a constant number
//! of slices, over every window.
//!
//! The host under test is a [`Subject`]. [`Bundled`] is `pvqspin-host`; other implementations of the same
//! rules can be put under the same search.
//!
//! ```
//! use pvqspin_greedy::{Bundled, Case, judge};
//!
//! let case = Case::from_bytes(&[1, 2, 3]);
//! let verdict = judge::<Bundled>(&case);
//! assert!(verdict.holds(), "{case:?}: {verdict:?}");
//! ```

#![doc(test(attr(deny(warnings))))]

mod bundled;
mod bytes;
mod case;
mod check;
mod machine;
mod subject;
mod verdict;

pub use bundled::Bundled;
pub use case::{Action, Case, Neighbour, Step, Target};
pub use check::{Failure, Found, check};
pub use subject::{Placed, Setup, Subject};
pub use verdict::{Verdict, judge};
