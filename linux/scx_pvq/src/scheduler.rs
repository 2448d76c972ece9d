//! Loading the BPF program and attaching it. Dropping the value ends it: the kernel's own scheduler is back.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use libbpf_rs::{
    Link, Map, MapCore as _, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject, PrintLevel,
};

use crate::companions::{self, Companions};
use crate::counters::{self, Counters};
use crate::loaded::Attached;
use crate::output::message;
use crate::requirements;
use crate::shared::{Config, End, MAX_CPUS};
use crate::topology::{self, Topology};

static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scx_pvq.bpf.o"));

/// Of `struct sched_ext_ops` in bpf/kernel.h: ten callbacks come first.
const FLAGS_AT: usize = 10 * 8;
const TIMEOUT_AT: usize = FLAGS_AT + 8;
const SWITCH_PARTIAL: u64 = 1 << 3;

/// The verifier's log of a program: how much work it was.
const STATISTICS: u32 = 4;

/// What the options say.
pub(crate) struct Settings {
    pub(crate) slice_ns: u64,
    pub(crate) min_loan_ns: u64,
    pub(crate) partial: bool,
    pub(crate) watchdog_ms: u32,
    pub(crate) object: Option<PathBuf>,
    pub(crate) verbose: bool,
}

/// A scheduler that is attached.
pub(crate) struct Scheduler {
    // Dropped first: detaches.
    _link: Link,
    // Then what waits in its hands no more.
    _companions: Companions,
    object: Object,
    topology: Topology,
}

/// What libbpf said last: the reason, if loading fails.
static SAID: Mutex<String> = Mutex::new(String::new());

impl Scheduler {
    /// Loads and attaches it.
    pub(crate) fn attach(settings: &Settings) -> Result<Self> {
        let topology = topology::read()?;
        listen(settings.verbose);
        let mut open = match &settings.object {
            Some(path) => ObjectBuilder::default()
                .open_file(path)
                .with_context(|| format!("{} is no BPF object", path.display()))?,
            None => ObjectBuilder::default()
                .open_memory(OBJECT)
                .context("the BPF object is damaged")?,
        };
        configure(&mut open, settings, &topology)?;
        if settings.verbose {
            for mut program in open.progs_mut() {
                program.set_log_level(STATISTICS);
            }
        }
        let mut object = open.load().map_err(|error| refused("load", &error))?;
        let link = object
            .maps_mut()
            .find(|map| map.name() == "pvq_ops")
            .context("the BPF object has no scheduler")?
            .attach_struct_ops()
            .map_err(|error| refused("attach", &error))?;
        let company = MapHandle::try_from(&named(&object, companions::COMPANY)?)?;
        let companions = Companions::start(
            topology.domain_of.len(),
            settings.partial,
            &named(&object, companions::CALLS)?,
            company,
        )?;
        Ok(Self {
            _link: link,
            _companions: companions,
            object,
            topology,
        })
    }

    /// The CPUs.
    pub(crate) const fn topology(&self) -> &Topology {
        &self.topology
    }
}

impl Attached for Scheduler {
    fn counters(&self) -> Result<Counters> {
        Counters::read(&named(&self.object, counters::MAP)?)
    }

    fn end(&self) -> Result<Option<End>> {
        let map = self
            .object
            .maps()
            .find(|map| map.name().to_string_lossy().ends_with(".bss"));
        let map = map.context("the BPF object has no variables")?;
        let bytes = map
            .lookup(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .context("cannot read its state")?;
        Ok(bytes.and_then(|bytes| End::read(&bytes)))
    }
}

fn named<'a>(object: &'a Object, name: &str) -> Result<Map<'a>> {
    let map = object.maps().find(|map| map.name() == name);
    map.with_context(|| format!("the BPF object has no {name}"))
}

fn configure(open: &mut OpenObject, settings: &Settings, topology: &Topology) -> Result<()> {
    let mut domain_of = [0; MAX_CPUS];
    for (place, &domain) in domain_of.iter_mut().zip(&topology.domain_of) {
        *place = domain;
    }
    let config = Config {
        slice_ns: settings.slice_ns,
        min_loan_ns: settings.min_loan_ns,
        // Long before the watchdog would call it a stall.
        companion_ns: u64::from(settings.watchdog_ms.min(1000)) * 250_000,
        most_wait_ns: u64::from(settings.watchdog_ms) * 500_000,
        cpus: topology.domain_of.len() as u32,
        domains: topology.domains as u32,
        loader: std::process::id(),
        domain_of,
    }
    .bytes();
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if name.ends_with(".rodata") {
            let value = map
                .initial_value_mut()
                .context("the BPF object has no settings")?;
            if value.len() < config.len() {
                bail!("the BPF object has other settings than this loader knows");
            }
            value[..config.len()].copy_from_slice(&config);
        } else if name == "pvq_ops" {
            let value = map
                .initial_value_mut()
                .context("the BPF object has no scheduler")?;
            if settings.partial {
                // The program has others of its own.
                for (at, bits) in (FLAGS_AT..).zip(SWITCH_PARTIAL.to_ne_bytes()) {
                    value[at] |= bits;
                }
            }
            value[TIMEOUT_AT..TIMEOUT_AT + 4].copy_from_slice(&settings.watchdog_ms.to_ne_bytes());
        }
    }
    Ok(())
}

fn listen(verbose: bool) {
    fn note(_: PrintLevel, text: String) {
        if let Ok(mut said) = SAID.lock() {
            said.push_str(&text);
        }
    }
    fn show(level: PrintLevel, text: String) {
        message(&text);
        note(level, text);
    }
    if let Ok(mut said) = SAID.lock() {
        said.clear();
    }
    libbpf_rs::set_print(Some((
        if verbose {
            PrintLevel::Debug
        } else {
            PrintLevel::Warn
        },
        if verbose { show } else { note },
    )));
}

fn refused(what: &str, error: &libbpf_rs::Error) -> anyhow::Error {
    let said = SAID.lock().map(|said| said.clone()).unwrap_or_default();
    anyhow::Error::msg(why(
        what,
        &error.to_string(),
        &said,
        &requirements::release(),
        requirements::is_half_described,
    ))
}

/// In one sentence. `said`: by libbpf.
fn why(
    what: &str,
    error: &str,
    said: &str,
    kernel: &str,
    is_half_described: impl Fn(&str) -> bool,
) -> String {
    let mut lines = said.lines().map(str::trim);
    let function = lines
        .clone()
        .find(|line| line.ends_with(']') && line.contains("incompatible with vmlinux"))
        .and_then(|line| line.split('\'').nth(1));
    if let Some(function) = function {
        return if is_half_described(function) {
            format!(
                "kernel {kernel} was built with tools that left {function} half described, so no such scheduler can call it: \
                 take another build of it, or Linux 7.3 or later"
            )
        } else {
            format!("kernel {kernel} has another {function} than this program knows")
        };
    }
    if said.contains("BEGIN PROG LOAD LOG") {
        return format!(
            "the verifier of kernel {kernel} refused the program, which is a bug of scx_pvq: --verbose shows its reasons"
        );
    }
    let last = lines
        .rfind(|line| line.starts_with("libbpf:"))
        .unwrap_or_default();
    format!("kernel {kernel} did not {what} the program: {error}; {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_sentence_that_says_whose_fault_it_is() {
        let said = "libbpf: extern (func ksym) 'scx_bpf_create_dsq': func_proto [12] incompatible with vmlinux [53792]\n\
                    libbpf: failed to load object 'scx_pvq_bpf'\n";
        let half = why("load", "Invalid argument", said, "7.2.12", |_| true);
        let other = why("load", "no", said, "8.0", |_| false);
        assert_eq!(
            other,
            "kernel 8.0 has another scx_bpf_create_dsq than this program knows"
        );
        assert!(
            half.starts_with("kernel 7.2.12 was built with tools"),
            "{half}"
        );
        assert!(half.contains("scx_bpf_create_dsq half described"), "{half}");
        let verifier = why(
            "load",
            "no",
            "libbpf: -- BEGIN PROG LOAD LOG --\n",
            "7.3",
            |_| true,
        );
        assert!(verifier.contains("a bug of scx_pvq"), "{verifier}");
        let other = why(
            "attach",
            "Device busy",
            "libbpf: a\nlibbpf: b\n",
            "7.3",
            |_| true,
        );
        assert_eq!(
            other,
            "kernel 7.3 did not attach the program: Device busy; libbpf: b"
        );
    }
}
