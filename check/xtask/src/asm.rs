//! What is left of the lock in machine code.
//!
//! `examples/fast_path.rs` of the user-space crate compiles the fast paths into named symbols,
//! over an environment whose hypercalls are named symbols too. This reads the assembly and fails
//!
//! - if any function that the native lock can reach mentions a hypercall or a shared page,
//! - if there is an indirect call or jump in it,
//! - if the native fast path is anything but one locked instruction and a branch each way,
//! - if a fast path of the reader-writer lock has more than one locked instruction,
//! - if `docs/generated/fast-path.md` shows anything else.
//!
//! It also fails if the *paravirtual* lock does not reach the hypercalls: then it reads the wrong
//! thing, and its good news about the native one would mean nothing.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::assembly::{Functions, compile, count_locked, is_indirect, reachable};
use crate::fast_path::{SHOWN, document};
use crate::instructions::recorded;
use crate::run::{replace, root};

/// Of the reader-writer lock it is only checked that each is one locked instruction.
const READER_WRITER: [&str; 4] = ["rw_read", "rw_unlock_read", "rw_write", "rw_unlock_write"];
const PARAVIRTUAL: [&str; 5] = [
    "hypercall_halt",
    "hypercall_kick",
    "hypercall_yield_to",
    "page_run_sample",
    "page_set_waiting_for",
];

/// Checks the code and its documentation, or writes the latter.
pub(crate) fn check(write: bool) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        println!("asm: skipped, only x86-64 assembly is read");
        return Ok(());
    }
    let functions = compile("")?;
    for name in SHOWN.iter().flat_map(|shown| shown.symbols) {
        ensure!(
            functions.contains_key(name),
            "no symbol {name} in the assembly"
        );
    }
    check_native(&functions)?;
    check_paravirtual(&functions)?;
    for shown in &SHOWN {
        let [lock, unlock] = shown.symbols.map(|name| count_locked(&functions[name]));
        println!(
            "asm: {}: {lock} locked instruction(s) to lock, {unlock} to unlock",
            shown.name
        );
    }
    check_reader_writer(&functions)?;
    let text = document(&functions, &compile("pvqspin/byte_release")?, &recorded()?)?;
    let path = root().join("docs/generated/fast-path.md");
    if write {
        replace(&path, &text)?;
        println!("asm: wrote docs/generated/fast-path.md");
        return Ok(());
    }
    let shown = fs::read_to_string(&path).context("cannot read docs/generated/fast-path.md")?;
    if let Some(difference) = first_difference(&shown, &text) {
        bail!(
            "docs/generated/fast-path.md is not what the compiler makes of the fast paths now:\n{difference}\n\
             `cargo xtask asm --write` brings it up to date; look at what has changed."
        );
    }
    println!("asm: docs/generated/fast-path.md shows the same");
    Ok(())
}

/// Where two texts part.
fn first_difference(shown: &str, now: &str) -> Option<String> {
    let line = |text: &str, at: usize| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
    let lines = shown.lines().count().max(now.lines().count());
    let at = (0..lines).find(|&at| line(shown, at) != line(now, at))?;
    Some(format!(
        "line {}: shown {}\nline {}: now   {}",
        at + 1,
        line(shown, at),
        at + 1,
        line(now, at)
    ))
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

fn check_reader_writer(functions: &Functions) -> Result<()> {
    for name in READER_WRITER {
        let code = functions
            .get(name)
            .with_context(|| format!("no symbol {name} in the assembly"))?;
        let locked = count_locked(code);
        println!("asm: {name}: {locked} locked instruction(s)");
        ensure!(
            locked <= 1,
            "{locked} locked instructions in {name}, one is enough"
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
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        let difference = first_difference("a\nb\nc\n", "a\nx\nc\n").expect("line 2");
        assert_eq!(difference, "line 2: shown b\nline 2: now   x");
        let difference = first_difference("a\n", "a\nb\n").expect("a line more");
        assert!(difference.contains("(nothing)"), "{difference}");
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
