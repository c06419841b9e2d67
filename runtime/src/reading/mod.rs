//! Reading: what a path's text answers, and which answers are the same.
//!
//! Everything that compares answers goes through here, so that a vote, a replay and a scorer agree: [`AnswerReader`] finds
//! the answer in a text, [`AnswerKind`] says what kind of thing it is and writes equal answers alike.
//!
//! ```
//! use curt::{AnswerKind, AnswerReader};
//!
//! let reader = AnswerReader::new(r"(?i)answer is:?", Some(AnswerKind::Number))?;
//! let plain = reader.read("The answer is 18.").unwrap();
//! let priced = reader.read(r"So 6 * 3 = 18. The answer is **$18.00**.").unwrap();
//! assert_eq!((plain.text(), priced.text()), ("18", "$18.00"));
//! assert!(plain.is_same(&priced));
//! # Ok::<(), curt::Error>(())
//! ```

mod boxed;
mod choice;
mod composed;
mod kind;
mod loose;
mod number;
mod pattern;
mod places;
mod plain;

use std::ops::Range;

use regex::Regex;

use crate::error::{Error, Result};

pub use boxed::boxed;
pub use choice::choice;
pub use composed::composed;
pub use kind::{AnswerKind, FoundAnswer};
pub use loose::fold;
pub use number::{Number, number};

use places::last_places;

/// The pattern that is no regular expression: the answer is what stands in the last `\boxed{…}` or `\fbox{…}`, braces within
/// it and all.
pub const BOXED: &str = r"\boxed{}";

/// As much of a text behind a mark as is looked at for an answer, in bytes.
const REACH_BYTES: usize = 400;

/// Finds a path's answer in its text.
///
/// ```
/// use curt::{AnswerKind, AnswerReader};
///
/// let reader = AnswerReader::new(r"answer is (\d+)", Some(AnswerKind::Number))?;
/// let found = reader.read("8 + 5 = 13. The answer is 13.").unwrap();
/// assert_eq!(found.text(), "13");
/// # Ok::<(), curt::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AnswerReader {
    place: Place,
    /// What the answers are read as.
    read_as: AnswerKind,
    /// What they are compared as.
    kind: AnswerKind,
}

#[derive(Debug, Clone)]
enum Place {
    Boxed,
    Pattern(Regex),
}

impl AnswerReader {
    /// `pattern`: a regular expression or [`BOXED`]. The last match counts, and in it the first group that took part, or the
    /// whole match where the pattern has no groups. Where it matches so often in so long a text that searching it could take
    /// seconds, the last 8 KiB of the text are searched.
    ///
    /// A number is read on beyond the group, so that `(\d+)` does not make 18 of `18.5` or 1 of `1/2`; and where a pattern
    /// without groups matches no number or choice, it marks where one follows (`(?i)answer is:?`).
    ///
    /// `kind`: what the answers are. Without it they are texts; but where the pattern can only match the characters of one
    /// number, they are compared as numbers, since 18 and 18.00 cannot be meant as two answers there.
    ///
    /// # Errors
    /// [`Error::Option`] for a pattern that is no regular expression.
    pub fn new(pattern: &str, kind: Option<AnswerKind>) -> Result<Self> {
        let place = if pattern == BOXED {
            Place::Boxed
        } else {
            Place::Pattern(
                Regex::new(&composed(pattern))
                    .map_err(|e| Error::option("answer_pattern", "a regular expression", e))?,
            )
        };
        let inferred = || match &place {
            Place::Pattern(regex) if pattern::matches_numbers_only(regex) => AnswerKind::Number,
            _ => AnswerKind::Text,
        };
        Ok(Self {
            read_as: kind.clone().unwrap_or(AnswerKind::Text),
            kind: kind.unwrap_or_else(inferred),
            place,
        })
    }

    /// This reader, for answers of another kind.
    pub fn of_kind(&self, kind: AnswerKind) -> Self {
        Self {
            place: self.place.clone(),
            read_as: kind.clone(),
            kind,
        }
    }

    /// Texts in which the pattern should find `answer`: what it matches around the answer, as short as that can be, and what
    /// may follow. None where no such text is found.
    pub fn examples(&self, answer: &str) -> Vec<String> {
        match &self.place {
            Place::Boxed => vec![format!(r"\boxed{{{answer}}}")],
            Place::Pattern(pattern) => {
                let marks = matches!(
                    self.read_as,
                    AnswerKind::Number | AnswerKind::Letter | AnswerKind::Choice(_)
                );
                pattern::examples(pattern, answer, marks)
            }
        }
    }

    /// What the answers are compared as.
    pub fn kind(&self) -> &AnswerKind {
        &self.kind
    }

    /// The answer in `text`, or `None` where it has none. Pattern and text are compared in their [`composed`] form, which the
    /// answer is in, too.
    pub fn read(&self, text: &str) -> Option<FoundAnswer> {
        let text = composed(text);
        let text = text.as_ref();
        let found = match &self.place {
            Place::Boxed => {
                let inner = boxed(text)?;
                match self.read_as {
                    AnswerKind::Number => self.in_place(inner, 0..inner.len())?,
                    _ => words(inner),
                }
            }
            Place::Pattern(pattern) => self.matched(pattern, text)?,
        };
        (!found.is_empty()).then(|| self.kind.found(&found))
    }

    fn matched(&self, pattern: &Regex, text: &str) -> Option<String> {
        let marks = pattern.captures_len() == 1;
        let matches = last_places(pattern, text);
        match &self.read_as {
            AnswerKind::Text | AnswerKind::IgnoreCase => {
                Some(words(&text[matches.back()?.clone()]))
            }
            // A mark may stand once more where no answer follows: "I hope this answer is of help."
            kind => {
                for range in matches.iter().rev() {
                    let found = self
                        .in_place(text, range.clone())
                        .or_else(|| marks.then(|| self.behind(text, range.end)).flatten());
                    let from = if marks { range.end } else { range.start };
                    let unclear = *kind == AnswerKind::Number && number::begins(&text[from..]);
                    if found.is_some() || unclear {
                        return found;
                    }
                }
                let unmatched = *kind == AnswerKind::Number && matches.is_empty();
                unmatched
                    .then(|| Self::undecorated(pattern, text))
                    .flatten()
            }
        }
    }

    /// The number that the pattern finds in the text without marks and currencies: `is (\d+)` in "is **$18**", which the
    /// reader behind the pattern would take.
    fn undecorated(pattern: &Regex, text: &str) -> Option<String> {
        let mut bare = String::new();
        let mut places = Vec::new();
        for part in plain::plain(text, usize::MAX) {
            if !matches!(part.char, '{' | '}' | plain::CURRENCY) {
                places.push((bare.len(), part.start));
                bare.push(part.char);
            }
        }
        let start = last_places(pattern, &bare).pop_back()?.start;
        let place = places.partition_point(|&(at, _)| at < start);
        let (_, range) = number::around(text, places.get(place)?.1)?;
        Some(words(&text[range]))
    }

    /// The answer that stands at `range`.
    fn in_place(&self, text: &str, range: Range<usize>) -> Option<String> {
        let captured = &text[range.clone()];
        match &self.read_as {
            AnswerKind::Number => match number::around(text, range.start) {
                Some((_, place)) => Some(words(&text[place])),
                // Said in words, or unclear: "18 or 21", "5 + 3".
                None => (!captured.contains(|c: char| c.is_numeric()) && !self.is_marked())
                    .then(|| words(captured)),
            },
            kind if self.is_marked() => kind.reads(captured).then(|| words(captured)),
            _ => Some(words(captured)),
        }
    }

    /// The answer that follows a mark which ends at `end`.
    fn behind(&self, text: &str, end: usize) -> Option<String> {
        let rest = &text[end..floor(text, end + REACH_BYTES)];
        match &self.read_as {
            AnswerKind::Number => number(rest).map(|(_, place)| words(&rest[place])),
            kind => {
                let mut lines = rest.lines().filter(|line| !line.trim().is_empty());
                let line = lines.next()?;
                // A list of choices names none of them.
                let other = lines.next().filter(|next| kind.reads(next));
                let several =
                    other.is_some_and(|next| kind.canonical(next) != kind.canonical(line));
                (kind.reads(line) && !several).then(|| words(line))
            }
        }
    }

    fn is_marked(&self) -> bool {
        matches!(&self.place, Place::Pattern(pattern) if pattern.captures_len() == 1)
    }
}

/// The text with single spaces between its words, and none around them.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The last place of a character's beginning at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::places::MOST_PLACES;
    use super::*;

    fn read(pattern: &str, kind: Option<AnswerKind>, text: &str) -> Option<String> {
        let reader = AnswerReader::new(pattern, kind).unwrap();
        reader.read(text).map(|found| found.text().to_string())
    }

    #[test]
    fn the_last_match_counts_with_single_spaces() {
        let pattern = r"Answer: ([0-9 ]+)";
        let text = "Answer: 1 2. Hmm.\nAnswer:  3   4 .";
        assert_eq!(read(pattern, None, text).as_deref(), Some("3 4"));
        assert_eq!(read(pattern, None, "no"), None);
        assert_eq!(read(r"\d+", None, "1, 2").as_deref(), Some("2"));
        assert_eq!(read(r"is(.*)", None, "is  "), None);
    }

    #[test]
    fn of_several_groups_the_first_that_took_part_counts() {
        let pattern = r"answer is (-?[\d.,]+)|#### (-?[\d.,]+)";
        for kind in [None, Some(AnswerKind::Number)] {
            for text in ["The answer is 18", "#### 18"] {
                assert_eq!(
                    read(pattern, kind.clone(), text).as_deref(),
                    Some("18"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_mark_tells_where_a_number_follows() {
        let read = |text: &str| read(r"(?i)answer(?: is|:)+|####", Some(AnswerKind::Number), text);
        for (text, found) in [
            ("The answer is 18.", Some("18")),
            ("The answer is **18**.", Some("18")),
            (r"The answer is $\boxed{18}$.", Some("18")),
            (r"The answer is \(18\).", Some("18")),
            ("The answer is £18.", Some("£18")),
            ("The answer is $-5.", Some("$-5")),
            ("The answer is −5.", Some("−5")),
            ("The answer is 1 234.", Some("1 234")),
            ("The answer is 3 1/2.", Some("3 1/2")),
            ("The answer is 1/2.", Some("1/2")),
            ("The answer is 1e3.", Some("1e3")),
            ("The answer is 3 + 15 = 18.", Some("18")),
            ("#### 18", Some("18")),
            ("Answer: 18", Some("18")),
            ("The answer is 5. No, the answer is 18.", Some("18")),
            (
                "The answer is 18. I hope this answer is of help.",
                Some("18"),
            ),
            ("The answer is 18. Or the answer is 18 or 21.", None),
            ("The answer is eighteen.", Some("eighteen")),
            (
                "The answer is 18. I hope this answer is one of help.",
                Some("18"),
            ),
            ("The answer is 18 I mean 20.", None),
        ] {
            assert_eq!(read(text).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn a_mark_that_is_repeated_without_end_is_looked_at_so_often_only() {
        let read = |text: &str| read(r"(?i)answer(?: is|:)+", Some(AnswerKind::Number), text);
        let marks = |count: usize| format!("The answer is 18. {}", "answer is ".repeat(count));
        assert_eq!(read(&marks(MOST_PLACES - 1)).as_deref(), Some("18"));
        assert_eq!(read(&marks(MOST_PLACES)), None);
        assert_eq!(read(&format!("{} 5", marks(150_000))).as_deref(), Some("5"));
    }

    #[test]
    fn a_number_is_not_cut_at_the_end_of_a_group() {
        let pattern = r"answer is:?\s*(-?\$?[\d,]*\.?\d+)";
        for (text, found) in [
            ("The answer is 18.", Some("18")),
            ("The answer is 1/2.", Some("1/2")),
            ("The answer is 1 234.", Some("1 234")),
            ("The answer is 3 1/2.", Some("3 1/2")),
            ("The answer is 1e3.", Some("1e3")),
            ("The answer is 3 + 15 = 18.", Some("18")),
            ("The answer is 18-20.", None),
            // What the reader takes and the pattern does not know.
            ("The answer is **18**.", Some("18")),
            (r"The answer is $\boxed{18}$.", Some("18")),
            (r"The answer is \(18\).", Some("18")),
            ("The answer is £18.", Some("18")),
            ("The answer is $-5.", Some("-5")),
            ("The answer is −5.", Some("−5")),
            ("The answer is **eighteen**.", None),
        ] {
            assert_eq!(
                read(pattern, Some(AnswerKind::Number), text).as_deref(),
                found,
                "{text}"
            );
        }
        let bare = |text: &str| read(r"(\d+)", Some(AnswerKind::Number), text);
        assert_eq!(bare("so 18.5").as_deref(), Some("18.5"));
        assert_eq!(bare("so -5").as_deref(), Some("-5"));
        // Said in words that are no number: it votes, as what it is.
        for said in ["eighteen", "not known"] {
            let words = read(
                r"answer is (.+)",
                Some(AnswerKind::Number),
                &format!("answer is {said}"),
            );
            assert_eq!(words.as_deref(), Some(said));
        }
    }

    #[test]
    fn how_a_character_is_composed_does_not_count() {
        let (one, two) = ("caf\u{E9} cr\u{E8}me", "cafe\u{301} cre\u{300}me");
        for kind in [
            AnswerKind::Text,
            AnswerKind::IgnoreCase,
            AnswerKind::Number,
            AnswerKind::Choice(vec![one.into(), "th\u{E9}".into()]),
            AnswerKind::Choice(vec![two.into(), "the\u{301}".into()]),
        ] {
            for pattern in [
                r"r\u{E9}ponse:? (.+)",
                "r\u{E9}ponse:? (.+)",
                "re\u{301}ponse:? (.+)",
            ] {
                let reader = AnswerReader::new(pattern, Some(kind.clone())).unwrap();
                let found = [one, two].map(|said| {
                    let found = reader.read(&format!("La r\u{E9}ponse: {said}")).unwrap();
                    let other = reader.read(&format!("La re\u{301}ponse: {said}")).unwrap();
                    assert!(found.is_same(&other), "{pattern} {kind:?}");
                    found
                });
                assert!(found[0].is_same(&found[1]), "{pattern} {kind:?}");
                assert!(found[0].is_same(&kind.found(two)), "{pattern} {kind:?}");
            }
            assert!(
                !kind.found("caf\u{E9}").is_same(&kind.found("cafe")),
                "{kind:?}"
            );
        }
        assert_eq!(fold("\u{212B}ngstr\u{F6}m"), fold("A\u{30A}ngstro\u{308}m"));
    }

    #[test]
    fn what_stands_in_the_last_box() {
        let text = r"First \boxed{12}, but it is $\boxed{\frac{1+\sqrt{\frac{1}{2}}}{4}}$.";
        assert_eq!(
            read(BOXED, None, text).as_deref(),
            Some(r"\frac{1+\sqrt{\frac{1}{2}}}{4}")
        );
        let number = Some(AnswerKind::Number);
        assert_eq!(
            read(BOXED, number.clone(), r"\boxed{\$18.00}").as_deref(),
            Some(r"\$18.00")
        );
        assert_eq!(read(BOXED, number, "18"), None);
    }

    #[test]
    fn choices_are_read_behind_a_mark_and_in_a_group() {
        let choices = Some(AnswerKind::Choice(vec!["one".into(), "two".into()]));
        let mark = r"(?i)answer(?: is|:)+";
        for text in [
            "The answer is B.",
            "Answer: **B. two**\nDone.",
            "the answer is two",
        ] {
            let reader = AnswerReader::new(mark, choices.clone()).unwrap();
            let found = reader.read(text).unwrap();
            assert!(found.is_same(&reader.kind().found("B")), "{text}");
        }
        for text in [
            "the answer is green",
            "the answer is A\nB",
            "the answer is:\n\n(A) one\n\n(B) two",
        ] {
            assert_eq!(read(mark, choices.clone(), text), None, "{text}");
        }
        for text in [
            "the answer is A\n\nA. one",
            "the answer is A\n\nB is too many.",
        ] {
            assert!(read(mark, choices.clone(), text).is_some(), "{text}");
        }
        assert_eq!(
            read("is (.+)", choices, "is green").as_deref(),
            Some("green")
        );
        assert_eq!(
            read(mark, Some(AnswerKind::Letter), "the answer is (c) or so").as_deref(),
            Some("(c) or so")
        );
    }

    #[test]
    fn equal_answers_have_one_form() {
        let same = |kind: AnswerKind, a: &str, b: &str| kind.canonical(a) == kind.canonical(b);
        assert!(same(AnswerKind::Text, "36,  63", "36, 63"));
        assert!(!same(AnswerKind::Text, "18", "18.0"));
        for other in ["yes", "YES.", "**Yes**", "\"yes\""] {
            assert!(same(AnswerKind::IgnoreCase, "Yes", other), "{other}");
        }
        assert!(same(AnswerKind::IgnoreCase, "U.S.", "u.s."));
        assert!(!same(AnswerKind::IgnoreCase, "*", "."));
        assert!(!same(AnswerKind::IgnoreCase, "2.50", "2"));
        for other in [
            "$18", "18.00", "$18.00", "18.0", "018", "1.8e1", "36/2", "eighteen",
        ] {
            assert!(same(AnswerKind::Number, "18", other), "{other}");
        }
        assert!(!same(AnswerKind::Number, "18", "eighteenth"));
        assert!(!same(AnswerKind::Letter, "B", "both"));
    }

    #[test]
    fn without_a_kind_numbers_are_compared_where_nothing_else_can_be_found() {
        let kind = |pattern: &str| AnswerReader::new(pattern, None).unwrap().kind().clone();
        assert_eq!(
            kind(r"answer is:?\s*(-?\$?[\d,]*\.?\d+)"),
            AnswerKind::Number
        );
        assert_eq!(kind(r"Answer: ([0-9, ]+)"), AnswerKind::Text);
        assert_eq!(kind(r"is (.+)"), AnswerKind::Text);
        assert_eq!(kind(BOXED), AnswerKind::Text);
        assert_eq!(
            AnswerReader::new(r"(\d+)", Some(AnswerKind::Text))
                .unwrap()
                .kind(),
            &AnswerKind::Text
        );
    }
}
