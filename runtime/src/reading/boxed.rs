//! `\boxed{…}`, which no regular expression can read: braces nest.

/// What stands in the last `\boxed{…}` or `\fbox{…}` of `text`, braces within it and all; `\boxed 7` gives the 7. `None`
/// where there is none, where it is blank, or where the text ends before it does.
pub fn boxed(text: &str) -> Option<&str> {
    let (at, mark) = ["\\boxed", "\\fbox"]
        .into_iter()
        .filter_map(|mark| Some((text.rfind(mark)?, mark)))
        .max()?;
    let rest = &text[at + mark.len()..];
    let Some(inner) = rest.trim_start().strip_prefix('{') else {
        let word = rest.trim_start().split(['$', ' ', '\n', '.', ',']).next()?;
        return (rest.starts_with(' ') && !word.is_empty()).then_some(word);
    };
    let mut depth = 1;
    let mut escaped = false;
    for (at, character) in inner.char_indices() {
        match character {
            '\\' => {
                escaped = !escaped;
                continue;
            }
            '{' if !escaped => depth += 1,
            '}' if !escaped => depth -= 1,
            _ => {}
        }
        escaped = false;
        if depth == 0 {
            return Some(&inner[..at]).filter(|found| !found.trim().is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::boxed;

    #[test]
    fn the_last_box_counts_with_the_braces_within_it() {
        for (text, answer) in [
            (r"So $\boxed{\frac{1}{2}}$.", Some(r"\frac{1}{2}")),
            (
                r"First \boxed{12}, but it is $\boxed{\frac{1+\sqrt{\frac{1}{2}}}{4}}$.",
                Some(r"\frac{1+\sqrt{\frac{1}{2}}}{4}"),
            ),
            (r"\boxed{1} and then \boxed{2}", Some("2")),
            (r"\boxed{1} and then \fbox{3}", Some("3")),
            (r"\boxed{\boxed{5}}", Some("5")),
            (r"\boxed{\{1, 2\}}", Some(r"\{1, 2\}")),
            (r"\boxed{a\\}", Some(r"a\\")),
            (r"\boxed {4}", Some("4")),
            (r"$\boxed 7$.", Some("7")),
            (r"\boxed{\text{é}}", Some(r"\text{é}")),
            (r"\boxed{1} or \boxed{1", None),
            (r"\boxed{ }", None),
            ("no box", None),
            (r"\boxed", None),
        ] {
            assert_eq!(boxed(text), answer, "{text}");
        }
    }
}
