//! Whether a text holds an answer.

use std::sync::LazyLock;

use curt::reading::{Number, fold, number};
use regex::Regex;

/// Whether `wanted` stands in `text` as whole words, capitals apart; or, where it is a number, as that number.
pub fn contains(text: &str, wanted: &str) -> bool {
    if let Some(wanted) = Number::strict(wanted) {
        return numbers(text).any(|number| number == wanted);
    }
    let (text, wanted) = (fold(text), fold(wanted));
    text.match_indices(&wanted).any(|(at, _)| {
        let end = at + wanted.len();
        !is_joined(text[..at].chars().rev(), wanted.chars().next())
            && !is_joined(text[end..].chars(), wanted.chars().next_back())
            && !is_signed(&text[end..], wanted.chars().next_back())
    })
}

/// Whether what goes on from the end of a match makes another word of it, or another number: "route 66" is not in
/// "route 66.5".
fn is_joined(mut on: impl Iterator<Item = char>, last: Option<char>) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_numeric());
    match on.next() {
        Some('.' | ',' | '/' | ':') if digit(last) => digit(on.next()),
        Some(next) => {
            next.is_alphanumeric() && !is_unspaced(next) && !last.is_some_and(is_unspaced)
        }
        None => false,
    }
}

/// Whether `on` begins with signs that are part of the word before them: "C++" and "C#" are not "C", but "x+y" holds "x".
fn is_signed(on: &str, last: Option<char>) -> bool {
    let behind = on.trim_start_matches(['+', '#']);
    behind.len() < on.len()
        && last.is_some_and(char::is_alphanumeric)
        && !behind.starts_with(char::is_alphanumeric)
}

/// Whether the character is of a script that puts no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// The numbers in `text`, each read as far as it goes.
fn numbers(text: &str) -> impl Iterator<Item = Number> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &text[from..];
            let digit = rest.find(|c: char| c.is_numeric())?;
            let fraction = rest[..digit].rfind('\\').filter(|&at| {
                let name = rest[at..digit].trim_end_matches([' ', '{', '-']);
                [r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"].contains(&name)
            });
            let at = from + fraction.unwrap_or(digit);
            let end = at + token(&text[at..]);
            // A point or a sign before it, unless that belongs to a word.
            let start = text[..at]
                .char_indices()
                .rev()
                .take_while(|&(_, c)| matches!(c, '.' | '-' | '\u{2212}' | '+' | '$' | '€' | '£'))
                .last()
                .map_or(at, |(start, _)| start);
            let joined = text[..start]
                .chars()
                .next_back()
                .is_some_and(char::is_alphanumeric);
            let start = if joined { at } else { start };
            from = end;
            let letter = text[..at]
                .chars()
                .next_back()
                .is_some_and(|c| c.is_alphabetic() && !is_unspaced(c));
            if letter {
                continue;
            }
            if let Some((number, _)) = number(&text[start..end]) {
                return Some(number);
            }
        }
    })
}

/// The length of what one number is written with: `1,000`, `10 000`, `3 1/2`, `5e3`, `10^3`, `\frac{5}{7}`. Never 0.
fn token(text: &str) -> usize {
    static WRITTEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(concat!(
            r"^(?:(?:\pN{1,3}(?:[ \u{A0}\u{2009}\u{202F}]\pN{3}\b)+|\pN+)(?:[.,/:'_\u{2019}]\pN+)*",
            r"(?:[eE][+-]?\pN+\b|\^\{?-?\pN+\}?| \pN+/\pN+)?)?",
            r"(?: ?\\[dtc]?frac(?: ?\{[^{}]*\}| ?\pN){2})?",
        ))
        .ok()
    });
    let whole = WRITTEN.as_ref().and_then(|written| written.find(text));
    let first = text.chars().next().map_or(1, char::len_utf8);
    whole.map_or(first, |whole| whole.end().max(first))
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn words_are_whole_and_numbers_are_numbers() {
        for (text, wanted, want) in [
            ("it was RED, I think", "red", true),
            ("it was bored", "red", false),
            ("a dark red kite", "dark  red", true),
            ("So 13 it is.", "13", true),
            ("So 13.0 it is", "13", true),
            ("$1,000", "1000", true),
            ("1.5", "5", false),
            ("1.5", "1", false),
            ("-5", "5", false),
            ("it is -5", "-5", true),
            ("x-5", "5", true),
            ("5/6", "5", false),
            ("5, 6", "5", true),
            ("10:30", "10", false),
            (".5", "0.5", true),
            ("A4 paper", "4", false),
            ("on route 66.", "route 66", true),
            ("on route 66.5", "route 66", false),
            ("in 1.5 days", "5 days", false),
            ("5", "1e400", false),
            ("", "5", false),
            ("10 000", "10 000", true),
            ("it is 10\u{A0}000 in all", "10000", true),
            ("10 000", "10", false),
            ("10 0001", "10", true),
            ("5e3", "5", false),
            ("5e3", "5000", true),
            ("5 each", "5", true),
            ("10^3", "10", false),
            ("3 1/2", "3", false),
            ("3 1/2", "3.5", true),
            (r"\frac{5}{7}", "5", false),
            (r"\frac{5}{7}", "7", false),
            (r"it is $\frac{5}{7}$", "5/7", true),
            (r"\dfrac57", "5", false),
            (r"3\frac{1}{2}", "3", false),
            (r"\boxed{5}", "5", true),
            ("C++ it is", "C", false),
            ("C++ it is", "C++", true),
            ("C#", "C", false),
            ("C, I think", "C", true),
            ("x+y", "x", true),
            ("it’s so", "it's", true),
            ("STRASSE 5", "Straße", true),
            ("小猫在", "猫", true),
            ("在Paris住", "Paris", true),
            ("第5课", "5", true),
        ] {
            assert_eq!(contains(text, wanted), want, "{wanted:?} in {text:?}");
        }
    }
}
