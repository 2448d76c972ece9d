//! Which pCPUs are near each other.
//!
//! ```text
//!   socket 0                       socket 1
//!   core 0        core 1           core 2        core 3
//!   pcpu0 pcpu1   pcpu2 pcpu3      pcpu4 pcpu5   pcpu6 pcpu7        2 sockets, 2 cores, 2 threads
//! ```

use serde::{Deserialize, Serialize};

use crate::config_problem::ConfigProblem;

/// The most pCPUs that a topology may have.
const MOST: usize = pvqspin_host::MAX_PCPUS;

/// How the pCPUs of a machine are arranged; they are numbered thread by thread, core by core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// How many sockets.
    pub sockets: usize,
    /// How many cores each of them has.
    pub cores: usize,
    /// How many hardware threads each core has: each is a pCPU.
    pub threads: usize,
}

/// How far two pCPUs are from each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Distance {
    SameCore,
    SameSocket,
    OtherSocket,
}

impl Topology {
    /// How many pCPUs it has.
    ///
    /// # Errors
    ///
    /// If it has none, or more than a host can have.
    pub fn pcpus(&self) -> Result<usize, ConfigProblem> {
        self.cores
            .checked_mul(self.threads)
            .and_then(|per_socket| per_socket.checked_mul(self.sockets))
            .filter(|pcpus| (1..=MOST).contains(pcpus))
            .ok_or(ConfigProblem::BadTopology {
                sockets: self.sockets,
                cores: self.cores,
                threads: self.threads,
                most: MOST,
            })
    }

    pub(crate) fn distance(&self, a: usize, b: usize) -> Distance {
        if a / self.threads == b / self.threads {
            Distance::SameCore
        } else if a / (self.threads * self.cores) == b / (self.threads * self.cores) {
            Distance::SameSocket
        } else {
            Distance::OtherSocket
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_arrangement_is_refused() {
        let of = |sockets, cores, threads| {
            let topology = Topology {
                sockets,
                cores,
                threads,
            };
            topology.pcpus().map_err(|problem| problem.to_string())
        };
        assert_eq!(of(2, 32, 2), Ok(128));
        for (sockets, cores, threads) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (2, usize::MAX, 2)] {
            let problem = of(sockets, cores, threads).expect_err("it has no pCPUs, or too many");
            assert!(problem.contains("at least one of each"), "{problem}");
        }
    }
}
