//! What is said behind a choice: whether it still is the one choice that is named.

use super::{Choices, strip_lower, without_lead};

/// As many sentences as are looked at behind a choice.
const MOST_SENTENCES: usize = 16;
/// Words that join another choice to the first.
const JOINING: [&str; 12] = [
    "and",
    "or",
    "as well as",
    "also",
    "both",
    "but",
    "then",
    "plus",
    "even",
    "either",
    "nor",
    "versus",
];
/// Words behind which a letter alone is another choice: "or B is possible".
const DOUBTING: [&str; 9] = [
    "or",
    "maybe",
    "perhaps",
    "possibly",
    "probably",
    "i mean",
    "i meant",
    "make that",
    "make it",
];
/// Words that take back what was said.
const RETRACTING: [&str; 9] = [
    "wait",
    "actually",
    "nope",
    "sorry",
    "oops",
    "correction",
    "scratch that",
    "on second thought",
    "hmm",
];
/// Words that take it back behind "not".
const UNSURE: [&str; 6] = ["sure", "certain", "really", "quite", "correct", "right"];
/// What says that the letter before it is the answer.
const RIGHT: [&str; 7] = [
    " is correct",
    " is right",
    " is true",
    " is the answer",
    " is the correct",
    " is the right",
    " is the best",
];

impl Choices {
    /// Whether nothing in `rest`, which follows the choice `named`, names another or takes it back.
    pub(super) fn stands(&self, named: usize, rest: &str) -> bool {
        let mut rest = rest;
        for _ in 0..MOST_SENTENCES {
            let Some(unread) = self.clause(named, rest) else {
                return false;
            };
            let end = unread.find(['.', '!', '?', ';']);
            let Some(end) = end else { return true };
            rest = &unread[end + 1..];
        }
        true
    }

    /// What follows the choices and joining words that `rest` begins with. `None` where another choice than `named` is among
    /// them, or `named` is taken back.
    fn clause<'a>(&self, named: usize, rest: &'a str) -> Option<&'a str> {
        let mut rest = rest;
        let mut doubted = false;
        let mut denied = false;
        loop {
            rest = rest.trim_start_matches(|c: char| {
                c.is_whitespace() || ",;:.!?/&+-\u{2014}()[]…".contains(c)
            });
            if let Some(after) = self.own(named, rest) {
                rest = after;
            } else if let Some(after) = self.other(rest, doubted) {
                if !denied {
                    return None;
                }
                rest = after;
            } else if RETRACTING
                .iter()
                .any(|word| strip_word(rest, word).is_some())
            {
                return None;
            } else if let Some(after) = strip_word(rest, "no") {
                let idle =
                    after.is_empty() || after.starts_with([',', '.', ';', ':', '!', '?', '-']);
                let unknown = ["idea", "wait", "clue"];
                let unknown = unknown
                    .iter()
                    .any(|w| strip_word(after.trim_start(), w).is_some());
                if idle || unknown || self.other(after.trim_start(), true).is_some() {
                    return None;
                }
                return Some(after);
            } else if let Some(after) = strip_word(rest, "not") {
                let after = after.trim_start();
                if after.trim_matches([')', ']', '.', '?']).is_empty()
                    || UNSURE.iter().any(|word| strip_word(after, word).is_some())
                {
                    return None;
                }
                denied = true;
                rest = after;
            } else if let Some(after) = strip_word(rest, "rather")
                && strip_word(after.trim_start(), "than").is_some()
            {
                return Some(after);
            } else if let Some(after) = DOUBTING.iter().find_map(|word| strip_word(rest, word)) {
                doubted = true;
                rest = after;
            } else if let Some(after) = JOINING.iter().find_map(|word| strip_word(rest, word)) {
                rest = after;
            } else {
                return Some(rest);
            }
        }
    }

    /// What follows the choice `named`, where `rest` begins with its letter or its text.
    fn own<'a>(&self, named: usize, rest: &'a str) -> Option<&'a str> {
        self.own_text(named, rest).or_else(|| {
            let (letter, behind) = self.letter_of(rest, false)?;
            (letter == named).then_some(behind)
        })
    }

    /// What follows the choice that `rest` begins with.
    fn other<'a>(&self, rest: &'a str, doubted: bool) -> Option<&'a str> {
        let texts = (0..self.texts.len()).filter_map(|i| self.own_text(i, rest));
        texts
            .min_by_key(|rest| rest.len())
            .or_else(|| Some(self.letter_of(rest, doubted)?.1))
    }

    /// The choice whose letter `rest` begins with, and what follows. A letter that a word follows is none, unless the
    /// choice is `doubted`: "A" and "I" are words themselves.
    fn letter_of<'a>(&self, rest: &'a str, doubted: bool) -> Option<(usize, &'a str)> {
        let rest = without_lead(rest);
        let letter = rest.chars().next()?;
        let named = self.index(letter)?;
        let behind = &rest[letter.len_utf8()..];
        let word = doubted && letter.is_ascii_uppercase() && !matches!(letter, 'A' | 'I');
        let ends = is_end(behind) || (word && behind.starts_with(' '));
        ends.then_some((named, behind))
    }
}

/// Whether a choice has ended where `rest` follows it.
pub(super) fn is_end(rest: &str) -> bool {
    let joined = |rest: &str| {
        rest.starts_with(['/', '&', '+', '-', '\u{2014}', '(', '['])
            || JOINING
                .iter()
                .chain(&DOUBTING)
                .any(|word| strip_word(rest, word).is_some())
    };
    is_clause_end(rest)
        || rest.starts_with(['/', '&', '+'])
        || rest.strip_prefix(' ').is_some_and(joined)
}

/// Whether a clause has ended where `rest` follows.
pub(super) fn is_clause_end(rest: &str) -> bool {
    let behind = rest.strip_prefix(['.', ',', ';', ':', '!', '?', ')', ']']);
    rest.is_empty()
        || behind.is_some_and(|b| {
            b.is_empty() || b.starts_with([' ', '.', ',', ')', ']', ';', ':', '!', '?'])
        })
}

/// What follows "is correct" or its like.
pub(super) fn is_right(behind: &str) -> Option<&str> {
    let behind = behind.trim_start_matches([')', ']']);
    let words = RIGHT.iter().find_map(|words| strip_lower(behind, words))?;
    (!words.starts_with(char::is_alphanumeric)).then_some(words)
}

/// What follows a whole word, or words, at the beginning of `text`.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    strip_lower(text, word)
        .filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '\''))
}

#[cfg(test)]
mod tests {
    use super::super::{choice, letter};

    fn named(text: &str, choices: &[&str]) -> Option<usize> {
        let choices: Vec<String> = choices.iter().map(|c| c.to_string()).collect();
        choice(text, &choices)
    }

    const THREE: [&str; 3] = ["one", "two", "three"];

    #[test]
    fn of_several_choices_none_is_named() {
        for text in [
            "A, B",
            "A and B",
            "A or B",
            "A. or B.",
            "A) or B)",
            "(A) and (C)",
            "(A), (B)",
            "A; C",
            "A, B, C",
            "[A, B]",
            "A - B",
            "A, or maybe C",
            "A, as well as B",
            "A, B and C",
            "A. B. C.",
            "A!B",
            "A\nB",
            "A.\nB.",
            "a, b",
            "A/B",
            "A, or B is possible",
            "A & B",
            "A (B)",
            "{A,B}",
            "either A or B",
            "both A and B",
            "A. It is odd. B.",
        ] {
            assert_eq!(named(text, &THREE), None, "{text:?}");
            assert_eq!(letter(text), None, "{text:?}");
        }
        for text in [
            "one, two",
            "one. Or two.",
            "one; two",
            "one, two and three",
            "one (B)",
            "A. two",
            "A, or two",
            "one, B",
        ] {
            assert_eq!(named(text, &THREE), None, "{text:?}");
        }
        for (text, choices) in [
            ("True, False", &["True", "False"][..]),
            ("2, 3", &["1", "2", "3"]),
            ("apple, pie", &["apple", "apple pie"]),
            ("apple, pie", &["apple", "pie"]),
            ("A, C and D", &["one", "two", "three", "four"]),
        ] {
            assert_eq!(named(text, choices), None, "{text:?}");
        }
    }

    #[test]
    fn a_choice_that_is_taken_back_is_not_named() {
        for text in [
            "A? No, B",
            "A. No, wait, B.",
            "A. Actually B",
            "A: no. B: yes",
            "A, not",
            "A (not sure)",
            "A, not sure",
            "one: no, two",
            "one, not",
            "A, no, B",
            "A, I mean B",
            "A. I meant two",
            "A, make that B",
            "A. Hmm, wait",
            "A is wrong, B",
            "A - no",
            "A. I add. No, B.",
        ] {
            assert_eq!(named(text, &THREE), None, "{text:?}");
        }
        let nine = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
        for text in [
            "I, as an AI, cannot say",
            "I: no idea",
            "I don't know",
            "I'm not sure",
        ] {
            assert_eq!(named(text, &nine), None, "{text:?}");
            assert_eq!(letter(text), None, "{text:?}");
        }
        for text in ["I", "I.", "(I)", "I. 9", "I: 9", "I, 9"] {
            assert_eq!(named(text, &nine), Some(8), "{text:?}");
        }
    }

    #[test]
    fn what_is_said_of_the_choice_or_against_another_does_not_count() {
        for text in [
            "A, since B is wrong",
            "A, because B and C are wrong",
            "A, not B",
            "A, not B or C",
            "A, rather than B",
            "A. No other fits",
            "one, since two is too many",
            "one, which is A",
            "A. one, A",
            "A. B is too many.",
            "(A) because",
            "one, not two",
            "A. one, not two",
            "A, as said",
        ] {
            assert_eq!(named(text, &THREE), Some(0), "{text:?}");
        }
        let answers = ["yes", "no", "no, never"];
        assert_eq!(named("No, because it is.", &answers), Some(1));
        assert_eq!(named("B. no", &answers), Some(1));
        assert_eq!(named("no, never", &answers), Some(2));
        assert_eq!(named("A. no", &answers), None);
    }

    #[test]
    fn letter_and_text_stand_beside_each_other_in_many_ways() {
        for text in [
            "A (one)",
            "A(one)",
            "one (A)",
            "one (option A)",
            "(A) one",
            "A is correct",
            "A is the right answer",
            "the option A",
            "option (A)",
            "The letter A",
            "A。",
            "A：one",
            "one。",
            "「A」",
            "『one』",
            "A:one",
            "A.one",
            "A、one",
            "（A）",
            "A—one",
            "A-one",
            "A one",
            "(A) one.",
            "A) one",
            "【A】",
        ] {
            assert_eq!(named(text, &THREE), Some(0), "{text:?}");
        }
        for text in ["A.M.", "A.5", "A (large) one", "one (more)", "A is odd"] {
            assert_eq!(named(text, &THREE), None, "{text:?}");
        }
    }
}
