//! How the CPUs of this machine lie: which two to measure a distance between, and whether it is a
//! machine that the simulator can have.
//!
//! ```text
//!   /sys/devices/system/cpu/cpuN/topology/physical_package_id    which socket
//!                                         thread_siblings_list   which CPUs are threads of its core
//! ```
//!
//! `core_id` is not asked: firmware numbers cores anew on each die, so two cores of a socket may have
//! one number. The list of siblings is what the kernel itself goes by.

use std::fs;

use pvqspin_simulator::Topology;

/// One thing for each distance that two CPUs can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Apart<T> {
    /// Two threads of a core.
    pub(crate) same_core: T,
    /// Two cores of a socket.
    pub(crate) same_socket: T,
    /// Two sockets.
    pub(crate) other_socket: T,
}

impl<T> Apart<T> {
    pub(crate) fn as_ref(&self) -> Apart<&T> {
        Apart {
            same_core: &self.same_core,
            same_socket: &self.same_socket,
            other_socket: &self.other_socket,
        }
    }

    pub(crate) fn map<U>(self, mut of: impl FnMut(T) -> U) -> Apart<U> {
        Apart {
            same_core: of(self.same_core),
            same_socket: of(self.same_socket),
            other_socket: of(self.other_socket),
        }
    }
}

/// Two CPUs, as the system numbers them.
pub(crate) type Pair = (usize, usize);

/// Where a CPU is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Position {
    cpu: usize,
    socket: i64,
    /// The first of its core's threads, allowed or not.
    core: usize,
}

/// The CPUs that may be used, in the order of their numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Layout {
    positions: Vec<Position>,
}

impl Layout {
    /// CPUs from 0, each with its socket and its core.
    #[cfg(test)]
    pub(crate) fn of(cpus: &[(i64, usize)]) -> Self {
        let position = |(cpu, &(socket, core))| Position { cpu, socket, core };
        let positions = cpus.iter().enumerate().map(position).collect();
        Self { positions }
    }

    /// Of these CPUs. `None` if the system does not tell of each.
    pub(crate) fn of_machine(cpus: &[usize]) -> Option<Self> {
        Self::read(cpus, |cpu, file| {
            fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/{file}")).ok()
        })
    }

    fn read(cpus: &[usize], file: impl Fn(usize, &str) -> Option<String>) -> Option<Self> {
        let position = |&cpu: &usize| {
            let socket = file(cpu, "physical_package_id")?.trim().parse().ok()?;
            let siblings = file(cpu, "thread_siblings_list")?;
            // "0,4" or "0-1": the first is the lowest.
            let core = siblings.trim().split([',', '-']).next()?.parse().ok()?;
            Some(Position { cpu, socket, core })
        };
        let positions = cpus.iter().map(position).collect::<Option<Vec<_>>>()?;
        Some(Self { positions })
    }

    /// For each distance the first two CPUs that are so far apart.
    pub(crate) fn pairs(&self) -> Apart<Option<Pair>> {
        let first = |distance: fn(Position, Position) -> bool| {
            let mut pairs = (self.positions.iter().enumerate())
                .flat_map(|(i, a)| self.positions[i + 1..].iter().map(move |b| (*a, *b)));
            pairs
                .find(|(a, b)| distance(*a, *b))
                .map(|(a, b)| (a.cpu, b.cpu))
        };
        Apart {
            same_core: first(|a, b| a.core == b.core),
            same_socket: first(|a, b| a.core != b.core && a.socket == b.socket),
            other_socket: first(|a, b| a.core != b.core && a.socket != b.socket),
        }
    }

    /// The machine that these CPUs are.
    ///
    /// # Errors
    ///
    /// Which of its parts are not alike.
    pub(crate) fn topology(&self) -> Result<Topology, String> {
        let sizes = |of: fn(&Position) -> (i64, usize)| {
            let mut groups: Vec<((i64, usize), usize)> = Vec::new();
            for position in &self.positions {
                let name = of(position);
                match groups.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, size)) => *size += 1,
                    None => groups.push((name, 1)),
                }
            }
            groups
        };
        let alike = |groups: &[((i64, usize), usize)], parts: &str| {
            let sizes = || groups.iter().map(|(_, size)| *size);
            match (sizes().min(), sizes().max()) {
                (Some(least), Some(most)) if least == most => Ok(least),
                (Some(least), Some(most)) => Err(format!(
                    "the allowed CPUs make {parts} with {least} to {most} CPUs"
                )),
                _ => Err("no CPU is allowed".to_owned()),
            }
        };
        let cores = sizes(|position| (position.socket, position.core));
        let sockets = sizes(|position| (position.socket, 0));
        let threads = alike(&cores, "cores")?;
        let in_socket = alike(&sockets, "sockets")?;
        Ok(Topology {
            sockets: sockets.len(),
            cores: in_socket / threads,
            threads,
        })
    }

    /// Whether the system numbers these CPUs as a [`Topology`] does: thread by thread, core by core.
    pub(crate) fn is_in_order(&self) -> bool {
        let grouped = |of: fn(&Position) -> (i64, usize)| {
            let mut names: Vec<_> = self.positions.iter().map(of).collect();
            names.dedup();
            let runs = names.len();
            names.sort_unstable();
            names.dedup();
            runs == names.len()
        };
        grouped(|position| (position.socket, position.core))
            && grouped(|position| (position.socket, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose CPU `n` has the socket and the siblings of `cpus[n]`.
    fn machine(cpus: &[(&str, &str)], allowed: &[usize]) -> Option<Layout> {
        Layout::read(allowed, |cpu, file| {
            let (socket, siblings) = cpus.get(cpu)?;
            match file {
                "physical_package_id" => Some(format!("{socket}\n")),
                "thread_siblings_list" => Some(format!("{siblings}\n")),
                _ => None,
            }
        })
    }

    fn topology(layout: &Layout) -> Result<(usize, usize, usize), String> {
        let topology = layout.topology()?;
        Ok((topology.sockets, topology.cores, topology.threads))
    }

    /// Two sockets of two cores with two threads: cores first, as Linux on most machines.
    const CORES_FIRST: [(&str, &str); 8] = [
        ("0", "0,4"),
        ("0", "1,5"),
        ("1", "2,6"),
        ("1", "3,7"),
        ("0", "0,4"),
        ("0", "1,5"),
        ("1", "2,6"),
        ("1", "3,7"),
    ];

    #[test]
    fn each_distance_has_a_pair_of_its_own() {
        let all: Vec<usize> = (0..8).collect();
        let layout = machine(&CORES_FIRST, &all).expect("it tells");
        assert_eq!(
            layout.pairs(),
            Apart {
                same_core: Some((0, 4)),
                same_socket: Some((0, 1)),
                other_socket: Some((0, 2)),
            }
        );
        assert_eq!(topology(&layout), Ok((2, 2, 2)));
        assert!(!layout.is_in_order(), "CPU 1 is another core");
    }

    #[test]
    fn siblings_that_come_first_are_not_taken_for_cores() {
        // A virtual machine often numbers thread by thread.
        let cpus = [("0", "0-1"), ("0", "0-1"), ("0", "2-3"), ("0", "2-3")];
        let layout = machine(&cpus, &[0, 1, 2, 3]).expect("it tells");
        let pairs = layout.pairs();
        assert_eq!(pairs.same_core, Some((0, 1)));
        assert_eq!(pairs.same_socket, Some((0, 2)));
        assert_eq!(pairs.other_socket, None);
        assert_eq!(topology(&layout), Ok((1, 2, 2)));
        assert!(layout.is_in_order());
    }

    #[test]
    fn only_allowed_cpus_count() {
        let layout = machine(&CORES_FIRST, &[4, 6]).expect("it tells");
        assert_eq!(
            layout.pairs(),
            Apart {
                other_socket: Some((4, 6)),
                ..Apart::default()
            }
        );
        assert_eq!(topology(&layout), Ok((2, 1, 1)));
        assert!(layout.is_in_order());
        let lopsided = machine(&CORES_FIRST, &[0, 1, 4]).expect("it tells");
        assert_eq!(
            topology(&lopsided),
            Err("the allowed CPUs make cores with 1 to 2 CPUs".to_owned())
        );
        let lopsided = machine(&CORES_FIRST, &[0, 1, 2]).expect("it tells");
        assert_eq!(
            topology(&lopsided),
            Err("the allowed CPUs make sockets with 1 to 2 CPUs".to_owned())
        );
    }

    #[test]
    fn a_machine_that_does_not_tell_has_no_layout() {
        assert_eq!(machine(&CORES_FIRST, &[0, 8]), None);
        assert_eq!(machine(&[("?", "0")], &[0]), None);
        assert_eq!(machine(&[("0", "")], &[0]), None);
    }
}
