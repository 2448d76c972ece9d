//! What the terminal is like: how wide, and which characters it shows.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use pvqspin_timeline::strip::Charset;
use ratatui::crossterm::terminal;

/// What the terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Characters {
    /// What the locale says
    Auto,
    /// ASCII alone
    Ascii,
    /// Blocks and lines
    Unicode,
}

/// Where there is no terminal.
const USUAL_WIDTH: usize = 100;

/// A line that goes on is indented by so much where its name leaves too little room beside it.
const HANGING: usize = 4;

/// Less room than this beside a name is too little.
const LEAST_ROOM: usize = 20;

/// So many words are no figure and no name.
const A_SENTENCE: usize = 4;

/// How many columns standard output has.
pub(crate) fn width() -> usize {
    let told = || {
        env::var("COLUMNS")
            .ok()?
            .parse()
            .ok()
            .filter(|&told| told > 0)
    };
    let real = real_width().filter(|_| io::stdout().is_terminal());
    real.or_else(told).unwrap_or(USUAL_WIDTH)
}

/// How many columns the terminal has.
fn real_width() -> Option<usize> {
    let (columns, _) = terminal::size().ok()?;
    Some(usize::from(columns)).filter(|&columns| columns > 0)
}

/// Lines of at most so many characters, broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A text that begins in this column of a terminal, on as many of its lines as it takes. In a file or a
/// pipe it stays one line, for programs that look for lines.
pub(crate) fn hanging(text: &str, column: usize) -> String {
    if !io::stdout().is_terminal() {
        return text.to_owned();
    }
    let room = width().saturating_sub(column).max(20);
    wrapped(text, room).join(&format!("\n{:column$}", ""))
}

/// What to draw with: what was asked for, or else what the locale can show.
pub(crate) fn charset(asked: Characters) -> Charset {
    match asked {
        Characters::Ascii => Charset::Ascii,
        Characters::Unicode => Charset::Unicode,
        Characters::Auto => of_locale(|name| env::var(name).ok()),
    }
}

/// The text as the terminal behind `stream` can show it: in ASCII if the locale knows no more, and in lines
/// that fit. What goes to a file or a pipe stays as it is, whatever the locale.
pub(crate) fn shown<'a>(text: &'a str, stream: &impl IsTerminal) -> Cow<'a, str> {
    if !stream.is_terminal() {
        return Cow::Borrowed(text);
    }
    let text = harmless(text);
    let text = match folded(&text, real_width().unwrap_or(USUAL_WIDTH)) {
        Cow::Borrowed(_) => text,
        Cow::Owned(folded) => Cow::Owned(folded),
    };
    if text.is_ascii() || charset(Characters::Auto) == Charset::Unicode {
        return text;
    }
    Cow::Owned(text.chars().map(ascii).collect())
}

/// The text without what would command the terminal: names of files and labels may hold anything.
fn harmless(text: &str) -> Cow<'_, str> {
    let commands = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    if text.contains(commands) {
        Cow::Owned(text.replace(commands, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text with its long lines broken between words. What follows a name stays beside it. Rows of tables
/// stay as they are.
fn folded(text: &str, width: usize) -> Cow<'_, str> {
    let fits = |line: &str| line.chars().count() <= width;
    if text.split('\n').all(fits) {
        return Cow::Borrowed(text);
    }
    let fold = |line: &str| match prose_from(line).filter(|_| !fits(line)) {
        None => line.to_owned(),
        Some(from) => fold_line(line.split_at(from), width),
    };
    let lines: Vec<String> = text.split('\n').map(fold).collect();
    Cow::Owned(lines.join("\n"))
}

fn fold_line((name, prose): (&str, &str), width: usize) -> String {
    let mut column = name.chars().count();
    let indent = match column {
        column if column + LEAST_ROOM <= width => column,
        _ => HANGING.min(width / 4),
    };
    let mut text = name.to_owned();
    for (index, word) in prose.split(' ').enumerate() {
        let wide = word.chars().count();
        if index > 0 && column + 1 + wide > width {
            text += &format!("\n{:indent$}", "");
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += wide;
    }
    text
}

/// Where the prose of a line begins: behind its last gap. `None`: it is a row of a table, which has several
/// gaps and a figure in the last column.
fn prose_from(line: &str) -> Option<usize> {
    let line = line.trim_end();
    let from = line.rfind("  ").map_or(0, |gap| gap + 2);
    let (before, prose) = line.split_at(from);
    let one_gap = !before.trim().contains("  ");
    (one_gap || prose.split(' ').count() >= A_SENTENCE).then_some(from)
}

/// The ASCII character that resembles this one most, so that columns stay where they are.
pub(crate) fn ascii(of: char) -> char {
    match of {
        ascii if ascii.is_ascii() => ascii,
        'µ' => 'u',
        '×' => 'x',
        '│' | '┃' => '|',
        '─' | '━' | '–' | '—' => '-',
        '…' => '.',
        '→' => '>',
        _ => '?',
    }
}

/// The first of these that is set and not empty decides, as POSIX has it.
fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Charset {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_ascii_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") {
        Charset::Unicode
    } else {
        Charset::Ascii
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_unicode_is_shown_ascii() {
        let text: String = "0.3 µs ── 2 × 3".chars().map(ascii).collect();
        assert_eq!(text, "0.3 us -- 2 x 3");
    }

    #[test]
    fn a_name_does_not_command_the_terminal() {
        assert_eq!(
            harmless("\u{1b}[31mred\n\tx\u{7}"),
            "\u{fffd}[31mred\n\tx\u{fffd}"
        );
        assert!(matches!(harmless("µ ok\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_lines_are_broken_between_words_and_tables_are_not() {
        let cases = [
            ("a line that is long\n", 12, "a line that\n   is long\n"),
            ("it fits\nso does it", 12, "it fits\nso does it"),
            (
                "name   what it is, in a sentence that is long",
                40,
                "name   what it is, in a sentence that is\n       long",
            ),
            ("name   what it is", 12, "name   what\n   it is"),
            (
                " fifo     0.94     1.3 µs   4 ms",
                12,
                " fifo     0.94     1.3 µs   4 ms",
            ),
            (
                "averylongwordthatfitsnowhere",
                12,
                "averylongwordthatfitsnowhere",
            ),
        ];
        for (text, width, expected) in cases {
            assert_eq!(folded(text, width), expected);
        }
    }

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let charset = |pairs: &[(&str, &str)]| {
            of_locale(|name| {
                let pair = pairs.iter().find(|(set, _)| *set == name);
                pair.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(charset(&[]), Charset::Ascii);
        assert_eq!(charset(&[("LANG", "de_DE.UTF-8")]), Charset::Unicode);
        assert_eq!(
            charset(&[("LANG", "en_GB.utf8"), ("LC_ALL", "C")]),
            Charset::Ascii
        );
        assert_eq!(
            charset(&[("LANG", "C.UTF-8"), ("LC_ALL", "")]),
            Charset::Unicode
        );
    }
}
