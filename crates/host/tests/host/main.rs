//! Tests of the host through its public interface, one file for each part of its contract.

mod caps;
mod control;
mod gangs;
mod hints;
mod hotplug;
mod hypercalls;
mod life;
mod lifecycle;
mod loans;
mod machine;
mod policies;
mod properties;
mod rig;
mod shares;
mod switches;
