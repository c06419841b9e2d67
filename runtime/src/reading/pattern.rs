//! What a regular expression can match.

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// Alternatives that are tried for an example.
const BRANCHES: usize = 8;
/// As often as an example repeats what must be repeated.
const MOST_REPEATS: u32 = 64;

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

/// Texts that `pattern` should match with `answer` as what it finds: in place of its groups, or where it has none, behind
/// the match if it only `marks` where an answer follows, and else as the match itself.
pub fn examples(pattern: &Regex, answer: &str, marks: bool) -> Vec<String> {
    let Ok(hir) = regex_syntax::parse(pattern.as_str()) else {
        return Vec::new();
    };
    let grouped = pattern.captures_len() > 1;
    let mut stems = Vec::new();
    if !grouped {
        stems.push(answer.to_string());
    }
    for branch in 0..BRANCHES {
        for spaced in [true, false] {
            let mut example = Example {
                answer,
                branch,
                spaced,
                text: String::new(),
                holds_answer: false,
            };
            example.write(&hir);
            if grouped && example.holds_answer {
                stems.push(example.text);
            } else if !grouped && marks {
                stems.push(format!("{} {answer}", example.text));
            }
        }
    }
    stems.dedup();
    let ends = ["", ".", "\n"];
    let ended = |stem: String| ends.map(|end| format!("{stem}{end}"));
    stems.into_iter().flat_map(ended).collect()
}

/// A text as it is written from a pattern.
struct Example<'a> {
    answer: &'a str,
    /// Which of several alternatives is taken.
    branch: usize,
    /// Whether a space stands wherever one may.
    spaced: bool,
    text: String,
    holds_answer: bool,
}

impl Example<'_> {
    fn write(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.text.push_str(&String::from_utf8_lossy(&literal.0)),
            HirKind::Class(class) => self.text.extend(member(class)),
            HirKind::Repetition(repeated) => {
                for _ in 0..self.repeats(repeated) {
                    self.write(&repeated.sub);
                }
            }
            HirKind::Capture(_) => {
                self.text.push_str(self.answer);
                self.holds_answer = true;
            }
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.write(part)),
            HirKind::Alternation(parts) => self.write(&parts[self.branch % parts.len()]),
        }
    }

    fn repeats(&self, repeated: &Repetition) -> u32 {
        let space =
            matches!(repeated.sub.kind(), HirKind::Class(class) if member(class) == Some(' '));
        let holds = has_group(&repeated.sub);
        let least = repeated.min.min(MOST_REPEATS);
        let wanted = least.max(u32::from(holds || (space && self.spaced)));
        wanted.min(repeated.max.unwrap_or(wanted))
    }
}

fn has_group(hir: &Hir) -> bool {
    let mut groups = Vec::new();
    collect(hir, &mut groups);
    !groups.is_empty()
}

/// A character of the class: a space if it may be one, a letter or a digit rather than a sign.
fn member(class: &Class) -> Option<char> {
    let has = |c: char| match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .any(|r| r.start() <= c && c <= r.end()),
        Class::Bytes(class) => u8::try_from(c).is_ok_and(|b| {
            class
                .ranges()
                .iter()
                .any(|r| r.start() <= b && b <= r.end())
        }),
    };
    let first = || match class {
        Class::Unicode(class) => class.ranges().first().map(|r| r.start()),
        Class::Bytes(class) => class.ranges().first().map(|r| char::from(r.start())),
    };
    [' ', 'x', '0'].into_iter().find(|&c| has(c)).or_else(first)
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
