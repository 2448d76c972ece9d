//! Running cargo, and writing what comes out.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(PathBuf::from).unwrap_or(here)
}

/// `cargo` at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a command to its end.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// `pvq`, built now; or the one that `PVQ` names. Cargo gives a package that is built alone other
/// features of its dependencies than one that is built with all, and so builds most of them again,
/// for minutes: a run of all checks names the one that the tests had.
pub(crate) fn pvq() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("PVQ") {
        let path = root().join(named);
        ensure!(
            path.is_file(),
            "PVQ names {}, which is no file",
            path.display()
        );
        return Ok(path);
    }
    succeed(cargo().args(["build", "--quiet", "--locked", "--package", "pvq"]))?;
    // Beside this very program.
    let here = std::env::current_exe().context("cannot find myself")?;
    Ok(here.with_file_name("pvq"))
}

/// Where a build that needs flags of its own goes, so that it does not evict the ordinary one.
pub(crate) fn target_dir(name: &str) -> PathBuf {
    let base =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    base.join("xtask").join(name)
}

/// A folder for this process alone, so that runs at the same time do not spoil each other. Those of processes that
/// have ended are removed: the last one's files stay until then, to be looked at.
pub(crate) fn own_folder(above: &Path) -> Result<PathBuf> {
    const PREFIX: &str = "run-";
    if let Ok(entries) = std::fs::read_dir(above) {
        for entry in entries.flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
    let own = above.join(format!("{PREFIX}{}", std::process::id()));
    std::fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
    Ok(own)
}

/// As 2026-11-28, in UTC.
pub(crate) fn today() -> Result<String> {
    let output = Command::new("date")
        .args(["-u", "+%F"])
        .output()
        .context("cannot start date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Replaces a file as a whole, or not at all.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        anyhow::Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The model check.
pub(crate) fn loom() -> Result<()> {
    succeed(
        cargo()
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", target_dir("loom"))
            .args(["test", "--release", "-p", "pvqspin"])
            .args(["--test", "loom", "--test", "litmus"]),
    )
}

/// Every combination of the lock crate's features builds without warnings, and its unit tests hold with
/// each feature alone, and with none.
pub(crate) fn features() -> Result<()> {
    const FEATURES: [&str; 8] = [
        "lock_api",
        "lock_api_04",
        "counters",
        "byte_release",
        "kvm",
        "lockdep",
        "std",
        "worlds",
    ];
    for combination in 0..1_u32 << FEATURES.len() {
        // What a feature breaks it breaks alone or with one other. All together, and those of the
        // default, are tested by the ordinary test commands.
        if combination.count_ones() > 2 {
            continue;
        }
        let alone = combination.count_ones() < 2;
        let features: Vec<_> = FEATURES
            .iter()
            .enumerate()
            .filter(|&(bit, _)| combination >> bit & 1 == 1)
            .map(|(_, &feature)| feature)
            .collect();
        let features = features.join(",");
        println!("pvqspin --no-default-features --features '{features}'");
        let with_features = |command: &[&str]| {
            succeed(
                cargo()
                    .env("RUSTFLAGS", "-D warnings")
                    .env("CARGO_TARGET_DIR", target_dir("features"))
                    .args(command)
                    .args(["--quiet", "-p", "pvqspin", "--no-default-features"])
                    .args(["--features", &features]),
            )
        };
        with_features(&["check"])?;
        if alone {
            with_features(&["test", "--lib"])?;
        }
    }
    Ok(())
}

/// Becomes the soak: Ctrl-C is then its own affair.
pub(crate) fn soak(options: &[String]) -> Result<()> {
    let error = cargo()
        .args(["run", "--release", "--quiet", "--locked"])
        .args(["-p", "pvqspin-soak", "--"])
        .args(options)
        .exec();
    Err(error).context("cannot start cargo")
}

/// Runs the grids of the study, optimised: that takes minutes, and without hours.
pub(crate) fn study(options: &[String]) -> Result<()> {
    let error = cargo()
        .args(["run", "--release", "--quiet", "--locked", "-p", "pvq"])
        .args(["--", "write-study"])
        .args(options)
        .exec();
    Err(error).context("cannot start cargo")
}

/// Runs rustup, without a word. Returns whether it could do what was asked.
pub(crate) fn rustup(arguments: &[&str]) -> bool {
    Command::new("rustup")
        .args(arguments)
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
