//! `\boxed{…}`, which no regular expression can read: braces nest.

/// What stands in the last `\boxed{…}` or `\fbox{…}` of `text`, braces within it and all; `\boxed 7` and `\boxed7` give the 7. `None`
/// where there is none, where it is blank, or where the text ends before it does.
pub fn boxed(text: &str) -> Option<&str> {
    let (at, mark) = ["\\boxed", "\\fbox"]
        .into_iter()
        .filter_map(|mark| Some((text.rfind(mark)?, mark)))
        .max()?;
    let rest = &text[at + mark.len()..];
    let Some(inner) = rest.trim_start().strip_prefix('{') else {
        // `\boxedfoo` is another command.
        let other = rest.starts_with(char::is_alphabetic);
        return Some(unbraced(rest.trim_start())).filter(|word| !other && !word.is_empty());
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

/// What a box without braces of its own holds, up to the end of the word: the 7 of `7$`, the `\frac{1}{2}` of `\frac{1}{2} m`.
fn unbraced(rest: &str) -> &str {
    let mut depth = 0_usize;
    let mut chars = rest.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let next = chars.peek().map(|&(_, next)| next);
        let ends = match char {
            '{' => {
                depth += 1;
                false
            }
            '}' if depth > 0 => {
                depth -= 1;
                false
            }
            '}' => true,
            '\\' if depth == 0 => matches!(next, Some(')' | ']')),
            '.' | ',' if depth == 0 => !next.is_some_and(|next| next.is_ascii_digit()),
            '$' | ';' => depth == 0,
            _ => depth == 0 && char.is_whitespace(),
        };
        if ends {
            return &rest[..at];
        }
    }
    rest
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
            (r"$\boxed5$", Some("5")),
            (r"\(\boxed5\)", Some("5")),
            (r"It is \boxed 3.5.", Some("3.5")),
            (r"$\boxed\frac12$", Some(r"\frac12")),
            (r"$\boxed\frac{1}{2}$.", Some(r"\frac{1}{2}")),
            (r"$\boxed\text{a b}$", Some(r"\text{a b}")),
            (r"\boxedfoo", None),
            (r"\boxed, then", None),
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
