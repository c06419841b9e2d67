//! What a regular expression can match.

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Whether what `pattern` finds can only be the characters of one number: digits, and signs, points, commas and currencies
/// about them, without spaces. What cannot be told is none.
pub fn matches_numbers_only(pattern: &Regex) -> bool {
    let Ok(hir) = regex_syntax::parse(pattern.as_str()) else {
        return false;
    };
    let mut groups = Vec::new();
    collect(&hir, &mut groups);
    if groups.is_empty() {
        groups.push(&hir);
    }
    groups.iter().all(|group| {
        let mut digits = false;
        is_of_numbers(group, &mut digits) && digits
    })
}

/// The groups that stand in no other.
fn collect<'a>(hir: &'a Hir, groups: &mut Vec<&'a Hir>) {
    match hir.kind() {
        HirKind::Capture(group) => groups.push(&group.sub),
        HirKind::Repetition(repeated) => collect(&repeated.sub, groups),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| collect(part, groups));
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
    }
}

fn is_of_numbers(hir: &Hir, digits: &mut bool) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).is_ok_and(|text| {
            text.chars().all(|c| {
                *digits |= c.is_ascii_digit();
                is_of_number(c)
            })
        }),
        HirKind::Class(Class::Unicode(class)) => class.ranges().iter().all(|range| {
            let (start, end) = (range.start(), range.end());
            let all_digits =
                start.is_numeric() && end.is_numeric() && u32::from(end) - u32::from(start) < 60;
            *digits |= all_digits;
            all_digits || (start..=end).all(is_of_number)
        }),
        HirKind::Class(Class::Bytes(class)) => class.ranges().iter().all(|range| {
            (range.start()..=range.end()).all(|byte| {
                *digits |= byte.is_ascii_digit();
                is_of_number(char::from(byte))
            })
        }),
        HirKind::Repetition(repeated) => is_of_numbers(&repeated.sub, digits),
        HirKind::Capture(group) => is_of_numbers(&group.sub, digits),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().all(|part| is_of_numbers(part, digits))
        }
    }
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_digit()
        || matches!(
            c,
            '.' | ',' | '-' | '+' | '\u{2212}' | '$' | '€' | '£' | '%'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_yields_numbers_only_where_every_group_does() {
        for (pattern, want) in [
            (r"answer is:?\s*(-?\$?[\d,]*\.?\d+)", true),
            (r"(\d+)", true),
            (r"\d+", true),
            (r"is (\d+)|#### ([0-9.]+)", true),
            (r"is (\d+)|letter ([A-D])", false),
            (r"Answer: ([0-9, ]+)", false),
            (r"is (.+)", false),
            (r"is ([.,]+)", false),
            (r"answer is", false),
            (r"([^a-z]+)", false),
        ] {
            let regex = Regex::new(pattern).unwrap();
            assert_eq!(matches_numbers_only(&regex), want, "{pattern}");
        }
    }
}
