//! A Debian beside this one, with what a newer kernel needs: its headers and image, the compiler that
//! it was built with, and a QEMU in which its virtual machines work.
//!
//! Made once, below `target/linux`, with Debian's own tools and from the mirror that apt uses here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::debian_packages::run;
use crate::run::root;

/// The release, and where its newer kernels are.
const RELEASE: &str = "trixie";
const BACKPORTS: &str = "trixie-backports";
/// Its packages: headers of the newest kernel for clouds, a compiler, QEMU, and a shell for the machines.
const PACKAGES: [&str; 5] = [
    "linux-headers-cloud-amd64",
    "qemu-system-x86",
    "gcc",
    "make",
    "busybox-static",
];
/// Documents and translations are most of what is installed.
const SLIM: &str = "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n\
                    path-exclude=/usr/share/locale/*\nforce-unsafe-io\n";

/// The tree.
pub(crate) struct Tree {
    /// Its root directory.
    pub(crate) dir: PathBuf,
    /// The kernel's release, as `uname -r` has it.
    pub(crate) release: String,
}

/// Where everything of `cargo xtask linux` is.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("linux")
}

impl Tree {
    /// Finds it, or makes it.
    pub(crate) fn provide() -> Result<Self> {
        let dir = folder().join(RELEASE);
        ensure!(
            rustix::process::geteuid().is_root(),
            "cargo xtask linux works in a tree of Debian packages (debootstrap, chroot), which needs root: \
             run it as root, in a container for example"
        );
        // Written last, so that half a tree is never taken for one.
        let done = dir.join("complete");
        if let Ok(release) = fs::read_to_string(&done) {
            return Ok(Self { dir, release });
        }
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(folder())
            .with_context(|| format!("cannot create {}", folder().display()))?;
        let mirror = mirror()?;
        provide_debootstrap()?;
        println!(
            "linux: installing Debian {RELEASE} below {} ...",
            dir.display()
        );
        run(Command::new("debootstrap")
            .args(["--variant=minbase", RELEASE])
            .arg(&dir)
            .arg(&mirror))?;
        let mut tree = Self {
            dir,
            release: String::new(),
        };
        tree.write("etc/dpkg/dpkg.cfg.d/slim", SLIM)?;
        tree.write(
            "etc/apt/sources.list.d/backports.list",
            &format!("deb {mirror} {BACKPORTS} main\n"),
        )?;
        println!("linux: installing a kernel's headers, gcc and QEMU ...");
        tree.install(&PACKAGES)?;
        tree.release = tree.newest_headers()?;
        tree.unpack_kernel()?;
        fs::write(&done, &tree.release)
            .with_context(|| format!("cannot write {}", done.display()))?;
        Ok(tree)
    }

    /// Installs packages of the newer release in the tree, if they are not there.
    pub(crate) fn install(&self, packages: &[&str]) -> Result<()> {
        let apt = |arguments: &[&str]| {
            run(self
                .inside("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(arguments))
        };
        apt(&["update", "-qq"])?;
        let mut arguments = vec![
            "install",
            "-qq",
            "-y",
            "--no-install-recommends",
            "-t",
            BACKPORTS,
        ];
        arguments.extend(packages);
        apt(&arguments)
    }

    /// A command in the tree, with `/proc` and nothing else of this machine. What it mounts goes with it.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"")
            .arg(&self.dir)
            .arg(program);
        command
    }

    /// The kernel.
    pub(crate) fn image(&self) -> PathBuf {
        self.modules().join("vmlinuz")
    }

    /// The kernel's modules, with the kernel beside them, as its packages have it.
    pub(crate) fn modules(&self) -> PathBuf {
        self.dir.join("kernel/usr/lib/modules").join(&self.release)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn newest_headers(&self) -> Result<String> {
        let dir = self.dir.join("usr/src");
        let names = fs::read_dir(&dir)
            .with_context(|| format!("cannot read {}", dir.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        headers_release(names).context("no headers of a kernel were installed")
    }

    /// The image is only unpacked: installed it would want a boot loader and an initial file system.
    fn unpack_kernel(&self) -> Result<()> {
        println!("linux: fetching the kernel {} ...", self.release);
        // A meta package of those that hold the kernel and its modules; one package in older releases.
        let script = format!(
            "cd /tmp && image=linux-image-{0} && parts=$(apt-cache depends --important $image | \
             sed -n 's/^ *Depends: \\(linux-\\(binary\\|modules\\)-.*\\)$/\\1/p') && \
             apt-get download -qq -o APT::Sandbox::User=root $image $parts && mkdir -p /kernel && \
             for package in linux-*.deb; do dpkg-deb -x \"$package\" /kernel; done && rm linux-*.deb",
            self.release
        );
        run(self.inside("sh").args(["-c", &script]))?;
        let image = self.image();
        if !image.is_file() {
            // Where older packages have it.
            let boot = self
                .dir
                .join(format!("kernel/boot/vmlinuz-{}", self.release));
            fs::rename(&boot, &image)
                .with_context(|| format!("the kernel's packages have no {}", image.display()))?;
        }
        Ok(())
    }
}

/// The kernel's release, of the names in `/usr/src`: those of its flavour, not what all share.
fn headers_release(names: impl Iterator<Item = String>) -> Option<String> {
    names
        .filter_map(|name| Some(name.strip_prefix("linux-headers-")?.to_owned()))
        .filter(|release| release.ends_with("-amd64"))
        .max()
}

/// The mirror that apt uses here for Debian's own packages.
fn mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format"])
        .args(["$(ORIGIN)|$(COMPONENT)|$(REPO_URI)", "Created-By: Packages"])
        .output()
        .context("cannot start apt-get: cargo xtask linux needs a Debian")?;
    first_mirror(&String::from_utf8_lossy(&output.stdout)).context(
        "apt knows no mirror of Debian: `apt-get update` on a Debian; another system has none of what this needs",
    )
}

fn first_mirror(text: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("Debian|main|"))
        .find(|address| !address.contains("security"))
        .map(|address| address.trim_end_matches('/').to_owned())
}

fn provide_debootstrap() -> Result<()> {
    if Path::new("/usr/sbin/debootstrap").is_file() {
        return Ok(());
    }
    println!("linux: installing debootstrap ...");
    let install = || {
        run(Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args([
                "install",
                "-qq",
                "-y",
                "--no-install-recommends",
                "debootstrap",
            ]))
    };
    if install().is_err() {
        // The usual reason: the lists are old, or there are none.
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        if let Err(error) = install() {
            bail!("debootstrap cannot be installed: {error:#}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_the_release_and_not_of_its_corrections() {
        let text = "Other|main|http://a/\nDebian|main|http://b/debian-security/\n\
                    Debian|contrib|http://c/\nDebian|main|http://d/debian/\n";
        assert_eq!(first_mirror(text).as_deref(), Some("http://d/debian"));
        assert_eq!(first_mirror("Ubuntu|main|http://a/\n"), None);
    }

    #[test]
    fn headers_are_those_of_a_flavour() {
        let names = [
            "linux-headers-7.3.4+deb13-common",
            "linux-headers-7.3.4+deb13-cloud-amd64",
            "linux-kbuild-7.3.4+deb13",
        ];
        let release = headers_release(names.iter().map(|&name| name.to_owned()));
        assert_eq!(release.as_deref(), Some("7.3.4+deb13-cloud-amd64"));
        assert_eq!(headers_release(std::iter::empty()), None);
    }
}
