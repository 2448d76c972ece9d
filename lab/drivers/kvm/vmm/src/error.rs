//! What can go wrong, in words for the terminal.

use core::fmt;
use std::io;
use std::time::Duration;

use kvm_ioctls::VcpuFd;
use pvqspin_abi::{Cpu, RunState};

use crate::exit::Offence;
use crate::image::ImageProblem;

/// The shortest slice, in nanoseconds: an exit, a signal and a change of threads take some tens of
/// microseconds where KVM itself is nested.
pub const MIN_SLICE_NS: u64 = 200_000;

/// This machine cannot run KVM guests, or not these.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The device does not exist.
    #[error(
        "there is no /dev/kvm: enable virtualisation in the firmware, load kvm_intel or kvm_amd, \
         and in a container pass the device in"
    )]
    NoDevice,
    /// The device is not to be opened.
    #[error("/dev/kvm may not be opened ({0}): join the group kvm, or run as root")]
    NoPermission(io::Error),
    /// Something else is wrong with the device.
    #[error("/dev/kvm does not work: {0}")]
    Broken(io::Error),
    /// KVM speaks another language.
    #[error("KVM's interface is version {0}, and version 12 is needed")]
    ApiVersion(i32),
    /// KVM does not offer its guests what the stock transports are about.
    #[error(
        "the stock transport needs {0}, which this KVM does not offer; the doorbell needs nothing of the kind"
    )]
    NoStock(&'static str),
    /// KVM lacks what is needed.
    #[error("KVM lacks the capability {0}")]
    Missing(&'static str),
}

/// A run that was asked for and makes no sense here.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// It makes no sense on any driver.
    #[error(transparent)]
    Run(#[from] pvqspin_real_time::ConfigProblem),
    /// More vCPUs than KVM allows.
    #[error("{asked} vCPUs asked for in a VM, KVM allows {allowed} here")]
    TooManyVcpus {
        /// How many were asked for.
        asked: usize,
        /// How many KVM allows.
        allowed: usize,
    },
    /// A slice so short that signals and exits cannot keep up.
    #[error("a slice of {slice_ns} ns asked for, a VM cannot keep slices below {MIN_SLICE_NS} ns")]
    SliceTooShort {
        /// The slice that was asked for, in nanoseconds.
        slice_ns: u64,
    },
    /// Hypercalls from where KVM refuses them.
    #[error(
        "the stock transport needs guest code at CPL 0: KVM takes no hypercalls from elsewhere"
    )]
    StockNeedsCpl0,
    /// Something that only the embedded hypervisor does.
    #[error("traces and armed faults are for the embedded hypervisor; in a VM there are none")]
    EmbeddedOnly,
    /// The image cannot be run.
    #[error(transparent)]
    Image(#[from] ImageProblem),
}

impl From<pvqspin_host::ConfigError> for ConfigProblem {
    fn from(error: pvqspin_host::ConfigError) -> Self {
        Self::Run(error.into())
    }
}

/// A run that gave no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was never possible here.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    /// No memory, no thread, no timer, or KVM refused a step of the setup.
    #[error("cannot set up the virtual machine: {what}: {error}")]
    Setup {
        /// Which step.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Something ended the run.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The guest made no progress.
    #[error(transparent)]
    Stuck(Box<Stuck>),
    /// What the guest left in its memory makes no sense.
    #[error("the guest's results make no sense: {0}")]
    Senseless(&'static str),
}

impl RunError {
    /// Turns what the system says about a step of the setup into an error.
    pub(crate) fn setup<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Setup {
            what,
            error: error.into(),
        }
    }
}

/// KVM's errors are numbers of the system.
pub(crate) fn io_error(error: vmm_sys_util::errno::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

/// What ends a run at once.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// A thread could not do its part.
    #[error("a vCPU thread failed: {0}")]
    Host(io::Error),
    /// A guest did what ends it.
    #[error("vcpu{vcpu} (cpu {cpu}) ended its VM: {offence}{at}", at = At(registers))]
    Guest {
        /// Its number on the host.
        vcpu: usize,
        /// Its number in its VM.
        cpu: Cpu,
        /// What it did.
        offence: Offence,
        /// Its registers, if KVM tells.
        registers: Option<Box<Registers>>,
    },
}

/// Where it was.
struct At<'a>(&'a Option<Box<Registers>>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(registers) => write!(f, "\n{registers}"),
            None => f.write_str(" (its registers are gone)"),
        }
    }
}

/// The registers of a vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// The instruction that is next.
    pub rip: u64,
    /// The flags.
    pub rflags: u64,
    /// RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15.
    pub general: [u64; 16],
}

impl Registers {
    /// The registers as they are now; `None` if KVM does not tell.
    pub(crate) fn read(vcpu: &VcpuFd) -> Option<Self> {
        let regs = vcpu.get_regs().ok()?;
        Some(Self {
            rip: regs.rip,
            rflags: regs.rflags,
            general: [
                regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp, regs.rsp,
                regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
            ],
        })
    }
}

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 16] = [
            "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11",
            "r12", "r13", "r14", "r15",
        ];
        write!(f, "    rip {:#x}  rflags {:#x}", self.rip, self.rflags)?;
        for (at, (name, value)) in NAMES.iter().zip(self.general).enumerate() {
            let gap = if at % 4 == 0 { "\n   " } else { "" };
            write!(f, "{gap} {name:>3} {value:#018x}")?;
        }
        Ok(())
    }
}

/// A vCPU of a guest that made no progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StuckVcpu {
    /// Its number on the host.
    pub vcpu: usize,
    /// Its number in its VM.
    pub cpu: Cpu,
    /// What it was doing, for the host.
    pub state: RunState,
    /// The CPU that it waited for, from its page.
    pub waiting_for: Option<Cpu>,
    /// Its registers.
    pub registers: Option<Registers>,
}

/// A guest that made no progress: what each vCPU waited for, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stuck {
    /// How long nothing happened.
    pub patience: Duration,
    /// Every vCPU.
    pub vcpus: Vec<StuckVcpu>,
}

impl std::error::Error for Stuck {}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the guest made no progress for {:?}; stopped. What each vCPU waits for:",
            self.patience
        )?;
        for vcpu in &self.vcpus {
            let state = match vcpu.state {
                RunState::Running => "running",
                RunState::Preempted => "preempted",
                RunState::Halted => "halted",
                RunState::Idle => "idle or done",
            };
            write!(f, "\n  vcpu{} (cpu {}): {state}, ", vcpu.vcpu, vcpu.cpu)?;
            match vcpu.waiting_for {
                Some(cpu) => write!(f, "waits for cpu {cpu}")?,
                None => write!(f, "names no CPU that it waits for")?,
            }
            if let Some(registers) = &vcpu.registers {
                write!(f, "\n{registers}")?;
            }
        }
        Ok(())
    }
}
