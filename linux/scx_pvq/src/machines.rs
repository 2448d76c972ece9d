//! Whether this host has virtual machines at the moment.

use std::fs;
use std::path::Path;

/// Where the kernel lists its modules.
pub(crate) const MODULES: &str = "/sys/module";

/// Whether a virtual machine may be there: KVM counts its users, where it is a module. `modules` is [`MODULES`].
pub(crate) fn may_exist(modules: &Path) -> bool {
    let mut known = false;
    for vendor in ["kvm_intel", "kvm_amd"] {
        let folder = modules.join(vendor);
        if !folder.is_dir() {
            continue;
        }
        known = true;
        // Without a count it is built in, or the count is hidden.
        let users = fs::read_to_string(folder.join("refcnt"));
        if !users.is_ok_and(|users| users.trim() == "0") {
            return true;
        }
    }
    // KVM without either is that of another processor.
    !known && modules.join("kvm").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_there_if_kvm_has_users_or_does_not_say() {
        let root = std::env::temp_dir().join(format!("scx_pvq-machines-{}", std::process::id()));
        let module = |name: &str, users: Option<&str>| {
            let module = root.join(name);
            fs::create_dir_all(&module).expect("a folder");
            if let Some(users) = users {
                fs::write(module.join("refcnt"), users).expect("a file");
            }
        };
        let exist = || may_exist(&root);
        assert!(!exist(), "no KVM");
        module("kvm", Some("1\n"));
        assert!(exist(), "another processor's");
        module("kvm_intel", Some("0\n"));
        assert!(!exist());
        module("kvm_amd", None);
        assert!(exist(), "built in");
        module("kvm_amd", Some("0\n"));
        assert!(!exist());
        module("kvm_amd", Some("3\n"));
        assert!(exist());
        fs::remove_dir_all(&root).expect("it is there");
    }
}
