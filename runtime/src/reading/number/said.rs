//! What is said around a number: what stands before it, and the result of a calculation that it begins.

use std::ops::Range;

use super::Number;
use super::behind::Behind;
use super::scan::Scan;
use crate::reading::plain::{COMMAND, CURRENCY};

impl Scan<'_> {
    /// Whether the hyphen at `at` begins a line and a space follows it: the mark of a list, and no sign.
    fn is_bullet(&self, at: usize) -> bool {
        self.begins_line(at) && self.at(at + 1).is_some_and(char::is_whitespace)
    }

    fn begins_line(&self, at: usize) -> bool {
        at.checked_sub(1).and_then(|before| self.at(before)) == Some('\n')
    }

    /// Whether `digit` and a full stop begin the line at `at`: an item of a list.
    fn is_item(&self, at: usize, digit: char) -> bool {
        self.begins_line(at)
            && self.at(at) == Some(digit)
            && self.at(at + 1) == Some('.')
            && self.at(at + 2) == Some(' ')
    }

    /// Whether the first item of a list stands at `at`, with a number in it, and no second item behind it.
    fn is_only_item(&self, at: usize) -> bool {
        self.is_item(at, '1')
            && self.number(self.lead(at + 2)).is_some()
            && !(at..self.chars.len()).any(|i| self.is_item(i, '2'))
    }

    /// Whether the number in words at `at` is said once more behind them: "eighteen (18)". Where they end.
    fn said_twice(&self, at: usize) -> Option<usize> {
        let (value, end) = self.spoken(at)?;
        let bracket = self.spaces(end);
        let again = (self.at(bracket) == Some('(')).then(|| self.number(self.lead(bracket)));
        again
            .flatten()
            .is_some_and(|(number, _)| number.0 == value)
            .then_some(end)
    }

    /// Past words and signs that say nothing but "here it comes".
    pub fn fillers(&self, mut at: usize) -> usize {
        const FILLERS: [&str; 24] = [
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
            "a",
            "an",
            "total",
            "of",
            "there",
            "are",
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
                // A quotation, and not "> 18" in a sentence.
                Some('>') if self.begins_line(at) => at + 1,
                // A cell of a table, and not the size of a number.
                Some('|')
                    if self.at(at + 1) == Some(' ')
                        && self.digit(self.spaces(at + 1)).is_some() =>
                {
                    at + 1
                }
                Some('1') if self.is_only_item(at) => at + 2,
                _ if self.at(named) == Some('=') => named + 1,
                _ if FILLERS.contains(&word.as_str()) => end,
                _ => match self.said_twice(at) {
                    Some(end) => end,
                    None => return at,
                },
            };
        }
    }

    /// The number that is said at `at`, and its place in the text.
    pub fn said(&self, at: usize) -> Option<(Number, Range<usize>)> {
        let start = self.fillers(at);
        if self.is_item(start, '1') {
            return None;
        }
        let Some((number, end)) = self.number(start) else {
            return self.root(start);
        };
        let here = || self.place(start, end).map(|place| (number.clone(), place));
        match self.behind(&number, end) {
            Behind::Clear if self.is_corrected(end) => None,
            Behind::Clear => here(),
            Behind::Unclear => self.solved(end),
            Behind::Equals if self.is_equation(end) => None,
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
        // `3 + x = 5` is no calculation.
        if self.unknown(from, equals).is_some() {
            return None;
        }
        self.result_behind(equals)
    }

    fn result_behind(&self, equals: usize) -> Option<(Number, Range<usize>)> {
        let start = self.fillers(equals + 1);
        let (number, end) = self.number(start)?;
        match self.behind(&number, end) {
            Behind::Clear if !self.is_corrected(end) => Some((number, self.place(start, end)?)),
            _ => None,
        }
    }

    /// The result of a calculation that begins with a root, `\sqrt{324} = 18`, if it has no letters.
    fn root(&self, start: usize) -> Option<(Number, Range<usize>)> {
        let equals = self.skip(start, |c| c != '=' && !c.is_alphabetic());
        let whole = matches!(self.at(start), Some(COMMAND | '√'))
            && self.at(equals) == Some('=')
            && (start..equals).any(|i| self.digit(i).is_some());
        whole.then(|| self.result(start)).flatten()
    }

    /// What an equation's unknown, which stands at `at`, is said to be behind it: `3x = 54, x = 18`.
    fn solved(&self, at: usize) -> Option<(Number, Range<usize>)> {
        const THEN: [&str; 6] = ["so", "then", "thus", "hence", "therefore", "and"];
        let unknown = self.word(at);
        if unknown.chars().count() != 1 || self.at(self.spaces(at + 1)) != Some('=') {
            return None;
        }
        let end = self.sentence(at);
        let mut equals = (at..end).filter(|&i| matches!(self.chars[i].char, '=' | '≈'));
        let (Some(_), Some(last), None) = (equals.next(), equals.next(), equals.next()) else {
            return None;
        };
        let back = |end: usize, wanted: fn(char) -> bool| {
            (0..end)
                .rev()
                .find(|&i| !wanted(self.chars[i].char))
                .map_or(0, |i| i + 1)
        };
        let name = back(back(last, |c| c == ' '), char::is_alphabetic);
        let before = back(name, |c| c == ' ');
        let apart = match before.checked_sub(1).and_then(|i| self.at(i)) {
            Some(',' | ';' | '→' | '⇒' | COMMAND) => true,
            _ => THEN.contains(&self.word(back(before, char::is_alphabetic)).as_str()),
        };
        (apart && self.word(name) == unknown)
            .then(|| self.result_behind(last))
            .flatten()
    }

    /// The first unknown of algebra from `from` to `to`; an x before a number is a sign of multiplication.
    fn unknown(&self, from: usize, to: usize) -> Option<usize> {
        let letter =
            |at: Option<usize>| at.and_then(|i| self.at(i)).is_some_and(char::is_alphabetic);
        (from..to).find(|&i| {
            let alone = !letter(i.checked_sub(1)) && !letter(Some(i + 1));
            match self.chars[i].char {
                'x' => alone && self.digit(self.lead(i + 1)).is_none(),
                'y' | 'z' | 'n' => alone,
                _ => false,
            }
        })
    }

    /// Whether the number that ends at `from` is said to be equal to something with an unknown in it: `54 = 3x`, and not
    /// `18 = x`.
    fn is_equation(&self, from: usize) -> bool {
        let end = self.sentence(from);
        self.unknown(from, end).is_some_and(|unknown| {
            let alone = self.skip(from, |c| c.is_whitespace() || "={}()¤".contains(c)) == unknown;
            !(alone && self.decoration(unknown + 1) >= end)
        })
    }

    /// The end of the sentence: a full stop before a space, or the end of a line.
    pub fn sentence(&self, from: usize) -> usize {
        let ends = |&i: &usize| {
            let stop = matches!(self.chars[i].char, '.' | '!' | '?');
            self.chars[i].char == '\n' || (stop && self.at(i + 1).is_none_or(char::is_whitespace))
        };
        (from..self.chars.len())
            .find(ends)
            .unwrap_or(self.chars.len())
    }
}
