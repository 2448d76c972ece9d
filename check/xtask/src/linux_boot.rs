//! A machine in a machine: QEMU emulates a host with a stock kernel and KVM, which runs guests with a
//! stock kernel and the module.
//!
//! ```text
//!   this machine: QEMU, in software
//!     └─ host: a Debian kernel with KVM               <- host-init.sh
//!          └─ QEMU with KVM, one guest after another
//!               └─ guest: a Debian kernel             <- guest-init.sh, and one of the scripts
//! ```
//!
//! Where this machine's clock is taken, absolute times mean nothing in there: counts and relations do.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::debian_packages::run;
use crate::initramfs::Initramfs;
use crate::linux_tree::Tree;
use crate::qemu::{Clock, Threads};
use crate::qemu_mend;
use crate::run::own_folder;

const HOST_INIT: &str = include_str!("linux/host-init.sh");
const GUEST_INIT: &str = include_str!("linux/guest-init.sh");
const QEMU: &str = "usr/bin/qemu-system-x86_64";
/// The one that emulates the host, without a fault that guests of that host meet.
const MENDED: &str = "usr/bin/qemu-system-x86_64-mended";
/// What KVM on AMD is made of.
const KVM: [&str; 3] = [
    "virt/lib/irqbypass",
    "arch/x86/kvm/kvm",
    "arch/x86/kvm/kvm-amd",
];

/// One guest.
pub(crate) struct Guest {
    /// What is printed above its output.
    pub(crate) name: &'static str,
    /// What it runs, of the scripts.
    pub(crate) script: String,
    pub(crate) vcpus: u32,
    /// Added to the processor's description.
    pub(crate) processor: &'static str,
    /// Added to the kernel's command line.
    pub(crate) kernel: String,
}

/// How often a machine that ends without a word is booted.
const BOOTS: u32 = 3;

/// What to boot.
pub(crate) struct Machine<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) pcpus: u32,
    /// Programs of the guests: where they are in the tree.
    pub(crate) guest_programs: Vec<&'static str>,
    /// Files of the guests: their name inside, and where they are.
    pub(crate) guest_files: Vec<(String, PathBuf)>,
    /// The kernel of the guests, if it is not the tree's.
    pub(crate) guest_kernel: Option<PathBuf>,
    /// A program that runs on the host beside the guests.
    pub(crate) host_program: Option<PathBuf>,
    /// Its options, separated by spaces.
    pub(crate) host_options: String,
    pub(crate) guests: Vec<Guest>,
    /// Where its time comes from.
    pub(crate) clock: Clock,
    /// What its random numbers begin with.
    pub(crate) seed: u16,
    pub(crate) timeout: Duration,
}

/// This machine's time. The processors take turns all the same: on threads of their own one boot in fifteen hung or so
/// (decision 9 has a fault that does this), and turns make the check a quarter longer.
pub(crate) const WALL: Clock = Clock::Wall(Threads::One);

impl Machine<'_> {
    /// Boots it, and returns what it printed; prints it, too, as it comes.
    ///
    /// A boot may end without a word: an emulated machine is reset by faults of the emulator's threads. One is mended
    /// (decision 30), another is known (decision 9). Then it is booted again. A guest that is reset does not end the host,
    /// which reports it: it is booted again, too. A rare reset that the module caused is not told apart.
    pub(crate) fn boot(&self) -> Result<String> {
        for _ in 1..BOOTS {
            match self.boot_once()? {
                Ok(text) => return Ok(text),
                Err(log) => println!(
                    "linux: the emulated host was reset (its messages: {}); booting again ...",
                    log.display()
                ),
            }
        }
        self.boot_once()?.map_err(|log| {
            anyhow::anyhow!(
                "the machine ended before its guests did, {BOOTS} times; its kernel's messages are in {}",
                log.display()
            )
        })
    }

    /// What it printed; or where its kernel's messages are, if it ended before its guests did.
    fn boot_once(&self) -> Result<Result<String, PathBuf>> {
        let dir = own_folder(&self.tree.dir.join("run"))?;
        // As QEMU finds it in the tree.
        let inside = |name: &str| format!("/run/{}/{name}", crate::debian_kernel::file_name(&dir));
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
        };
        write("vmlinuz", &read(&self.tree.image())?)?;
        write("initramfs", &self.host(&dir)?)?;
        let output = dir.join("output");
        let _ = fs::remove_file(&output);
        let mut qemu = self
            .tree
            .inside(&self.qemu()?)
            .args(self.clock.options())
            // Random numbers come from the seed alone.
            .args(["-cpu", "max,+svm,+npt,-rdrand,-rdseed"])
            .args(["-seed", &self.seed.to_string()])
            .args(["-rtc", "base=2026-01-01,clock=vm"])
            .args(["-smp", &self.pcpus.to_string(), "-m", "1400"])
            .args(["-nodefaults", "-no-reboot", "-display", "none"])
            .args(["-serial", &format!("file:{}", inside("output"))])
            .args(["-serial", &format!("file:{}", inside("kernel"))])
            .args([
                "-kernel",
                &inside("vmlinuz"),
                "-initrd",
                &inside("initramfs"),
            ])
            .args([
                "-append",
                "console=ttyS1 quiet loglevel=5 panic=-1 mitigations=off nokaslr norandmaps",
            ])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start QEMU in the tree")?;
        let until = Instant::now() + self.timeout;
        let mut shown = 0;
        let ended = loop {
            let ended = qemu.try_wait()?;
            let text =
                String::from_utf8_lossy(&fs::read(&output).unwrap_or_default()).replace('\r', "");
            if let Some(end) = text.rfind('\n').filter(|&end| end >= shown) {
                print!("{}", &text[shown..=end]);
                shown = end + 1;
            }
            if ended.is_some() || Instant::now() > until {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        if ended.is_none() {
            qemu.kill()?;
            qemu.wait()?;
        }
        let log = dir.join("kernel");
        ensure!(
            ended.is_some(),
            "the machine was not done after {} s, and was stopped; its kernel's messages are in {}",
            self.timeout.as_secs(),
            log.display()
        );
        let text = String::from_utf8_lossy(&read(&output)?).replace('\r', "");
        match text.lines().any(|line| line == "HOST-END") {
            true => Ok(Ok(without_first_tries(&text))),
            false => Ok(Err(log)),
        }
    }

    /// The QEMU that emulates the host: mended, if that is possible. Without that some guests are reset, and
    /// where instructions are counted none comes up.
    fn qemu(&self) -> Result<String> {
        let mended = self.tree.dir.join(MENDED);
        if mended.is_file() {
            return Ok(format!("/{MENDED}"));
        }
        match qemu_mend::mended(&read(&self.tree.dir.join(QEMU))?) {
            Ok(program) => {
                let part = mended.with_extension("part");
                fs::write(&part, program)
                    .and_then(|()| fs::set_permissions(&part, PermissionsExt::from_mode(0o755)))
                    .and_then(|()| fs::rename(&part, &mended))
                    .with_context(|| format!("cannot write {}", mended.display()))?;
                Ok(format!("/{MENDED}"))
            }
            Err(error) if self.clock == Clock::Instructions => Err(error.context(
                "this QEMU cannot be mended, and without that no guest comes up where instructions are counted: \
                 --wall-clock takes this machine's time",
            )),
            Err(error) => {
                println!("linux: QEMU is taken as it is, some boots may be reset: {error:#}");
                Ok(format!("/{QEMU}"))
            }
        }
    }

    /// The host's initial file system.
    fn host(&self, dir: &Path) -> Result<Vec<u8>> {
        let mut archive = Archive::new(&self.tree.dir, dir);
        archive.file("init", HOST_INIT.as_bytes());
        archive.file(
            "bin/busybox",
            &read(&self.tree.dir.join("usr/bin/busybox"))?,
        );
        for (order, name) in KVM.iter().enumerate() {
            let module = self.tree.modules().join(format!("kernel/{name}.ko.xz"));
            archive.file(&format!("modules/{order}.ko"), &unpacked(&module)?);
        }
        archive.program(&self.tree.dir.join(QEMU), &self.tree.dir, QEMU)?;
        for folder in ["qemu", "seabios"] {
            archive.files(&format!("usr/share/{folder}"), |name| {
                name.ends_with(".bin")
            })?;
        }
        if let Some(program) = &self.host_program {
            let program = program
                .canonicalize()
                .with_context(|| format!("there is no {}", program.display()))?;
            archive.program(&program, Path::new("/"), "program")?;
            archive.file("program-options", self.host_options.as_bytes());
        }
        let kernel = self
            .guest_kernel
            .clone()
            .unwrap_or_else(|| self.tree.image());
        archive.file("guest-kernel", &read(&kernel)?);
        archive.file("guest-initramfs", &self.guest(dir)?);
        // A line for each: shell words.
        let mut guests = String::new();
        for guest in &self.guests {
            writeln!(
                guests,
                "{}|{}|{}|{}|{}",
                guest.name, guest.script, guest.vcpus, guest.processor, guest.kernel
            )?;
        }
        archive.file("guests", guests.as_bytes());
        Ok(archive.finish())
    }

    fn guest(&self, dir: &Path) -> Result<Vec<u8>> {
        let mut archive = Archive::new(&self.tree.dir, dir);
        archive.file("init", GUEST_INIT.as_bytes());
        archive.file(
            "bin/busybox",
            &read(&self.tree.dir.join("usr/bin/busybox"))?,
        );
        for program in &self.guest_programs {
            archive.program(&self.tree.dir.join(program), &self.tree.dir, program)?;
        }
        for (name, path) in &self.guest_files {
            archive.file(name, &read(path)?);
        }
        Ok(archive.finish())
    }
}

/// An initial file system with its directories.
struct Archive<'a> {
    files: Initramfs,
    directories: Vec<String>,
    names: Vec<String>,
    tree: &'a Path,
    /// For what is made on the way.
    dir: &'a Path,
}

impl<'a> Archive<'a> {
    fn new(tree: &'a Path, dir: &'a Path) -> Self {
        let mut archive = Self {
            files: Initramfs::new(),
            directories: vec!["dev".to_owned()],
            names: Vec::new(),
            tree,
            dir,
        };
        for directory in ["proc", "sys", "tmp"] {
            archive.directory(directory);
        }
        archive
    }

    fn directory(&mut self, name: &str) {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.directory(above);
        }
        if !self.directories.iter().any(|known| known == name) {
            self.files.directory(name);
            self.directories.push(name.to_owned());
        }
    }

    fn file(&mut self, name: &str, bytes: &[u8]) {
        if self.names.iter().any(|known| known == name) {
            return;
        }
        if let Some((above, _)) = name.rsplit_once('/') {
            self.directory(above);
        }
        self.files.file(name, bytes);
        self.names.push(name.to_owned());
    }

    /// A program, and the libraries that it needs at the same place as below `root`.
    fn program(&mut self, path: &Path, root: &Path, name: &str) -> Result<()> {
        let inside = Path::new("/").join(path.strip_prefix(root).unwrap_or(path));
        let output = Command::new("chroot")
            .arg(root)
            .arg("ldd")
            .arg(&inside)
            .output()
            .context("cannot start ldd")?;
        for library in String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
            .filter(|word| !word.ends_with(':'))
        {
            let name = library.trim_start_matches('/');
            self.file(name, &read(&root.join(name))?);
        }
        // Most of it is for debuggers.
        let stripped = self.dir.join("stripped");
        run(Command::new("strip").arg("-o").arg(&stripped).arg(path))?;
        self.file(name, &read(&stripped)?);
        Ok(())
    }

    /// The files of one folder of the tree.
    fn files(&mut self, folder: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let dir = self.tree.join(folder);
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            let name = crate::debian_kernel::file_name(&path);
            if wanted(&name) && path.is_file() {
                self.file(&format!("{folder}/{name}"), &read(&path)?);
            }
        }
        Ok(())
    }

    fn finish(self) -> Vec<u8> {
        self.files.finish()
    }
}

/// Without what a guest printed that was booted again.
fn without_first_tries(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for line in text.lines() {
        if line.starts_with("GUEST-AGAIN") {
            let began = kept.iter().rposition(|line| line.starts_with("GUEST "));
            kept.truncate(began.map_or(0, |at| at + 1));
        } else {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// A module, for a kernel that is not asked to unpack it.
fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let output = Command::new("xz")
        .arg("-dc")
        .arg(path)
        .output()
        .context("cannot start xz")?;
    ensure!(
        output.status.success(),
        "xz could not unpack {}",
        path.display()
    );
    Ok(output.stdout)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_printed_counts_once() {
        let text = "GUEST a\none\nGUEST-END\nGUEST b\nlost\nGUEST-AGAIN b\ntwo\nGUEST-END";
        let kept = without_first_tries(text);
        assert_eq!(kept, "GUEST a\none\nGUEST-END\nGUEST b\ntwo\nGUEST-END");
        assert_eq!(without_first_tries(&kept), kept);
    }
}
