//! Texts of which neither capitals count nor what stands around them.

use super::composed::composed;
use super::words;

/// What ends a sentence or a clause.
const ENDS: [char; 8] = ['.', ',', ';', ':', '!', '?', '…', '。'];
/// Emphasis and quotation marks that stand on both sides, the longer before the shorter. `__` is not among them: `__init__`
/// is a name.
const PAIRS: [(&str, &str); 11] = [
    ("***", "***"),
    ("**", "**"),
    ("*", "*"),
    ("_", "_"),
    ("`", "`"),
    ("\"", "\""),
    ("'", "'"),
    ("«", "»"),
    ("「", "」"),
    ("『", "』"),
    ("(", ")"),
];

/// `text` with single spaces, in small letters, and with one form for characters that are written in several: `ß` is `ss`,
/// a curly apostrophe is `'`, a full-width letter is the plain one, an `e` and its accent are `é`.
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in composed(&words(text)).chars() {
        match char {
            'ß' | 'ẞ' => out.push_str("ss"),
            'ς' => out.push('σ'),
            'İ' => out.push('i'),
            '\u{2018}' | '\u{2019}' | '\u{02BC}' => out.push('\''),
            '\u{201C}' | '\u{201D}' | '\u{201E}' => out.push('"'),
            '\u{200B}' | '\u{FEFF}' => {}
            // Full-width forms stand as far from ASCII as each other.
            '\u{FF01}'..='\u{FF5E}' => {
                let plain = char::from_u32(u32::from(char) - 0xFEE0).unwrap_or(char);
                out.extend(plain.to_lowercase());
            }
            _ => out.extend(char.to_lowercase()),
        }
    }
    out
}

/// The text as [`fold`] writes it, without what stands around it; of signs alone, all of them.
///
/// A sign that can be part of what is said counts: `n!`, `5"`, `x*`, `*args`. It does not behind a word or a full stop:
/// `Yes!`, `Paris.**`.
pub fn loose(text: &str) -> String {
    let text = fold(text);
    let mut inner = text.as_str();
    loop {
        let next = without_pair(inner)
            .or_else(|| without_end(inner))
            .or_else(|| without_beginning(inner));
        match next.map(str::trim).filter(|next| !next.is_empty()) {
            Some(next) => inner = next,
            None => break,
        }
    }
    if inner.chars().any(char::is_alphanumeric) {
        inner.to_string()
    } else {
        text
    }
}

/// The text without the marks on both sides of it.
fn without_pair(text: &str) -> Option<&str> {
    PAIRS.iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        let words = |c: char| c.is_alphabetic() || " -'.".contains(c);
        let kept = match *open {
            // "(1, 2)" is not "1, 2", and "(x)" may be a function's argument.
            "(" => !inner.chars().all(words) || !ends_a_word(inner),
            "_" => inner.starts_with('_') || inner.ends_with('_'),
            _ => false,
        };
        (!kept && !inner.contains(open) && !inner.contains(close)).then_some(inner)
    })
}

/// The text without the sign that it ends in, however often that is repeated.
fn without_end(text: &str) -> Option<&str> {
    let last = text.chars().next_back()?;
    let rest = text.trim_end_matches(last);
    let ended = ends_a_word(rest) || rest.ends_with(ENDS);
    let goes = match last {
        '!' | '?' => ended,
        // Where it stands on both sides, `without_pair` decides.
        '*' | '_' | '`' | '"' | '\'' => ended && !text.starts_with(last),
        '»' | '」' | '』' => true,
        _ => ENDS.contains(&last),
    };
    goes.then_some(rest)
}

/// The text without the marks before it: "** Paris", behind "**Answer:".
fn without_beginning(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(['*', '_', '`', '"', '\'']);
    let marks = &text[..text.len() - rest.len()];
    let quote = marks == "\"" || marks == "'";
    let open = rest.starts_with(' ') || (quote && !rest.contains(marks));
    (!marks.is_empty() && open).then_some(rest)
}

/// Whether the text ends in a word of two letters or more.
fn ends_a_word(text: &str) -> bool {
    text.chars()
        .rev()
        .take(2)
        .filter(|c| c.is_alphabetic())
        .count()
        == 2
}

#[cfg(test)]
mod tests {
    use super::loose;

    #[test]
    fn what_stands_around_does_not_count() {
        for (a, b) in [
            ("Yes", "yes!"),
            ("Yes", "**Yes**"),
            ("Yes", "\"yes.\""),
            ("Paris", "Paris。"),
            ("巴黎", "巴黎。"),
            ("Paris", "「Paris」"),
            ("Paris", "Paris?"),
            ("Paris", "(Paris)"),
            ("Paris", "(Paris)."),
            ("Paris", "**Paris.**"),
            ("Paris", "Paris.**"),
            ("Paris", "Paris**."),
            ("Paris", "** Paris"),
            ("Paris", "Paris…"),
            ("Paris", "“Paris”"),
            ("Paris", "Ｐaris"),
            ("Straße", "STRASSE"),
            ("İstanbul", "istanbul"),
            ("ΟΔΟΣ", "οδος"),
            ("don't", "don’t"),
            ("a", "a\u{200b}"),
            ("a", "a:"),
            ("5", "**5**."),
            ("`ls`", "ls"),
            ("f(x)", "F(X)"),
            ("n!", "**N!**"),
            ("U.S.", "u.s."),
            ("*args", "`*args`"),
        ] {
            assert_eq!(loose(a), loose(b), "{a} {b}");
        }
    }

    #[test]
    fn signs_that_are_part_of_it_count() {
        for (a, b) in [
            ("n!", "n"),
            ("5!", "5"),
            ("x*", "x"),
            ("x_", "x"),
            ("__init__", "init"),
            ("*args", "args"),
            ("**kwargs", "*args"),
            ("**kwargs", "kwargs"),
            ("5'", "5"),
            ("5\"", "5"),
            ("5'", "5\""),
            ("(1, 2)", "1, 2"),
            ("C++", "C"),
            (".NET", "NET"),
            ("U.S.", "US"),
            ("*", "."),
            ("!", "?"),
            ("_", "*"),
            ("2.50", "2"),
        ] {
            assert_ne!(loose(a), loose(b), "{a} {b}");
        }
    }
}
