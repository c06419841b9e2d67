//! What is said around a number: what stands before it, and the result of a calculation that it begins.

use std::ops::Range;

use super::Number;
use super::behind::Behind;
use crate::reading::plain::{CURRENCY, Plain};

/// The plain characters of a text, looked at by their places.
pub struct Scan<'a> {
    pub chars: &'a [Plain],
}

impl Scan<'_> {
    pub fn at(&self, at: usize) -> Option<char> {
        self.chars.get(at).map(|p| p.char)
    }

    pub fn digit(&self, at: usize) -> Option<u32> {
        self.at(at).and_then(|c| c.to_digit(10))
    }

    pub fn skip(&self, at: usize, wanted: impl Fn(char) -> bool) -> usize {
        (at..self.chars.len())
            .find(|&i| !wanted(self.chars[i].char))
            .unwrap_or(self.chars.len())
    }

    pub fn spaces(&self, at: usize) -> usize {
        self.skip(at, char::is_whitespace)
    }

    /// Past brackets, currencies and spaces before a number.
    pub fn lead(&self, at: usize) -> usize {
        self.skip(at, |c| {
            c.is_whitespace() || matches!(c, '{' | '(' | '[' | '~' | CURRENCY)
        })
    }

    /// Past what may stand behind a number without changing it.
    pub fn decoration(&self, at: usize) -> usize {
        self.skip(at, |c| {
            c.is_whitespace() || matches!(c, '}' | ')' | ']' | '%' | '°' | '~' | CURRENCY)
        })
    }

    /// A word of letters, in small letters.
    pub fn word(&self, at: usize) -> String {
        let end = self.skip(at, char::is_alphabetic);
        self.chars[at..end]
            .iter()
            .flat_map(|p| p.char.to_lowercase())
            .collect()
    }

    /// Whether the hyphen at `at` begins a line and a space follows it: the mark of a list, and no sign.
    fn is_bullet(&self, at: usize) -> bool {
        let first = at.checked_sub(1).and_then(|before| self.at(before)) == Some('\n');
        first && self.at(at + 1).is_some_and(char::is_whitespace)
    }

    /// Past words and signs that say nothing but "here it comes".
    pub fn fillers(&self, mut at: usize) -> usize {
        const FILLERS: [&str; 18] = [
            "about",
            "approximately",
            "around",
            "roughly",
            "exactly",
            "only",
            "just",
            "equal",
            "equals",
            "to",
            "is",
            "thus",
            "therefore",
            "simply",
            "indeed",
            "now",
            "the",
            "number",
        ];
        // Where the name that `at` lies in ends. Kept, so that a text of many names is gone through once.
        let mut named = at;
        loop {
            at = self.lead(at);
            let word = self.word(at);
            let end = at + word.chars().count();
            // "x =", "the total cost ="
            if named <= at {
                named = self.skip(at, |c| {
                    c.is_alphabetic() || c == ' ' || matches!(c, '{' | '}' | '(' | ')')
                });
            }
            at = match self.at(at) {
                Some(':' | '=' | '≈' | '\u{2014}') => at + 1,
                Some('-') if self.is_bullet(at) => at + 1,
                _ if self.at(named) == Some('=') => named + 1,
                _ if FILLERS.contains(&word.as_str()) => end,
                _ => return at,
            };
        }
    }

    /// The number that is said at `at`, and its place in the text.
    pub fn said(&self, at: usize) -> Option<(Number, Range<usize>)> {
        let start = self.fillers(at);
        let (number, end) = self.number(start)?;
        let here = || self.place(start, end).map(|place| (number.clone(), place));
        match self.behind(&number, end) {
            Behind::Clear => here(),
            Behind::Unclear => None,
            Behind::Equals => self.result(end).or_else(here),
            Behind::Calculation => self.result(end),
        }
    }

    fn place(&self, start: usize, end: usize) -> Option<Range<usize>> {
        // A currency before it is shown with it: "$18". The other bound of a formula is not.
        let priced = start
            .checked_sub(1)
            .filter(|&i| self.chars[i].char == CURRENCY && self.at(end) != Some(CURRENCY));
        Some(self.chars[priced.unwrap_or(start)].start..self.chars.get(end.checked_sub(1)?)?.end)
    }

    /// The number behind the last sign of equality of the sentence, if it stands alone there.
    fn result(&self, from: usize) -> Option<(Number, Range<usize>)> {
        let end = self.sentence(from);
        let equals = (from..end)
            .rev()
            .find(|&i| matches!(self.chars[i].char, '=' | '≈'))?;
        let start = self.fillers(equals + 1);
        let (number, end) = self.number(start)?;
        match self.behind(&number, end) {
            Behind::Clear => Some((number, self.place(start, end)?)),
            _ => None,
        }
    }

    /// The end of the sentence: a full stop before a space, or the end of a line.
    fn sentence(&self, from: usize) -> usize {
        let ends = |&i: &usize| {
            let stop = matches!(self.chars[i].char, '.' | '!' | '?');
            self.chars[i].char == '\n' || (stop && self.at(i + 1).is_none_or(char::is_whitespace))
        };
        (from..self.chars.len())
            .find(ends)
            .unwrap_or(self.chars.len())
    }
}
