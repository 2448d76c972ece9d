//! The standard library's tests of its locks: each stands once for a lock that poisons and once for one that
//! does not, and ours are of the second kind.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;

use crate::run::rustup;

/// One file of `library/std/tests/sync`.
pub(super) struct StdSource {
    pub(super) file: &'static str,
    /// What of ours stands in for the types of `std::sync::nonpoison`.
    pub(super) names: &'static str,
    pub(super) left_out: &'static [(&'static str, &'static str)],
}

const ACCESSORS: &str = "these locks have no such method: the guard does it";
const INVARIANT: &str = "a guard to read is a reference to lock and data, as lock_api's is: the data's lifetime is as it was given";
const NO_ERROR: &str = "an attempt gives an `Option` here, and no error";

/// Why the tests that have `poison` in their names, or fill a `LockResult`, are left out.
pub(super) const POISON: &str = "a panic poisons none of these locks";

pub(super) const SOURCES: [StdSource; 2] = [
    StdSource {
        file: "mutex.rs",
        names: "pub type Mutex<T> = pvqspin::threads::MutexWith<T, super::P>;
                pub type MutexGuard<'a, T> = pvqspin::Guard<'a, T, pvqspin::threads::RawMutex<super::P>>;
                pub type MappedMutexGuard<'a, T> =
                    pvqspin::MappedGuard<'a, T, pvqspin::threads::RawMutex<super::P>>;",
        left_out: &[
            ("test_get_cloned", ACCESSORS),
            ("test_set", ACCESSORS),
            ("test_set_drop", ACCESSORS),
            ("test_replace", ACCESSORS),
            ("test_mutex_with_mut", ACCESSORS),
        ],
    },
    StdSource {
        file: "rwlock.rs",
        names: "type Raw = pvqspin::threads::RawRwLock<super::P>;
                pub type RwLock<T> = pvqspin::RwLockOf<T, Raw>;
                pub type RwLockReadGuard<'a, T> = pvqspin::ReadGuard<'a, T, Raw>;
                pub type MappedRwLockReadGuard<'a, T> = pvqspin::MappedReadGuard<'a, T, Raw>;
                pub type RwLockWriteGuard<'a, T> = pvqspin::WriteGuard<'a, T, Raw>;
                pub type MappedRwLockWriteGuard<'a, T> = pvqspin::MappedWriteGuard<'a, T, Raw>;",
        left_out: &[
            ("test_get_cloned", ACCESSORS),
            ("test_set", ACCESSORS),
            ("test_replace", ACCESSORS),
            ("test_rwlock_with", ACCESSORS),
            ("test_rwlock_with_mut", ACCESSORS),
            ("nonpoison_test_rwlock_try_write", NO_ERROR),
            ("test_read_guard_covariance", INVARIANT),
        ],
    },
];

/// Whose sources they are taken from: not the toolchain that builds everything else, as the compiler writes other
/// paths into its code where it finds these sources, and instructions are counted here.
pub(super) const TOOLCHAIN: &str = "1.94.0";

/// The folder of the tests, in a toolchain's copy of its own sources, which rustup adds if it can.
pub(super) fn folder() -> Result<Option<PathBuf>> {
    let install = [
        "toolchain",
        "install",
        "--profile",
        "minimal",
        "--no-self-update",
    ];
    if !rustup(&[&install[..], &["--component", "rust-src", TOOLCHAIN]].concat()) {
        return Ok(None);
    }
    let output = Command::new("rustup")
        .args(["run", TOOLCHAIN, "rustc", "--print", "sysroot"])
        .output()
        .context("cannot run rustup")?;
    let sysroot = String::from_utf8(output.stdout)?;
    let folder = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust/library/std/tests/sync");
    Ok(folder.is_dir().then_some(folder))
}

/// A test that stands for both kinds: `name: ..., test_body: { ... }`.
struct BothKinds {
    name: syn::Ident,
    body: syn::Block,
}

impl Parse for BothKinds {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        input.parse::<syn::Ident>()?;
        input.parse::<syn::Token![:]>()?;
        let name = input.parse()?;
        input.parse::<syn::Token![,]>()?;
        input.parse::<syn::Ident>()?;
        input.parse::<syn::Token![:]>()?;
        let body = input.parse()?;
        Ok(Self { name, body })
    }
}

/// What is kept of a file.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) text: String,
    pub(super) tests: usize,
    /// How many are left out because they are about poisoning.
    pub(super) about_poison: usize,
}

/// The tests of a file, those of both kinds as they are for a lock that does not poison.
pub(super) fn tests_in(source: &StdSource, text: &str) -> Result<Kept> {
    let mut missing: Vec<&str> = source.left_out.iter().map(|(name, _)| *name).collect();
    let mut is_left_out = |name: &str| {
        let at = missing.iter().position(|left_out| *left_out == name);
        at.is_some_and(|at| !missing.swap_remove(at).is_empty())
    };
    let mut kept = Kept::default();
    for item in syn::parse_file(text)?.items {
        let verbatim = &text[item.span().byte_range()];
        match &item {
            // Their locks, and the crates that only they have.
            syn::Item::Use(_) if verbatim.contains("super::") => {}
            syn::Item::Use(_) if verbatim.contains("std::sync::{") => {
                kept.text.push_str("use std::sync::Arc;\n");
            }
            syn::Item::Use(_) if verbatim.contains("rand::") => {
                kept.text.push_str("use rand::RngExt as _;\n");
            }
            syn::Item::Macro(call) => {
                let test: BothKinds = call.mac.parse_body()?;
                if is_left_out(&test.name.to_string()) {
                    continue;
                }
                kept.tests += 1;
                let body = text[test.body.span().byte_range()]
                    .replace("crate::common::test_rng()", "rand::rng()");
                kept.text.push_str(&format!(
                    "#[test] fn {}() {{ use super::locks; use std::convert::identity as maybe_unwrap; {body} }}\n",
                    test.name
                ));
            }
            syn::Item::Fn(function) => {
                let name = function.sig.ident.to_string();
                let is_test = function
                    .attrs
                    .iter()
                    .any(|attr| attr.path().is_ident("test"));
                if is_left_out(&name) {
                    continue;
                }
                if name.contains("poison") {
                    kept.about_poison += usize::from(is_test);
                    continue;
                }
                kept.tests += usize::from(is_test);
                kept.text.push_str(verbatim);
            }
            _ => kept.text.push_str(verbatim),
        }
    }
    ensure!(missing.is_empty(), "left out, and not there: {missing:?}");
    Ok(kept)
}
