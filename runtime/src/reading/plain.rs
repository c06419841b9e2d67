//! A text without what is put around an answer: Markdown, LaTeX, HTML, quotes, wide forms of characters.

/// A character of a plain text, and the bytes of the text that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    pub char: char,
    pub start: usize,
    pub end: usize,
}

/// Stands for any sign of a currency. Dollar signs are also the bounds of formulas.
pub const CURRENCY: char = '¤';
/// Stands for `\frac` and its like.
pub const FRACTION: char = '\u{E000}';
/// Stands for a command of LaTeX that changes a value or says something else.
pub const COMMAND: char = '\u{E001}';

/// LaTeX commands that only say how their argument looks.
const LOOKS: [&str; 25] = [
    "boxed",
    "fbox",
    "mbox",
    "text",
    "textbf",
    "textit",
    "textrm",
    "emph",
    "mathbf",
    "mathrm",
    "mathit",
    "mathsf",
    "mathtt",
    "bf",
    "rm",
    "displaystyle",
    "left",
    "right",
    "big",
    "Big",
    "bigl",
    "bigr",
    "quad",
    "qquad",
    "underline",
];

/// Characters of `text` from its beginning, as many as `text` is short of `most` bytes.
pub fn plain(text: &str, most: usize) -> Vec<Plain> {
    let mut out: Vec<Plain> = Vec::new();
    let mut at = 0;
    while at < text.len() && at < most {
        let rest = &text[at..];
        let (char, length) = next(rest, &text[..at]);
        if char == Some('°') {
            // `45^\circ`, `45^{\circ}`
            while out.last().is_some_and(|p| matches!(p.char, '^' | '{')) {
                out.pop();
            }
        }
        if let Some(char) = char {
            out.push(Plain {
                char,
                start: at,
                end: at + length,
            });
        }
        at += length;
    }
    out
}

/// What the text begins with, if it counts, and its length in bytes. Never 0 of a text that is not empty.
fn next(rest: &str, before: &str) -> (Option<char>, usize) {
    let Some(char) = rest.chars().next() else {
        return (None, 1);
    };
    let length = char.len_utf8();
    match char {
        '\\' => command(rest),
        '*' | '_' => emphasis(rest, before, char),
        '\'' | '\u{2018}' | '\u{2019}' => {
            // A Swiss separator of thousands, or a quotation mark.
            let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
            let kept = digit(before.chars().next_back()) && digit(rest[length..].chars().next());
            (kept.then_some('\''), length)
        }
        '`' | '"' | '\u{201C}' | '\u{201D}' | '\u{201E}' | '«' | '»' | '「' | '」' | '『'
        | '』' | '#' => (None, length),
        // Characters without a width, and marks of the direction of writing.
        '\u{AD}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}'
        | '\u{FEFF}' => (None, length),
        '\u{066B}' => (Some('.'), length),
        '\u{066C}' => (Some(','), length),
        '$' | '€' | '£' | '¥' | '₹' | '₩' | '₽' | '₺' | '₫' | '₪' | '₴' | '₦' | '¢' | '฿' => {
            (Some(CURRENCY), length)
        }
        '\u{2212}' | '\u{2013}' | '\u{2010}' | '\u{2011}' | '\u{FE63}' => (Some('-'), length),
        '\u{2044}' | '\u{2215}' => (Some('/'), length),
        '\u{00A0}' | '\u{2009}' | '\u{202F}' | '\u{2007}' | '\u{200A}' => (Some(' '), length),
        '<' => match tag(rest) {
            Some(tag) => (None, tag),
            None => (Some('<'), length),
        },
        '{' if rest.starts_with("{,}") => (Some(','), 3),
        // Full-width forms stand as far from ASCII as each other.
        '\u{FF01}'..='\u{FF5E}' => (char::from_u32(u32::from(char) - 0xFEE0), length),
        _ => (Some(digit(char).unwrap_or(char)), length),
    }
}

/// The ASCII digit that another script's digit is.
fn digit(char: char) -> Option<char> {
    const ZEROS: [u32; 10] = [
        0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0BE6, 0x0C66, 0x0CE6, 0x0E50,
    ];
    let code = u32::from(char);
    let zero = ZEROS
        .iter()
        .find(|&&zero| (zero..zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// `*` and `_`: multiplication or a separator between digits, or between spaces; else emphasis.
fn emphasis(rest: &str, before: &str, mark: char) -> (Option<char>, usize) {
    let run = rest.len() - rest.trim_start_matches(mark).len();
    let kept = match (before.chars().next_back(), rest[run..].chars().next()) {
        (Some(a), Some(b)) => {
            (a.is_alphanumeric() && b.is_alphanumeric()) || (mark == '*' && a == ' ' && b == ' ')
        }
        _ => false,
    };
    match (kept, run) {
        // A power, as programs write it.
        (true, 2) if mark == '*' => (Some('^'), 2),
        (true, _) => (Some(mark), run),
        (false, _) => (None, run),
    }
}

fn command(rest: &str) -> (Option<char>, usize) {
    let name_length = rest[1..].len()
        - rest[1..]
            .trim_start_matches(|c: char| c.is_ascii_alphabetic())
            .len();
    let name = &rest[1..1 + name_length];
    let Some(sign) = rest[1..].chars().next() else {
        return (None, 1);
    };
    if name.is_empty() {
        let length = 1 + sign.len_utf8();
        return match sign {
            '$' => (Some(CURRENCY), length),
            '%' | '#' | '&' | '{' | '}' | '_' => (Some(sign), length),
            ',' | ';' | ':' | ' ' => (Some(' '), length),
            '!' | '(' | ')' | '[' | ']' | '\\' | '*' | '-' | '.' | '`' => (None, length),
            _ => (None, 1),
        };
    }
    let char = match name {
        "frac" | "dfrac" | "tfrac" | "cfrac" => FRACTION,
        "times" | "cdot" | "ast" => '×',
        "div" => '÷',
        "approx" | "simeq" => '≈',
        "sim" => '~',
        "circ" | "degree" => '°',
        "pounds" | "euro" | "yen" | "textdollar" | "texteuro" => CURRENCY,
        "percent" => '%',
        "pm" => '±',
        _ if LOOKS.contains(&name) => return (None, 1 + name_length),
        _ => COMMAND,
    };
    (Some(char), 1 + name_length)
}

/// The length of an HTML tag such as `<b>` or `</answer>`, or of a model's own token such as `<|im_end|>`.
fn tag(rest: &str) -> Option<usize> {
    if let Some(token) = rest.strip_prefix("<|") {
        let named = token.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        return named.strip_prefix("|>").map(|end| rest.len() - end.len());
    }
    let inner = rest[1..].strip_prefix('/').unwrap_or(&rest[1..]);
    let name = inner.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let closed = name.trim_start_matches([' ', '/']).strip_prefix('>')?;
    (name.len() < inner.len()).then(|| rest.len() - closed.len())
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_stands_around_an_answer_is_left_out() {
        for (text, want) in [
            ("**18**", "18"),
            ("3 * 6 and 3*6, 2**3", "3 * 6 and 3*6, 2^3"),
            ("__18__ 1_000", "18 1_000"),
            (r"$\boxed{18}$", "¤{18}¤"),
            (r"\(18\) \[1\,234\] 1{,}234", "18 1 234 1,234"),
            ("“18” `a` 1'234 'b'", "18 a 1'234 b"),
            ("<b>18</b> < 3 <5", "18 < 3 <5"),
            ("18<|im_end|> <|", "18 <|"),
            ("1\u{AD}8 「18」 1٫5 1٬234", "18 18 1.5 1,234"),
            (r"5~6 5\sim 6", "5~6 5~ 6"),
            ("−5 ５．２ ٣", "-5 5.2 3"),
            ("\\", ""),
            ("\\é", "é"),
        ] {
            let got: String = plain(text, usize::MAX).iter().map(|p| p.char).collect();
            assert_eq!(got, want, "{text}");
        }
    }
}
