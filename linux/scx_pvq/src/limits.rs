//! Limits of control groups on CPU time. The class sched_ext leaves them to its programs, and this one does not keep them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::output::say;

const GROUPS: &str = "/sys/fs/cgroup";

/// Warns if a control group of this machine has such a limit.
pub(crate) fn warn() {
    let limited = find(Path::new(GROUPS));
    if let Some(first) = limited.first() {
        say!(
            "warning: {} of this machine's control groups limit CPU time (cpu.max), {} first: no such limit holds until it ends",
            limited.len(),
            first.display()
        );
    }
}

/// The groups below this folder that have a limit, in the order of their names.
fn find(groups: &Path) -> Vec<PathBuf> {
    let mut limited = Vec::new();
    let mut ahead = vec![groups.to_owned()];
    while let Some(group) = ahead.pop() {
        if is_limited(&group) {
            limited.push(group.clone());
        }
        // One that is gone meanwhile, or that this user may not see, has no limit to tell of.
        let below = fs::read_dir(&group).into_iter().flatten().flatten();
        ahead.extend(
            below
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    limited.sort();
    limited
}

/// By the file of control groups of version 2, or of version 1.
fn is_limited(group: &Path) -> bool {
    let read = |file: &str| fs::read_to_string(group.join(file));
    read("cpu.max").is_ok_and(|text| !text.starts_with("max"))
        || read("cpu.cfs_quota_us").is_ok_and(|text| !text.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_with_a_limit_are_found_in_both_versions() {
        let root = std::env::temp_dir().join(format!("scx_pvq-limits-{}", std::process::id()));
        for (group, file, text) in [
            ("a", "cpu.max", "max 100000\n"),
            ("a/deep", "cpu.max", "10000 100000\n"),
            ("b", "cpu.cfs_quota_us", "-1\n"),
            ("b/deep", "cpu.cfs_quota_us", "50000\n"),
            ("c", "cpu.weight", "100\n"),
        ] {
            let group = root.join(group);
            fs::create_dir_all(&group).expect("a folder");
            fs::write(group.join(file), text).expect("a file");
        }
        let found = find(&root);
        fs::remove_dir_all(&root).expect("it is there");
        assert_eq!(found, ["a/deep", "b/deep"].map(|group| root.join(group)));
        assert!(find(&root).is_empty(), "nothing is there");
    }
}
