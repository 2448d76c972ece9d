//! Compiles the BPF program with clang, and its rules once more, for the tests.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What clang is called, newest first; the plain name comes last, because it may be an old one.
const NAMES: [&str; 8] = [
    "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang",
];
/// What older ones make of the program does not pass the kernel's verifier.
const OLDEST: u32 = 16;

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
    if let Some(named) = env::var_os("CLANG").map(PathBuf::from) {
        if !works(&named) {
            bail!(
                "CLANG names {}, which is no clang {OLDEST} or later that compiles for BPF",
                named.display()
            );
        }
        return Ok(named);
    }
    NAMES.iter().map(PathBuf::from).find(|name| works(name)).with_context(|| format!(
        "scx_pvq needs clang {OLDEST} or later to compile its BPF program, and none is in the path: `apt-get install clang-19`, \
         or what your system calls it; or name it in the environment variable CLANG",
    ))
}

/// Whether this clang is new enough, and knows BPF.
fn works(name: &Path) -> bool {
    let said = |option| {
        let output = Command::new(name).arg(option).output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let version = said("--version");
    let major = version
        .split("version ")
        .nth(1)
        .and_then(|rest| rest.split('.').next())
        .and_then(|number| number.parse::<u32>().ok());
    major.is_some_and(|major| major >= OLDEST) && said("--print-targets").contains("bpf")
}
