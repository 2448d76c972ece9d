//! Why this kernel can not load the scheduler, each in one sentence.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Result, bail};
use libbpf_rs::btf::types::{Func, FuncProto};
use libbpf_rs::btf::{Btf, ReferencesType as _};

const CLASS: &str = "/sys/kernel/sched_ext";
const BTF: &str = "/sys/kernel/btf/vmlinux";
const PID_NAMESPACE: &str = "/proc/self/ns/pid";
/// The inode of the host's own, on every kernel (`PROC_PID_INIT_INO`).
const HOST: u64 = 0xEFFF_FFFC;
/// What the scheduler calls itself.
const NAME: &str = "pvq";

/// Fails with the first thing that is missing.
pub(crate) fn check() -> Result<()> {
    // SAFETY: it has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        bail!("only root may load a scheduler: run it with sudo");
    }
    // The BPF program knows the loader by its process's number. A kernel without such namespaces has no such file.
    if fs::metadata(PID_NAMESPACE).is_ok_and(|namespace| namespace.ino() != HOST) {
        bail!(
            "in this PID namespace processes have other numbers than on the host: run it outside of containers"
        );
    }
    if !Path::new(CLASS).is_dir() {
        bail!(
            "kernel {} has no class sched_ext: it takes Linux 6.12 or later, built with CONFIG_SCHED_CLASS_EXT",
            release()
        );
    }
    if !Path::new(BTF).is_file() {
        bail!(
            "kernel {} has no BTF ({BTF}): it must be built with CONFIG_DEBUG_INFO_BTF",
            release()
        );
    }
    if state() != "disabled" {
        bail!(
            "another scheduler is loaded ({}): end it first",
            loaded().unwrap_or_else(state)
        );
    }
    Ok(())
}

/// Whether the scheduler that is loaded is this one.
pub(crate) fn is_ours_loaded() -> bool {
    // The kernel appends to the name what makes it unique: `pvq` or `pvq_...`.
    loaded().is_some_and(|name| name == NAME || name.starts_with(&format!("{NAME}_")))
}

/// Whether this kernel's BTF shows callers the argument that the kernel itself gives to this function. No caller can pass it,
/// and none can call the function without it. Linux before 7.3 has it so if its build tools did not know the function.
pub(crate) fn is_half_described(function: &str) -> bool {
    let last = Btf::from_vmlinux().ok().and_then(|btf| {
        let prototype = btf.type_by_name::<Func<'_>>(function)?.referenced_type();
        let parameters = FuncProto::try_from(prototype).ok()?;
        Some(parameters.iter().last()?.name? == "aux")
    });
    last.unwrap_or(false)
}

fn state() -> String {
    read(&format!("{CLASS}/state")).unwrap_or_else(|| "disabled".to_owned())
}

fn loaded() -> Option<String> {
    read(&format!("{CLASS}/root/ops"))
}

/// The kernel's release, as `uname -r`.
pub(crate) fn release() -> String {
    read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "of unknown version".to_owned())
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
