//! All that is unsafe in this repository, and why it is sound.
//!
//! Read from the parsed source, so that nothing in a comment or a string counts, and from the
//! comments above, which a parser drops. What a macro expands to is found where the macro is
//! written, by its tokens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::run::{replace, root};
use crate::sources::{Anchors, Source, read};

/// Where Rust stands in this repository.
const FOLDERS: [&str; 5] = ["crates", "examples", "linux", "lab", "check"];
const LIST: &str = "docs/generated/unsafe.md";

/// Checks the list, or writes it.
pub(crate) fn check(write: bool) -> Result<()> {
    let mut places = Vec::new();
    for source in read(&FOLDERS)? {
        places.extend(places_in(&source));
    }
    let bare: Vec<_> = (places.iter())
        .filter(|place| place.why.is_empty())
        .map(|place| format!("  {}:{} {}", place.path, place.line, place.kind))
        .collect();
    ensure!(
        bare.is_empty(),
        "unsafe without a reason right above it (`// SAFETY:`, or `# Safety` in its \
         documentation):\n{}",
        bare.join("\n")
    );
    let text = document(&places);
    let path = root().join(LIST);
    if write {
        replace(&path, &text)?;
        println!("unsafe-list: wrote {LIST}, {} places", places.len());
        return Ok(());
    }
    let shown = fs::read_to_string(&path).with_context(|| format!("cannot read {LIST}"))?;
    if shown != text {
        let differs = shown.lines().zip(text.lines()).find(|(a, b)| a != b);
        let (was, now) = differs.unwrap_or(("(the end)", "(or more)"));
        bail!(
            "{LIST} is not what stands in the source:\nlisted {was}\nnow    {now}\n\
             `cargo xtask unsafe-list --write` brings it up to date; look at what has changed."
        );
    }
    println!("unsafe-list: {LIST} lists all {} places", places.len());
    Ok(())
}

/// One block, function, `impl` or trait that is unsafe.
struct Place {
    krate: String,
    path: String,
    line: usize,
    anchor: String,
    kind: &'static str,
    why: String,
}

fn places_in(source: &Source) -> Vec<Place> {
    let mut finder = Finder::default();
    finder.visit_file(&source.file);
    let anchors = Anchors::of(&source.file);
    let lines: Vec<_> = source.text.lines().collect();
    let mut places: Vec<_> = (finder.found.into_iter())
        .map(|(line, kind, promised)| Place {
            krate: source.krate.clone(),
            path: source.path.clone(),
            line,
            anchor: anchors.around(line).to_owned(),
            kind,
            why: Some(reason_above(&lines, line, kind))
                .filter(|why| !why.is_empty())
                .or(promised)
                .unwrap_or_default(),
        })
        .collect();
    places.sort_by_key(|place| place.line);
    places
}

#[derive(Default)]
struct Finder {
    /// The line, the kind, and the reason if it is given elsewhere.
    found: Vec<(usize, &'static str, Option<String>)>,
    /// In an `impl` of this trait, whose documentation says what its functions ask for.
    of_trait: Option<String>,
}

impl Finder {
    fn add(&mut self, spanned: &impl Spanned, kind: &'static str) {
        self.found.push((spanned.span().start().line, kind, None));
    }

    /// Inside a macro there are only tokens: `unsafe` and what follows it.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) if ident == "unsafe" => {
                    let kind = match tokens.peek() {
                        Some(TokenTree::Ident(next)) if next == "fn" => FUNCTION,
                        Some(TokenTree::Ident(next)) if next == "impl" => IMPL,
                        Some(TokenTree::Ident(next)) if next == "extern" => EXTERN,
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            BLOCK
                        }
                        _ => continue,
                    };
                    self.found.push((ident.span().start().line, kind, None));
                }
                _ => {}
            }
        }
    }
}

const BLOCK: &str = "block";
const FUNCTION: &str = "function";
const IMPL: &str = "impl";
const TRAIT: &str = "trait";
const EXTERN: &str = "extern block";

impl<'ast> Visit<'ast> for Finder {
    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.add(&block.unsafe_token, BLOCK);
        visit::visit_expr_unsafe(self, block);
    }
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(token) = &signature.unsafety {
            let promised = (self.of_trait.as_ref())
                .map(|name| format!("the caller keeps what `{name}` asks for."));
            self.found
                .push((token.span().start().line, FUNCTION, promised));
        }
        visit::visit_signature(self, signature);
    }
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.add(token, IMPL);
        }
        let name = (item.trait_.as_ref())
            .and_then(|(_, path, _)| path.segments.last())
            .map(|segment| segment.ident.to_string());
        let outer = core::mem::replace(&mut self.of_trait, name);
        visit::visit_item_impl(self, item);
        self.of_trait = outer;
    }
    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if let Some(token) = &item.unsafety {
            self.add(token, TRAIT);
        }
        visit::visit_item_trait(self, item);
    }
    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        if let Some(token) = &item.unsafety {
            self.add(token, EXTERN);
        }
        visit::visit_item_foreign_mod(self, item);
    }
    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.tokens(mac.tokens.clone());
    }
}

/// The reason above a line: a `SAFETY:` comment, or the `# Safety` section of a documentation.
fn reason_above(lines: &[&str], line: usize, kind: &str) -> String {
    // The statement may begin lines before the word, and attributes and other comments may stand
    // between it and its reason: up to the nearest reason, but not over the end of another
    // statement.
    let mut at = line - 1;
    let mut inline = lines[at];
    for _ in 0..MOST_LINES {
        if let Some((_, rest)) = inline.split_once("// SAFETY:") {
            return joined(rest, &lines[at + 1..line], "//");
        }
        if let Some(rest) = inline.trim().strip_prefix("/// # Safety") {
            return joined(rest, &lines[at + 1..line], "///");
        }
        if at == 0 || ends_what_is_above(lines[at - 1], kind) {
            return String::new();
        }
        at -= 1;
        inline = lines[at];
    }
    String::new()
}

/// How far above the word its reason may begin.
const MOST_LINES: usize = 40;

fn ends_what_is_above(line: &str, kind: &str) -> bool {
    let line = line.trim();
    let is_comment = line.starts_with("//");
    // A function's documentation may be long, with examples in it; code ends what came before.
    let ends = line.ends_with(';') || line.ends_with('}') || line.is_empty();
    !is_comment && ends && !(kind == BLOCK && line.starts_with('#'))
}

/// A comment that goes on over lines, as one.
fn joined(first: &str, following: &[&str], mark: &str) -> String {
    let mut text = first.trim().to_owned();
    for line in following {
        let Some(more) = line.trim().strip_prefix(mark) else {
            break;
        };
        let more = more.trim();
        if more.starts_with('#') || mark == "///" && more.starts_with("```") {
            break;
        }
        if more.is_empty() {
            if text.is_empty() {
                continue;
            }
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(more);
    }
    without_links(&text)
}

/// Links to items lead nowhere outside of the code's own documentation: only their names are kept.
fn without_links(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, after)) = after.split_once("`]") else {
            break;
        };
        kept.push_str(before);
        kept.extend(["`", name, "`"]);
        let target = after
            .strip_prefix('(')
            .and_then(|link| link.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    kept + rest
}

/// The list as it stands in the documentation.
fn document(places: &[Place]) -> String {
    let mut by_crate = BTreeMap::<_, Vec<_>>::new();
    for place in places {
        by_crate.entry(&place.krate).or_default().push(place);
    }
    let mut text = HEADER.to_owned();
    text.push_str("\n| crate | blocks | functions | others | of them in tests |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: |\n");
    for (krate, places) in &by_crate {
        let count = |of: &dyn Fn(&&&Place) -> bool| places.iter().filter(of).count();
        let blocks = count(&|place| place.kind == BLOCK);
        let functions = count(&|place| place.kind == FUNCTION);
        let tests = count(&|place| is_test(place));
        let others = places.len() - blocks - functions;
        let _ = writeln!(
            text,
            "| {krate} | {blocks} | {functions} | {others} | {tests} |"
        );
    }
    let _ = writeln!(text, "| all {} | | | | |", places.len());
    for (krate, places) in &by_crate {
        let _ = writeln!(text, "\n## {krate}");
        let mut path = "";
        for place in places {
            if place.path != path {
                path = &place.path;
                let shown = path.strip_prefix(krate.as_str()).unwrap_or(path);
                let _ = writeln!(text, "\n`{}`\n", shown.trim_start_matches('/'));
            }
            let _ = writeln!(text, "- `{}`, {}: {}", place.anchor, place.kind, place.why);
        }
    }
    text
}

/// Whether a place is part of no product.
fn is_test(place: &Place) -> bool {
    let in_folder = ["/tests/", "/examples/", "/benches/"];
    in_folder.iter().any(|folder| place.path.contains(folder))
        || place.path.ends_with("_tests.rs")
        || place.anchor.split("::").any(|name| name == "tests")
}

const HEADER: &str = "\
# All that is unsafe

Every unsafe block, function and `impl` of this repository, with the reason why it is sound as it
stands above it in the source. `cargo xtask unsafe-list --write` writes this file from the source,
and without `--write` it fails if the two differ, or if a reason is missing.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<(String, &'static str, String)> {
        let source = Source {
            path: "crates/a/src/lib.rs".to_owned(),
            krate: "crates/a".to_owned(),
            text: text.to_owned(),
            file: syn::parse_file(text).expect("it is Rust"),
        };
        (places_in(&source).into_iter())
            .map(|place| (place.anchor, place.kind, place.why))
            .collect()
    }

    #[test]
    fn blocks_functions_and_impls_come_with_their_reasons() {
        let text = "\
// SAFETY: nothing in it.
unsafe impl Sync for S {}
impl S {
    /// Does it.
    ///
    /// # Safety
    ///
    /// The caller
    /// holds it.
    #[inline]
    pub unsafe fn f(&self) {
        // an unsafe word in a comment
        // SAFETY: none is needed for a text.
        let s = \"unsafe { }\";
        // SAFETY: the caller says
        // so.
        let x = unsafe { g(s) };
        let y = g2(
            // SAFETY: too.
            unsafe { g(x) },
        );
    }
}
";
        let list = listed(text);
        let expected = [
            ("<S as Sync>", IMPL, "nothing in it."),
            ("S::f", FUNCTION, "The caller holds it."),
            ("S::f", BLOCK, "the caller says so."),
            ("S::f", BLOCK, "too."),
        ];
        let expected = expected.map(|(a, kind, why)| (a.to_owned(), kind, why.to_owned()));
        assert_eq!(list, expected);
    }

    #[test]
    fn a_missing_reason_is_not_borrowed_from_the_statement_before() {
        let text = "\
fn f() {
    // SAFETY: this one.
    unsafe { g() };
    let x = unsafe { g() };
}
";
        let list = listed(text);
        assert_eq!(list[0].2, "this one.");
        assert_eq!(list[1].2, "");
    }

    #[test]
    fn what_stands_in_a_macro_is_found() {
        let text = "\
macro_rules! m {
    () => {
        // SAFETY: of the macro.
        unsafe { g() }
    };
}
fn f() {
    // SAFETY: inside.
    assert!(unsafe { g() });
}
";
        let list = listed(text);
        assert_eq!(list.len(), 2, "{list:?}");
        assert_eq!((list[0].0.as_str(), list[0].1), ("macro m", BLOCK));
        assert_eq!(list[1].2, "inside.");
    }

    #[test]
    fn links_leave_their_names() {
        let text = "See [`lock`](Self::lock), [`x`] and [0]; [`open";
        assert_eq!(without_links(text), "See `lock`, `x` and [0]; [`open");
    }
}
