//! `docs/generated/fast-path.md`: what the uncontended paths are made of.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::assembly::Functions;
use crate::baseline::Baseline;
use crate::instructions::BYTE_RELEASE;

/// A lock whose code is shown.
pub(crate) struct Shown {
    /// Its name in the catalogue.
    pub(crate) name: &'static str,
    /// Its functions: lock, unlock.
    pub(crate) symbols: [&'static str; 2],
    about: &'static str,
}

/// The locks whose code is shown: policies of `pvqspin`, then the rivals that matter.
pub(crate) const SHOWN: [Shown; 8] = [
    Shown {
        name: "native-queued",
        symbols: ["native_lock", "native_unlock"],
        about: "`pvqspin` on bare metal; nothing paravirtual is left in it",
    },
    Shown {
        name: "fifo",
        symbols: ["fifo_lock", "fifo_unlock"],
        about: "`pvqspin` in a guest: the same two steps, with the holder's number in them",
    },
    Shown {
        name: "fifo-bit",
        symbols: ["fifo_bit_lock", "fifo_bit_unlock"],
        about: "`pvqspin`, on the word with a spare bit",
    },
    Shown {
        name: "bounded",
        symbols: ["bounded_lock", "bounded_unlock"],
        about: "`pvqspin`, for hosts that take hints only: no branch on the policy",
    },
    Shown {
        name: "test-and-set",
        symbols: ["test_and_set_lock", "test_and_set_unlock"],
        about: "a rival; released by a store, because no other CPU writes a held word",
    },
    Shown {
        name: "ticket",
        symbols: ["ticket_lock", "ticket_unlock"],
        about: "a rival",
    },
    Shown {
        name: "linux-pv",
        symbols: ["linux_pv_lock", "linux_pv_unlock"],
        about: "a rival, of three words where Linux has three fields of one, which it compares at once",
    },
    Shown {
        name: "unfair-hinted",
        symbols: ["unfair_hinted_lock", "unfair_hinted_unlock"],
        about: "a rival; it names its holder too",
    },
];

const HEAD: &str = "\
# The fast paths in machine code

Written by `cargo xtask asm --write`. The same command without `--write` fails if a hypercall, a look at the run-state
page or an indirect call is left in the native lock, or if this file is out of date.

## What a pair costs

What one lock plus unlock executes without contention, inlined into a small function, with the registers that
this function has to save for the sake of the slow path. Counted by callgrind over the same function without a lock,
exactly (`cargo xtask instructions`). The *locked* instructions are what takes the time (`pvq uncontended`). A lock whose
word waiters change while it is held needs two of them, since Rust's memory model has no racing accesses of different
sizes (`docs/decisions/0001-native-release.md`). The two *swap* rows are no locks but what these are made of.

A lock that names its holder reads the CPU number: two instructions here (its address, then the number), one in a kernel,
and two more make the word of it. The rest of what `fifo` has over `native-queued` is the token of the acquisition, which
the release compares the word with, and a register saved for the slow path. All policies of `pvqspin` have the same count:
there is no branch on the policy.
";

/// The whole document. `byte_release` is the code with that feature.
pub(crate) fn document(
    functions: &Functions,
    byte_release: &Functions,
    recorded: &Baseline,
) -> Result<String> {
    let mut text = format!("{HEAD}\n{}, {}.\n\n", recorded.rustc, recorded.target);
    text.push_str("| lock | instructions | of them locked | conditional branches |\n");
    text.push_str("| --- | --- | --- | --- |\n");
    let mut locks: Vec<_> = recorded.locks.iter().collect();
    locks.sort_by_key(|(name, counts)| (counts.locked, counts.instructions, name.clone()));
    for (name, counts) in locks {
        let own = SHOWN.iter().any(|shown| shown.name == name);
        let mark = if own { "`" } else { "" };
        let _ = writeln!(
            text,
            "| {mark}{name}{mark} | {} | {} | {} |",
            counts.instructions, counts.locked, counts.branches
        );
    }
    for shown in &SHOWN {
        let _ = write!(
            text,
            "\n## `{}`\n\n{}.\n",
            shown.name,
            sentence(shown.about)
        );
        for name in shown.symbols {
            listing(&mut text, name, functions)?;
        }
        if shown.name == "native-queued" {
            let _ = write!(text, "\nWith the feature `{BYTE_RELEASE}`:\n");
            listing(&mut text, shown.symbols[1], byte_release)?;
        }
    }
    Ok(text)
}

fn sentence(about: &str) -> String {
    let mut letters = about.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn listing(text: &mut String, name: &str, functions: &Functions) -> Result<()> {
    let body = functions
        .get(name)
        .with_context(|| format!("no symbol {name} in the assembly"))?;
    let _ = write!(text, "\n```asm\n{name}:\n");
    for line in body {
        let indent = if line.ends_with(':') { "" } else { "    " };
        let line = without_function_number(&shorten(line)).replace('\t', " ");
        let _ = writeln!(text, "{indent}{line}");
    }
    text.push_str("```\n");
    Ok(())
}

/// `.LBB12_2` is the second block of whatever function comes twelfth.
fn without_function_number(line: &str) -> String {
    let Some((before, after)) = line.split_once(".LBB") else {
        return line.to_owned();
    };
    match after.split_once('_') {
        Some((_, block)) => format!("{before}.L{block}"),
        None => line.to_owned(),
    }
}

/// A mangled name is no reading matter: keep what it is about.
fn shorten(line: &str) -> String {
    let Some(at) = line.find("_R").or_else(|| line.find("_ZN")) else {
        return line.to_owned();
    };
    let what = if line.contains("slow_path") || line.contains("lock_contended") {
        "<slow path>"
    } else if line.contains("release") {
        "<contended release>"
    } else if line.contains("CPU") {
        "<CPU number>"
    } else {
        "<symbol>"
    };
    let tail = line[at..]
        .find(|c: char| !(c.is_alphanumeric() || "_$.".contains(c)))
        .map_or("", |end| &line[at + end..]);
    format!("{}{what}{tail}", &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_do_not_depend_on_what_else_is_compiled() {
        assert_eq!(without_function_number("jne .LBB12_2"), "jne .L2");
        assert_eq!(without_function_number(".LBB0_11:"), ".L11:");
        assert_eq!(without_function_number("ret"), "ret");
    }

    #[test]
    fn symbols_are_named_after_what_they_are() {
        let line = "jne _RINvNtCs1_7pvqspin9slow_path4lockNtB2_E";
        assert_eq!(shorten(line), "jne <slow path>");
        let line = "mov rax, qword ptr [rip + _ZN9fast_path3CPU17hE]";
        assert_eq!(shorten(line), "mov rax, qword ptr [rip + <CPU number>]");
    }
}
