//! Whether a number is taken back behind it: "18, I mean 20", "18. Wait, 20".

use super::scan::Scan;

/// Words behind a number that are looked at, as far as its sentence goes.
const WORDS: usize = 12;

/// What takes a number back wherever it stands.
const PLAINLY: [&str; 10] = [
    "i mean",
    "i meant",
    "make that",
    "make it",
    "scratch that",
    "correction",
    "on second thought",
    "wait",
    "oops",
    "hold on",
];
/// What does so where a clause begins: "18, no, 20", and not "18 with no 3 in it".
const AT_A_CLAUSE: [&str; 8] = [
    "no", "nope", "sorry", "actually", "rather", "hmm", "er", "um",
];

impl Scan<'_> {
    /// Whether what stands behind the number that ends at `end` takes it back and gives another.
    pub fn is_corrected(&self, end: usize) -> bool {
        let sentence = self.sentence(end);
        let mut at = end;
        // Nothing but signs since the number or the last mark of a clause.
        let mut begins = true;
        for _ in 0..WORDS {
            let next = self.skip(at, |c| !c.is_alphabetic());
            let said = &self.chars[at..next];
            begins |= said
                .iter()
                .any(|p| !(p.char.is_whitespace() || p.char.is_numeric()));
            if next >= self.chars.len() {
                return false;
            }
            let taken_back = self
                .phrase(next, &PLAINLY)
                .or_else(|| begins.then(|| self.phrase(next, &AT_A_CLAUSE)).flatten());
            if taken_back.is_some_and(|behind| self.is_given(behind)) {
                return true;
            }
            // Of the next sentence, only what it begins with.
            if next > sentence {
                return false;
            }
            at = self.skip(next, char::is_alphabetic);
            begins = false;
        }
        false
    }

    /// Whether a number follows, behind "no, it should be" and the like.
    fn is_given(&self, mut at: usize) -> bool {
        const LEADS: [&str; 9] = [
            "it", "is", "s", "that", "this", "the", "answer", "should", "be",
        ];
        for _ in 0..WORDS {
            if self.answer_follows(at) {
                return true;
            }
            let next = self.skip(at, |c| !c.is_alphanumeric());
            let word = self.word(next);
            if !LEADS.contains(&word.as_str()) && self.phrase(next, &AT_A_CLAUSE).is_none() {
                return false;
            }
            at = next + word.chars().count();
        }
        false
    }

    /// The end of the words of `phrases` that stand at `at`.
    fn phrase(&self, at: usize, phrases: &[&str]) -> Option<usize> {
        phrases.iter().find_map(|phrase| {
            let mut end = at;
            for (i, word) in phrase.split(' ').enumerate() {
                let start = if i == 0 { end } else { self.spaces(end) };
                if self.word(start) != word {
                    return None;
                }
                end = start + word.len();
            }
            Some(end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Number;

    #[test]
    fn a_number_that_is_taken_back_is_not_read() {
        for text in [
            "18 I mean 20",
            "18, I mean 20",
            "18 apples, I mean 20 apples",
            "18. I mean 20.",
            "18 - I mean 20",
            "18 make that 20",
            "18 scratch that, 20",
            "18 wait no 20",
            "18 wait, no, it is 20",
            "18... no, 20",
            "18 — no, 20",
            "18? No, 20.",
            "18. No, 20.",
            "18.\nWait, 20",
            "18. Sorry, twenty.",
            "18, correction: 20",
            "18 apples left in the basket — wait, 20",
            "18 no 20",
            "18, hmm, 20",
            "18 oops 20",
            "3 + 15 = 17, I mean 18",
            "eighteen, I mean twenty",
        ] {
            assert_eq!(Number::read(text), None, "{text:?}");
        }
        for text in [
            "18",
            "18. No more than that.",
            "18 (I mean it)",
            "18, and I mean all of them",
            "18. Wait for me.",
            "18 with no 3 in it",
            "18 not 20",
            "18, not 20",
            "18 (not 20)",
            "18 but not 20",
            "18 rather than 20",
            "18 instead of 20",
            "18. She has no more.\n\nQuestion: no, 20",
        ] {
            let read = Number::read(text).map(|n| n.to_string());
            assert_eq!(read.as_deref(), Some("18"), "{text:?}");
        }
    }
}
