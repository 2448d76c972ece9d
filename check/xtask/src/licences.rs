//! Licences of all dependencies, from what cargo knows of them: no network needed.
//!
//! Advisories need a database, which cargo-deny fetches where it is
//! installed, and the check says so where it is not.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{cargo, root};

/// Licences that MIT OR Apache-2.0 software may be linked with.
const ALLOWED: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
    // Fonts, which may be bundled with any software.
    "OFL-1.1",
    "Ubuntu-font-1.0",
];

/// Licences that only bind changes to their own files, of what only checks use.
const OF_CHECKS: [(&str, &str); 1] = [("webdriver", "MPL-2.0")];

/// Fails on a dependency whose licence is not on the list.
pub(crate) fn check() -> Result<()> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let refused: Vec<_> = packages
        .iter()
        .filter_map(|package| {
            let name = package["name"].as_str().unwrap_or("?");
            let licence = package["license"].as_str().unwrap_or("none stated");
            (!is_allowed(licence) && !OF_CHECKS.contains(&(name, licence)))
                .then(|| format!("  {name}: {licence}"))
        })
        .collect();
    if !refused.is_empty() {
        bail!(
            "licences that are not on the list in check/xtask/src/licences.rs:\n{}",
            refused.join("\n")
        );
    }
    println!("licences: {} packages, all allowed", packages.len());
    advisories()
}

/// Whether a licence expression can be met with allowed licences alone.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some(inner) = expression
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        && !inner.contains(['(', ')'])
    {
        return is_allowed(inner);
    }
    if let Some(parts) = split_outside(expression, " AND ") {
        return parts.iter().all(|part| is_allowed(part));
    }
    if let Some(parts) = split_outside(expression, " OR ") {
        return parts.iter().any(|part| is_allowed(part));
    }
    ALLOWED.contains(&expression)
}

/// Splits at an operator that stands outside of parentheses; `None` if there is none.
fn split_outside<'a>(text: &'a str, operator: &str) -> Option<Vec<&'a str>> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(operator) => {
                parts.push(&text[start..at]);
                start = at + operator.len();
            }
            _ => {}
        }
    }
    if parts.is_empty() {
        return None;
    }
    parts.push(&text[start..]);
    Some(parts)
}

fn advisories() -> Result<()> {
    let installed = Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        println!("advisories: skipped, cargo-deny is not installed");
        return Ok(());
    }
    let output = cargo()
        .current_dir(root())
        .args(["deny", "--offline", "check", "advisories"])
        .output()?;
    if output.status.success() {
        println!("advisories: none");
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("failed to load advisory database") || said.contains("failed to fetch") {
        println!("advisories: skipped, there is no advisory database on this machine");
        return Ok(());
    }
    bail!("advisories:\n{said}")
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn expressions_are_read_as_they_are_meant() {
        assert!(is_allowed("MIT OR Apache-2.0"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("GPL-2.0 OR MIT"));
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_allowed(
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"
        ));
        assert!(!is_allowed("GPL-2.0"));
        assert!(!is_allowed("MIT AND GPL-2.0"));
        assert!(!is_allowed("(MIT OR Apache-2.0) AND GPL-3.0"));
        assert!(!is_allowed("none stated"));
    }
}
