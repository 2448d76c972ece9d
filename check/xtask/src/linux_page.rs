//! The page of `cargo xtask linux --page`: a section for each host and kind of work.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::run::{replace, today};

const HEAD: &str = "# In a Linux guest: the tables\n\n\
    `cargo xtask linux --page FILE` makes them: stock kernels as host and guest, in an emulator that \
    counts instructions. [The guide](../linux-guest.md) says what they mean. Work a second is the \
    median of the turns, and from least to most; what has commas has a number for each turn. `:nameless` \
    is `names=0`.\n";

/// What was measured.
pub(crate) struct Section<'a> {
    /// "Programs", for example.
    pub(crate) what: &'a str,
    /// What the machine printed: it names the host's scheduler.
    pub(crate) text: &'a str,
    pub(crate) pcpus: u32,
    /// The options that made it.
    pub(crate) options: String,
    pub(crate) kernel: &'a str,
    pub(crate) tables: &'a str,
}

impl Section<'_> {
    /// Puts it into the page.
    pub(crate) fn keep(&self, page: &Path) -> Result<()> {
        let scheduler = (self.text.lines())
            .find_map(|line| line.strip_prefix("HOST scheduler: "))
            .unwrap_or("EEVDF");
        let title = format!(
            "{}, {} pCPUs, {scheduler} on the host",
            self.what, self.pcpus
        );
        let body = format!(
            "Linux {}, `cargo xtask linux {}`, {}.\n{}",
            self.kernel,
            self.options,
            today()?,
            self.tables
        );
        let before = fs::read_to_string(page).unwrap_or_else(|_| HEAD.to_owned());
        replace(page, &with_section(&before, &title, &body))
    }
}

/// Options as a page has them: files by their names alone, and without those that change no figure.
pub(crate) fn in_short(words: &[String]) -> String {
    let mut short = Vec::new();
    let mut all = words.iter();
    while let Some(word) = all.next() {
        if word == "--page" || word == "--timeout" {
            all.next();
            continue;
        }
        short.push(word.rsplit('/').next().unwrap_or_default());
    }
    short.join(" ")
}

/// A page with this section, in the place of one with the same title or behind all others.
fn with_section(page: &str, title: &str, body: &str) -> String {
    let heading = format!("## {title}");
    let section = format!("{heading}\n\n{}\n", body.trim());
    let mut sections: Vec<String> = Vec::new();
    for line in page.lines() {
        match sections.last_mut() {
            Some(last) if !line.starts_with("## ") => {
                last.push_str(line);
                last.push('\n');
            }
            _ => sections.push(format!("{line}\n")),
        }
    }
    let is_it = |known: &&mut String| known.lines().next() == Some(heading.as_str());
    match sections.iter_mut().find(is_it) {
        Some(known) => *known = section,
        None => sections.push(section),
    }
    let trimmed: Vec<_> = sections.iter().map(|section| section.trim_end()).collect();
    trimmed.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_page_have_no_paths() {
        let words = [
            "--page",
            "/a/page.md",
            "--pcpus",
            "4",
            "--host-program",
            "/b/scx_pvq",
        ];
        let short = in_short(&words.map(str::to_owned));
        assert_eq!(short, "--pcpus 4 --host-program scx_pvq");
    }

    #[test]
    fn a_section_takes_the_place_of_its_like() {
        let page = with_section("# Title\n\nText.\n", "one", "first");
        assert_eq!(page, "# Title\n\nText.\n\n## one\n\nfirst\n");
        let page = with_section(&page, "two", "other\n");
        let page = with_section(&page, "one", "again");
        assert_eq!(
            page,
            "# Title\n\nText.\n\n## one\n\nagain\n\n## two\n\nother\n"
        );
    }
}
