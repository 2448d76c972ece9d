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
    /// Only those of 1963
    Ascii,
    /// Blocks and lines
    Unicode,
}

/// Where there is no terminal.
const USUAL_WIDTH: usize = 100;

/// How many columns standard output has.
pub(crate) fn width() -> usize {
    let told = env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let real = || {
        terminal::size()
            .ok()
            .map(|(columns, _)| usize::from(columns))
    };
    let width = if io::stdout().is_terminal() {
        real().or(told)
    } else {
        told
    };
    width.filter(|&columns| columns > 0).unwrap_or(USUAL_WIDTH)
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

/// The text as the terminal behind `stream` can show it: in ASCII if the locale knows no more. What goes to
/// a file or a pipe stays as it is, whatever the locale.
pub(crate) fn shown<'a>(text: &'a str, stream: &impl IsTerminal) -> Cow<'a, str> {
    if text.is_ascii() || !stream.is_terminal() || charset(Characters::Auto) == Charset::Unicode {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(ascii).collect())
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
