//! The published crates on the oldest compilers that they promise, and on targets of 32 bits.
//!
//! `rustup` installs what is missing, if it can. What cannot be had is left out, and said so.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run::{cargo, root, rustup, succeed, target_dir};

/// All features of the lock but `lock_api`: version 0.5 of that crate needs a newer compiler.
const WITHOUT_LOCK_API: &str = "lock_api_04,counters,byte_release,kvm,lockdep,std,worlds";
/// What a kernel may use where there are no 64-bit atomics and no standard library.
const BARE: &str = "lock_api,lock_api_04,counters,lockdep";

struct Package {
    name: &'static str,
    options: &'static [&'static str],
}

const PACKAGES: [Package; 5] = [
    Package {
        name: "pvqspin-abi",
        options: &[],
    },
    Package {
        name: "pvqspin-host",
        options: &[],
    },
    Package {
        name: "pvqspin",
        options: &["--no-default-features", "--features", WITHOUT_LOCK_API],
    },
    Package {
        name: "pvqspin-c",
        options: &[],
    },
    Package {
        name: "pvqspin-adapters",
        options: &[],
    },
];

/// Targets of 32 bits, and the features of the lock there.
const TARGETS: [(&str, &str); 4] = [
    ("i686-unknown-linux-gnu", WITHOUT_LOCK_API),
    ("armv7-unknown-linux-gnueabihf", WITHOUT_LOCK_API),
    // No 64-bit atomics.
    ("riscv32imac-unknown-none-elf", BARE),
    ("thumbv7em-none-eabihf", BARE),
];

/// Where the lock cannot be, or what of it cannot be, and what the compiler says then.
const TOO_SMALL: [(&str, &str, &str); 2] = [
    // No atomic exchanges at all.
    (
        "riscv32imc-unknown-none-elf",
        "",
        "pvqspin needs atomic exchanges of 32 bits",
    ),
    (
        "riscv32imac-unknown-none-elf",
        "worlds",
        "the feature `worlds` needs atomics of 64 bits",
    ),
];

/// Checks all of them.
pub(crate) fn check() -> Result<()> {
    oldest_compilers()?;
    small_targets()
}

fn oldest_compilers() -> Result<()> {
    for Package { name, options } in PACKAGES {
        let version = promised(name)?;
        if !rustup(&[
            "toolchain",
            "install",
            "--profile",
            "minimal",
            "--no-self-update",
            &version,
        ]) {
            println!("LEFT OUT: {name} on Rust {version}: rustup cannot install it");
            continue;
        }
        println!("{name} on Rust {version}");
        succeed(
            Command::new("rustup")
                .args(["run", &version, "cargo", "check", "--quiet", "--locked"])
                .args(["--package", name])
                .args(options)
                .current_dir(root())
                .env_remove("CARGO")
                .env_remove("RUSTC")
                .env_remove("RUSTUP_TOOLCHAIN")
                .env("CARGO_TARGET_DIR", target_dir("toolchains")),
        )?;
    }
    Ok(())
}

/// The `rust-version` of a package.
fn promised(name: &str) -> Result<String> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cannot start cargo")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let package = packages.iter().find(|package| package["name"] == name);
    let version = package.and_then(|package| package["rust_version"].as_str());
    Ok(version
        .with_context(|| format!("{name} promises no compiler"))?
        .to_owned())
}

fn small_targets() -> Result<()> {
    for (target, features) in TARGETS {
        if !rustup(&["target", "add", target]) {
            println!("LEFT OUT: {target}: rustup cannot install it");
            continue;
        }
        println!("pvqspin, pvqspin-c and pvqspin-host for {target}");
        succeed(
            for_target(target)
                .args(["--package", "pvqspin", "--no-default-features"])
                .args(["--features", features]),
        )?;
        succeed(for_target(target).args(["--package", "pvqspin-c", "--package", "pvqspin-host"]))?;
    }
    for (target, features, complaint) in TOO_SMALL {
        if !rustup(&["target", "add", target]) {
            println!("LEFT OUT: {target}: rustup cannot install it");
            continue;
        }
        println!("pvqspin for {target}, features '{features}', which is told why not");
        let output = for_target(target)
            .args(["--package", "pvqspin", "--no-default-features"])
            .args(["--features", features])
            .output()
            .context("cannot start cargo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains(complaint),
            "pvqspin for {target}: not '{complaint}', but\n{said}"
        );
    }
    Ok(())
}

fn for_target(target: &str) -> Command {
    let mut cargo = cargo();
    cargo
        .args(["check", "--quiet", "--locked", "--target", target])
        .env("CARGO_TARGET_DIR", target_dir("toolchains"));
    cargo
}
