//! A thread that takes a lock which it holds says so before it hangs.

#![cfg(not(loom))]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use pvqspin::threads::{Mutex, RwLock};

const CHILD: &str = "PVQSPIN_TEST_CHILD";

/// What a child says, before it is ended.
fn says(test: &str, wanted: &str) -> bool {
    let myself = std::env::current_exe().expect("a path");
    let mut child = Command::new(myself)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let errors = BufReader::new(child.stderr.take().expect("piped"));
    let found = errors
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains(wanted));
    child.kill().expect("it hangs, as it should");
    child.wait().expect("it ends");
    found
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn a_mutex_taken_twice() {
    if is_child() {
        let mutex = Mutex::new(0);
        let _held = mutex.lock();
        drop(mutex.lock());
    }
    assert!(says(
        "a_mutex_taken_twice",
        "which it holds: it waits for ever"
    ));
}

#[test]
fn a_lock_that_is_written_read() {
    if is_child() {
        let lock = RwLock::new(0);
        let _held = lock.write();
        drop(lock.read());
    }
    assert!(says(
        "a_lock_that_is_written_read",
        "which it holds: it waits for ever"
    ));
}
