//! Compiles the BPF program with clang, and its rules once more, for the tests.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What clang is called, newest first. The plain name may be an old one: what clang 14 makes, kernel
/// 7.3 refuses (`bpf_cpumask_test_cpu`: incompatible).
const NAMES: [&str; 10] = [
    "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang",
    "clang-15", "clang-14",
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-changed=tests/rules/rules.c");
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var("OUT_DIR").context("cargo names no OUT_DIR")?);
    let clang = clang()?;
    libbpf_cargo::SkeletonBuilder::new()
        .source("bpf/scx_pvq.bpf.c")
        .obj(out.join("scx_pvq.bpf.o"))
        .clang(clang)
        .clang_args(["-O2", "-mcpu=v3", "-Wall", "-Werror"])
        .build()
        .context("clang could not compile bpf/scx_pvq.bpf.c")?;
    // For the tests: nothing of the program calls it, and the linker leaves it out.
    cc::Build::new()
        .file("tests/rules/rules.c")
        .include("bpf")
        .compile("pvq_rules");
    Ok(())
}

fn clang() -> Result<PathBuf> {
    let works = |name: &Path| {
        let output = Command::new(name).arg("--print-targets").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("bpf"))
    };
    if let Some(named) = env::var_os("CLANG").map(PathBuf::from) {
        if !works(&named) {
            bail!(
                "CLANG names {}, which is no clang that compiles for BPF",
                named.display()
            );
        }
        return Ok(named);
    }
    NAMES.iter().map(PathBuf::from).find(|name| works(name)).context(
        "scx_pvq needs clang 14 or later to compile its BPF program, and none is in the path: `apt-get install clang`, or \
         what your system calls it; or name it in the environment variable CLANG",
    )
}
