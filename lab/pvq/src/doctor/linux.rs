//! What Linux itself offers here: a host that lends (`scx_pvq`) and a guest with our lock
//! (`pvqspin.ko`). Neither is needed for anything else that `pvq` does.

use std::fs;
use std::path::PathBuf;

use super::{Finding, btf, good, note};

/// `CAP_SYS_ADMIN` and `CAP_BPF`, as bits of `CapEff` (`include/uapi/linux/capability.h`).
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_BPF: u64 = 1 << 39;

/// The static call through which a kernel reaches its spinlock's slow path. The module replaces it.
const STATIC_CALL: &str = " __SCK__queued_spin_lock_slowpath";

/// Where the kernel tells what it is: the root of the file system, or of a copy in a test.
pub(super) struct Kernel {
    root: PathBuf,
    /// The features that KVM shows to its guests, if this is one.
    guest: Option<pvqspin::kvm::Features>,
}

impl Kernel {
    /// The running kernel.
    pub(super) fn running() -> Self {
        let features = pvqspin::kvm::Features::detect::<pvqspin::kvm::X86>();
        Self {
            root: PathBuf::from("/"),
            guest: features.kvm.then_some(features),
        }
    }

    fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Whether `scx_pvq` can be loaded, and if not, the first thing to do about it.
    pub(super) fn host(&self) -> Finding {
        const WHAT: &str = "scx_pvq";
        let Some(state) = self.read("sys/kernel/sched_ext/state") else {
            return note(
                WHAT,
                "this kernel takes no scheduler from outside",
                "boot Linux 6.12 or newer with CONFIG_SCHED_CLASS_EXT (Debian: backports)",
            );
        };
        if !self.exists("sys/kernel/btf/vmlinux") {
            return note(
                WHAT,
                "this kernel does not describe its own types",
                "boot a kernel with CONFIG_DEBUG_INFO_BTF",
            );
        }
        // The kernel gives this argument by itself. Built with tools that do not know of it, it shows it to callers too, who
        // can not pass it: then no scheduler can kick a CPU or make a queue (Debian's 7.2.12).
        let btf = fs::read(self.root.join("sys/kernel/btf/vmlinux")).unwrap_or_default();
        if btf::ends_with_parameter(&btf, "scx_bpf_kick_cpu", "aux") == Some(true) {
            return note(
                WHAT,
                "this kernel was built with tools that left some of its functions half described: no such scheduler can be loaded",
                "boot another build of it, or Linux 7.3 or later",
            );
        }
        let loaded = self.read("sys/kernel/sched_ext/root/ops");
        match loaded.as_deref() {
            Some(name) if name.starts_with("pvq") => good(WHAT, "loaded: directed yields lend"),
            Some(name) => note(
                WHAT,
                format!("another scheduler is loaded: {name}"),
                "stop that one first; a kernel has one at a time",
            ),
            None if state != "disabled" => note(
                WHAT,
                format!("another scheduler is loaded, or about to be: {state}"),
                "stop that one first; a kernel has one at a time",
            ),
            None if !self.may_load() => note(
                WHAT,
                "this kernel takes it, this user may not load it",
                "run scx_pvq as root, or with CAP_SYS_ADMIN and CAP_BPF",
            ),
            None => good(WHAT, "can be loaded: docs/linux-host.md"),
        }
    }

    fn may_load(&self) -> bool {
        let status = self.read("proc/self/status").unwrap_or_default();
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or_default();
        effective & CAP_SYS_ADMIN != 0 && effective & CAP_BPF != 0
    }

    /// Whether this kernel, as a guest, can have our spinlock, and if not, why.
    pub(super) fn module(&self) -> Finding {
        const WHAT: &str = "pvqspin.ko";
        let Some(guest) = &self.guest else {
            return note(
                WHAT,
                "this is no guest of KVM",
                "the module is for Linux inside a virtual machine",
            );
        };
        if guest.dedicated {
            return note(
                WHAT,
                "the host promises a pCPU to each vCPU",
                "nothing is to be gained: leave the kernel's own spinlock",
            );
        }
        if !(guest.steal_time && guest.unhalt) {
            return note(
                WHAT,
                "the host offers no kicks or no steal time, so Linux has no paravirtual lock",
                "QEMU: -cpu ...,+kvm_steal_time,+kvm_pv_unhalt,kvm-pv-sched-yield=on",
            );
        }
        if self.read("sys/devices/system/cpu/possible").as_deref() == Some("0") {
            return note(
                WHAT,
                "there is one CPU, so no lock is ever waited for",
                "nothing is to be gained: leave the kernel's own spinlock",
            );
        }
        if self.exists("sys/module/pvqspin") {
            let policy = self.read("sys/module/pvqspin/parameters/policy");
            let policy = policy.unwrap_or_else(|| "unknown".to_owned());
            return good(WHAT, format!("loaded, policy {policy}"));
        }
        let symbols = self.read("proc/kallsyms").unwrap_or_default();
        if !symbols.lines().any(|line| line.ends_with(STATIC_CALL)) {
            return note(
                WHAT,
                "this kernel's spinlock cannot be exchanged while it runs",
                "boot Linux 7.3 or newer with CONFIG_PARAVIRT_SPINLOCKS: docs/linux-guest.md",
            );
        }
        let command_line = self.read("proc/cmdline").unwrap_or_default();
        if command_line
            .split_whitespace()
            .any(|word| word == "nopvspin")
        {
            return note(
                WHAT,
                "the kernel was started with nopvspin",
                "take nopvspin from its command line, and boot again",
            );
        }
        let processor = self.read("proc/cpuinfo").unwrap_or_default();
        if processor.split_whitespace().any(|flag| flag == "ibt") {
            return note(
                WHAT,
                "the kernel has indirect branch tracking (IBT) on",
                "boot with ibt=off: the module calls functions that are not marked for it",
            );
        }
        if let Some(advice) = self.wants_signature() {
            return note(WHAT, "this kernel takes signed modules only", advice);
        }
        if !guest.sched_yield {
            return note(
                WHAT,
                "can be loaded, with kicks and halts: the host offers no directed yields",
                "QEMU: -cpu host, or -cpu ...,kvm-pv-sched-yield=on; libvirt: <cpu mode='host-passthrough'/>",
            );
        }
        good(WHAT, "can be loaded: docs/linux-guest.md")
    }

    /// What to do, if modules without a signature are refused.
    fn wants_signature(&self) -> Option<&'static str> {
        // The mode in force stands in brackets. Under Secure Boot many kernels choose one, and leave `sig_enforce` alone.
        let lockdown = self.read("sys/kernel/security/lockdown");
        if lockdown.is_some_and(|modes| !modes.contains("[none]")) {
            return Some(
                "it is locked down: sign pvqspin.ko with a key of yours (mokutil --import), or turn Secure Boot off",
            );
        }
        let enforced = self.read("sys/module/module/parameters/sig_enforce");
        (enforced.as_deref() == Some("Y")).then_some(
            "sign pvqspin.ko with a key that the kernel knows, or boot with module.sig_enforce=0",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pvqspin::kvm::{Call, Features};

    use super::*;
    use crate::doctor::Grade;

    const ROOT: &str = "Name:\tpvq\nCapEff:\t000001ffffffffff\n";
    const USER: &str = "Name:\tpvq\nCapEff:\t0000000000000000\n";

    /// A kernel of these files, a guest of a KVM with all features.
    fn kernel(folder: &Path, files: &[(&str, &str)]) -> Kernel {
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            fs::write(path, text).expect("writable");
        }
        Kernel {
            root: folder.to_owned(),
            guest: Some(Features {
                hypervisor: true,
                kvm: true,
                steal_time: true,
                unhalt: true,
                sched_yield: true,
                dedicated: false,
                call: Call::Vmmcall,
            }),
        }
    }

    const HOST: [(&str, &str); 3] = [
        ("sys/kernel/sched_ext/state", "disabled\n"),
        ("sys/kernel/btf/vmlinux", ""),
        ("proc/self/status", ROOT),
    ];

    /// What is found when `change` is added to a kernel that has all.
    fn host_with(change: &[(&str, &str)]) -> Finding {
        let folder = tempfile::tempdir().expect("a folder");
        let _ = kernel(folder.path(), &HOST);
        kernel(folder.path(), change).host()
    }

    #[test]
    fn a_host_is_told_what_keeps_it_from_lending() {
        let empty = tempfile::tempdir().expect("a folder");
        let found = kernel(empty.path(), &[]).host();
        assert!(found.advice.contains("CONFIG_SCHED_CLASS_EXT"), "{found:?}");

        let no_btf = tempfile::tempdir().expect("a folder");
        let found = kernel(no_btf.path(), &HOST[..1]).host();
        assert!(found.advice.contains("CONFIG_DEBUG_INFO_BTF"), "{found:?}");

        assert_eq!(host_with(&[]).grade, Grade::Good);
        let found = host_with(&[("proc/self/status", USER)]);
        assert!(found.advice.contains("CAP_BPF"), "{found:?}");
        let found = host_with(&[("sys/kernel/sched_ext/root/ops", "simple\n")]);
        assert!(found.found.ends_with("simple"), "{found:?}");
        let found = host_with(&[("sys/kernel/sched_ext/state", "enabling\n")]);
        assert_eq!(found.grade, Grade::Note, "{found:?}");
        let found = host_with(&[("sys/kernel/sched_ext/root/ops", "pvq_0.1.0\n")]);
        assert_eq!(found.grade, Grade::Good, "{found:?}");
    }

    #[test]
    fn a_host_is_told_of_functions_that_can_not_be_called() {
        let found = |parameters: &[&str]| {
            let folder = tempfile::tempdir().expect("a folder");
            let kernel = kernel(folder.path(), &HOST);
            let btf = btf::tests::of_function("scx_bpf_kick_cpu", parameters);
            fs::write(folder.path().join("sys/kernel/btf/vmlinux"), btf).expect("a file");
            kernel.host()
        };
        assert_eq!(found(&["cpu", "flags"]).grade, Grade::Good);
        let half = found(&["cpu", "flags", "aux"]);
        assert_eq!(half.grade, Grade::Note);
        assert!(half.found.contains("half described"), "{half:?}");
    }

    const GUEST: [(&str, &str); 3] = [
        (
            "proc/kallsyms",
            "0 d a\n0 d __SCK__queued_spin_lock_slowpath\n0 d b\n",
        ),
        ("proc/cmdline", "console=ttyS0\n"),
        ("sys/devices/system/cpu/possible", "0-3\n"),
    ];

    #[test]
    fn a_guest_is_told_what_keeps_the_module_out() {
        let found = |change: &[(&str, &str)]| {
            let folder = tempfile::tempdir().expect("a folder");
            let _ = kernel(folder.path(), &GUEST);
            kernel(folder.path(), change).module()
        };
        assert_eq!(found(&[]).grade, Grade::Good);
        let older = found(&[("proc/kallsyms", "0 d a\n")]);
        assert!(older.advice.contains("7.3"), "{older:?}");
        let off = found(&[("proc/cmdline", "quiet nopvspin\n")]);
        assert!(off.found.contains("nopvspin"), "{off:?}");
        let tracked = found(&[("proc/cpuinfo", "flags\t\t: fpu ibt vme\n")]);
        assert!(tracked.advice.contains("ibt=off"), "{tracked:?}");
        let signed = found(&[("sys/module/module/parameters/sig_enforce", "Y\n")]);
        assert!(signed.advice.starts_with("sign"), "{signed:?}");
        let modes = "none [integrity] confidentiality\n";
        let locked = found(&[("sys/kernel/security/lockdown", modes)]);
        assert!(locked.advice.contains("mokutil"), "{locked:?}");
        let modes = "[none] integrity confidentiality\n";
        let open = found(&[("sys/kernel/security/lockdown", modes)]);
        assert_eq!(open.grade, Grade::Good, "{open:?}");
        let alone = found(&[("sys/devices/system/cpu/possible", "0\n")]);
        assert!(alone.found.contains("one CPU"), "{alone:?}");
        let loaded = found(&[("sys/module/pvqspin/parameters/policy", "fifo\n")]);
        assert_eq!(loaded.found, "loaded, policy fifo");
    }

    #[test]
    fn what_the_host_does_not_offer_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut kernel = kernel(folder.path(), &GUEST);
        if let Some(guest) = &mut kernel.guest {
            // Without kicks Linux has no paravirtual lock, whatever else there is.
            guest.unhalt = false;
        }
        assert!(kernel.module().advice.contains("kvm_pv_unhalt"));
        if let Some(guest) = &mut kernel.guest {
            guest.unhalt = true;
            guest.sched_yield = false;
        }
        let found = kernel.module();
        assert!(found.found.contains("with kicks and halts"), "{found:?}");
        kernel.guest = None;
        assert!(kernel.module().found.contains("no guest"));
    }
}
