//! The profile that `--profile` names: a built-in one, or a file.

use pvqspin_simulator::Profile;
use pvqspin_sweep::profiles;

use crate::output::failure::Failure;

/// Reads it. A built-in name goes before a file of the same name; `./NAME` is the file.
pub(crate) fn load(name: &str) -> Result<Profile, Failure> {
    profiles::load(name).map_err(Failure::bad_input)
}
