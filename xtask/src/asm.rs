//! What is left of the lock in machine code.
//!
//! `examples/fast_path.rs` of the lock crate compiles the fast paths into named symbols, over an
//! environment whose hypercalls are named symbols too. This reads the assembly and fails
//!
//! - if any function that the native lock can reach mentions a hypercall or a shared page,
//! - if there is an indirect call or jump in it,
//! - if the native fast path is anything but one locked instruction and a branch each way.
//!
//! It also fails if the *paravirtual* lock does not reach the hypercalls: then it reads the wrong
//! thing, and its good news about the native one would mean nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, root, succeed, target_dir};

const FAST_PATHS: [&str; 4] = ["native_lock", "native_unlock", "fifo_lock", "fifo_unlock"];
const PARAVIRTUAL: [&str; 5] = [
    "hypercall_halt",
    "hypercall_kick",
    "hypercall_yield_to",
    "page_run_sample",
    "page_set_waiting_for",
];

/// Checks, and with `write` also documents.
pub(crate) fn check(write: bool) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        println!("asm: skipped, only x86-64 assembly is read");
        return Ok(());
    }
    let functions = compile()?;
    check_native(&functions)?;
    check_paravirtual(&functions)?;
    for name in FAST_PATHS {
        let locked = count_locked(&functions[name]);
        println!("asm: {name}: {locked} locked instruction(s) ahead of the slow path");
    }
    if write {
        let path = root().join("docs/fast-path.md");
        fs::write(&path, document(&functions)).context("cannot write docs/fast-path.md")?;
        println!("asm: wrote docs/fast-path.md");
    }
    Ok(())
}

type Functions = BTreeMap<String, Vec<String>>;

fn compile() -> Result<Functions> {
    let target = target_dir("asm");
    // Old outputs would be found as well.
    let _ = fs::remove_dir_all(target.join("release/examples"));
    succeed(
        cargo()
            .env("CARGO_TARGET_DIR", &target)
            .args(["rustc", "--release", "--quiet", "-p", "pvqspin"])
            .args([
                "--example",
                "fast_path",
                "--config",
                "profile.release.lto=false",
            ])
            .args(["--", "--emit", "asm", "-C", "debuginfo=0"])
            .args(["-C", "llvm-args=-x86-asm-syntax=intel"]),
    )?;
    let dir = target.join("release/examples");
    let mut functions = Functions::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "s") {
            read_assembly(&path, &mut functions)?;
        }
    }
    for name in FAST_PATHS.iter().chain(&PARAVIRTUAL) {
        ensure!(
            functions.contains_key(*name),
            "no symbol {name} in the assembly"
        );
    }
    Ok(functions)
}

/// Splits an assembly file into functions: their instructions and local labels.
fn read_assembly(path: &Path, functions: &mut Functions) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let mut current: Option<String> = None;
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default().trim();
        if let Some(label) = line
            .strip_suffix(':')
            .filter(|label| !label.starts_with(['.', ' ', '\t']))
        {
            current = Some(label.to_owned());
            functions.entry(label.to_owned()).or_default();
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
    Ok(())
}

/// All functions that `start` may end up in.
fn reachable<'a>(functions: &'a Functions, start: &'a str) -> BTreeSet<&'a str> {
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

fn check_native(functions: &Functions) -> Result<()> {
    for start in ["native_lock", "native_unlock"] {
        for name in reachable(functions, start) {
            ensure!(
                !PARAVIRTUAL.contains(&name),
                "{start} reaches {name}: something paravirtual is left in the native lock"
            );
        }
        for line in &functions[start] {
            ensure!(
                !is_indirect(line),
                "indirect call or jump in {start}: {line}"
            );
        }
        let locked = count_locked(&functions[start]);
        ensure!(
            locked <= 1,
            "{locked} locked instructions in {start}, one is enough"
        );
    }
    Ok(())
}

fn check_paravirtual(functions: &Functions) -> Result<()> {
    let lock = reachable(functions, "fifo_lock");
    let unlock = reachable(functions, "fifo_unlock");
    for name in ["hypercall_halt", "hypercall_yield_to", "page_run_sample"] {
        if !lock.contains(name) {
            bail!("fifo_lock does not reach {name}: this check reads the wrong thing");
        }
    }
    ensure!(
        unlock.contains("hypercall_kick"),
        "fifo_unlock does not reach hypercall_kick"
    );
    Ok(())
}

fn is_indirect(line: &str) -> bool {
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

fn count_locked(body: &[String]) -> usize {
    body.iter()
        .filter(|line| line.starts_with("lock") || line.starts_with("xchg"))
        .count()
}

fn document(functions: &Functions) -> String {
    let mut text = String::from(
        "# The fast paths in machine code\n\n\
         Written by `cargo xtask asm --write`. The same command, without `--write`, fails if a hypercall, a look at the\n\
         run-state page or an indirect call is left in the native lock. Symbols are shortened.\n",
    );
    for name in FAST_PATHS {
        let _ = write!(text, "\n## `{name}`\n\n```asm\n");
        for line in &functions[name] {
            let indent = if line.ends_with(':') { "" } else { "    " };
            let _ = writeln!(text, "{indent}{}", shorten(line).replace('\t', " "));
        }
        text.push_str("```\n");
    }
    text
}

/// A mangled name is no reading matter: keep what it is about.
fn shorten(line: &str) -> String {
    let Some(at) = line.find("_R").or_else(|| line.find("_ZN")) else {
        return line.to_owned();
    };
    let what = if line.contains("slow_path") {
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

    fn functions(bodies: &[(&str, &[&str])]) -> Functions {
        bodies
            .iter()
            .map(|(name, body)| {
                (
                    name.to_string(),
                    body.iter().map(ToString::to_string).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn a_hypercall_behind_the_slow_path_is_found() {
        let functions = functions(&[
            (
                "native_lock",
                &["lock cmpxchg dword ptr [rdi], ecx", "jne slow"],
            ),
            ("native_unlock", &["lock and dword ptr [rdi], -2", "ret"]),
            ("slow", &["call qword ptr [rip + hypercall_kick@GOTPCREL]"]),
            ("hypercall_kick", &["ret"]),
        ]);
        let error = check_native(&functions)
            .expect_err("must be found")
            .to_string();
        assert!(error.contains("hypercall_kick"), "{error}");
    }

    #[test]
    fn an_indirect_call_in_the_fast_path_is_found() {
        for call in ["call rax", "jmp qword ptr [rdi + 8]"] {
            let functions = functions(&[("native_lock", &[call]), ("native_unlock", &["ret"])]);
            assert!(check_native(&functions).is_err(), "{call}");
        }
    }

    #[test]
    fn a_clean_lock_passes() {
        let functions = functions(&[
            (
                "native_lock",
                &["lock cmpxchg dword ptr [rdi], ecx", "jne slow", "ret"],
            ),
            ("native_unlock", &["lock and dword ptr [rdi], -2", "ret"]),
            ("slow", &["pause", "jmp slow"]),
        ]);
        check_native(&functions).expect("nothing to find");
    }
}
