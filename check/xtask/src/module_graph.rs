//! Which module of a crate uses which, and the circles among them.
//!
//! A module is a file below `src`. What counts is a path that begins with `crate` or `super`, in an
//! import or in code; tests do not count, and neither does the crate's root, which names every
//! module.

use std::collections::{BTreeMap, BTreeSet};

use syn::UseTree;
use syn::visit::{self, Visit};

use crate::sources::Source;

/// The modules of one crate, each with those that it uses.
#[derive(Default)]
pub(crate) struct ModuleGraph(BTreeMap<String, BTreeSet<String>>);

impl ModuleGraph {
    /// Of the files of one crate.
    pub(crate) fn of<'a>(sources: impl Iterator<Item = &'a Source>) -> Self {
        let modules: BTreeMap<String, &Source> = sources
            .filter_map(|source| Some((module_of(source)?, source)))
            .collect();
        let uses = |(module, source): (&String, &&Source)| {
            let mut finder = Finder {
                module: module.split("::").map(str::to_owned).collect(),
                inline: 0,
                paths: Vec::new(),
            };
            finder.visit_file(&source.file);
            let used = finder.paths.iter().filter_map(|path| {
                let prefixes = (1..=path.len()).rev().map(|end| path[..end].join("::"));
                prefixes
                    .into_iter()
                    .find(|prefix| prefix != module && modules.contains_key(prefix))
            });
            (module.clone(), used.collect())
        };
        Self(modules.iter().map(uses).collect())
    }

    fn reached_from(&self, module: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![module];
        while let Some(next) = open.pop() {
            for used in self.0.get(next).into_iter().flatten() {
                if reached.insert(used.as_str()) {
                    open.push(used);
                }
            }
        }
        reached
    }

    /// Groups of modules that cannot be read one after the other: each uses all others, by way of
    /// some.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<&str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> = (self.0.keys())
            .map(|module| (module.as_str(), self.reached_from(module)))
            .collect();
        let circle_of = |module: &&str| -> BTreeSet<&str> {
            let back = |other: &&&str| reached.get(**other).is_some_and(|of| of.contains(module));
            (reached[module].iter().filter(back).copied()).collect()
        };
        let circles: BTreeSet<BTreeSet<&str>> = (reached.keys())
            .map(circle_of)
            .filter(|circle| !circle.is_empty())
            .collect();
        circles.into_iter().collect()
    }

    /// What stands in a circle, a line for each module.
    pub(crate) fn shown(&self, circle: &BTreeSet<&str>) -> String {
        let line = |module: &&str| {
            let used: Vec<&str> = (self.0.get(*module).into_iter().flatten())
                .map(String::as_str)
                .filter(|used| circle.contains(used))
                .collect();
            format!("    {module} uses {}\n", used.join(", "))
        };
        circle.iter().map(line).collect()
    }
}

/// The module that a file is: `queue::join` for `src/queue/join.rs`. `None` for roots, tests, and
/// what is not below `src`.
fn module_of(source: &Source) -> Option<String> {
    let inside = source.path.strip_prefix(&source.krate)?;
    let inside = inside.strip_prefix("/src/")?.strip_suffix(".rs")?;
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    let name = inside.rsplit('/').next()?;
    let is_root = ["lib", "main"].contains(&inside) || inside.starts_with("bin/");
    (!is_root && !name.ends_with("tests")).then(|| inside.replace('/', "::"))
}

struct Finder {
    module: Vec<String>,
    /// How deep in modules that stand in the file itself.
    inline: usize,
    paths: Vec<Vec<String>>,
}

impl Finder {
    /// Notes a path that begins with `crate` or `super`.
    fn note(&mut self, path: &[String]) {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let full = match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("super") if supers > self.inline => {
                let up = (supers - self.inline).min(self.module.len());
                let above = &self.module[..self.module.len() - up];
                [above, &path[supers..]].concat()
            }
            _ => return,
        };
        self.paths.push(full);
    }

    fn note_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.note_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.note(&with(&name.ident)),
            UseTree::Rename(name) => self.note(&with(&name.ident)),
            UseTree::Glob(_) => self.note(before),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_tree(before, tree);
                }
            }
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = attribute
            .meta
            .require_list()
            .map(|list| list.tokens.to_string());
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && tokens.is_ok_and(|cfg| cfg.starts_with("test"))
    })
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            self.inline += 1;
            visit::visit_item_mod(self, item);
            self.inline -= 1;
        }
    }
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.note_tree(&[], &item.tree);
        }
    }
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = (path.segments.iter())
            .map(|part| part.ident.to_string())
            .collect();
        self.note(&parts);
        visit::visit_path(self, path);
    }
    // `pub(in crate::queue)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> ModuleGraph {
        let sources: Vec<Source> = (files.iter())
            .map(|(path, text)| Source {
                path: format!("a/src/{path}.rs"),
                krate: "a".to_owned(),
                text: (*text).to_owned(),
                file: syn::parse_file(text).expect("it is Rust"),
            })
            .collect();
        ModuleGraph::of(sources.iter())
    }

    #[test]
    fn a_circle_is_found_however_it_is_written() {
        for back in [
            "use super::b::{c::{C, D}, E};",
            "fn f() -> crate::b::c::C { loop {} }",
            "mod inside { use super::super::b::c; }",
            "use crate::b::c::*;",
        ] {
            let graph = graph(&[
                ("lib", "mod a; mod b;"),
                ("a", back),
                ("b", "pub mod c; fn f() { crate::a::f() }"),
                ("b/c", "use super::super::a; use super::E;"),
            ]);
            let circles = graph.circles();
            assert_eq!(circles.len(), 1, "{back}");
            assert!(
                circles[0].contains("a") && circles[0].contains("b::c"),
                "{back}"
            );
            assert!(graph.shown(&circles[0]).contains("b::c uses a"), "{back}");
        }
    }

    #[test]
    fn tests_roots_and_facades_make_none() {
        let graph = graph(&[
            ("lib", "mod a; mod b; pub use a::A; use crate::b::B;"),
            (
                "a",
                "use crate::b; #[cfg(test)] mod tests { use crate::b::tests; }",
            ),
            (
                "b",
                "pub use c::C; #[cfg(test)] use crate::a; mod i { use super::X; }",
            ),
            ("b/c", "use super::B; pub(in crate::a) struct C;"),
            ("b_tests", "use crate::a; use crate::b;"),
        ]);
        assert_eq!(graph.circles(), Vec::<BTreeSet<&str>>::new());
    }
}
