//! Builds the static library, compiles programs in C against it, and runs them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn done(mut command: Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out
}

/// The library, as a kernel links it: without the standard library.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("staticlib");
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(here())
            .args(["rustc", "--locked", "--offline", "--profile", "guest"])
            .args(["--crate-type", "staticlib", "--target-dir"])
            .arg(&target)
            .env("RUSTFLAGS", "--cfg pvqspin_staticlib")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        done(cargo);
        target.join("guest").join("libpvqspin_c.a")
    })
}

fn cc() -> Command {
    let mut cc = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-O1", "-I"])
        .arg(here().join("include"));
    cc
}

fn run(program: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let executable = folder.path().join(program);
    let mut compile = cc();
    compile
        .args(["-std=c11", "-pthread", "-o"])
        .arg(&executable)
        .arg(here().join("tests/c").join(program).with_extension("c"))
        .arg(library());
    done(compile);
    assert_eq!(done(Command::new(&executable)), "ok\n");
}

#[test]
fn threads_in_c_exclude_each_other() {
    run("threads");
}

#[test]
fn a_guest_in_c_lends_its_pcpu_to_the_holder() {
    run("guest");
}

#[test]
fn the_header_is_strict_c_and_cpp() {
    for (language, standard) in [("c", "-std=c11"), ("c++", "-std=c++11")] {
        let mut check = cc();
        check
            .args(["-fsyntax-only", "-pedantic", "-Werror", standard, "-x"])
            .arg(language)
            .arg(here().join("include/pvqspin.h"));
        // A C++ compiler is not everywhere.
        let has_it = Command::new("cc")
            .args(["-fsyntax-only", "-x", language, "/dev/null"])
            .output()
            .is_ok_and(|output| output.status.success());
        if has_it {
            done(check);
        }
    }
}

/// What a kernel links needs nothing but what the header asks for, the core library, and a few functions
/// of memory that every compiler expects.
#[test]
fn the_library_asks_for_nothing_else() {
    let mut nm = Command::new("nm");
    nm.args(["-A", "--undefined-only"]).arg(library());
    let Ok(output) = nm.output() else {
        eprintln!("left out: there is no nm");
        return;
    };
    let symbols = String::from_utf8_lossy(&output.stdout).into_owned();
    // The members that hold this crate and the lock: `library.a:member.o: U symbol`.
    let ours = symbols.lines().filter(|line| line.contains(".a:pvqspin"));
    let asked: Vec<_> = ours.filter_map(|line| line.split(" U ").nth(1)).collect();
    assert!(asked.contains(&"pvq_cpu"), "{symbols}");
    let is_known = |symbol: &str| {
        symbol.starts_with("pvq_")
            || ["core", "pvqspin"].iter().any(|of| symbol.contains(of))
            || ["memcpy", "memset", "memmove", "memcmp", "bcmp"].contains(&symbol)
    };
    let unknown: Vec<_> = asked.iter().filter(|symbol| !is_known(symbol)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let panics: Vec<_> = asked
        .iter()
        .filter(|symbol| symbol.contains("panic"))
        .collect();
    assert!(panics.is_empty(), "{panics:?}");
}
