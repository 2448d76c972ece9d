//! What is published: packages that build from what they contain, and an interface that changes only
//! when its version says so.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{cargo, root, succeed, target_dir};

/// The crates that others depend on, each before those that need it. All others are the laboratory.
const PUBLIC: [&str; 5] = [
    "pvqspin-abi",
    "pvqspin",
    "pvqspin-adapters",
    "pvqspin-c",
    "pvqspin-host",
];

/// What each of them has to contain beside its code.
const BELONGS_IN: [&str; 3] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Packs every public crate and builds it from its package.
pub(crate) fn package() -> Result<()> {
    check_workspace()?;
    for name in PUBLIC {
        let output = cargo()
            .args(["package", "--list", "--allow-dirty", "--package", name])
            .output()
            .context("cannot run cargo package")?;
        let files = String::from_utf8_lossy(&output.stdout);
        for file in BELONGS_IN {
            ensure!(
                files.lines().any(|line| line == file),
                "the package of {name} has no {file}"
            );
        }
    }
    let target = emptied_target()?;
    let packages = PUBLIC.into_iter().flat_map(|name| ["--package", name]);
    succeed(
        cargo()
            .args(["package", "--quiet", "--locked", "--allow-dirty"])
            .arg("--target-dir")
            .arg(&target)
            .args(packages),
    )?;
    println!("packages: {}", PUBLIC.join(", "));
    Ok(())
}

/// The folder that packages are built in, without what an earlier check left of them.
fn emptied_target() -> Result<PathBuf> {
    forget_unpacked()?;
    let target = target_dir("package");
    if target.exists() {
        std::fs::remove_dir_all(&target)
            .with_context(|| format!("cannot remove {}", target.display()))?;
    }
    Ok(target)
}

/// Removes what an earlier check unpacked of these packages. Cargo makes a registry of the packages that it has just packed.
/// It keeps what it unpacks and builds of any registry by name and version alone: a version whose sources changed would be
/// built from the old ones, and what was built of it would be taken as new.
fn forget_unpacked() -> Result<()> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("neither CARGO_HOME nor a home folder is known")?;
    let Ok(registries) = std::fs::read_dir(home.join("registry/src")) else {
        return Ok(()); // Nothing was ever unpacked.
    };
    for registry in registries {
        let registry = registry?;
        // Registries in folders have no host in their name.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for name in PUBLIC {
            let unpacked = (registry.path()).join(format!("{name}-{}", env!("CARGO_PKG_VERSION")));
            if unpacked.exists() {
                std::fs::remove_dir_all(&unpacked)
                    .with_context(|| format!("cannot remove {}", unpacked.display()))?;
            }
        }
    }
    Ok(())
}

/// Exactly the public crates can be published, and the toolchain of the checks is the oldest one that
/// the others promise to work with. (`cargo xtask toolchains` tests what the public ones promise.)
fn check_workspace() -> Result<()> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()
        .context("cannot run cargo metadata")?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata failed")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let toolchain = std::fs::read_to_string(root().join("rust-toolchain.toml"))
        .context("cannot read rust-toolchain.toml")?;
    for package in packages {
        let name = package["name"].as_str().unwrap_or("?");
        let published = package["publish"] != Value::Array(Vec::new());
        ensure!(
            published == PUBLIC.contains(&name),
            "{name}: `publish` in its Cargo.toml and the list in check/xtask/src/publish.rs differ"
        );
        let oldest = package["rust_version"].as_str().unwrap_or("none");
        ensure!(
            published
                || toolchain.contains(&format!("\"{oldest}."))
                || toolchain.contains(&format!("\"{oldest}\"")),
            "{name} promises Rust {oldest}, but rust-toolchain.toml tests another one"
        );
    }
    Ok(())
}

/// Compares the interfaces of the public crates with a baseline: a revision, or else the last release.
pub(crate) fn semver(baseline: Option<String>) -> Result<()> {
    let Some(baseline) = baseline.or_else(last_release) else {
        println!(
            "semver: nothing is released (no tag v*); `--baseline REV` compares with a revision"
        );
        return Ok(());
    };
    let known = cargo()
        .args(["semver-checks", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !known {
        bail!(
            "cargo-semver-checks is not installed, so nothing was compared with {baseline}\n\
             `cargo install cargo-semver-checks --locked` installs it (minutes)"
        );
    }
    emptied_target()?;
    let packages = PUBLIC.into_iter().flat_map(|name| ["--package", name]);
    succeed(
        cargo()
            .args(["semver-checks", "--baseline-rev", &baseline])
            .args(packages),
    )
}

fn last_release() -> Option<String> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["describe", "--tags", "--abbrev=0", "--match", "v*"])
        .output()
        .ok()?;
    let tag = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !tag.is_empty()).then_some(tag)
}
