//! Where a lock is measured.

/// Where a lock is measured: the workload, the host and the amount of overcommit.
///
/// Two records of one lock at one point are repeats of each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The workload's name.
    pub workload: String,
    /// The host's scheduling policy.
    pub host_policy: String,
    /// What a directed yield is on this host: `contract` or `hint`.
    pub yield_mode: String,
    /// Physical CPUs.
    pub pcpus: usize,
    /// Virtual CPUs.
    pub vcpus: usize,
    /// Mean time inside the lock, as asked, in ns.
    pub inside_ns: u64,
    /// Mean time outside the lock, as asked, in ns.
    pub outside_ns: u64,
    /// The distribution of both.
    pub distribution: String,
    /// The slice, in ns.
    pub slice_ns: u64,
}

impl Point {
    /// Virtual CPUs for each physical one.
    #[must_use]
    pub fn overcommit(&self) -> f64 {
        self.vcpus as f64 / self.pcpus.max(1) as f64
    }

    /// Whether the two differ in the number of virtual CPUs at most.
    #[must_use]
    pub fn same_but_overcommit(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.vcpus = self.vcpus;
        *self == other
    }
}
