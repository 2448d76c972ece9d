//! What the KVM guest and its VMM agree on, beside the contract of `pvqspin-abi`.
//!
//! ```text
//!   guest-physical = guest-virtual
//!   0x0000_0000  nothing: a null pointer leaves the VM
//!   0x0000_1000  tables of the processor                     written by the VMM, see its `setup`
//!   0x0001_0000  Boot                                        written by the VMM, read by the guest
//!   0x0010_0000  the image; its first bytes are the Header   loaded by the VMM
//!   0x0100_0000  Results, Control, VmPage                    see `layout`
//!                VcpuPage, CpuNodes, Record, CpuArea, stack  one of each for every vCPU
//!                heap
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`header`] | what an image says about itself before it runs |
//! | [`boot`] | what the guest is to do |
//! | [`greedy`] | the programs of a VM that takes what it can |
//! | [`layout`] | where everything lies, for so many vCPUs |
//! | [`area`] | what one vCPU and its VMM tell each other |
//! | [`results`] | what the guest says at the end |
//! | [`stock`] | what a vCPU writes down where the hypervisor is KVM itself |
//! | [`doorbell`] | the port, and the words that are written to it |

#![no_std]
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

pub mod area;
pub mod boot;
pub mod doorbell;
pub mod greedy;
pub mod header;
pub mod layout;
pub mod results;
pub mod stock;

pub use area::CpuArea;
pub use boot::{Boot, Role, Transport};
pub use header::Header;
pub use layout::Layout;
pub use results::Results;
pub use stock::StockArea;
