//! What the order checker finds among threads goes to standard error, and a thread that takes a lock
//! again says so before it hangs.

#![cfg(all(feature = "lockdep", not(loom)))]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use pvqspin::threads::Mutex;

const CHILD: &str = "PVQSPIN_TEST_CHILD";

#[test]
fn findings_are_printed() {
    if std::env::var_os(CHILD).is_some() {
        hang();
    }
    let myself = std::env::current_exe().expect("a path");
    let mut child = Command::new(myself)
        .args(["--exact", "findings_are_printed", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let errors = BufReader::new(child.stderr.take().expect("piped"));
    let wanted = ["lock order: cpu", "lock recursion: cpu"];
    let mut found: Vec<&str> = Vec::new();
    // Until the second of them is there, or the child is gone.
    for line in errors.lines().map_while(Result::ok) {
        found.extend(
            wanted
                .iter()
                .filter(|text| line.starts_with(**text))
                .copied(),
        );
        if found.len() == wanted.len() {
            break;
        }
    }
    child.kill().expect("it hangs, as it should");
    child.wait().expect("it ends");
    assert_eq!(found, wanted);
}

/// An inversion, then the same lock twice.
fn hang() -> ! {
    let (a, b) = (Mutex::new(0), Mutex::new(0));
    for (first, second) in [(&a, &b), (&b, &a)] {
        let _first = first.lock();
        let _second = second.lock();
    }
    let _a = a.lock();
    let _again = a.lock();
    unreachable!("it waits for ever");
}
