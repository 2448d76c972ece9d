//! Atomic writes, and the check before anything runs that they will be possible.
//!
//! A file is written beside its final place and renamed, so that a reader sees the old file or
//! the new one, and an interrupted write leaves the old one. Pipes and devices cannot be renamed
//! onto: they are written in place.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Makes sure that a file can be written there, without changing it.
///
/// # Errors
///
/// Says what is in the way, and what would be right.
pub fn check_writable(path: &Path) -> Result<()> {
    let shown = path.display();
    if path == Path::new("-") {
        bail!("`-` is no file here: /dev/stdout is standard output, and ./- a file of that name");
    }
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => {
            bail!("cannot write {shown}: it is a folder; name a file in it")
        }
        Ok(there) if !there.is_file() => {
            return File::options()
                .write(true)
                .open(path)
                .map(drop)
                .with_context(|| format!("cannot write {shown}"));
        }
        Ok(_) | Err(_) => {}
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        bail!(
            "cannot write {shown}: there is no folder {}; make it first, or name another place",
            folder.display()
        );
    }
    // Creating a file is the only test that no mount option, quota or capability can fool.
    let made = temporary_in(&folder).map(drop);
    // Its own message names the file that would have been made, and that says nothing to a reader.
    made.map_err(|error| io::Error::from(error.kind()))
        .with_context(|| {
            format!(
                "cannot write {shown}: no file can be made in {}; name another place",
                folder.display()
            )
        })
}

/// Writes a whole file, or leaves what was there.
///
/// # Errors
///
/// What `fill` returns, or what the file system says; the file is then as it was before.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let mut to = File::options()
            .write(true)
            .open(path)
            .with_context(failed)?;
        return fill(&mut to).and_then(|()| to.flush()).with_context(failed);
    }
    // Through a symbolic link to what it names: the link should survive.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut temporary = temporary_in(&folder_of(&target)).with_context(failed)?;
    let mut buffered = BufWriter::new(temporary.as_file_mut());
    fill(&mut buffered)
        .and_then(|()| buffered.flush())
        .with_context(failed)?;
    drop(buffered);
    // The rename must not reach the disk before the data does.
    temporary.as_file().sync_all().with_context(failed)?;
    temporary
        .persist(&target)
        .map(drop)
        .map_err(|error| error.error)
        .with_context(failed)
}

/// The same path with another ending: where the picture of a JSON file goes.
#[must_use]
pub fn sibling(path: &Path, extension: &str) -> PathBuf {
    path.with_extension(OsString::from(extension))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".pvq-")
        .suffix(".tmp")
        // As for any new file: every user may read it, as far as the umask lets them.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.json");
        for text in ["first, and long", "second"] {
            write_atomically(&path, |to| to.write_all(text.as_bytes())).expect("writable");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
        }
        assert_eq!(names(folder.path()), ["out.json"], "nothing is left behind");
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.json");
        write_atomically(&path, |to| to.write_all(b"old")).expect("writable");
        let error = write_atomically(&path, |to| {
            // The temporary file is in the same folder: a rename from elsewhere is not atomic.
            assert_eq!(names(folder.path()).len(), 2);
            to.write_all(b"half of the ne")?;
            Err(io::Error::other("the power went"))
        });
        assert!(format!("{:#}", error.unwrap_err()).contains("the power went"));
        assert_eq!(fs::read_to_string(&path).expect("there"), "old");
        assert_eq!(names(folder.path()), ["out.json"]);
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").expect("writable");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        write_atomically(&link, |to| to.write_all(b"new")).expect("writable");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(&real).expect("there"), "new");
    }

    #[test]
    fn a_device_is_not_replaced() {
        let null = Path::new("/dev/null");
        check_writable(null).expect("every user may write there");
        write_atomically(null, |to| to.write_all(b"gone")).expect("writable");
        assert!(!fs::metadata(null).expect("there").is_file());
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at_folder = check_writable(folder.path()).unwrap_err().to_string();
        assert!(at_folder.contains("it is a folder"), "{at_folder}");
        let missing = check_writable(&folder.path().join("no/such.json")).unwrap_err();
        assert!(
            missing.to_string().contains("there is no folder"),
            "{missing}"
        );
        check_writable(&folder.path().join("new.json")).expect("nothing in the way");
        assert!(
            names(folder.path()).is_empty(),
            "the check leaves nothing behind"
        );
    }
}
