//! The Rust files of this repository, and which function a line of them belongs to.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::run::root;

/// A Rust file.
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    /// The crate it belongs to: the folder of the nearest manifest.
    pub(crate) krate: String,
    /// What is in it.
    pub(crate) text: String,
    /// The same, parsed.
    pub(crate) file: syn::File,
}

/// Every Rust file below these folders of the repository, in the order of their paths. What no
/// manifest stands above is left out, and so are build outputs.
pub(crate) fn read(folders: &[&str]) -> Result<Vec<Source>> {
    let root = root();
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut paths)?;
    }
    paths.sort();
    let read = |path: PathBuf| {
        let shown = relative(&root, &path);
        let krate = crate_of(&root, &path)?;
        Some(parse(shown, krate, &path))
    };
    paths.into_iter().filter_map(read).collect()
}

fn parse(shown: String, krate: String, path: &Path) -> Result<Source> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let file = syn::parse_file(&text).with_context(|| format!("{shown} cannot be parsed"))?;
    Ok(Source {
        path: shown,
        krate,
        text,
        file,
    })
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let shown = || format!("cannot list {}", folder.display());
    let entries = fs::read_dir(folder).with_context(shown)?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, paths)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}

fn crate_of(root: &Path, path: &Path) -> Option<String> {
    let folder = path
        .ancestors()
        .skip(1)
        .take_while(|folder| *folder != root)
        .find(|folder| folder.join("Cargo.toml").is_file())?;
    Some(relative(root, folder))
}

/// What has a name in a file, and the lines that it takes.
pub(crate) struct Anchors(Vec<(RangeInclusive<usize>, String)>);

impl Anchors {
    /// Of this file.
    pub(crate) fn of(file: &syn::File) -> Self {
        let mut finder = Finder {
            path: Vec::new(),
            found: Vec::new(),
        };
        finder.visit_file(file);
        Self(finder.found)
    }

    /// The innermost named thing around a line; a name that does not change when lines do.
    pub(crate) fn around(&self, line: usize) -> &str {
        let around = self.0.iter().filter(|(lines, _)| lines.contains(&line));
        let innermost = around.min_by_key(|(lines, _)| lines.end() - lines.start());
        innermost.map_or("the module", |(_, name)| name)
    }
}

struct Finder {
    path: Vec<String>,
    found: Vec<(RangeInclusive<usize>, String)>,
}

impl Finder {
    fn within(&mut self, name: String, spanned: &impl Spanned, visit: impl FnOnce(&mut Self)) {
        self.path.push(name);
        let span = spanned.span();
        let lines = span.start().line..=span.end().line;
        self.found.push((lines, self.path.join("::")));
        visit(self);
        self.path.pop();
    }
}

/// The name of a type as it is written, without its parameters.
fn type_name(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => path
            .path
            .segments
            .last()
            .map_or_else(|| "_".to_owned(), |segment| segment.ident.to_string()),
        syn::Type::Reference(reference) => format!("&{}", type_name(&reference.elem)),
        _ => "_".to_owned(),
    }
}

/// The name of an `impl`: its type, and its trait if it has one.
pub(crate) fn impl_name(item: &syn::ItemImpl) -> String {
    let of = type_name(&item.self_ty);
    match item
        .trait_
        .as_ref()
        .and_then(|(_, path, _)| path.segments.last())
    {
        Some(segment) => format!("<{of} as {}>", segment.ident),
        None => of,
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(item.ident.to_string(), item, |this| {
            visit::visit_item_mod(this, item);
        });
    }
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(item.sig.ident.to_string(), item, |this| {
            visit::visit_item_fn(this, item);
        });
    }
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.within(impl_name(item), item, |this| {
            visit::visit_item_impl(this, item);
        });
    }
    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(item.ident.to_string(), item, |this| {
            visit::visit_item_trait(this, item);
        });
    }
    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(item.sig.ident.to_string(), item, |this| {
            visit::visit_impl_item_fn(this, item);
        });
    }
    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.within(item.sig.ident.to_string(), item, |this| {
            visit::visit_trait_item_fn(this, item);
        });
    }
    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        let name = item.ident.as_ref().map_or_else(
            || {
                let path = item.mac.path.segments.last();
                path.map_or_else(String::new, |segment| format!("{}!", segment.ident))
            },
            |ident| format!("macro {ident}"),
        );
        self.within(name, item, |_| ());
    }
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.within(item.ident.to_string(), item, |this| {
            visit::visit_item_const(this, item);
        });
    }
    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.within(item.ident.to_string(), item, |this| {
            visit::visit_item_static(this, item);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_name_is_found() {
        let text = "\
struct S;
impl S {
    fn f() {
        fn g() {
            ();
        }
    }
}
impl Clone for S {
    fn clone(&self) -> S { S }
}
";
        let file = syn::parse_file(text).expect("it is Rust");
        let anchors = Anchors::of(&file);
        let names = [1, 2, 3, 5, 10].map(|line| anchors.around(line).to_owned());
        let expected = ["the module", "S", "S::f", "S::f::g", "<S as Clone>::clone"];
        assert_eq!(names, expected);
    }
}
