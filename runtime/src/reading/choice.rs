//! Which of the choices a text names.

use super::number::Number;
use super::plain::{CURRENCY, plain};

/// The number of the choice, from 0, that `text` names; `None` where it names none, or two.
///
/// A choice is named by its letter ("B", "(b)", "B."), in full (white space and capitals do not count), or both ("B. two").
/// A capital that is some choice's letter is that choice, also where another choice is written like it; a small letter is
/// first looked for among the choices in full. A letter beside the text of another choice names neither. Markdown, LaTeX,
/// quotes and a full stop do not count, nor does what is said after a full stop or a comma.
pub fn choice(text: &str, choices: &[String]) -> Option<usize> {
    let bare = bare(text);
    let texts: Vec<String> = choices
        .iter()
        .map(|c| self::bare(c).to_lowercase())
        .collect();
    if let Some((letter, rest)) = lettered(&bare) {
        let named = index(letter).filter(|&i| i < choices.len());
        let small = letter.is_ascii_lowercase();
        if let Some(named) = named
            && !(rest.is_empty() && small && in_full(&bare, text, choices, &texts).is_some())
        {
            let other = begun(&rest.to_lowercase(), &texts);
            match other {
                Some(other) if texts[other] == texts[named] => return Some(named),
                Some(_) => return None,
                None => return Some(named),
            }
        }
    }
    if let Some(named) = in_full(&bare, text, choices, &texts) {
        return Some(named);
    }
    // A letter and its own choice with nothing between: "B two".
    let mut words = bare.splitn(2, ' ');
    let letter = words.next()?;
    let rest = words.next()?.to_lowercase();
    let mut letters = letter.chars();
    let named = index(letters.next().filter(char::is_ascii_uppercase)?)?;
    (letters.next().is_none() && begun(&rest, &texts) == Some(named)).then_some(named)
}

/// The letter that `text` names: "B", "(b)", "B. two".
pub fn letter(text: &str) -> Option<char> {
    let bare = bare(text);
    lettered(&bare).map(|(letter, _)| letter.to_ascii_uppercase())
}

fn index(letter: char) -> Option<usize> {
    let upper = letter.to_ascii_uppercase();
    upper
        .is_ascii_uppercase()
        .then(|| usize::from(upper as u8 - b'A'))
}

/// A letter that is marked as one, or stands alone; and what follows it.
fn lettered(bare: &str) -> Option<(char, &str)> {
    let lead = ["option ", "choice ", "answer "].iter().find(|lead| {
        bare.get(..lead.len())
            .is_some_and(|b| b.eq_ignore_ascii_case(lead))
    });
    let text = &bare[lead.map_or(0, |lead| lead.len())..];
    let open = text.trim_start_matches(['(', '[']);
    let letter = open.chars().next().filter(char::is_ascii_alphabetic)?;
    let rest = &open[1..];
    let tail = rest.trim_start_matches([')', ']', '.', ':', ',', ';', '!', '?']);
    let dash = tail
        .trim_start()
        .strip_prefix(['-', '\u{2014}'])
        .filter(|t| t.starts_with(' '));
    let marked = tail.len() < rest.len() || dash.is_some();
    let rest = dash.unwrap_or(tail);
    // "A.M.", "B.C." and "A.5" are no letters of choices.
    let joined = marked
        && dash.is_none()
        && rest.starts_with(|c: char| c.is_alphanumeric())
        && !tail_is_closed(open);
    (rest.is_empty() || (marked && !joined)).then(|| (letter, rest.trim_start()))
}

/// Whether a bracket closes behind the letter: "(b)two".
fn tail_is_closed(open: &str) -> bool {
    open[1..].starts_with([')', ']'])
}

/// The choice that the text is, in full.
fn in_full(bare: &str, text: &str, choices: &[String], texts: &[String]) -> Option<usize> {
    let lower = bare.to_lowercase();
    if let Some(named) = only(texts.iter().map(|choice| *choice == lower)) {
        return Some(named);
    }
    if texts.contains(&lower) {
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
    begun(&lower, texts)
}

/// The longest choice that the text begins with, and says no more in that clause.
fn begun(lower: &str, texts: &[String]) -> Option<usize> {
    let begins = |choice: &String| {
        !choice.is_empty()
            && lower.strip_prefix(choice.as_str()).is_some_and(|rest| {
                let behind = rest.strip_prefix(['.', ',', ';', ':', '!', '?', ')']);
                rest.is_empty()
                    || behind.is_some_and(|b| b.is_empty() || b.starts_with([' ', '.', ',']))
            })
    };
    let longest = texts.iter().filter(|c| begins(c)).map(String::len).max()?;
    only(
        texts
            .iter()
            .map(|choice| choice.len() == longest && begins(choice)),
    )
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
    let kept: String = plain(text, usize::MAX)
        .iter()
        .map(|p| p.char)
        .filter(|c| !matches!(c, '{' | '}'))
        .collect();
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
