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

/// The limit of starts is reached although the unit waits before each.
#[test]
fn one_that_is_ejected_again_and_again_stays_away() {
    let setting = |name: &str| {
        let found = UNIT.lines().find_map(|line| line.strip_prefix(name));
        found.and_then(|value| value.strip_prefix('=')).expect(name)
    };
    assert_eq!(setting("StartLimitBurst"), "2");
    assert_eq!(setting("StartLimitIntervalSec"), "1h");
    let restart: u32 = setting("RestartSec").parse().expect("seconds");
    assert!(2 * restart < 3600);
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
