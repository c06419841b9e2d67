//! Whole numbers in English words: "eighteen", "twenty-one", "one hundred and five thousand".

use num_bigint::BigInt;
use num_rational::BigRational;

use super::scan::Scan;

/// The words up to nineteen, each in the place of its number.
const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// The tens, from twenty.
const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
/// The powers of a thousand, from the first.
const SCALES: [&str; 4] = ["thousand", "million", "billion", "trillion"];

/// Words behind "one" where it is no number: "one of them", "one can see".
const OF_A_PRONOUN: [&str; 24] = [
    "of", "that", "which", "who", "whose", "where", "we", "you", "i", "he", "she", "it", "they",
    "can", "could", "may", "must", "should", "will", "is", "more", "less", "way", "another",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Small(u64),
    Ten(u64),
    Hundred,
    /// The power of a thousand.
    Scale(u32),
}

impl Scan<'_> {
    /// The number in words at `at`, and its end. `None` where what is said is no one number: "one two three", "nineteen
    /// eighty-four".
    pub fn spoken(&self, at: usize) -> Option<(BigRational, usize)> {
        let first = self.number_word(at)?;
        let mut next = at;
        // Of whole thousands and the like, and of what stands behind them.
        let mut total: u64 = 0;
        let mut group: u64 = 0;
        let mut before: Option<Word> = None;
        let mut least_scale = u32::MAX;
        if matches!(first, Word::Hundred | Word::Scale(_)) {
            if !matches!(self.word_before(at).as_str(), "a" | "an") {
                return None;
            }
            group = 1;
        }
        let mut end = at;
        while let Some(word) = self.number_word(next) {
            let follows = match (before, word) {
                (None, _) => true,
                (Some(Word::Ten(_)), Word::Small(n)) => (1..=9).contains(&n),
                (Some(Word::Hundred | Word::Scale(_)), Word::Small(n)) => n > 0,
                (Some(Word::Hundred | Word::Scale(_)), Word::Ten(_)) => true,
                (Some(Word::Small(_) | Word::Ten(_)), Word::Hundred) => (1..100).contains(&group),
                (Some(Word::Hundred | Word::Small(_) | Word::Ten(_)), Word::Scale(scale)) => {
                    group > 0 && scale < least_scale
                }
                _ => false,
            };
            if !follows {
                return None;
            }
            match word {
                Word::Small(n) | Word::Ten(n) => group += n,
                Word::Hundred => group *= 100,
                Word::Scale(scale) => {
                    total += group * 1_000_u64.pow(scale);
                    group = 0;
                    least_scale = scale;
                }
            }
            before = Some(word);
            end = self.skip(next, char::is_alphabetic);
            next = self.next_word(end, word);
        }
        let alone = self.skip(at, char::is_alphabetic) == end;
        if alone && first == Word::Small(1) && self.is_pronoun(at, end) {
            return None;
        }
        Some((BigRational::from(BigInt::from(total + group)), end))
    }

    fn number_word(&self, at: usize) -> Option<Word> {
        let word = self.word(at);
        let place = |list: &[&str]| list.iter().position(|name| *name == word);
        if let Some(n) = place(&SMALL) {
            Some(Word::Small(n as u64))
        } else if let Some(tens) = place(&TENS) {
            Some(Word::Ten(20 + 10 * tens as u64))
        } else if word == "hundred" {
            Some(Word::Hundred)
        } else {
            place(&SCALES).map(|scale| Word::Scale(scale as u32 + 1))
        }
    }

    /// Where a further word of the number would stand behind the one that ends at `end`: after spaces or a hyphen, and after
    /// "and" behind hundreds and more.
    fn next_word(&self, end: usize, word: Word) -> usize {
        if self.at(end) == Some('-') {
            return end + 1;
        }
        let next = self.skip(end, |c| c == ' ');
        let more = matches!(word, Word::Hundred | Word::Scale(_));
        if more && self.word(next) == "and" {
            let inner = self.skip(next + 3, |c| c == ' ');
            let joins = matches!(self.number_word(inner), Some(Word::Small(_) | Word::Ten(_)));
            return if joins { inner } else { end };
        }
        next
    }

    /// The word before the space at whose end `at` lies.
    fn word_before(&self, at: usize) -> String {
        let back = |end: usize, wanted: fn(char) -> bool| {
            (0..end)
                .rev()
                .find(|&i| !wanted(self.chars[i].char))
                .map_or(0, |i| i + 1)
        };
        let end = back(at, |c| c == ' ');
        self.word(back(end, char::is_alphabetic))
    }

    /// Whether the "one" that stands from `at` to `end` is no number: "the one", "one of them". It is one where the clause
    /// ends behind it, or behind the word of a unit.
    fn is_pronoun(&self, at: usize, end: usize) -> bool {
        if matches!(
            self.word_before(at).as_str(),
            "the" | "this" | "that" | "no"
        ) {
            return true;
        }
        let unit = self.decoration(end);
        let word = self.word(unit);
        if word.is_empty() {
            return self.at(unit) == Some('-');
        }
        let after = unit + word.chars().count();
        let next = self.word(self.skip(after, |c| c == ' '));
        let ends = next.is_empty()
            || matches!(
                next.as_str(),
                "because" | "since" | "per" | "a" | "each" | "or" | "and"
            );
        let reason = matches!(word.as_str(), "because" | "since" | "or" | "and");
        !reason && (!ends || OF_A_PRONOUN.contains(&word.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Number;

    #[test]
    fn numbers_are_read_in_words() {
        for (text, value) in [
            ("zero", Some(0)),
            ("eighteen", Some(18)),
            ("Eighteen.", Some(18)),
            ("**EIGHTEEN**", Some(18)),
            ("twenty-one", Some(21)),
            ("twenty one apples", Some(21)),
            ("minus five", Some(-5)),
            ("one hundred", Some(100)),
            ("a hundred", Some(100)),
            ("one hundred and five", Some(105)),
            ("two hundred thirty-four", Some(234)),
            ("twelve hundred", Some(1_200)),
            ("a thousand", Some(1_000)),
            ("one thousand and one", Some(1_001)),
            (
                "one hundred and five thousand two hundred and six",
                Some(105_206),
            ),
            ("three million", Some(3_000_000)),
            (
                "two million five hundred thousand and eighteen",
                Some(2_500_018),
            ),
            (
                "nine hundred ninety-nine trillion",
                Some(999_000_000_000_000),
            ),
            ("twenty dozen", Some(240)),
            ("eighteen apples a day", Some(18)),
            ("eighteen because three plus fifteen is that", Some(18)),
            ("about eighteen", Some(18)),
            ("$ eighteen", Some(18)),
            ("eighteen dollars", Some(18)),
            ("eighteen-inch", Some(18)),
            ("eighteen (18)", Some(18)),
            ("18 (eighteen)", Some(18)),
            ("eighteen (eighteen)", Some(18)),
            ("three plus fifteen = eighteen", Some(18)),
            ("one", Some(1)),
            ("one.", Some(1)),
            ("one apple.", Some(1)),
            ("one, since the other is gone", Some(1)),
            ("one because the other is gone", Some(1)),
            // A pronoun.
            ("one of them", None),
            ("one of the following: 18", None),
            ("one that nobody knows", None),
            ("one can see it", None),
            ("one more.", None),
            ("the one.", None),
            ("the one with the hat", None),
            ("one-way", None),
            // No one number.
            ("one two three", None),
            ("nineteen eighty-four", None),
            ("twenty eleven", None),
            ("two hundred hundred", None),
            ("one million billion", None),
            ("hundred", None),
            ("hundreds", None),
            ("several hundred", None),
            ("half a million", None),
            ("eighteenth", None),
            ("someone", None),
            ("eighteen or twenty", None),
            ("eighteen to twenty", None),
            ("eighteen and twenty", None),
            ("two thirds", None),
            ("one-third", None),
            ("one half", None),
            ("five and a half", None),
            ("three point five", None),
            ("three plus fifteen", None),
            ("seventeen (18)", None),
            ("18 (seventeen)", None),
            ("2 million five hundred thousand", None),
            ("5 hundred twenty", None),
            ("2 hundred and five", None),
            ("not eighteen", None),
        ] {
            let read = Number::read(text).map(|n| n.to_string());
            assert_eq!(read, value.map(|v: i64| v.to_string()), "{text:?}");
        }
        assert_eq!(Number::strict("eighteen"), None);
    }
}
