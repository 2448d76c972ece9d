//! Tests that others wrote for their locks, run against ours.
//!
//! ```text
//!   cargo metadata ──► where the registry's sources are on this machine; those of std: the toolchain's
//!     └─► mod tests of a file, without the tests that do not apply      cut, by syn
//!           └─► a package in target/, with the names that the tests use  generated
//!                 └─► cargo test --offline, once for each policy
//! ```
//!
//! Nothing of those sources is in this repository. Every test runs, but for those that are listed here
//! with their reason; a listed one that is not there any more fails the check.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use syn::spanned::Spanned;

use crate::run::{cargo, root, target_dir};

mod std_tests;

/// The policies that the tests run under.
const POLICIES: [&str; 5] = ["Bounded", "Fifo", "FifoHalt", "FifoHolder", "Native"];

/// One file with tests.
struct Source {
    package: &'static str,
    file: &'static str,
    /// What of ours stands in for theirs: the names that the tests use, with `P` for the policy.
    names: &'static str,
    /// Text to be replaced by other text: paths into the crate that the tests are from.
    replace: &'static [(&'static str, &'static str)],
    left_out: &'static [(&'static str, &'static str)],
}

const LOCK_API: &str = "
    type RawMutex = pvqspin::threads::RawMutex<P>;
    type RawRwLock = pvqspin::threads::RawRwLock<P>;
    type Mutex<T> = lock_api::Mutex<RawMutex, T>;
    type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
    type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;
    type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
    type RwLockUpgradableReadGuard<'a, T> = lock_api::RwLockUpgradableReadGuard<'a, RawRwLock, T>;
    type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;
    /// Named by a test that is left out.
    struct Condvar;
";

const FORCE: &str =
    "a release needs the token of the acquisition, which a forgotten guard took along";
const NAMES: &str =
    "the guards of spin have methods of other names; parking_lot's tests cover the same";
const CONDVAR: &str = "a spinlock has no condition variable";
const PARKED: &str = "asks whether a thread is parked, which only parking_lot has";
const UPGRADABLE: &str = "there new readers pass an upgradable one; here they wait behind it";
const ARC_LOCK: &str = "needs lock_api's feature arc_lock, and is not compiled without";
const SERDE: &str = "needs the feature serde, and is not compiled without";

const SOURCES: [Source; 9] = [
    Source {
        package: "spin",
        file: "src/mutex/spin.rs",
        names: "type SpinMutex<T> = pvqspin::threads::MutexWith<T, P>;",
        replace: &[],
        left_out: &[("test_mutex_force_lock", FORCE)],
    },
    Source {
        package: "spin",
        file: "src/mutex/ticket.rs",
        names: "type TicketMutex<T> = pvqspin::threads::MutexWith<T, P>;",
        replace: &[],
        left_out: &[],
    },
    Source {
        package: "spin",
        file: "src/mutex/fair.rs",
        names: "type FairMutex<T> = pvqspin::threads::MutexWith<T, P>;",
        replace: &[],
        left_out: &[("test_mutex_force_lock", FORCE)],
    },
    Source {
        package: "spin",
        file: "src/rwlock.rs",
        names: "type RawRwLock = pvqspin::threads::RawRwLock<P>;
                type RwLock<T> = pvqspin::RwLockOf<T, RawRwLock>;",
        replace: &[
            ("lock_api_crate", "lock_api"),
            ("crate::rwlock::RwLock<()>", "super::RawRwLock"),
        ],
        left_out: &[
            ("test_force_read_decrement", FORCE),
            ("test_force_write_unlock", FORCE),
            ("test_upgrade_downgrade", NAMES),
        ],
    },
    Source {
        package: "parking_lot",
        file: "src/mutex.rs",
        names: LOCK_API,
        replace: &[("crate::", "super::")],
        left_out: &[("test_mutex_arc_condvar", CONDVAR), ("test_serde", SERDE)],
    },
    Source {
        package: "parking_lot",
        file: "src/mutex.rs",
        names: "type RawMutex = pvqspin::threads::RawMutex<P>;
                type Mutex<T> = pvqspin::threads::MutexWith<T, P>;
                type MutexGuard<'a, T> = pvqspin::Guard<'a, T, RawMutex>;
                type MappedMutexGuard<'a, T> = pvqspin::MappedGuard<'a, T, RawMutex>;
                struct Condvar;",
        replace: &[("crate::", "super::")],
        left_out: &[
            ("test_mutex_arc_condvar", CONDVAR),
            ("test_serde", SERDE),
            (
                "test_map_or_err_not_mapped",
                "our guards have try_map, without an error of the caller's",
            ),
            (
                "test_map_or_err_mapped",
                "our guards have try_map, without an error of the caller's",
            ),
        ],
    },
    Source {
        package: "parking_lot",
        file: "src/rwlock.rs",
        names: LOCK_API,
        replace: &[("crate::", "super::")],
        left_out: &[
            ("test_read_with_waiting_writer", PARKED),
            ("test_rwlock_try_read", UPGRADABLE),
            ("test_serde", SERDE),
            ("test_issue_430", ARC_LOCK),
        ],
    },
    Source {
        package: "spinning_top",
        file: "src/spinlock.rs",
        names: "type RawMutex = pvqspin::threads::RawMutex<P>;
                type Spinlock<T> = pvqspin::threads::MutexWith<T, P>;
                type SpinlockGuard<'a, T> = pvqspin::Guard<'a, T, RawMutex>;",
        replace: &[],
        left_out: &[],
    },
    Source {
        package: "spinning_top",
        file: "src/rw_spinlock.rs",
        names: "use lock_api::RawRwLock as _;
                type RawRwSpinlock = pvqspin::threads::RawRwLock<P>;
                type RwSpinlock<T> = lock_api::RwLock<RawRwSpinlock, T>;",
        replace: &[],
        left_out: &[("test_upgrade_downgrade", UPGRADABLE)],
    },
];

/// The folder of a package's source, as cargo has it on this machine.
fn source_of(metadata: &Value, package: &str) -> Result<(PathBuf, String)> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let newest = packages
        .iter()
        .filter(|found| found["name"] == package && found["source"].is_string())
        .max_by_key(|found| found["version"].as_str().unwrap_or_default().to_owned())
        .with_context(|| format!("{package} is no dependency of this workspace any more"))?;
    let manifest = newest["manifest_path"].as_str().context("no path")?;
    let folder = Path::new(manifest).parent().context("no folder")?;
    let version = newest["version"].as_str().unwrap_or("?");
    Ok((folder.to_owned(), version.to_owned()))
}

/// The body of `mod tests`, without the tests that are left out, and how many are in it.
fn tests_in(source: &Source, text: &str) -> Result<(String, usize)> {
    let file = syn::parse_file(text)?;
    let module = file.items.iter().find_map(|item| match item {
        syn::Item::Mod(module) if module.ident == "tests" => module.content.as_ref(),
        _ => None,
    });
    let (braces, items) = module.context("there is no `mod tests` in it")?;
    let body = braces.span.open().byte_range().end..braces.span.close().byte_range().start;
    let mut missing: Vec<&str> = source.left_out.iter().map(|(name, _)| *name).collect();
    let mut cuts = Vec::new();
    let mut tests = 0;
    for item in items {
        let syn::Item::Fn(function) = item else {
            continue;
        };
        let name = function.sig.ident.to_string();
        if let Some(at) = missing.iter().position(|left_out| *left_out == name) {
            missing.swap_remove(at);
            cuts.push(item.span().byte_range());
        } else if function
            .attrs
            .iter()
            .any(|attr| attr.path().is_ident("test"))
        {
            tests += 1;
        }
    }
    ensure!(missing.is_empty(), "left out, and not there: {missing:?}");
    let mut kept = String::new();
    let mut from = body.start;
    for cut in cuts {
        kept.push_str(&text[from..cut.start]);
        from = cut.end;
    }
    kept.push_str(&text[from..body.end]);
    for (theirs, ours) in source.replace {
        kept = kept.replace(theirs, ours);
    }
    Ok((kept, tests))
}

/// What came out of one file.
struct Taken {
    what: String,
    tests: usize,
    left_out: &'static [(&'static str, &'static str)],
    /// How many more are left out because these locks are never poisoned.
    about_poison: usize,
}

/// Writes the package that holds the tests. Returns what it took from each source.
fn generate(folder: &Path) -> Result<Vec<Taken>> {
    // It fetches what no build here has needed so far: crates for other systems.
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&output.stdout).context("no metadata")?;
    let mut lib = String::from(
        "#![allow(warnings, reason = \"the tests are as they are\")]\n#![cfg(test)]\n",
    );
    let mut all = Vec::new();
    for (at, source) in SOURCES.iter().enumerate() {
        let (package, version) = source_of(&metadata, source.package)?;
        let text = fs::read_to_string(package.join(source.file))
            .with_context(|| format!("{} {}", source.package, source.file))?;
        let (tests, count) = tests_in(source, &text)
            .with_context(|| format!("{} {}", source.package, source.file))?;
        for policy in POLICIES {
            let names = source.names;
            write!(
                lib,
                "mod source_{at}_{policy} {{\n    type P = pvqspin::{policy};\n    {names}\n    \
                 mod tests {{{tests}}}\n}}\n"
            )?;
        }
        let ours = if source.names == LOCK_API || source.names.contains("lock_api") {
            "through lock_api"
        } else {
            "our own types"
        };
        all.push(Taken {
            what: format!("{} {version} {} ({ours})", source.package, source.file),
            tests: count,
            left_out: source.left_out,
            about_poison: 0,
        });
    }
    if let Some(std) = std_tests::folder()? {
        for (at, source) in std_tests::SOURCES.iter().enumerate() {
            let text = fs::read_to_string(std.join(source.file)).context(source.file)?;
            let kept = std_tests::tests_in(source, &text).context(source.file)?;
            for policy in POLICIES {
                let (names, tests) = (source.names, &kept.text);
                write!(
                    lib,
                    "mod std_{at}_{policy} {{\n    type P = pvqspin::{policy};\n    mod locks {{{names}}}\n    \
                     mod tests {{{tests}}}\n}}\n"
                )?;
            }
            all.push(Taken {
                what: format!(
                    "std {} tests/sync/{} (our own types)",
                    std_tests::TOOLCHAIN,
                    source.file
                ),
                tests: kept.tests,
                left_out: source.left_out,
                about_poison: kept.about_poison,
            });
        }
    } else {
        println!("LEFT OUT: the tests of std: rustup cannot install a toolchain with its sources");
    }
    let pvqspin = root().join("crates/pvqspin");
    let manifest = format!(
        "[package]\nname = \"foreign-tests\"\nversion = \"0.0.0\"\nedition = \"2021\"\npublish = false\n\n\
         [dependencies]\npvqspin = {{ path = {pvqspin:?}, features = [\"std\"] }}\n\
         lock_api = {{ version = \"0.5\", default-features = false }}\nrand = {{ path = \"rand\" }}\n\n\
         [workspace]\n\n[profile.dev]\nopt-level = 1\n"
    );
    // The few calls of `rand` that the tests make, from a counter: what they draw matters to none.
    let rand = "use std::sync::atomic::{AtomicU64, Ordering};\nstatic STATE: AtomicU64 = AtomicU64::new(1);\n\
                pub struct Rng;\npub fn rng() -> Rng { Rng }\npub trait RngExt { fn random_bool(&mut self, p: f64) -> bool; }\n\
                impl RngExt for Rng {\n    fn random_bool(&mut self, p: f64) -> bool {\n        \
                let n = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);\n        \
                let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);\n        \
                (n >> 40) as f64 / (1u64 << 24) as f64 <= p\n    }\n}\n";
    for folder in [folder.join("src"), folder.join("rand/src")] {
        fs::create_dir_all(folder)?;
    }
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("src/lib.rs"), lib)?;
    fs::write(
        folder.join("rand/Cargo.toml"),
        "[package]\nname = \"rand\"\nversion = \"0.0.0\"\nedition = \"2021\"\n",
    )?;
    fs::write(folder.join("rand/src/lib.rs"), rand)?;
    // The versions of the workspace, so that nothing is fetched.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(all)
}

/// Runs the tests and says what came of them.
pub(crate) fn check() -> Result<()> {
    let folder = target_dir("foreign-tests");
    let all = generate(&folder)?;
    let output = cargo()
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .args(["test", "--offline", "--quiet", "--lib"])
        .output()
        .context("cannot run the tests")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = all.iter().map(|taken| taken.tests).sum::<usize>() * POLICIES.len();
    let passed = text
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|line| line.split(' ').next()?.parse::<usize>().ok())
        .sum::<usize>();
    if !output.status.success() {
        bail!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    ensure!(
        passed == expected,
        "{passed} tests ran, of {expected}: {text}"
    );
    for taken in &all {
        println!("{:3} tests  {}", taken.tests, taken.what);
        for (name, reason) in taken.left_out {
            println!("           without {name}: {reason}");
        }
        if taken.about_poison > 0 {
            let (count, reason) = (taken.about_poison, std_tests::POISON);
            println!("           without {count} about poisoning: {reason}");
        }
    }
    println!(
        "foreign tests: {passed} passed, under {}",
        POLICIES.join(", ")
    );
    Ok(())
}
