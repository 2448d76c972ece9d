//! Builds the image of the KVM guest from the source tree, if there is one.
//!
//! The image is the package `pvqspin-kvm-guest`, for the target of the host but with flags and a
//! target folder of its own: no standard library, nothing below the stack pointer, nothing moved
//! at load time. No other toolchain is needed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::SystemTime;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The program was taken away from its sources.
    #[error(
        "there is no guest image, and the sources to build one from are not at {0}; give --image \
         FILE (in the source tree, `cargo xtask guest` builds it and says where it is)"
    )]
    NoSources(PathBuf),
    /// Cargo cannot be started.
    #[error("cannot start {0:?} to build the guest image: {1}; give --image FILE")]
    NoCargo(OsString, io::Error),
    /// The build failed; cargo has said why.
    #[error("building the guest image failed ({0})")]
    Failed(ExitStatus),
    /// It was built, and then it was not there.
    #[error("the guest image was built, but {0} cannot be used: {1}")]
    Gone(PathBuf, io::Error),
}

/// The package, the program in it, and the profile that it is built with.
const PACKAGE: &str = "pvqspin-kvm-guest";
const PROGRAM: &str = "pvq-guest";
const PROFILE: &str = "guest";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// All that goes into the image.
const SOURCES: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates/abi",
    "crates/pvqspin",
    "lab/rivals",
    "lab/load",
    "lab/drivers/kvm/boot",
    "lab/drivers/kvm/guest",
];

/// The root of the source tree, as it was when this was compiled.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(4).unwrap_or(here).to_owned()
}

/// Where a build leaves what it makes.
fn target_dir() -> PathBuf {
    let base = std::env::var_os("CARGO_TARGET_DIR");
    base.map_or_else(|| root().join("target"), PathBuf::from)
        .join("guest")
}

/// Where the image is, or will be.
#[must_use]
pub fn path() -> PathBuf {
    target_dir().join(TARGET).join(PROFILE).join(PROGRAM)
}

/// The image, if it is there and no older than its sources. Builds nothing.
#[must_use]
pub fn ready() -> Option<PathBuf> {
    let image = path();
    let made = modified(&image);
    let changed = SOURCES
        .iter()
        .filter_map(|source| newest(&root().join(source)));
    match (made, changed.max()) {
        (Some(made), changed) if changed.is_none_or(|changed| changed <= made) => Some(image),
        _ => None,
    }
}

/// The image, built now if it is missing or older than its sources. `tell` is called before a
/// build, which takes a while.
///
/// # Errors
///
/// If it has to be built and cannot be: the error says why.
pub fn up_to_date(tell: impl FnOnce()) -> Result<PathBuf, ImageError> {
    ready().map_or_else(
        || {
            tell();
            build()
        },
        Ok,
    )
}

/// Builds the image. Returns where it is.
///
/// # Errors
///
/// If that fails: the error says why.
pub fn build() -> Result<PathBuf, ImageError> {
    let manifest = root().join("Cargo.toml");
    if !manifest.is_file() {
        return Err(ImageError::NoSources(root()));
    }
    cargo("build", &[])?;
    let image = path();
    // Cargo leaves a program alone whose sources have changed in nothing but their time.
    File::options()
        .append(true)
        .open(&image)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .map_err(|error| ImageError::Gone(image.clone(), error))?;
    Ok(image)
}

/// Lets clippy look at the image's code, which an ordinary look at the workspace leaves out.
///
/// # Errors
///
/// If it finds anything, or cannot be started.
pub fn lint() -> Result<(), ImageError> {
    cargo("clippy", &["--", "-D", "warnings"])
}

/// Runs cargo on the image's package, with everything that makes the difference between a program
/// and an image.
fn cargo(subcommand: &str, arguments: &[&str]) -> Result<(), ImageError> {
    let script = root().join("lab/drivers/kvm/guest/link.ld");
    let link = format!("-Clink-arg=-Wl,-T,{}", script.display());
    let flags = [
        "--cfg=pvq_guest",
        "-Crelocation-model=static",
        // Precompiled parts of `core` may use it all the same; nothing interrupts this guest.
        "-Cno-redzone=yes",
        "-Clink-arg=-nostartfiles",
        "-Clink-arg=-nostdlib",
        "-Clink-arg=-static",
        "-Clink-arg=-no-pie",
        &link,
        "-Clink-arg=-Wl,--build-id=none",
        "-Clink-arg=-Wl,-z,norelro",
        "-Clink-arg=-Wl,-z,max-page-size=4096",
    ];
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root())
        // The only form in which a path may contain a space. It goes before `RUSTFLAGS`.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args([subcommand, "--quiet", "--locked"])
        .args(["--package", PACKAGE, "--profile", PROFILE])
        // Said although it is the host's: then the flags do not go to build scripts.
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir())
        .args(arguments);
    let status = (cargo.status())
        .map_err(|error| ImageError::NoCargo(cargo.get_program().to_owned(), error))?;
    match status.success() {
        true => Ok(()),
        false => Err(ImageError::Failed(status)),
    }
}

/// The newest file at or below a path; `None` if there is none.
fn newest(path: &Path) -> Option<SystemTime> {
    let Ok(entries) = fs::read_dir(path) else {
        return modified(path);
    };
    entries
        .flatten()
        .filter_map(|entry| newest(&entry.path()))
        .max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}
