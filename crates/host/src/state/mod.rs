//! What the host knows: plain data, without decisions.

pub(crate) mod account;
pub(crate) mod pcpu;
pub(crate) mod queues;
pub(crate) mod vcpu;
pub(crate) mod vm;
