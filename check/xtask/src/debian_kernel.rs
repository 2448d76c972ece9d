//! A stock kernel of Debian: finding its package, unpacking it, and what is in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::debian_packages::{Packages, list};

/// Packages that depend on the newest kernel, smallest first: that for clouds is a third of the other,
/// and has KVM.
const META_PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-amd64"];

/// What the package of a kernel may have left to others.
const PARTS: [&str; 2] = ["linux-binary-", "linux-modules-"];

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
    /// As `uname -r` has it: what the folder of its modules is called.
    pub(crate) fn release(&self) -> String {
        let names = self
            .modules
            .first()
            .into_iter()
            .flat_map(|path| path.iter());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .skip_while(|name| name != "modules")
            .nth(1)
            .unwrap_or_else(|| "of unknown version".to_owned())
    }

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

    /// A kernel of Debian, unpacked below `cache`; downloads it if it is not there.
    pub(crate) fn fetch(choice: &Choice, cache: &Path) -> Result<Self> {
        let unpacked = cache.join(choice.folder());
        if let Ok(kernel) = Self::in_dir(&unpacked) {
            return Ok(kernel);
        }
        let packages = match &choice.suite {
            None => Packages::of_this_machine(),
            Some(suite) => Packages::of_suite(suite, cache)?,
        };
        let image = choice.newest(&packages)?;
        println!("kvm-in-qemu: fetching {image} ...");
        let mut wanted = vec![image.clone()];
        // Since Linux 6.19 the kernel and its modules are packages of their own.
        wanted.extend(
            packages
                .depends(&image)?
                .into_iter()
                .filter(|name| PARTS.iter().any(|beginning| name.starts_with(beginning))),
        );
        packages.unpack(&wanted, &unpacked)?;
        Self::in_dir(&unpacked)
    }
}

/// Which kernel.
#[derive(Args, Clone, Default)]
pub(crate) struct Choice {
    /// A kernel of another suite of Debian, such as trixie-backports. The lists of that suite are kept below target/; what this
    /// machine installs from stays as it is.
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// The newest kernel whose version begins so, such as 7.3 or 6.18.
    #[arg(long = "kernel-version", value_name = "VERSION")]
    version: Option<String>,
}

impl Choice {
    /// A version of a suite.
    pub(crate) fn of(suite: &str, version: &str) -> Self {
        Self {
            suite: Some(suite.to_owned()),
            version: Some(version.to_owned()),
        }
    }

    /// Whether anything was chosen.
    pub(crate) const fn is_any(&self) -> bool {
        self.suite.is_some() || self.version.is_some()
    }

    fn folder(&self) -> String {
        let mut name = String::from("kernel");
        for part in [&self.suite, &self.version].into_iter().flatten() {
            name.push('-');
            name.push_str(&part.replace('/', "-"));
        }
        name
    }

    /// The newest package that fits. Asks for fresh lists if apt has none, and may.
    fn newest(&self, packages: &Packages) -> Result<String> {
        if let Some(package) = self.look_up(packages)? {
            return Ok(package);
        }
        if packages.may_update() {
            packages.update()?;
            if let Some(package) = self.look_up(packages)? {
                return Ok(package);
            }
        }
        let wanted = match &self.version {
            Some(version) => format!("no kernel {version}"),
            None => format!("none of the packages {}", META_PACKAGES.join(", ")),
        };
        bail!(
            "apt knows {wanted}{}: `apt-get update` as root, or unpack a kernel package (`dpkg -x`) and name the folder with \
             --kernel",
            match &self.suite {
                Some(suite) => format!(" in {suite}"),
                None => String::new(),
            }
        )
    }

    fn look_up(&self, packages: &Packages) -> Result<Option<String>> {
        if let Some(version) = &self.version {
            return Ok(newest_of(packages.names("linux-image-")?, version));
        }
        for meta in META_PACKAGES {
            let needs = packages.depends(meta)?;
            let image = |package: &String| package.starts_with("linux-image-");
            if let Some(package) = needs.into_iter().find(image) {
                return Ok(Some(package));
            }
        }
        Ok(None)
    }
}

/// The newest kernel for clouds with that version, or that for all machines if there is none.
fn newest_of(names: Vec<String>, version: &str) -> Option<String> {
    let fits = |name: &String, flavour: &str| {
        let rest = name.strip_prefix("linux-image-")?;
        let (number, _) = rest.split_once(|c: char| c != '.' && !c.is_ascii_digit())?;
        let whole = number == version || number.starts_with(&format!("{version}."));
        (whole && name.ends_with(flavour) && !rest.contains("unsigned")).then(|| {
            number
                .split('.')
                .map(|part| part.parse().unwrap_or(0))
                .collect()
        })
    };
    ["-cloud-amd64", "-amd64"].iter().find_map(|flavour| {
        let newest = |name: &&String| fits(name, flavour);
        (names.iter())
            .filter(|name| fits(name, flavour).is_some())
            .max_by_key(|name| newest(name).map(|version: Vec<u32>| version))
            .cloned()
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_taken_by_number_and_for_clouds_if_there_is_one() {
        let names = |versions: &[&str]| {
            (versions.iter())
                .map(|version| format!("linux-image-{version}"))
                .collect::<Vec<_>>()
        };
        let all = names(&[
            "7.2.9+deb13-cloud-amd64",
            "7.2.11+deb13-cloud-amd64",
            "7.2.11+deb13-cloud-amd64-dbg",
            "7.2.12+deb13-amd64",
            "7.21.1+deb13-cloud-amd64",
            "6.12.9-amd64",
            "cloud-amd64",
        ]);
        for (version, found) in [
            ("7.2", Some("linux-image-7.2.11+deb13-cloud-amd64")),
            ("7.2.9", Some("linux-image-7.2.9+deb13-cloud-amd64")),
            ("7", Some("linux-image-7.21.1+deb13-cloud-amd64")),
            ("6.12", Some("linux-image-6.12.9-amd64")),
            ("6.1", None),
        ] {
            assert_eq!(
                newest_of(all.clone(), version).as_deref(),
                found,
                "{version}"
            );
        }
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
