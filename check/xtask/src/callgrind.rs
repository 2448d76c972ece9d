//! Running a program under callgrind, and reading what that writes: how often each instruction ran, and how many in all.
//!
//! Callgrind is told to write addresses, and nothing in short forms:
//!
//! ```text
//! positions: instr line
//! events: Ir
//! summary: 12008                     sums over the part
//! ob=/path/of/the/binary
//! fn=name
//! 0x24760 19 999                     an instruction, its source line, how often it ran (not written if 0)
//! calls=999 0x23560 32               the next line counts what the callee did: not this one
//! 0x24766 19 6993
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

/// The options under which callgrind writes what [`Part::parse`] reads.
const OPTIONS: [&str; 4] = [
    "--tool=callgrind",
    "--dump-instr=yes",
    "--compress-pos=no",
    "--compress-strings=no",
];

/// Runs a program with its arguments under callgrind, which writes to `out`, and a part before each call of `mark`.
pub(crate) fn run(
    out: &Path,
    mark: Option<&str>,
    program: &Path,
    arguments: &[String],
) -> Result<Output> {
    let output = Command::new("valgrind")
        .args(OPTIONS)
        .args(mark.map(|mark| format!("--dump-before={mark}")))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(arguments)
        .output()
        .context("cannot start valgrind: `apt-get install valgrind`")?;
    ensure!(
        output.status.success(),
        "valgrind ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// What happened between two dumps.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Part {
    /// Instructions that ran.
    pub(crate) instructions: u64,
    /// How often each instruction ran: by object file and address in it.
    pub(crate) ran: BTreeMap<(PathBuf, u64), u64>,
}

impl Part {
    /// Reads one dump.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut part = Self::default();
        let mut object = PathBuf::new();
        let mut of_callee = false;
        let mut sum = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(events) = line.strip_prefix("events:") {
                ensure!(
                    events.trim() == "Ir",
                    "callgrind counted '{}', not 'Ir' alone",
                    events.trim()
                );
            } else if let Some(positions) = line.strip_prefix("positions:") {
                ensure!(
                    positions.trim() == "instr line",
                    "callgrind wrote positions as '{}', not as 'instr line'",
                    positions.trim()
                );
            } else if let Some(text) = line.strip_prefix("summary:") {
                sum = Some(text.trim().parse().context("summary")?);
            } else if let Some(path) = line.strip_prefix("ob=") {
                object = Path::new(path).to_owned();
            } else if line.starts_with("calls=") {
                of_callee = true;
            } else if line.starts_with("0x") {
                let (address, ran) = cost(line)
                    .with_context(|| format!("line {} of a dump: '{line}'", number + 1))?;
                if !of_callee {
                    *part.ran.entry((object.clone(), address)).or_default() += ran;
                }
                of_callee = false;
            } else if line.starts_with(|c: char| "+-*0123456789".contains(c)) {
                bail!(
                    "callgrind wrote a shortened position in line {}: '{line}'",
                    number + 1
                );
            }
        }
        part.instructions = sum.context("no 'summary:' line: not a dump of callgrind")?;
        Ok(part)
    }
}

/// Address and `Ir` of a cost line.
fn cost(line: &str) -> Result<(u64, u64)> {
    let mut words = line.split_whitespace();
    let address = words
        .next()
        .and_then(|word| word.strip_prefix("0x"))
        .context("no address")?;
    let address = u64::from_str_radix(address, 16).context("no address")?;
    let _source_line = words.next().context("no source line")?;
    let ran = words.next().map_or(Ok(0), str::parse).context("no count")?;
    Ok((address, ran))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
# callgrind format
version: 1
pid: 15792
cmd:  target/release/examples/pairs 1000
part: 5

desc: Trigger: --dump-before=pairs_mark

positions: instr line
events: Ir
summary: 12008

ob=/bin/pairs
fl=count.rs
fn=repeat
0x24760 19 999
cob=/lib/libc.so
cfn=out_of_line
calls=999 0x23560 32
0x24766 19 6993
fi=range.rs
0x24766 19 999
0x24760 19 1
0x24754 0

ob=/lib/libc.so
fn=out_of_line
0x24760 32 1000
";

    #[test]
    fn calls_belong_to_the_callee_and_objects_stay_apart() {
        let part = Part::parse(DUMP).expect("a dump");
        assert_eq!(part.instructions, 12_008);
        let ran = |object: &str, address| part.ran.get(&(object.into(), address)).copied();
        assert_eq!(ran("/bin/pairs", 0x24760), Some(1_000));
        assert_eq!(ran("/bin/pairs", 0x24766), Some(999));
        assert_eq!(ran("/bin/pairs", 0x24754), Some(0));
        assert_eq!(ran("/lib/libc.so", 0x24760), Some(1_000));
        assert_eq!(part.ran.len(), 4);
    }

    #[test]
    fn what_is_not_asked_for_is_refused() {
        for (from, to, complaint) in [
            ("positions: instr line", "positions: line", "positions"),
            ("0x24754 0", "+4 0", "shortened"),
            ("0x24754 0", "* 0", "shortened"),
            ("summary:", "totals of:", "no 'summary:'"),
            ("events: Ir", "events: Ir Dr", "'Ir Dr'"),
            ("12008", "many", "summary"),
            ("999\ncob", "many\ncob", "line 16"),
        ] {
            let dump = DUMP.replace(from, to);
            assert_ne!(dump, DUMP, "{from}");
            let error = format!("{:#}", Part::parse(&dump).expect_err(to));
            assert!(error.contains(complaint), "{error}");
        }
    }
}
