//! In place of [`kvm`](super::kvm) on other processors than x86-64, for which there is no guest.

use crate::failure::{Done, Failure};
use crate::kvm_args::KvmArgs;

const NOT_HERE: &str = "`pvq kvm` is for x86-64; `pvq simulate` runs the same locks anywhere";

/// Refuses.
pub(crate) fn run(_args: &KvmArgs) -> Done {
    Err(Failure::bad_input(NOT_HERE))
}

/// What `pvq doctor` says of it.
pub(crate) fn examine() -> Result<String, String> {
    Err(NOT_HERE.to_owned())
}
