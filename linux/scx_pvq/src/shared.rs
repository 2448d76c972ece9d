//! What `bpf/shared.h` says, for Rust. A test compares the two.

use std::time::Duration;

/// CPUs that the program has room for.
pub(crate) const MAX_CPUS: usize = 1024;
/// Cache domains that it has room for.
pub(crate) const MAX_DOMAINS: usize = 64;

/// `struct pvq_config`.
#[repr(C)]
pub(crate) struct Config {
    pub(crate) slice_ns: u64,
    pub(crate) min_loan_ns: u64,
    pub(crate) companion_ns: u64,
    pub(crate) most_wait_ns: u64,
    pub(crate) cpus: u32,
    pub(crate) domains: u32,
    pub(crate) loader: u32,
    pub(crate) domain_of: [u8; MAX_CPUS],
}

impl Config {
    /// As the program sees it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of::<Self>());
        bytes.extend(self.slice_ns.to_ne_bytes());
        bytes.extend(self.min_loan_ns.to_ne_bytes());
        bytes.extend(self.companion_ns.to_ne_bytes());
        bytes.extend(self.most_wait_ns.to_ne_bytes());
        bytes.extend(self.cpus.to_ne_bytes());
        bytes.extend(self.domains.to_ne_bytes());
        bytes.extend(self.loader.to_ne_bytes());
        bytes.extend(self.domain_of);
        bytes
    }
}

/// `struct pvq_company`.
pub(crate) struct Company {
    until_ns: u64,
}

impl Company {
    /// What the program keeps; nothing, if these bytes are no such struct.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let until = bytes
            .get(8..16)
            .and_then(|until| until.try_into().ok())
            .map_or(0, u64::from_ne_bytes);
        Self { until_ns: until }
    }

    /// Whether companions are needed now.
    pub(crate) fn is_needed(&self) -> bool {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the system call writes the time, which lives until it returns. It is the clock of `bpf_ktime_get_ns`.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
        let now = Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32);
        now < Duration::from_nanos(self.until_ns)
    }
}

/// `enum pvq_counter`, in its order, by the names that statistics have.
pub(crate) const COUNTERS: [&str; 31] = [
    "yields",
    "asked",
    "ran",
    "refused_affinity",
    "refused_not_waiting",
    "not_waiting_running",
    "not_waiting_asleep",
    "refused_moved",
    "refused_no_time",
    "refused_throttled",
    "ran_throttled",
    "chained",
    "given_back",
    "resumed",
    "expired",
    "converted",
    "lent_ns",
    "lent_paid_ns",
    "charged_ns",
    "used_ns",
    "slices",
    "overrun",
    "preemptions",
    "migrations",
    "stolen",
    "hurried",
    "kthreads",
    "throttled",
    "released",
    "released_late",
    "wanted_ns",
];

const REASON_AT: usize = 16;
const MESSAGE_AT: usize = REASON_AT + 128;
const DUMP_AT: usize = MESSAGE_AT + 1024;
const END_LEN: usize = DUMP_AT + 32768;

/// `struct pvq_end`: why the kernel ended the scheduler.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct End {
    kind: i32,
    code: i64,
    reason: String,
    message: String,
    dump: String,
}

impl End {
    /// `None` while it runs, or if these bytes are no such struct.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < END_LEN {
            return None;
        }
        let kind = i32::from_ne_bytes(bytes[..4].try_into().ok()?);
        let text = |from: usize, to: usize| {
            let field = &bytes[from..to];
            let length = field
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(field.len());
            String::from_utf8_lossy(&field[..length])
                .trim_end()
                .to_owned()
        };
        (kind != 0).then(|| Self {
            kind,
            code: i64::from_ne_bytes(bytes[8..16].try_into().unwrap_or_default()),
            reason: text(REASON_AT, MESSAGE_AT),
            message: text(MESSAGE_AT, DUMP_AT),
            dump: text(DUMP_AT, END_LEN),
        })
    }

    /// Whether it may be loaded again at once: a CPU came or went.
    pub(crate) const fn asks_for_restart(&self) -> bool {
        const RESTART: i64 = 1 << 48;
        self.code & RESTART != 0
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.reason)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        write!(f, " (kind {}, code {:#x})", self.kind, self.code)?;
        if !self.dump.is_empty() {
            write!(f, "\n{}", self.dump)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// With this code.
    pub(crate) fn end(code: i64) -> End {
        let mut bytes = vec![0; END_LEN];
        bytes[..4].copy_from_slice(&1026_i32.to_ne_bytes());
        bytes[REASON_AT..REASON_AT + 5].copy_from_slice(b"stall");
        bytes[8..16].copy_from_slice(&code.to_ne_bytes());
        End::read(&bytes).expect("it ended")
    }

    const HEADER: &str = include_str!("../bpf/shared.h");

    #[test]
    fn counters_stand_in_the_order_of_the_header() {
        let body = HEADER
            .split("enum pvq_counter {")
            .nth(1)
            .and_then(|rest| rest.split('}').next())
            .unwrap_or("");
        let names: Vec<String> = body
            .lines()
            .filter_map(|line| line.trim().strip_prefix("PVQ_"))
            .filter_map(|line| line.split(',').next())
            .filter(|name| *name != "COUNTERS")
            .map(str::to_lowercase)
            .collect();
        assert_eq!(names, COUNTERS);
    }

    #[test]
    fn companions_are_needed_until_the_time_that_is_told() {
        let needed = |until: u64| {
            let bytes = [u64::MAX.to_ne_bytes(), until.to_ne_bytes()].concat();
            Company::read(&bytes).is_needed()
        };
        assert!(!needed(0) && !needed(1) && needed(u64::MAX));
        assert!(!Company::read(&[1; 8]).is_needed());
    }

    #[test]
    fn sizes_are_those_of_the_header() {
        for (name, value) in [
            ("PVQ_MAX_CPUS", MAX_CPUS),
            ("PVQ_MAX_DOMAINS", MAX_DOMAINS),
            ("PVQ_REASON_LEN", MESSAGE_AT - REASON_AT),
            ("PVQ_MESSAGE_LEN", DUMP_AT - MESSAGE_AT),
            ("PVQ_DUMP_LEN", END_LEN - DUMP_AT),
        ] {
            assert!(
                HEADER.contains(&format!("#define {name} {value}\n")),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn an_end_is_read_and_none_while_it_runs() {
        assert_eq!(End::read(&[0; END_LEN]), None);
        assert_eq!(End::read(&[1; 4]), None);
        assert_eq!(end(0).to_string(), "stall (kind 1026, code 0x0)");
        assert!(!end(0).asks_for_restart());
        assert!(end(1 << 48 | 1 << 32).asks_for_restart());
    }
}
