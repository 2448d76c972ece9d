//! Names that completions of a shell offer. Their readers are [`parse`]: errors and help keep its words.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_load::{Distribution, NeighbourKind, catalog as workloads};
use pvqspin_rivals::catalog::{self, Entry};
use pvqspin_rivals::choice::GROUPS;
use pvqspin_sweep::words::DISTRIBUTIONS;
use pvqspin_user_space::threads;

use crate::options::greedy::{self, Strategy};
use crate::options::parse::{self, LockChoice, ThreadLockChoice};

/// Reads a name, and knows which there are.
#[derive(Clone)]
pub(crate) struct Offered<T> {
    read: fn(&str) -> Result<T, String>,
    names: Vec<&'static str>,
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Offered<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        self.read.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.names.iter().map(PossibleValue::new)))
    }
}

fn offered<T>(
    read: fn(&str) -> Result<T, String>,
    names: impl IntoIterator<Item = &'static str>,
) -> Offered<T> {
    let names = names.into_iter().collect();
    Offered { read, names }
}

fn guest_locks() -> impl Iterator<Item = &'static str> {
    catalog::CATALOG.iter().map(|entry| entry.name)
}

pub(crate) fn one_lock() -> Offered<&'static Entry> {
    offered(parse::one_lock, guest_locks())
}

pub(crate) fn locks() -> Offered<LockChoice> {
    offered(parse::lock, guest_locks().chain(GROUPS))
}

pub(crate) fn simulated_locks() -> Offered<LockChoice> {
    let names = guest_locks().chain([catalog::IDEAL.name]);
    offered(parse::simulated_lock, names.chain(GROUPS))
}

pub(crate) fn thread_locks() -> Offered<ThreadLockChoice> {
    let names = threads::CATALOG.iter().map(|entry| entry.name);
    offered(parse::thread_lock, names.chain(GROUPS))
}

pub(crate) fn workload() -> Offered<&'static workloads::Entry> {
    let names = workloads::CATALOG.iter().map(|entry| entry.name);
    offered(parse::workload, names)
}

pub(crate) fn distribution() -> Offered<Distribution> {
    offered(parse::distribution, DISTRIBUTIONS.map(|(name, _)| name))
}

pub(crate) fn neighbour() -> Offered<NeighbourKind> {
    offered(
        parse::neighbour,
        NeighbourKind::ALL.map(NeighbourKind::name),
    )
}

pub(crate) fn greedy() -> Offered<Strategy> {
    let names = greedy::NAMED.iter().map(|named| named.name);
    offered(greedy::strategy, names)
}

pub(crate) fn scheduling() -> Offered<Scheduling> {
    offered(parse::scheduling, Scheduling::ALL.map(Scheduling::name))
}

pub(crate) fn yields() -> Offered<YieldMode> {
    offered(parse::yields, YieldMode::ALL.map(YieldMode::name))
}
