//! What the command line can say: the options of each command, and how they are read.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`compare`] | of `compare`, and those that others share with it |
//! | [`common`] | options that several commands have |
//! | [`parse`] | times, names and lists, with errors that say what would be right |
//! | [`offered`] | the names that completions offer |
//! | [`greedy`] | what a greedy VM does, as text |
//! | [`kvm`], [`report`], [`simulate`], [`sweep`], [`threads`], [`trace`], [`uncontended`], [`validate`] | of that command (`explain` is with `trace`) |

pub(crate) mod common;
pub(crate) mod compare;
pub(crate) mod greedy;
pub(crate) mod kvm;
pub(crate) mod offered;
pub(crate) mod parse;
pub(crate) mod report;
pub(crate) mod simulate;
pub(crate) mod sweep;
pub(crate) mod threads;
pub(crate) mod trace;
pub(crate) mod uncontended;
pub(crate) mod validate;
