//! Every command in the guides is one that the program takes: its name, and each of its options.

mod binary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// How the guides call the program.
const CALLS: [&str; 3] = [
    "pvq ",
    "cargo run --release -- ",
    "cargo run --quiet --locked -- ",
];

/// `pvq X` stands for all of them in prose.
const PLACEHOLDER: &str = "X";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The guides, with those in the root and in `docs/`.
fn guides() -> Vec<PathBuf> {
    ["", "docs", "docs/decisions", "docs/generated"]
        .iter()
        .flat_map(|dir| std::fs::read_dir(root().join(dir)).expect("it is there"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// The commands in the code of a text, in blocks and in sentences.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => block = Some(String::new()),
            Event::Text(code) if block.is_some() => block.iter_mut().for_each(|b| *b += &code),
            Event::End(TagEnd::CodeBlock) => {
                let block = block.take().unwrap_or_default();
                let parts: Vec<_> = block.split("\\\n").map(str::trim_start).collect();
                let block = parts.join(" ");
                found.extend(block.lines().filter_map(command));
            }
            Event::Code(code) => found.extend(command(&code)),
            _ => {}
        }
    }
    found
}

/// What is given to the program, without comments and what follows a pipe.
fn command(line: &str) -> Option<String> {
    let line = line.trim_start().trim_start_matches("$ ");
    let call = CALLS.iter().find_map(|call| line.strip_prefix(call))?;
    let end = call.find(['#', '|', '>', ';', '&']).unwrap_or(call.len());
    // Help texts and tables put what a command does behind three spaces.
    let call = call[..end].split("   ").next().unwrap_or_default();
    Some(call.trim().to_owned())
}

/// What the program says about one of its commands; `None` if it has no such command.
fn help(name: &str) -> Option<String> {
    let output = binary::pvq(Path::new("."), &[name, "--help"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(said)
}

#[test]
fn every_command_in_the_guides_exists() {
    let mut wanted: BTreeMap<String, BTreeSet<(String, PathBuf)>> = BTreeMap::new();
    for path in guides() {
        let text = std::fs::read_to_string(&path).expect("readable");
        for command in commands(&text) {
            let mut words = command.split_whitespace().peekable();
            // The program alone, or with options, compares.
            let name = words
                .next_if(|word| !word.starts_with('-'))
                .unwrap_or("compare");
            let options = wanted.entry(name.to_owned()).or_default();
            // The command itself counts as an option that every help text has.
            for word in words
                .chain(["--help"])
                .filter(|word| word.starts_with("--"))
            {
                let option = word.split('=').next().unwrap_or(word);
                let option = option.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
                options.insert((option.to_owned(), path.clone()));
            }
        }
    }
    assert!(wanted.len() > 5, "the guides name few commands: {wanted:?}");
    for (name, options) in wanted {
        if name == PLACEHOLDER {
            continue;
        }
        let help = help(&name).unwrap_or_else(|| panic!("no command `{name}`: {options:?}"));
        for (option, path) in options {
            let known = help
                .split([' ', ',', '\n', '[', '='])
                .any(|word| word == option);
            assert!(known, "`pvq {name}` has no {option}: {}", path.display());
        }
    }
}

#[test]
fn commands_are_found_wherever_they_stand() {
    let text = "Say `pvq list`, or\n\n```sh\n$ pvq sweep a.toml \\\n  --out b   # why\n```\n";
    assert_eq!(commands(text), ["list", "sweep a.toml  --out b"]);
    assert_eq!(
        command("cargo run --release -- sweep --list a.toml | less"),
        Some("sweep --list a.toml".into())
    );
    assert_eq!(command("cargo run --release -p x"), None);
}
