//! One command at a time writes to a place: two of them would ruin each other's results.
//!
//! A hidden file beside the results is locked while the command runs. A lock of a process that was
//! killed is gone with it, and the file that it leaves is taken over.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The right to write to a place, until it is dropped.
#[derive(Debug)]
pub(crate) struct OutputLock {
    path: PathBuf,
    _file: File,
}

impl OutputLock {
    /// Takes it. A pipe or a device needs none.
    ///
    /// # Errors
    ///
    /// If another command has it, or no file can be made there.
    pub(crate) fn take(output: &Path) -> Result<Option<Self>> {
        if fs::metadata(output).is_ok_and(|there| !there.is_file()) {
            return Ok(None);
        }
        let mut name = OsString::from(".");
        name.push(output.file_name().unwrap_or_default());
        name.push(".lock");
        let path = output.with_file_name(name);
        loop {
            let file = File::options()
                .create(true)
                .append(true)
                .open(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => bail!(
                    "another pvq is writing to {}; wait for it, or name another file",
                    output.display()
                ),
                // Some network file systems have no locks. Results are worth more than the check.
                Err(TryLockError::Error(_)) => return Ok(None),
            }
            // Its last owner may have removed the file between our opening and locking it.
            let same = match (fs::metadata(&path), file.metadata()) {
                (Ok(there), Ok(ours)) => there.ino() == ours.ino(),
                _ => false,
            };
            if same {
                return Ok(Some(Self { path, _file: file }));
            }
        }
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        // While it is still locked: see `take`.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_and_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("a.json");
        let first = OutputLock::take(&out).expect("free");
        assert!(first.is_some());
        let refused = OutputLock::take(&out).expect_err("taken").to_string();
        assert!(refused.contains("another pvq is writing"), "{refused}");
        OutputLock::take(&folder.path().join("b.json")).expect("another place");
        drop(first);
        assert!(OutputLock::take(&out).expect("free again").is_some());
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_device_needs_none() {
        assert!(
            OutputLock::take(Path::new("/dev/null"))
                .expect("fine")
                .is_none()
        );
    }
}
