//! The first process in the machine of `cargo xtask kvm-in-qemu`: loads KVM, runs one command, says
//! what came of it, and powers off.
//!
//! | in the initial file system | |
//! | --- | --- |
//! | `/modules` | the kernel's modules, loaded in the order of their names |
//! | `/command` | the program and its arguments, one a line |
//! | `/out` | what the command leaves here is sent out |
//!
//! | serial port | |
//! | --- | --- |
//! | 1 | what the command prints |
//! | 2 | the kernel |
//! | 3 | the outcome: for each file in `/out` a line `file LENGTH NAME` and its bytes; then `exit STATUS`, `signal NUMBER` or `error TEXT` |
//! | 4 | what the command prints as errors |

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::mount::MountFlags;
use rustix::system::RebootCommand;
use rustix::termios::{self, OptionalActions};

/// The kernel unpacks it, if it can: `MODULE_INIT_COMPRESSED_FILE`.
const COMPRESSED: i32 = 4;

fn main() {
    let last_words = match run() {
        Ok(status) => match status.code() {
            Some(code) => format!("exit {code}"),
            None => format!("signal {}", status.signal().unwrap_or_default()),
        },
        Err(error) => format!("error {error:#}"),
    };
    // Without the port nothing can be reported; the command outside sees that nothing came.
    let _ = send(&last_words);
    rustix::fs::sync();
    // Powers off, or ends: then the kernel panics, and the machine stops as well.
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
}

fn run() -> Result<ExitStatus> {
    for (kind, at) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/out"),
    ] {
        fs::create_dir_all(at).with_context(|| format!("cannot create {at}"))?;
        rustix::mount::mount(kind, at, kind, MountFlags::empty(), None)
            .with_context(|| format!("cannot mount {at}"))?;
    }
    // Only for who looks for it; not every kernel has it.
    let _ = rustix::mount::mount(
        "debugfs",
        "/sys/kernel/debug",
        "debugfs",
        MountFlags::empty(),
        None,
    );
    let mut modules = fs::read_dir("/modules")
        .context("cannot read /modules")?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    modules.sort();
    for module in &modules {
        load(module).with_context(|| format!("cannot load {}", module.display()))?;
    }
    let status = command()?;
    send_files()?;
    Ok(status)
}

fn load(path: &Path) -> Result<()> {
    let compressed = path.extension().is_some_and(|extension| extension != "ko");
    let flags = if compressed { COMPRESSED } else { 0 };
    rustix::system::finit_module(File::open(path)?, c"", flags)?;
    Ok(())
}

fn command() -> Result<ExitStatus> {
    let text = fs::read_to_string("/command").context("cannot read /command")?;
    let mut words = text.lines();
    let program = words.next().context("/command is empty")?;
    let (output, errors) = (port(1)?, port(4)?);
    let mut child = Command::new(program)
        .args(words)
        .env("HOME", "/tmp")
        .current_dir("/out")
        .stdin(Stdio::null())
        // Pipes, so that the command does not take a port for a terminal.
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let copies = [
        child.stdout.take().map(|from| copy(from, output)),
        child.stderr.take().map(|from| copy(from, errors)),
    ];
    let status = child.wait()?;
    for copy in copies.into_iter().flatten() {
        // A thread that panicked has lost output, and nothing else.
        let _ = copy.join();
    }
    Ok(status)
}

fn copy(mut from: impl Read + Send + 'static, mut to: File) -> thread::JoinHandle<io::Result<u64>> {
    thread::spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        termios::tcdrain(&to)?;
        copied
    })
}

/// A serial port that passes on every byte as it is.
fn port(number: u32) -> Result<File> {
    let path = format!("/dev/ttyS{}", number - 1);
    let open = || {
        let port = File::options().read(true).write(true).open(&path)?;
        let mut mode = termios::tcgetattr(&port)?;
        mode.make_raw();
        termios::tcsetattr(&port, OptionalActions::Now, &mode)?;
        anyhow::Ok(port)
    };
    open().with_context(|| format!("cannot open {path}"))
}

fn send(line: &str) -> Result<()> {
    let mut port = port(3)?;
    writeln!(port, "{}", line.replace('\n', " "))?;
    termios::tcdrain(&port)?;
    Ok(())
}

fn send_files() -> Result<()> {
    let mut port = port(3)?;
    for entry in fs::read_dir("/out").context("cannot read /out")? {
        let entry = entry?;
        // A folder has the pictures of a page, and the page has them, too.
        if entry.file_type()?.is_dir() {
            continue;
        }
        let bytes = fs::read(entry.path())?;
        writeln!(
            port,
            "file {} {}",
            bytes.len(),
            entry.file_name().to_string_lossy()
        )?;
        port.write_all(&bytes)?;
    }
    termios::tcdrain(&port)?;
    Ok(())
}
