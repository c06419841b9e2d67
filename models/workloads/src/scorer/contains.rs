//! Whether a text holds an answer.

use curt::reading::{Number, number};

/// Whether `wanted` stands in `text` as whole words, capitals apart; or, where it is a number, as that number.
pub fn contains(text: &str, wanted: &str) -> bool {
    if let Some(wanted) = Number::strict(wanted) {
        return numbers(text).any(|number| number == wanted);
    }
    let spaced = |text: &str| {
        let lower = text.to_lowercase();
        lower.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (text, wanted) = (spaced(text), spaced(wanted));
    text.match_indices(&wanted).any(|(at, _)| {
        let end = at + wanted.len();
        !is_joined(text[..at].chars().rev(), wanted.chars().next())
            && !is_joined(text[end..].chars(), wanted.chars().next_back())
    })
}

/// Whether what goes on from the end of a match makes another word of it, or another number: "route 66" is not in
/// "route 66.5".
fn is_joined(mut on: impl Iterator<Item = char>, last: Option<char>) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_numeric());
    match on.next() {
        Some('.' | ',' | '/' | ':') if digit(last) => digit(on.next()),
        Some(next) => next.is_alphanumeric(),
        None => false,
    }
}

/// The numbers in `text`, each read as far as it goes.
fn numbers(text: &str) -> impl Iterator<Item = Number> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &text[from..];
            let digit = rest.find(|c: char| c.is_numeric())?;
            let at = from + digit;
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
                .is_some_and(char::is_alphabetic);
            if letter {
                continue;
            }
            if let Some((number, _)) = number(&text[start..end]) {
                return Some(number);
            }
        }
    })
}

/// The length of what a number may be written with: digits, and what stands between two of them.
fn token(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let mut end = 0;
    while let Some((at, c)) = chars.next() {
        let between = matches!(c, '.' | ',' | '/' | ':' | '\'' | '_' | '\u{2019}')
            && chars.peek().is_some_and(|(_, next)| next.is_numeric());
        if !c.is_numeric() && !between {
            return at;
        }
        end = at + c.len_utf8();
    }
    end
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
        ] {
            assert_eq!(contains(text, wanted), want, "{wanted:?} in {text:?}");
        }
    }
}
