//! A stock kernel of Debian: finding its package, unpacking it, and what is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

/// Packages that depend on the newest kernel, smallest first: that for clouds is a third of the other,
/// and has KVM.
const META_PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-amd64"];

/// What KVM on an AMD processor is made of, in the order in which it loads. What a kernel does not
/// have as a module it has built in, or can do without.
const MODULES: [&str; 5] = ["irqbypass", "rng-core", "ccp", "kvm", "kvm-amd"];
/// Without these there is no KVM.
const NEEDED: [&str; 2] = ["kvm", "kvm-amd"];

/// An unpacked kernel package.
pub(crate) struct Kernel {
    /// The kernel.
    pub(crate) image: PathBuf,
    /// Its modules, in the order in which they load.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// What an unpacked package holds.
    pub(crate) fn in_dir(dir: &Path) -> Result<Self> {
        let image = find_image(dir)
            .with_context(|| format!("there is no kernel (boot/vmlinuz-*) in {}", dir.display()))?;
        let found = find_modules(&dir.join("lib/modules"))
            .or_else(|_| find_modules(&dir.join("usr/lib/modules")))?;
        for needed in NEEDED {
            ensure!(
                found.iter().any(|path| module_name(path) == needed),
                "the kernel in {} has no module {needed}.ko",
                dir.display()
            );
        }
        Ok(Self {
            image,
            modules: found,
        })
    }

    /// The newest kernel that apt knows of, unpacked below `cache`; downloads it if it is not there.
    pub(crate) fn fetch(cache: &Path) -> Result<Self> {
        let unpacked = cache.join("kernel");
        if let Ok(kernel) = Self::in_dir(&unpacked) {
            return Ok(kernel);
        }
        let package = newest_package()?;
        println!("kvm-in-qemu: fetching {package} ...");
        let downloads = fresh_dir(&cache.join("downloads"))?;
        let mut apt = Command::new("apt-get");
        apt.current_dir(&downloads).args(["download", &package]);
        if rustix::process::geteuid().is_root() {
            // apt's own user may not write here.
            apt.args(["-o", "APT::Sandbox::User=root"]);
        }
        run(&mut apt)?;
        let deb = list(&downloads)?
            .into_iter()
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get download {package} left no package"))?;
        // Unpacked elsewhere first, so that half a kernel is never taken for one.
        let half = fresh_dir(&cache.join("half"))?;
        run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&half))?;
        let _ = fs::remove_dir_all(&unpacked);
        fs::rename(&half, &unpacked)
            .with_context(|| format!("cannot create {}", unpacked.display()))?;
        fs::remove_dir_all(&downloads)?;
        Self::in_dir(&unpacked)
    }
}

/// The newest kernel package. Asks for fresh lists if apt has none, and may.
fn newest_package() -> Result<String> {
    if let Some(package) = look_up()? {
        return Ok(package);
    }
    if rustix::process::geteuid().is_root() {
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        if let Some(package) = look_up()? {
            return Ok(package);
        }
    }
    bail!(
        "apt knows none of the packages {}: `apt-get update` as root, or unpack a kernel package (`dpkg -x`) and name the \
         folder with --kernel",
        META_PACKAGES.join(", ")
    )
}

fn look_up() -> Result<Option<String>> {
    for meta in META_PACKAGES {
        let output = start(Command::new("apt-cache").args(["depends", "--important", meta]))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(package) = dependency(&text) {
            return Ok(Some(package));
        }
    }
    Ok(None)
}

/// The kernel that `apt-cache depends` says a meta package depends on.
fn dependency(text: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-"))
        .map(str::to_owned)
}

/// The kernel itself: in `boot`, or, as newer packages have it, beside its modules.
fn find_image(dir: &Path) -> Option<PathBuf> {
    let is_kernel = |path: &PathBuf| file_name(path).starts_with("vmlinuz");
    let below = |dir: PathBuf| list(&dir).unwrap_or_default();
    let beside_modules = below(dir.join("usr/lib/modules"))
        .into_iter()
        .flat_map(below);
    (below(dir.join("boot")).into_iter())
        .chain(beside_modules)
        .find(is_kernel)
}

fn find_modules(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for path in list(&dir)? {
            // A link leads to headers that are not here.
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                todo.push(path);
            } else if MODULES.contains(&module_name(&path).as_str()) {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| MODULES.iter().position(|name| *name == module_name(path)));
    Ok(found)
}

/// `kvm-amd` for `.../kvm-amd.ko.xz`.
fn module_name(path: &Path) -> String {
    let name = file_name(path);
    let (stem, _) = name.split_once(".ko").unwrap_or_default();
    stem.to_owned()
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()
    };
    read().with_context(|| format!("cannot read {}", dir.display()))
}

fn fresh_dir(dir: &Path) -> Result<PathBuf> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir.to_owned())
}

/// Runs a command quietly; shows what it printed if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = start(command)?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn start(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().with_context(|| {
        format!(
            "cannot start {program}: this needs a Debian with apt, or --kernel with the folder of an unpacked kernel package"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_package_leads_to_a_kernel() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-48-cloud-amd64\n";
        assert_eq!(
            dependency(text).as_deref(),
            Some("linux-image-6.1.0-48-cloud-amd64")
        );
        assert_eq!(dependency("E: No packages found\n"), None);
        assert_eq!(dependency("  Depends: <linux-image>\n"), None);
    }

    #[test]
    fn modules_are_known_by_name_packed_or_not() {
        for (path, name) in [
            ("a/kvm-amd.ko", "kvm-amd"),
            ("kvm.ko.xz", "kvm"),
            ("kvm.c", ""),
        ] {
            assert_eq!(module_name(Path::new(path)), name);
        }
    }
}
