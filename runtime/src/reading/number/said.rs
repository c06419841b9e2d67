//! What is said around a number: what stands before it, and whether what stands behind it makes it a part of something else.

use std::ops::Range;

use super::Number;
use crate::reading::plain::{COMMAND, CURRENCY, FRACTION, Plain};

/// Words of a unit behind a number: "18 apples a day".
const UNIT_WORDS: usize = 3;

/// What comes of looking at what stands behind a number.
enum Behind {
    /// The number stands alone.
    Clear,
    /// A calculation goes on behind it.
    Calculation,
    /// It is said to be equal to something.
    Equals,
    /// It is a part of something else.
    Unclear,
}

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
            c.is_whitespace() || matches!(c, '{' | '(' | '[' | CURRENCY)
        })
    }

    /// Past what may stand behind a number without changing it.
    pub fn decoration(&self, at: usize) -> usize {
        self.skip(at, |c| {
            c.is_whitespace() || matches!(c, '}' | ')' | ']' | '%' | '°' | CURRENCY)
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
        loop {
            at = self.lead(at);
            let word = self.word(at);
            let end = at + word.chars().count();
            // "x =", "the total cost ="
            let named = self.skip(at, |c| {
                c.is_alphabetic() || c == ' ' || matches!(c, '{' | '}' | '(' | ')')
            });
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
        match self.behind(end) {
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
        match self.behind(end) {
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

    fn behind(&self, end: usize) -> Behind {
        let joined = self.skip(end, |c| matches!(c, '}' | ')' | ']' | '%' | CURRENCY));
        let mut at = self.decoration(end);
        if at > joined && self.chars[joined..at].iter().any(|p| p.char == '\n') {
            return Behind::Clear;
        }
        let mut leads = false;
        for word in 0..=UNIT_WORDS {
            let spaced = at > end && self.chars[at - 1].char.is_whitespace();
            let next = self.at(at + 1);
            match self.at(at) {
                None => return Behind::Clear,
                Some('=' | '≈') => return Behind::Equals,
                Some('+' | '*' | '×' | '·' | '÷' | '^' | '±') => return Behind::Calculation,
                // A rate, "5/hour", or a division.
                Some('/') if word > 0 || !self.number_follows(at + 1) => return Behind::Clear,
                Some('/') => return Behind::Calculation,
                Some('-') if self.number_follows(at + 1) => return Behind::Calculation,
                // "18-inch", "18 - a dozen and a half"
                Some('-') => return Behind::Clear,
                Some('<' | '>' | '≤' | '≥' | '√' | COMMAND | FRACTION | '²' | '³') if word == 0 =>
                {
                    return Behind::Unclear;
                }
                Some(',') => {
                    return if self.is_list(at) {
                        Behind::Unclear
                    } else {
                        Behind::Clear
                    };
                }
                Some('.' | ':' | '\'' | '_') if next.is_some_and(|c| c.is_ascii_digit()) => {
                    return Behind::Unclear;
                }
                // "5 feet 3", and not "18 dollars for 3 days"
                Some(c) if c.is_numeric() => {
                    return if word < 2 && !leads {
                        Behind::Unclear
                    } else {
                        Behind::Clear
                    };
                }
                Some('π') => return Behind::Unclear,
                Some(c) if c.is_alphabetic() => {
                    let unit = self.word(at);
                    let after = at + unit.chars().count();
                    match unit.as_str() {
                        "or" | "to" | "and" | "through" | "versus"
                            if self.number_follows(after) =>
                        {
                            return Behind::Unclear;
                        }
                        "plus" | "minus" | "times" | "divided" | "multiplied" | "x"
                            if self.number_follows(after) =>
                        {
                            return Behind::Calculation;
                        }
                        "because" | "since" | "as" | "so" | "which" | "that" => {
                            return Behind::Clear;
                        }
                        // Thousands, millions, billions, as some write them.
                        "k" | "b" | "bn" | "mn" if word == 0 && !spaced => return Behind::Unclear,
                        // An unknown of algebra.
                        "x" | "y" | "z" | "n" | "i" if word == 0 && !spaced => {
                            return Behind::Unclear;
                        }
                        _ => {
                            leads = matches!(
                                unit.as_str(),
                                "for" | "in" | "at" | "by" | "on" | "after"
                            );
                            at = self.decoration(after);
                        }
                    }
                }
                Some(_) => return Behind::Clear,
            }
        }
        Behind::Clear
    }

    fn number_follows(&self, at: usize) -> bool {
        self.number(self.lead(at)).is_some()
    }

    /// Whether a list of numbers goes on at this comma: another stands behind it, and then the end, or one more.
    fn is_list(&self, comma: usize) -> bool {
        if self.digit(comma + 1).is_some() {
            return true;
        }
        let Some((_, end)) = self.number(self.lead(comma + 1)) else {
            return false;
        };
        let end = self.decoration(end);
        let ends = match self.at(end) {
            None | Some(',' | ';' | '!') => true,
            Some('.') => self.at(end + 1).is_none_or(char::is_whitespace),
            _ => matches!(self.word(end).as_str(), "and" | "or"),
        };
        ends || self.chars[..end].last().is_some_and(|p| p.char == '\n')
    }
}
