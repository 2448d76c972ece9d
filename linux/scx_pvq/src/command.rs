//! The command that is run under the scheduler, and the signals that it gets.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command as Process};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context as _, Result};
use libc::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, c_int};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

/// A signal that asks this program to end.
pub(crate) struct Signal {
    number: c_int,
    /// By the terminal, which sent it to the command as well.
    to_all: bool,
}

/// The signals that ask this program to end, from now on; and those that tell of a command's end.
pub(crate) fn signals(of_command: bool) -> Result<Receiver<Signal>> {
    let mut numbers = vec![SIGINT, SIGTERM, SIGHUP];
    numbers.retain(|&number| !is_ignored(number));
    if of_command {
        numbers.push(SIGCHLD);
    }
    listen(&numbers)
}

/// Whether this process was started so that it ignores that signal, as by `nohup`. Its command inherits that.
fn is_ignored(number: c_int) -> bool {
    // SAFETY: the struct is plain data, for which zeros are a value. The system call changes no signal, and writes there alone.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(number, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// The exit status if a signal has come that asks this program to end. Only before the command is started: what the terminal
/// sent until then the command does not have.
pub(crate) fn asked_to_end(signals: &Receiver<Signal>) -> Option<u8> {
    let asked = signals.try_iter().find(|signal| signal.number != SIGCHLD)?;
    Some(by_signal(asked.number))
}

/// The exit status of what a signal ended.
fn by_signal(number: c_int) -> u8 {
    u8::try_from(128 + number).unwrap_or(1)
}

fn listen(numbers: &[c_int]) -> Result<Receiver<Signal>> {
    let mut signals = SignalsInfo::<WithOrigin>::new(numbers).context("cannot wait for signals")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for Origin { signal, cause, .. } in &mut signals {
            let signal = Signal {
                number: signal,
                to_all: cause == Cause::Kernel,
            };
            if sender.send(signal).is_err() {
                // The receiver is gone only when the program ends anyway.
                break;
            }
        }
    });
    Ok(receiver)
}

/// The command while it runs.
pub(crate) struct Command(Child);

impl Command {
    /// Starts it; with `partial`, in the class sched_ext.
    pub(crate) fn start(words: &[OsString], partial: bool) -> Result<Self> {
        let mut process = Process::new(&words[0]);
        process.args(&words[1..]);
        if partial {
            // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
            unsafe {
                process.pre_exec(|| match crate::ask_for_sched_ext() {
                    true => Ok(()),
                    false => Err(std::io::Error::last_os_error()),
                });
            }
        }
        (process.spawn().map(Self))
            .with_context(|| format!("cannot start {}", words[0].to_string_lossy()))
    }

    /// Its exit status once it has ended: 128 and the signal's number if a signal ended it.
    pub(crate) fn ended(&mut self) -> Result<Option<u8>> {
        let status = self.0.try_wait().context("cannot wait for the command")?;
        Ok(status.map(|status| {
            let code = status.code().map(|code| u8::try_from(code).unwrap_or(1));
            code.unwrap_or_else(|| by_signal(status.signal().unwrap_or(0)))
        }))
    }

    /// Sends it a signal that this program was sent, unless it has that already.
    pub(crate) fn pass_on(&mut self, signal: &Signal) {
        if signal.number != SIGCHLD && !signal.to_all && matches!(self.0.try_wait(), Ok(None)) {
            // SAFETY: it has no preconditions. The process is the command's: it has not been waited for yet.
            unsafe { libc::kill(self.0.id().cast_signed(), signal.number) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use super::*;

    /// A command that has begun to wait for signals.
    fn shell(script: &str) -> Command {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut process = Process::new("sh");
        let script = format!("{script}\necho ready; while :; do sleep 0.01; done");
        process.args(["-c", &script]).stdout(writer);
        let command = Command(process.spawn().expect("a shell"));
        drop(process);
        reader.read_exact(&mut [0; 6]).expect("it is ready");
        command
    }

    fn status(command: &mut Command) -> u8 {
        loop {
            if let Some(status) = command.ended().expect("it can be waited for") {
                return status;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_signal_reaches_the_command_and_its_status_is_kept() {
        let sent = |number| Signal {
            number,
            to_all: false,
        };
        let mut polite = shell("trap 'exit 5' TERM");
        polite.pass_on(&sent(SIGTERM));
        assert_eq!(status(&mut polite), 5);
        // It is gone: nothing is sent to a process that may have its number now.
        polite.pass_on(&sent(SIGTERM));
        // Not SIGHUP, which a shell ignores if these tests run under `nohup`.
        let mut plain = shell("");
        plain.pass_on(&sent(SIGTERM));
        assert_eq!(status(&mut plain), 143);
    }

    #[test]
    fn what_the_terminal_sent_is_not_sent_twice() {
        let mut command = shell("trap 'exit 5' INT; trap 'exit 6' TERM");
        command.pass_on(&Signal {
            number: SIGINT,
            to_all: true,
        });
        command.pass_on(&Signal {
            number: SIGTERM,
            to_all: false,
        });
        assert_eq!(status(&mut command), 6);
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let error = Command::start(&["/nowhere".into()], false)
            .err()
            .expect("there is none");
        assert_eq!(error.to_string(), "cannot start /nowhere");
    }

    #[test]
    fn a_signal_that_a_process_sent_is_for_the_command_too() {
        // Not SIGHUP, which is ignored if these tests run under `nohup`.
        let signals = signals(false).expect("signals can be waited for");
        // SAFETY: it has no preconditions.
        unsafe { libc::kill(std::process::id().cast_signed(), SIGTERM) };
        let signal = signals
            .recv_timeout(Duration::from_secs(60))
            .expect("it comes");
        assert_eq!((signal.number, signal.to_all), (SIGTERM, false));
    }

    #[test]
    fn what_comes_before_the_command_is_not_lost() {
        let (sender, signals) = mpsc::channel();
        let send = |number| {
            let to_all = true;
            sender.send(Signal { number, to_all }).expect("a receiver");
        };
        assert_eq!(asked_to_end(&signals), None);
        send(SIGCHLD);
        assert_eq!(asked_to_end(&signals), None);
        send(SIGCHLD);
        send(SIGINT);
        assert_eq!(asked_to_end(&signals), Some(130));
    }

    #[test]
    fn what_is_ignored_stays_ignored() {
        // Nothing else here uses it.
        assert!(!is_ignored(libc::SIGUSR1));
        // SAFETY: to ignore a signal has no preconditions.
        unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
        assert!(is_ignored(libc::SIGUSR1));
    }
}
