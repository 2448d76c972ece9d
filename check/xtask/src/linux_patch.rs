//! The same for a kernel of one's own: its fast path names the holder, everywhere it is compiled in.
//!
//! The sources are edited by this program, which looks for names and holds no text of the kernel. Three
//! files change, in a handful of lines:
//!
//! | file | change |
//! | --- | --- |
//! | `arch/x86/include/asm/qspinlock.h` | declares the word of each CPU |
//! | `include/asm-generic/qspinlock.h` | the two fast paths write that word instead of 1; a word with a name and no queue is not contended |
//! | `arch/x86/kernel/paravirt-spinlocks.c` | defines the word: 1, until a module sets it |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::debian_packages::run;
use crate::linux_tree::Tree;
use crate::run::root;

/// What a kernel's build needs besides a compiler.
const PACKAGES: [&str; 5] = ["flex", "bison", "bc", "libelf-dev", "xz-utils"];

/// Where the sources are in the tree.
pub(crate) const SOURCE: &str = "/src";

/// What was changed, as `diff -u` has it: written last, so that half of it is never taken for all.
const PATCH: &str = "pvqspin.patch";

/// Fetches the sources, edits them and builds a small kernel. Returns the kernel.
pub(crate) fn build(tree: &Tree) -> Result<PathBuf> {
    let dir = tree.dir.join(&SOURCE[1..]);
    if !dir.join(PATCH).is_file() {
        fetch(tree)?;
        edit(&dir)?;
    }
    let lines = changed_lines(&fs::read_to_string(dir.join(PATCH))?);
    println!(
        "linux: {lines} ({}); building a small kernel, for minutes if it is the first time ...",
        dir.join(PATCH).display()
    );
    fs::copy(
        root().join("linux/patch/kernel.config"),
        dir.join("pvqspin.config"),
    )
    .context("cannot copy linux/patch/kernel.config")?;
    let script = "cd /src && make -s tinyconfig && \
                  ./scripts/kconfig/merge_config.sh -m .config pvqspin.config >/dev/null && \
                  make -s olddefconfig && nice make -s -j$(nproc) bzImage modules";
    run(tree.inside("sh").args(["-c", script]))?;
    let kernel = dir.join("arch/x86/boot/bzImage");
    ensure!(kernel.is_file(), "the build left no {}", kernel.display());
    Ok(kernel)
}

fn fetch(tree: &Tree) -> Result<()> {
    tree.install(&PACKAGES)?;
    let version = tree
        .release
        .split('.')
        .take(2)
        .collect::<Vec<_>>()
        .join(".");
    println!("linux: fetching the sources of Linux {version} ...");
    let script = format!(
        "cd /tmp && rm -rf linux-source* /src && apt-get download -qq -o APT::Sandbox::User=root linux-source-{version} && \
         dpkg-deb -x linux-source-*.deb linux-source && mkdir /src && \
         tar -xf linux-source/usr/src/linux-source-{version}.tar.* -C /src --strip-components=1 && rm -rf linux-source*"
    );
    run(tree.inside("sh").args(["-c", &script]))
}

/// Edits the sources in `dir`, all or none, and writes down what changed.
fn edit(dir: &Path) -> Result<()> {
    let mut files = Vec::new();
    for (name, edit) in EDITS {
        let path = dir.join(name);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let edited = edit(&text).with_context(|| {
            format!("{name} is not as it was in Linux 7.3: nothing was changed")
        })?;
        files.push((name, path, edited));
    }
    let mut patch = String::new();
    for (name, path, edited) in files {
        let before = path.with_extension("before");
        fs::rename(&path, &before)
            .and_then(|()| fs::write(&path, edited))
            .with_context(|| format!("cannot write {}", path.display()))?;
        let output = Command::new("diff")
            .args([
                "-u",
                "--label",
                &format!("a/{name}"),
                "--label",
                &format!("b/{name}"),
            ])
            .args([&before, &path])
            .output()
            .context("cannot start diff")?;
        patch.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    let path = dir.join(PATCH);
    fs::write(&path, patch).with_context(|| format!("cannot write {}", path.display()))
}

/// How much a patch changes, in words.
fn changed_lines(patch: &str) -> String {
    let count = |sign: char, header: &str| {
        (patch.lines())
            .filter(|line| line.starts_with(sign) && !line.starts_with(header))
            .count()
    };
    format!(
        "{} files of Linux have {} lines more and {} less",
        patch
            .lines()
            .filter(|line| line.starts_with("+++ "))
            .count(),
        count('+', "+++ "),
        count('-', "--- ")
    )
}

type Edit = fn(&str) -> Option<String>;

const EDITS: [(&str, Edit); 3] = [
    ("arch/x86/include/asm/qspinlock.h", declare),
    ("include/asm-generic/qspinlock.h", take_with_name),
    ("arch/x86/kernel/paravirt-spinlocks.c", define),
];

const DECLARATION: &str = "#ifdef CONFIG_PARAVIRT_SPINLOCKS
#include <asm/percpu.h>
/* What the fast path writes into a free word: 1, or the name of this CPU. */
DECLARE_PER_CPU(u32, queued_spin_word);
#define queued_spin_word() this_cpu_read(queued_spin_word)
#endif

";

/// Before the generic header, which uses it.
fn declare(text: &str) -> Option<String> {
    let at = only(text, "#include <asm-generic/qspinlock.h>")?;
    Some(format!("{}{DECLARATION}{}", &text[..at], &text[at..]))
}

const DEFINITION: &str = "DEFINE_PER_CPU(u32, queued_spin_word) = _Q_LOCKED_VAL;
EXPORT_PER_CPU_SYMBOL(queued_spin_word);
";

/// After the line that opens what only paravirtual kernels have.
fn define(text: &str) -> Option<String> {
    let opens = "#ifdef CONFIG_PARAVIRT_SPINLOCKS\n";
    let at = only(text, opens)? + opens.len();
    Some(format!("{}{DEFINITION}{}", &text[..at], &text[at..]))
}

const OTHERWISE: &str = "
#ifndef queued_spin_word
#define queued_spin_word() _Q_LOCKED_VAL
#endif
";

/// In both fast paths, and where a word with a tail counts as contended.
fn take_with_name(text: &str) -> Option<String> {
    let last = text.rfind("#include <linux/")?;
    let at = last + text[last..].find('\n')? + 1;
    let mut text = format!("{}{OTHERWISE}{}", &text[..at], &text[at..]);
    for function in ["queued_spin_trylock(", "queued_spin_lock("] {
        let (from, to) = body(&text, function)?;
        let value = from + only(&text[from..to], "_Q_LOCKED_VAL")?;
        text.replace_range(value..value + "_Q_LOCKED_VAL".len(), "queued_spin_word()");
    }
    let (from, to) = body(&text, "queued_spin_is_contended(")?;
    let result = from + only(&text[from..to], "return ")? + "return ".len();
    let end = result + text[result..to].find(';')?;
    // Evaluated twice, and a hint both times.
    let contended = format!(
        "({0}) && (atomic_read(&lock->val) & _Q_TAIL_IDX_MASK) != _Q_TAIL_IDX_MASK",
        &text[result..end]
    );
    text.replace_range(result..end, &contended);
    Some(text)
}

/// Where the body of a function is: from its brace to the one in the first column.
fn body(text: &str, function: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find(function)?;
        let end = at + text[at..].find([';', '{'])?;
        if text[end..].starts_with('{') {
            return Some((end, end + text[end..].find("\n}")?));
        }
        from = end;
    }
}

/// Where a text is, if it is there once.
fn only(text: &str, what: &str) -> Option<usize> {
    let mut found = text.match_indices(what);
    let (at, _) = found.next()?;
    found.next().is_none().then_some(at)
}

/// Modules of the built kernel.
pub(crate) fn modules(tree: &Tree, names: &[&str]) -> Vec<(String, PathBuf)> {
    names
        .iter()
        .map(|name| {
            let path = tree.dir.join(&SOURCE[1..]).join(name);
            (crate::debian_kernel::file_name(&path), path)
        })
        .filter(|(_, path)| path.is_file())
        .collect()
}

/// Whether a program is there, for a clear message before minutes of work.
pub(crate) fn ensure_space(dir: &Path) -> Result<()> {
    let output = Command::new("df")
        .args(["--output=avail", "-BM"])
        .arg(dir)
        .output()
        .context("cannot start df")?;
    let free: u64 = String::from_utf8_lossy(&output.stdout)
        .lines()
        .nth(1)
        .and_then(|line| line.trim().trim_end_matches('M').parse().ok())
        .unwrap_or(u64::MAX);
    ensure!(
        free > 4_000,
        "the sources and the build of a kernel take 4 GB, and there are {free} MB"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the same shape as the kernel's.
    const GENERIC: &str = "#include <linux/one.h>\n#include <linux/two.h>\n\
        /* queued_spin_lock(): no function */ ;\n\
        int queued_spin_is_contended(struct x *lock)\n{\n\treturn word(lock) & ~1;\n}\n\
        int queued_spin_trylock(struct x *lock)\n{\n\treturn take(lock, _Q_LOCKED_VAL);\n}\n\
        void queued_spin_lock(struct x *lock)\n{\n\tif (take(lock, _Q_LOCKED_VAL))\n\t\treturn;\n}\n";

    #[test]
    fn both_fast_paths_write_the_word_and_a_name_is_no_contention() {
        let edited = take_with_name(GENERIC).expect("it is as expected");
        assert_eq!(edited.matches("take(lock, queued_spin_word())").count(), 2);
        assert!(edited.contains("return (word(lock) & ~1) && ("));
        assert!(edited.contains("two.h>\n\n#ifndef queued_spin_word\n"));
    }

    #[test]
    fn lines_that_changed_are_told() {
        let patch = "--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n one\n-two\n+three\n+four\n";
        assert_eq!(
            changed_lines(patch),
            "1 files of Linux have 2 lines more and 1 less"
        );
    }

    #[test]
    fn sources_of_another_shape_are_left_alone() {
        for (old, new) in [
            ("queued_spin_trylock(", "queued_spin_try("),
            ("take(lock, _Q_LOCKED_VAL)", "take(lock)"),
            ("return word(lock) & ~1", "return 0; return 1"),
        ] {
            assert_eq!(take_with_name(&GENERIC.replace(old, new)), None, "{old}");
        }
        assert_eq!(declare("nothing"), None);
        assert_eq!(define("nothing"), None);
    }
}
