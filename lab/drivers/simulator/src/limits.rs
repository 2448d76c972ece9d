//! The largest values that a simulation accepts.

/// The longest warm-up, measured time, or patience: an hour of virtual time. It keeps every sum
/// of times far from overflow.
pub const MAX_TIME_NS: u64 = 3_600_000_000_000;

/// The most vCPUs of one simulation. Each has a stack of its own, which takes two of the 65,530
/// mappings that Linux grants a process by default.
pub const MAX_VCPUS: usize = 30_000;

/// The highest cost of anything: a tenth of a second. Far beyond any machine, and few enough of
/// them last for an hour.
pub const MAX_COST_NS: u32 = 100_000_000;
