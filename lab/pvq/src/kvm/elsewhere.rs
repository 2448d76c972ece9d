//! In place of `kvm` on other processors than x86-64, for which there is no guest.

use crate::options::kvm::KvmArgs;
use crate::output::failure::{Done, Failure};

const NOT_HERE: &str = "`pvq kvm` is for x86-64; `pvq simulate` runs the same locks anywhere";

/// Refuses.
pub(crate) fn run(_args: &KvmArgs) -> Done {
    Err(Failure::bad_input(NOT_HERE))
}

/// What `pvq doctor` says of it.
pub(crate) fn examine() -> Result<String, String> {
    Err(NOT_HERE.to_owned())
}
