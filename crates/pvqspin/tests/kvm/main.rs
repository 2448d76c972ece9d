//! The KVM environment without KVM: a processor and a host that are played by the test.

#![cfg(target_arch = "x86_64")]

#[path = "../alone/mod.rs"]
mod alone;
mod found;
mod halts;
mod machine;
mod yields;
