//! Which of the choices a text names.

/// The number of the choice, from 0: named in full (white space and capitals do not count), by its letter ("B", "(b)",
/// "B."), or by letter and text ("B. seven"). A choice named in full is found before a letter is. `None` where the text
/// names none, or two.
pub fn index(text: &str, choices: &[String]) -> Option<usize> {
    let text = plain(text);
    let full: Vec<usize> = (0..choices.len())
        .filter(|&i| plain(&choices[i]) == text)
        .collect();
    if let [only] = full[..] {
        return Some(only);
    }
    if !full.is_empty() {
        return None;
    }
    let open = text.strip_prefix('(').unwrap_or(&text);
    let letter = open.chars().next().filter(char::is_ascii_lowercase)?;
    let named = usize::from(letter as u8 - b'a');
    let choice = plain(choices.get(named)?);
    let rest = &open[1..];
    let tail = rest.trim_start_matches([')', '.', ':']);
    let marked = tail.len() < rest.len();
    (tail.is_empty() || (marked && tail.trim_start() == choice)).then_some(named)
}

fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::index;

    #[test]
    fn a_choice_is_named_in_full_or_by_its_letter() {
        let choices = ["five", "Seven  days", "b"].map(String::from);
        for (text, named) in [
            ("five", Some(0)),
            ("seven DAYS", Some(1)),
            ("A", Some(0)),
            ("(a)", Some(0)),
            ("B.", Some(1)), // not the choice "b" in full, so the letter counts
            ("B) seven days", Some(1)),
            ("B: five", None),
            ("b", Some(2)),
            ("D", None),
            ("a five", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(index(text, &choices), named, "{text:?}");
        }
    }

    #[test]
    fn two_choices_of_the_same_text_are_told_apart_by_letter_only() {
        let choices = ["yes", "yes"].map(String::from);
        assert_eq!(index("yes", &choices), None);
        assert_eq!(index("B", &choices), Some(1));
    }
}
