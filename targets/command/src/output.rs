//! The one place where the command writes. A full disk is an error like any other, a reader that has left ends the command
//! quietly, and control characters in what packages, servers and workloads say are shown instead of obeyed.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};

use crate::closed;

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes a line to standard output.
#[macro_export]
macro_rules! out {
    ($($arg:tt)*) => { $crate::output::write_line(::std::format_args!($($arg)*)) };
}

/// Writes a line to standard error. Where that fails nobody is left to tell, and the work goes on.
#[macro_export]
macro_rules! note {
    ($($arg:tt)*) => { $crate::output::write_note(::std::format_args!($($arg)*)) };
}

/// The reader of standard output has left, as `head` does when it has its lines.
#[derive(Debug)]
pub struct ReaderLeft;

impl Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of standard output has left")
    }
}

impl std::error::Error for ReaderLeft {}

/// Whoever began the process gave it no standard output.
#[derive(Debug)]
pub struct Closed;

impl Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "standard output is closed: nothing can be written to it; redirect it to a file or to /dev/null",
        )
    }
}

impl std::error::Error for Closed {}

/// What [`out!`](crate::out) does.
///
/// # Errors
/// [`ReaderLeft`], [`Closed`], or that standard output cannot be written to.
pub fn write_line(text: fmt::Arguments<'_>) -> Result<()> {
    let mut text = plain(&text.to_string()).into_owned();
    text.push('\n');
    write(&text)
}

/// What [`note!`](crate::note) does.
pub fn write_note(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let _ = writeln!(io::stderr().lock(), "{}", plain(&text));
}

/// Writes a model's text as it is; on a terminal with its control characters shown.
///
/// # Errors
/// As [`write_line`].
pub fn answer(text: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        write(&plain(text))
    } else {
        write(text)
    }
}

/// Writes one JSON value on several lines.
///
/// # Errors
/// As [`write_line`].
pub fn json(value: &impl Serialize) -> Result<()> {
    let mut text = String::new();
    // They can stand within strings only, where JSON leaves them as they are.
    for c in serde_json::to_string_pretty(value)?.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => text.push(c),
        }
    }
    text.push('\n');
    write(&text)
}

/// `text` with control characters other than tab and line feed spelt out, `\u{1b}` in place of an escape, and those that
/// turn the direction of what follows.
pub fn plain(text: &str) -> Cow<'_, str> {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hidden = |c: char| turns(c) || c.is_control() && c != '\n' && c != '\t';
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// `text` with its line feeds and tabs spelt out too, so that a name in a list cannot pretend to be another line of it.
pub fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\t', "\\t")
}

/// Flushes what it writes, so that a failure shows where it happens and not when the process ends.
fn write(text: &str) -> Result<()> {
    if closed::stdout_was_closed() {
        return Err(Closed.into());
    }
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The outcome of writing to standard output, as an error of ours.
///
/// # Errors
/// As [`write_line`].
pub fn written(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderLeft.into()),
        other => other.context("writing to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::{one_line, plain};

    #[test]
    fn control_characters_are_shown_and_text_stays() {
        assert_eq!(plain("a\tb\nß 😀"), "a\tb\nß 😀");
        assert_eq!(
            plain("\u{1b}[2J\r\u{7f}\u{9b}"),
            "\\u{1b}[2J\\r\\u{7f}\\u{9b}"
        );
        assert_eq!(plain("MIT\u{202e}exe"), "MIT\\u{202e}exe");
        assert_eq!(one_line("a\nlicence MIT"), "a\\nlicence MIT");
    }
}
