//! A machine with an AMD processor that can run virtual machines, all of it emulated by QEMU.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::debian_packages::run;

const QEMU: &str = "qemu-system-x86_64";

/// The QEMU that is run: the one in the path, or the one that the variable `QEMU` names.
fn program() -> OsString {
    std::env::var_os("QEMU").unwrap_or_else(|| QEMU.into())
}

/// Fails if QEMU is too old to count instructions on so many processors: before 8.1 each has a turn that lasts until the next
/// timer, up to a tick of 4 ms, and what runs there looks preempted to the others.
pub(crate) fn counts_fairly(cpus: u32) -> Result<()> {
    let text = what_it_says()?;
    let version = version(&text).with_context(|| format!("QEMU has no version: {text}"))?;
    ensure!(
        cpus <= 2 || version >= (8, 1),
        "QEMU {}.{} does not share instructions among {cpus} processors: name one of 8.1 or later in the variable QEMU",
        version.0,
        version.1
    );
    Ok(())
}

/// The version of QEMU, as it names it.
pub(crate) fn version_name() -> Result<String> {
    let text = what_it_says()?;
    let name = text
        .split("version ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    Ok(name
        .with_context(|| format!("QEMU has no version: {text}"))?
        .to_owned())
}

fn what_it_says() -> Result<String> {
    let output = Command::new(program()).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Of `QEMU emulator version 11.1.3 (Debian ...)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let number = text.split("version ").nth(1)?;
    let mut parts = number.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
/// Debian's package with it.
const PACKAGE: &str = "qemu-system-x86";

/// Finds QEMU, or installs it where one may.
pub(crate) fn provide() -> Result<()> {
    if Command::new(program()).arg("--version").output().is_ok() {
        return Ok(());
    }
    let apt = Command::new("apt-get").arg("--version").output().is_ok();
    ensure!(
        apt && rustix::process::geteuid().is_root(),
        "{QEMU} is missing: `apt-get install {PACKAGE}` as root, or what your system calls it"
    );
    println!("kvm-in-qemu: installing {PACKAGE} ...");
    let install = || {
        run(Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-qq", "-y", "--no-install-recommends", PACKAGE]))
    };
    if install().is_err() {
        // The usual reason: the lists are old, or there are none.
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        install()?;
    }
    Ok(())
}

/// How QEMU runs the processors of its machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Threads {
    /// In turns, on one thread.
    One,
    /// Each on its own. QEMU 7.2 then puts the registers of the kernel that runs a VM in the place of
    /// the VM's, in one run of five or so: a guest comes back with a RIP in `kvm_amd` and the address
    /// of its control block in RAX, and ends in a triple fault or never. In turns that does not happen.
    OneEach,
}

/// Where the machine's time comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// From the instructions that its processors execute, in turns: one is a nanosecond.
    Instructions,
    /// From this machine's clock.
    Wall(Threads),
}

impl Clock {
    pub(crate) fn options(self) -> Vec<&'static str> {
        match self {
            Self::Instructions => vec![
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
            ],
            Self::Wall(Threads::One) => vec!["-accel", "tcg,thread=single"],
            Self::Wall(Threads::OneEach) => vec!["-accel", "tcg,thread=multi"],
        }
    }
}

/// The machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// How many processors it has.
    pub(crate) cpus: u32,
    /// What its time is.
    pub(crate) clock: Clock,
    /// What its random numbers begin with.
    pub(crate) seed: u32,
    /// When to stop it, in this machine's time.
    pub(crate) timeout: Duration,
    /// More parameters of its kernel.
    pub(crate) parameters: String,
}

/// What the machine's first process said last.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// The command ended.
    Exit(i32),
    /// It was ended.
    Signal(i32),
    /// It could not be started, or the machine is not what it should be.
    Error(String),
}

/// What came out of the machine.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// The files that the command left, by name.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// How it ended.
    pub(crate) ending: Ending,
}

impl Outcome {
    /// A file that the command left.
    pub(crate) fn file(&self, name: &str) -> Option<&[u8]> {
        (self.files.iter())
            .find(|(known, _)| known == name)
            .map(|(_, bytes)| bytes.as_slice())
    }
}

/// What every kernel is told.
const PARAMETERS: &str =
    "console=ttyS1 quiet loglevel=5 panic=-1 mitigations=off nokaslr norandmaps";

/// Boots a kernel, and waits for what comes of it. What the command prints comes out here; what the
/// kernel says is kept in `dir`.
pub(crate) fn boot(
    kernel: &Path,
    initramfs: &Path,
    dir: &Path,
    machine: &Machine,
) -> Result<Outcome> {
    let timeout = machine.timeout;
    let log = dir.join("kernel.log");
    let result = dir.join("outcome");
    let _ = fs::remove_file(&result);
    let file = |path: &Path| format!("file:{}", path.display());
    let mut qemu = Command::new(program())
        .args(machine.clock.options())
        // Random numbers come from the seed alone.
        .args(["-cpu", "max,+svm,+npt,-rdrand,-rdseed"])
        .args(["-seed", &machine.seed.to_string()])
        .args(["-rtc", "base=2026-01-01,clock=vm"])
        .args(["-smp", &machine.cpus.to_string(), "-m", "1024"])
        .args(["-nodefaults", "-no-reboot", "-display", "none"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-append")
        .arg(format!("{PARAMETERS} {}", machine.parameters))
        // The four ports of `check/xtask/kvm-init`.
        .args(["-serial", "stdio"])
        .args(["-serial", &file(&log)])
        .args(["-serial", &file(&result)])
        // Appended, or it would empty the file that standard error may go to.
        .args(["-chardev", "file,id=errors,path=/dev/stderr,append=on"])
        .args(["-serial", "chardev:errors"])
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {QEMU}"))?;
    let status = wait(&mut qemu, timeout)?;
    let bytes = fs::read(&result).unwrap_or_default();
    let why = || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last: Vec<_> = said.lines().rev().take(15).collect();
        let last: Vec<_> = last.into_iter().rev().collect();
        format!(
            "the kernel's last lines, of {}:\n{}",
            log.display(),
            last.join("\n")
        )
    };
    match status {
        None => bail!(
            "the machine was not done after {} s, and was stopped; {}",
            timeout.as_secs(),
            why()
        ),
        Some(status) => parse(&bytes).with_context(|| {
            format!(
                "{QEMU} ended with {status} before its command did; {}",
                why()
            )
        }),
    }
}

/// `None` if it had to be stopped.
fn wait(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>> {
    let until = Instant::now() + timeout;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Reads what the first process sent.
fn parse(bytes: &[u8]) -> Result<Outcome> {
    let mut files = Vec::new();
    let mut rest = bytes;
    loop {
        let end = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .context("nothing came out")?;
        let line = String::from_utf8_lossy(&rest[..end]);
        rest = &rest[end + 1..];
        let (word, more) = line.split_once(' ').unwrap_or((&line, ""));
        let ending = match word {
            "file" => {
                let (length, name) = more.split_once(' ').context("a file without a name")?;
                let length: usize = length.parse().context("a file without a length")?;
                let data = rest.get(..length).context("a file is cut off")?;
                files.push((name.to_owned(), data.to_vec()));
                rest = &rest[length..];
                continue;
            }
            "exit" => Ending::Exit(more.parse().context("no exit status")?),
            "signal" => Ending::Signal(more.parse().context("no signal")?),
            "error" => Ending::Error(more.to_owned()),
            _ => bail!("what came out makes no sense: {line}"),
        };
        return Ok(Outcome { files, ending });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_before_the_end_whatever_is_in_them() {
        let outcome = parse(b"file 12 a b.json\nexit 1\n\n\n\n\nXexit 3\n").unwrap();
        assert_eq!(
            outcome.files,
            [("a b.json".to_owned(), b"exit 1\n\n\n\n\nX".to_vec())]
        );
        assert_eq!(outcome.ending, Ending::Exit(3));
        assert_eq!(parse(b"signal 6\n").unwrap().ending, Ending::Signal(6));
        assert_eq!(
            parse(b"error no KVM here\n").unwrap().ending,
            Ending::Error("no KVM here".to_owned())
        );
    }

    #[test]
    fn versions_are_read_as_numbers() {
        for (text, expected) in [
            (
                "QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright",
                Some((7, 2)),
            ),
            ("QEMU emulator version 11.1.3\n", Some((11, 1))),
            ("hm", None),
        ] {
            assert_eq!(version(text), expected);
        }
    }

    #[test]
    fn what_is_cut_off_is_no_outcome() {
        for bytes in [&b""[..], b"exit", b"file 9 x\nshort", b"exit x\n", b"hm\n"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
