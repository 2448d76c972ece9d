//! The unit for systemd: systemd accepts it, and `scx_pvq` the options that it gives.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

const UNIT: &str = include_str!("../scx_pvq.service");
const INSTALLED: &str = "/usr/local/sbin/scx_pvq";
const BUILT: &str = env!("CARGO_BIN_EXE_scx_pvq");

fn command() -> Vec<&'static str> {
    (UNIT.lines())
        .find_map(|line| line.strip_prefix("ExecStart="))
        .expect("a command")
        .split_whitespace()
        .collect()
}

#[test]
fn the_program_knows_the_options() {
    let command = command();
    assert_eq!(command.first(), Some(&INSTALLED));
    let output = Command::new(BUILT)
        .args(&command[1..])
        .arg("--version")
        .output()
        .expect("scx_pvq starts");
    assert!(output.status.success(), "{output:?}");
}

/// Left out where there is no systemd.
#[test]
fn systemd_accepts_it() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("no systemd-analyze here: left out");
        return;
    }
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("service");
    fs::create_dir_all(&dir).expect("a folder");
    let unit = dir.join("scx_pvq.service");
    // It wants the program to be there.
    fs::write(&unit, UNIT.replace(INSTALLED, BUILT)).expect("a file");
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output()
        .expect("systemd-analyze starts");
    let said = String::from_utf8_lossy(&output.stderr);
    // It exits with 0 for a setting that it does not know.
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
