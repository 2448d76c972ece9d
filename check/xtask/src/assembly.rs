//! Compiling the fast paths to assembly, and finding one's way in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};

use crate::run::{cargo, succeed, target_dir};

/// Functions by symbol: their instructions and local labels.
pub(crate) type Functions = BTreeMap<String, Vec<String>>;

/// Compiles `examples/fast_path.rs` of the user-space crate, with these features.
pub(crate) fn compile(features: &str) -> Result<Functions> {
    let target = target_dir("asm");
    // Old outputs would be found as well.
    let _ = fs::remove_dir_all(target.join("release/examples"));
    succeed(
        cargo()
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", "")
            .args(["rustc", "--release", "--quiet", "--locked"])
            .args(["-p", "pvqspin-user-space", "--example", "fast_path"])
            .args(["--features", features])
            .args(["--config", "profile.release.lto=false"])
            .args(["--", "--emit", "asm", "-C", "debuginfo=0"])
            .args(["-C", "llvm-args=-x86-asm-syntax=intel"]),
    )?;
    let dir = target.join("release/examples");
    let mut functions = Functions::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "s") {
            read_assembly(&fs::read_to_string(&path)?, &mut functions);
        }
    }
    Ok(functions)
}

/// Splits assembly into functions: their instructions and local labels.
fn read_assembly(text: &str, functions: &mut Functions) {
    let mut current: Option<String> = None;
    // Functions that came out the same are compiled once: `name = other`.
    let mut same = Vec::new();
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default().trim();
        if let Some(label) = line
            .strip_suffix(':')
            .filter(|label| !label.starts_with(['.', ' ', '\t']))
        {
            current = Some(label.to_owned());
            functions.entry(label.to_owned()).or_default();
        } else if let Some((name, other)) = line.split_once(" = ")
            && !line.starts_with(['.', ' ', '\t'])
        {
            same.push((name.to_owned(), other.trim().to_owned()));
        } else if code.starts_with(".Lfunc_end") {
            current = None;
        } else if let Some(name) = &current {
            let is_directive = code.starts_with('.') && !code.ends_with(':');
            if !code.is_empty()
                && !is_directive
                && let Some(body) = functions.get_mut(name)
            {
                body.push(code.to_owned());
            }
        }
    }
    for (name, other) in same {
        if let Some(body) = functions.get(&other).cloned() {
            functions.insert(name, body);
        }
    }
}

/// All functions that `start` may end up in.
pub(crate) fn reachable<'a>(functions: &'a Functions, start: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::from([start]);
    let mut todo = vec![start];
    while let Some(name) = todo.pop() {
        for line in &functions[name] {
            for (other, _) in functions.range::<str, _>(..) {
                let mentioned = line
                    .split(|c: char| !(c.is_alphanumeric() || "_$.@".contains(c)))
                    .any(|word| {
                        word.trim_end_matches("@PLT").trim_end_matches("@GOTPCREL") == other
                    });
                if mentioned && seen.insert(other) {
                    todo.push(other);
                }
            }
        }
    }
    seen
}

/// Whether the target of a call or jump is computed.
pub(crate) fn is_indirect(line: &str) -> bool {
    let Some((instruction, target)) = line.split_once(char::is_whitespace) else {
        return false;
    };
    let jumps = instruction == "call" || instruction == "jmp";
    let target = target.trim();
    // `call rax`, `jmp qword ptr [..]`. A call through the linkage table is direct in the binary.
    jumps
        && !target.contains("@GOTPCREL")
        && (target.contains('[') || target.len() <= 3 && target.starts_with('r'))
}

/// How many instructions lock their cache line.
pub(crate) fn count_locked(body: &[String]) -> usize {
    body.iter()
        .filter(|line| line.starts_with("lock") || line.starts_with("xchg"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_end_where_they_end_and_twins_share_their_code() {
        let text = "\
\t.globl\tbounded_unlock
bounded_unlock:
\t.cfi_startproc
\tlock\t\tcmpxchg\tdword ptr [rdi], ecx # comment
\tjne\t.LBB3_1
\tret
.LBB3_1:
\tjmp\tslow
.Lfunc_end3:
\t.size\tbounded_unlock, .Lfunc_end3-bounded_unlock
\t.quad\t7
fifo_unlock = bounded_unlock
elsewhere = unknown
";
        let mut functions = Functions::new();
        read_assembly(text, &mut functions);
        assert_eq!(
            functions["bounded_unlock"],
            [
                "lock\t\tcmpxchg\tdword ptr [rdi], ecx",
                "jne\t.LBB3_1",
                "ret",
                ".LBB3_1:",
                "jmp\tslow"
            ]
        );
        assert_eq!(functions["fifo_unlock"], functions["bounded_unlock"]);
        assert_eq!(functions.len(), 2);
        assert_eq!(count_locked(&functions["fifo_unlock"]), 1);
    }
}
