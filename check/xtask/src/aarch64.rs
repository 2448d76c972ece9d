//! Builds the lock, the host and what they share for aarch64, and runs their tests under qemu's user
//! emulation.
//!
//! A smoke test: the emulator runs on x86, whose memory model is stronger, so it finds what does not
//! compile, what is not portable, and gross mistakes of ordering in the compiled code at most. What
//! weak memory may do is loom's to find.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::{cargo, succeed, target_dir};

const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Where Debian's cross packages put the C library that the emulated program loads.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// What is tested: arguments after `cargo test`.
const TESTS: [&[&str]; 3] = [
    &["-p", "pvqspin-abi", "--lib"],
    &["-p", "pvqspin-host", "--lib"],
    &[
        "-p",
        "pvqspin",
        "--features",
        "counters,std",
        "--lib",
        "--test",
        "scripted",
        "--test",
        "threads",
    ],
];

/// Runs the tests. `std_source`: the directory `library` of the compiler's own source, where the
/// toolchain has no standard library for aarch64.
pub(crate) fn check(std_source: Option<&Path>) -> Result<()> {
    for (tool, package) in [
        ("qemu-aarch64", "qemu-user"),
        (
            "aarch64-linux-gnu-gcc",
            "gcc-aarch64-linux-gnu, libc6-dev-arm64-cross",
        ),
    ] {
        let found = Command::new(tool).arg("--version").output();
        ensure!(
            found.is_ok_and(|output| output.status.success()),
            "there is no `{tool}`: install {package} (Debian, Ubuntu)"
        );
    }
    let installed = sysroot()?.join("lib/rustlib").join(TARGET).is_dir();
    ensure!(
        installed || std_source.is_some(),
        "this toolchain has no standard library for {TARGET}: `rustup target add {TARGET}`, or name the \
         directory `library` of the source of this very version with --std-source"
    );
    for tests in TESTS {
        let mut cargo = cargo();
        cargo
            .arg("test")
            .args(["--target", TARGET])
            .args(tests)
            .env("CARGO_TARGET_DIR", target_dir("aarch64"))
            .env(
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
                "aarch64-linux-gnu-gcc",
            )
            .env(
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
                format!("qemu-aarch64 -L {SYSROOT}"),
            );
        if let Some(source) = std_source.filter(|_| !installed) {
            // Cargo's way to build the standard library is not stable, so it wants to be told that
            // this is known.
            cargo
                .arg("-Zbuild-std=std,panic_abort,test")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("__CARGO_TESTS_ONLY_SRC_ROOT", source);
        }
        succeed(&mut cargo)?;
    }
    Ok(())
}

fn sysroot() -> Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("cannot start rustc")?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
