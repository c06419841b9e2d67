//! A text by the places of its characters.

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
}
