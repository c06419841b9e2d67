//! Which of the choices a text names.

mod rest;

use super::composed::composed;
use super::number::Number;
use super::plain::{CURRENCY, plain};

/// The number of the choice, from 0, that `text` names; `None` where it names none, names several, or takes one back.
///
/// A choice is named by its letter ("B", "(b)", "B."), in full (white space and capitals do not count), or both ("B. two",
/// "two (B)"). A capital that is some choice's letter is that choice, also where another choice is written like it; a small
/// letter is first looked for among the choices in full. Markdown, LaTeX, quotes and a full stop do not count. What is said
/// after a full stop or a comma does not count either, unless it names another choice ("A, B", "A? No, B") or takes the
/// first one back ("A, not").
pub fn choice(text: &str, choices: &[String]) -> Option<usize> {
    let said = bare(text);
    let known = Choices {
        texts: choices.iter().map(|c| lower(&bare(c))).collect(),
        count: choices.len(),
    };
    if said.chars().nth(1).is_some()
        && let Some(named) = known.whole(&said)
    {
        return Some(named);
    }
    if let Some((letter, behind)) = lettered(&said) {
        let in_full = || known.in_full(&said, text, choices);
        let small = behind.is_empty() && letter.is_ascii_lowercase();
        if let Some((named, rest)) = known.by_letter(letter, behind)
            && !(small && in_full().is_some())
        {
            return known.stands(named, rest).then_some(named);
        }
    }
    known.in_full(&said, text, choices)
}

/// The letter that `text` names: "B", "(b)", "B. two". `None` where it names several, or takes one back.
pub fn letter(text: &str) -> Option<char> {
    let said = bare(text);
    let known = Choices {
        texts: Vec::new(),
        count: 26,
    };
    let (letter, behind) = lettered(&said)?;
    let (named, rest) = known.by_letter(letter, behind)?;
    known
        .stands(named, rest)
        .then(|| letter.to_ascii_uppercase())
}

/// The choices that there are.
struct Choices {
    /// Each without what is put around it, in small letters. Empty where only letters are known.
    texts: Vec<String>,
    /// How many letters name one.
    count: usize,
}

impl Choices {
    /// The choice of this letter.
    fn index(&self, letter: char) -> Option<usize> {
        let upper = letter.to_ascii_uppercase();
        let index = upper
            .is_ascii_uppercase()
            .then(|| usize::from(upper as u8 - b'A'))?;
        (index < self.count).then_some(index)
    }

    /// The choice that `letter` names, and the rest of what stands `behind` it, without the choice's own text.
    fn by_letter<'a>(&self, letter: char, behind: &'a str) -> Option<(usize, &'a str)> {
        let named = self.index(letter)?;
        let small = letter.is_ascii_lowercase();
        let tail = behind.trim_start_matches([')', ']', '.', ':', ',', ';', '!', '?']);
        let dashed = tail.trim_start().strip_prefix(['-', '\u{2014}']);
        let marked = tail.len() < behind.len();
        let inner = dashed.unwrap_or(tail).trim_start();
        let bracket = inner.strip_prefix(['(', '[']);
        if (marked || dashed.is_some() || bracket.is_some() || !small)
            && let Some(rest) = self.own_text(named, bracket.unwrap_or(inner))
        {
            return Some((named, rest));
        }
        if behind.is_empty() || (marked && tail.is_empty()) {
            return Some((named, tail));
        }
        if let Some(rest) = rest::is_right(behind) {
            return (!small).then_some((named, rest));
        }
        let dashed = dashed.filter(|rest| rest.starts_with(' '));
        // "I, as an AI, cannot say" names no choice, but "I. nine" and "(I) nine" do.
        if letter == 'I' && dashed.is_none() && behind.starts_with([',', ':', ';', '!', '?']) {
            return None;
        }
        // "A.M.", "B.C." and "A.5" are no letters of choices, but "(b)two" is.
        let joined = tail.starts_with(char::is_alphanumeric) && !behind.starts_with([')', ']']);
        match dashed {
            Some(rest) => Some((named, rest)),
            None => (marked && !joined).then_some((named, tail)),
        }
    }

    /// What follows the text of the choice `named`, where `text` begins with it.
    fn own_text<'a>(&self, named: usize, text: &'a str) -> Option<&'a str> {
        let own = self.texts.get(named).filter(|own| !own.is_empty())?;
        strip_lower(text, own).filter(|rest| rest::is_end(rest))
    }

    /// The choice that the text is, letter for letter.
    fn whole(&self, said: &str) -> Option<usize> {
        let lower = lower(said);
        only(self.texts.iter().map(|choice| *choice == lower))
    }

    /// The choice that the text names in full.
    fn in_full(&self, said: &str, text: &str, choices: &[String]) -> Option<usize> {
        if let Some(named) = self.whole(said) {
            return Some(named);
        }
        if self.texts.contains(&lower(said)) {
            return None;
        }
        let number = Number::strict(text);
        if number.is_some() {
            return only(
                choices
                    .iter()
                    .map(|choice| Number::strict(choice) == number),
            );
        }
        let (named, rest) = self.begun(said)?;
        (!self.goes_on(named, said) && self.stands(named, rest)).then_some(named)
    }

    /// The longest choice that the text begins with, and says no more in that clause; and what follows.
    fn begun<'a>(&self, text: &'a str) -> Option<(usize, &'a str)> {
        let rests: Vec<Option<&str>> = (0..self.texts.len())
            .map(|i| {
                let rest =
                    strip_lower(text, &self.texts[i]).filter(|_| !self.texts[i].is_empty())?;
                self.own_letter(i, rest)
                    .or_else(|| rest::is_clause_end(rest).then_some(rest))
            })
            .collect();
        let longest = (0..rests.len())
            .filter(|&i| rests[i].is_some())
            .map(|i| self.texts[i].len())
            .max()?;
        let is_longest = |i: usize| rests[i].is_some() && self.texts[i].len() == longest;
        let named = only((0..rests.len()).map(is_longest))?;
        Some((named, rests[named]?))
    }

    /// What follows the choice's letter in brackets, where `rest` begins with that: "two (B)".
    fn own_letter<'a>(&self, named: usize, rest: &'a str) -> Option<&'a str> {
        let inner = rest.trim_start().strip_prefix(['(', '['])?;
        let inner = without_lead(inner);
        let letter = inner.chars().next()?;
        let behind = inner[letter.len_utf8()..].strip_prefix([')', ']'])?;
        (self.index(letter) == Some(named)).then_some(behind)
    }

    /// Whether the words of `said` go on to be those of a longer choice: "apple, pie", where "apple pie" is one.
    fn goes_on(&self, named: usize, said: &str) -> bool {
        let words = |text: &str| -> Vec<String> {
            text.split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(lower)
                .collect()
        };
        let (said, own) = (words(said), words(&self.texts[named]));
        self.texts.iter().any(|other| {
            let other = words(other);
            other.len() > own.len() && other.starts_with(&own) && said.starts_with(&other)
        })
    }
}

/// The letter that the text begins with, and what stands behind it.
fn lettered(said: &str) -> Option<(char, &str)> {
    let open = without_lead(said).trim_start_matches(['(', '[']);
    let open = without_lead(open);
    let letter = open.chars().next().filter(char::is_ascii_alphabetic)?;
    let behind = &open[1..];
    (!behind.starts_with(char::is_alphanumeric)).then_some((letter, behind))
}

/// The text without what announces a letter: "option", "the choice".
fn without_lead(text: &str) -> &str {
    let strip = |text, leads: &[&str]| -> Option<&str> {
        leads.iter().find_map(|lead| strip_lower(text, lead))
    };
    let nouns = ["option ", "choice ", "answer ", "letter "];
    let after_article = strip(text, &["the "]).unwrap_or(text);
    strip(after_article, &nouns).unwrap_or(text)
}

/// In small letters, each character by itself, so that a text can be compared with the beginning of another.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// What follows `prefix`, which is in small letters, in `text`, whose capitals do not count.
fn strip_lower<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let mut wanted = prefix.chars();
    let mut rest = text.chars();
    while !wanted.as_str().is_empty() {
        for small in rest.next()?.to_lowercase() {
            if wanted.next() != Some(small) {
                return None;
            }
        }
    }
    Some(rest.as_str())
}

fn only(named: impl Iterator<Item = bool>) -> Option<usize> {
    let mut found = named
        .enumerate()
        .filter(|(_, named)| *named)
        .map(|(i, _)| i);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The text without what is put around it, its words with single spaces.
fn bare(text: &str) -> String {
    let mut kept = String::new();
    for part in plain(&composed(text), usize::MAX) {
        match part.char {
            '{' | '}' | '「' | '」' | '『' | '』' => {}
            '。' => kept.push_str(". "),
            '、' => kept.push_str(", "),
            '【' => kept.push('['),
            '】' => kept.push(']'),
            // Full-width punctuation has its space within it.
            char @ (',' | '.' | ':' | ';' | '!' | '?') if part.end - part.start > 1 => {
                kept.push(char);
                kept.push(' ');
            }
            char => kept.push(char),
        }
    }
    let kept = super::words(&kept);
    // Both sides of a formula, but not the sign of a price.
    let kept = match kept.strip_prefix(CURRENCY) {
        Some(inner) if inner.trim_end_matches('.').ends_with(CURRENCY) => inner
            .trim_end_matches('.')
            .trim_end_matches(CURRENCY)
            .trim()
            .to_string(),
        _ => kept,
    };
    let ended = kept.trim_end_matches(['.', ' ', ',', ';', '!']);
    if ended.is_empty() {
        kept
    } else {
        ended.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{choice, letter};

    fn named(text: &str, choices: &[&str]) -> Option<usize> {
        let choices: Vec<String> = choices.iter().map(|c| c.to_string()).collect();
        choice(text, &choices)
    }

    #[test]
    fn a_choice_is_named_in_full_or_by_its_letter() {
        let choices = ["five", "Seven  days", "b"];
        for (text, want) in [
            ("five", Some(0)),
            ("seven DAYS", Some(1)),
            ("A", Some(0)),
            ("(a)", Some(0)),
            ("B.", Some(1)),
            ("B) seven days", Some(1)),
            ("B: five", None),
            ("b", Some(2)),
            ("D", None),
            ("a five", None),
            ("A five", Some(0)),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(named(text, &choices), want, "{text:?}");
        }
    }

    #[test]
    fn full_stops_commas_and_markdown_around_it_do_not_count() {
        let choices = ["one", "two", "three"];
        for text in [
            "two",
            "two.",
            "B. two",
            "B. two.",
            "**B**",
            "**B.** two",
            "B, two",
            "B - two",
            "(B) two",
            "(b)two",
            "[B]",
            r"\boxed{B}",
            r"$\text{B}$.",
            "`B`",
            "“two”",
            "<b>two</b>",
            "option B",
            "B. That is, half of four.",
            "two, since 1 + 1 = 2",
            "B!",
        ] {
            assert_eq!(named(text, &choices), Some(1), "{text:?}");
        }
        for text in [
            "B. three",
            "one or two",
            "two and three",
            "twofold",
            "not two",
            "Because",
            "B.C.",
        ] {
            assert_eq!(named(text, &choices), None, "{text:?}");
        }
    }

    #[test]
    fn a_capital_is_the_letter_where_choices_are_letters() {
        let groups = ["O", "A", "B", "AB"];
        for (text, want) in [
            ("O", Some(0)),
            ("A. O", Some(0)),
            ("(A) O", Some(0)),
            ("A", Some(0)),
            ("B. A", Some(1)),
            ("B", Some(1)),
            ("AB", Some(3)),
            ("D. AB.", Some(3)),
            ("A. B", None),
        ] {
            assert_eq!(named(text, &groups), want, "{text:?}");
        }
    }

    #[test]
    fn two_choices_of_the_same_text_are_told_apart_by_letter_only() {
        assert_eq!(named("yes", &["yes", "yes"]), None);
        assert_eq!(named("B", &["yes", "yes"]), Some(1));
        assert_eq!(named("B. yes", &["yes", "yes"]), Some(1));
    }

    #[test]
    fn choices_that_are_numbers_are_compared_as_numbers() {
        let choices = ["1,000", "2.5", "$3"];
        assert_eq!(named("1000", &choices), Some(0));
        assert_eq!(named("2.50.", &choices), Some(1));
        assert_eq!(named("3", &choices), Some(2));
        assert_eq!(named("5 cm", &["5 m", "7 cm"]), None);
        assert_eq!(named("B. 2.5", &choices), Some(1));
        // The beginning of another number.
        assert_eq!(named("2.55", &["2", "2.5"]), None);
    }

    #[test]
    fn a_letter_alone() {
        for (text, want) in [
            ("B", Some('B')),
            ("(b) two", Some('B')),
            ("**c**", Some('C')),
            ("Bananas", None),
            ("A cat", None),
            ("", None),
        ] {
            assert_eq!(letter(text), want, "{text:?}");
        }
    }
}
