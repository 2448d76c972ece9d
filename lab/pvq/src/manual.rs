//! Completions for shells, and manual pages: both made from the command line's own definition.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use pvqspin_report::files;

use crate::cli::Cli;
use crate::output::failure::{Done, Failure, print};

/// Runs `pvq completions`.
pub(crate) fn completions(shell: Shell) -> Done {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut shown(), "pvq", &mut text);
    print(&String::from_utf8_lossy(&text))
}

/// Runs `pvq man`.
pub(crate) fn pages(into: Option<&Path>) -> Done {
    let mut command = shown().disable_help_subcommand(true);
    command.build();
    let Some(folder) = into else {
        return print(&page(&command).map_err(Failure::failed)?);
    };
    files::check_writable(&folder.join("pvq.1")).map_err(Failure::BadInput)?;
    for command in command.get_subcommands().chain([&command]) {
        let name = format!("{}.1", name(command));
        let text = page(command).map_err(Failure::failed)?;
        files::write_atomically(&folder.join(name), |to| to.write_all(text.as_bytes()))
            .map_err(Failure::Failed)?;
    }
    print(&format!("written: {}\n", folder.join("pvq*.1").display()))
}

/// The command line without the commands that its help does not show.
fn shown() -> Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|one| !one.is_hide_set());
    let mut command = Command::new("pvq")
        .args(all.get_arguments().cloned())
        .subcommands(shown.cloned());
    if let (Some(about), Some(long), Some(after)) =
        (all.get_about(), all.get_long_about(), all.get_after_help())
    {
        command = (command.about(about.clone()).long_about(long.clone())).after_help(after.clone());
    }
    command.version(env!("CARGO_PKG_VERSION"))
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

/// How the page of a single command ends.
const SEE_ALSO: &str = "\
.SH EXIT STATUS
0 done, 1 a run failed, 2 something asked for cannot be done, 130 interrupted; pvq(1) says more.
.SH SEE ALSO
.BR pvq (1)
";

/// The manual page of one command, as roff.
fn page(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone())
        .source(format!("pvq {}", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    let start = String::from_utf8_lossy(&page).into_owned();
    let preamble = start.split(".TH").next().unwrap_or_default();
    // Every part comes with definitions that a page needs once.
    let mut add = |render: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
        let mut part = Vec::new();
        render(&mut part)?;
        page.extend_from_slice(part.strip_prefix(preamble.as_bytes()).unwrap_or(&part));
        io::Result::Ok(())
    };
    add(&|to| man.render_name_section(to))?;
    let usage = command.clone().render_usage().to_string();
    add(&|to| {
        write!(
            to,
            ".SH SYNOPSIS\n{}",
            verbatim(usage.trim_start_matches("Usage:"))
        )
    })?;
    if command.get_long_about().is_some() {
        add(&|to| man.render_description_section(to))?;
    }
    add(&|to| man.render_options_section(to))?;
    if command.has_subcommands() {
        add(&|to| man.render_subcommands_section(to))?;
    }
    let after = command.get_after_help().map(ToString::to_string);
    add(&|to| write!(to, "{}", after.as_deref().map_or_else(String::new, notes)))?;
    if !command.has_subcommands() {
        add(&|to| write!(to, "{SEE_ALSO}"))?;
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// What follows the options in the help: examples, line by line, and paragraphs.
fn notes(help: &str) -> String {
    let mut text = String::new();
    let mut has_notes = false;
    for paragraph in help.split("\n\n") {
        if let Some(lines) = paragraph.strip_prefix("Examples:\n") {
            text += &format!(".SH EXAMPLES\n{}", verbatim(lines));
        } else if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
            text += &format!(".SH EXIT STATUS\n{}\n", escaped(codes));
        } else {
            text += if has_notes { ".PP\n" } else { ".SH NOTES\n" };
            text += &format!("{}\n", escaped(paragraph));
            has_notes = true;
        }
    }
    text
}

/// Lines that stay as they are.
fn verbatim(lines: &str) -> String {
    let lines: Vec<String> = lines.lines().map(|line| escaped(line.trim())).collect();
    format!(".nf\n{}\n.fi\n", lines.join("\n"))
}

/// Text in which roff finds nothing to interpret.
fn escaped(text: &str) -> String {
    let mut out = match text.starts_with('.') {
        true => "\\&".to_owned(),
        false => String::new(),
    };
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '~' => out.push_str("\\(ti"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_page_is_taken_for_a_request() {
        assert_eq!(escaped(".SH it's a-b\\c"), "\\&.SH it\\(aqs a\\-b\\ec");
        assert_eq!(escaped("'~`"), "\\(aq\\(ti\\(ga");
        let text =
            notes("Examples:\n  pvq x  a\n  pvq y  b\n\nFirst.\n\nSecond.\n\nExit codes: 0 done");
        assert_eq!(
            text,
            ".SH EXAMPLES\n.nf\npvq x  a\npvq y  b\n.fi\n.SH NOTES\nFirst.\n.PP\nSecond.\n\
             .SH EXIT STATUS\n0 done\n"
        );
    }
}
