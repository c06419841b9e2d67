//! Rust source as text: without comments, without literals, without tests.

/// What to blank out of a source text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Only code.
    Code,
    /// Code, and what is written in string and character literals.
    CodeAndLiterals,
}

/// `text` with everything but what `keep` names replaced by spaces. Lines stay where they are.
pub(crate) fn blank(text: &str, keep: Keep) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = bytes.to_vec();
    let mut erase = |from: usize, to: usize| {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"//") {
            let end = at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            erase(at, end);
            at = end;
        } else if rest.starts_with(b"/*") {
            let end = at + block_comment(rest);
            erase(at, end);
            at = end;
        } else if let Some(length) = literal(rest, at.checked_sub(1).map(|before| bytes[before])) {
            if keep == Keep::Code {
                erase(at, at + length);
            }
            at += length;
        } else {
            at += 1;
        }
    }
    // Every erased run covers whole characters: comments and literals begin and end in ASCII.
    String::from_utf8(out).expect("blanking whole characters leaves UTF-8")
}

/// Length of the block comment that `rest` starts with; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Length of the string, byte string, raw string or character literal that `rest` starts with, if it starts with one.
fn literal(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') && !rest.starts_with(b"\"") {
        return None;
    }
    let prefix = rest
        .iter()
        .take_while(|b| matches!(b, b'b' | b'c' | b'r'))
        .count();
    let body = &rest[prefix..];
    if rest[..prefix].ends_with(b"r") {
        let hashes = body.iter().take_while(|&&b| b == b'#').count();
        if body.get(hashes) == Some(&b'"') {
            let close: Vec<u8> = std::iter::once(b'"')
                .chain(std::iter::repeat_n(b'#', hashes))
                .collect();
            let open = hashes + 1;
            let end = body[open..]
                .windows(close.len())
                .position(|window| window == close);
            return Some(prefix + end.map_or(body.len(), |end| open + end + close.len()));
        }
        return None;
    }
    match body.first()? {
        b'"' => {
            let mut at = 1;
            while at < body.len() && body[at] != b'"' {
                at += if body[at] == b'\\' { 2 } else { 1 };
            }
            // An unfinished literal may end in a backslash.
            Some((prefix + at + 1).min(rest.len()))
        }
        b'\'' => {
            if body.get(1) == Some(&b'\\') {
                let end = body.get(3..)?.iter().position(|&b| b == b'\'')?;
                return Some(prefix + 3 + end + 1);
            }
            // One character and a quote; otherwise a lifetime.
            let character = std::str::from_utf8(&body[1..body.len().min(5)]);
            let valid = character.map_or_else(|error| error.valid_up_to(), str::len);
            let first = std::str::from_utf8(&body[1..1 + valid])
                .ok()?
                .chars()
                .next()?;
            (body.get(1 + first.len_utf8()) == Some(&b'\''))
                .then_some(prefix + first.len_utf8() + 2)
        }
        _ => None,
    }
}

/// Code (as [`blank`] returns it) without the items marked `#[cfg(test)]`.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.to_owned();
    while let Some(start) = out.find(MARK) {
        let end = start + MARK.len() + item_end(&out[start + MARK.len()..]);
        let blanked: String = out[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(start..end, &blanked);
    }
    out
}

/// Where the item that `code` starts with ends: its closing brace, or its semicolon.
pub(crate) fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The identifiers of `code` and where each starts.
pub(crate) fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let start = rest + code[rest..].find(part)?;
        let length = code[start..]
            .find(|c| !part(c))
            .unwrap_or(code.len() - start);
        rest = start + length;
        Some((start, &code[start..rest]))
    })
}

/// The line, counted from 1, that holds the byte at `at`.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[test]
fn comments_and_literals_go_and_lines_stay() {
    let text = "let a = \"Vec // no\"; // Vec\n/* Vec /* Vec */\n */ let b = 'V'; let c: &'static str = r#\"Vec\"\"#;\n\
                let d = b\"Vec\\\"Vec\"; let e = '\\''; let f = '\u{e9}'; fn g<'a>(x: &'a Foo) {}\n";
    let code = blank(text, Keep::Code);
    assert!(!code.contains("Vec") && !code.contains("'V'"), "{code}");
    for kept in [
        "let b =",
        "&'static str =",
        "let e =",
        "let f =",
        "fn g<'a>(x: &'a Foo) {}",
    ] {
        assert!(code.contains(kept), "{kept} is gone from {code}");
    }
    assert_eq!(code.matches('\n').count(), text.matches('\n').count());
    let with_literals = blank(text, Keep::CodeAndLiterals);
    assert!(
        with_literals.contains("\"Vec // no\"") && with_literals.contains("r#\"Vec\"\"#"),
        "{with_literals}"
    );
    assert!(!with_literals.contains("/* Vec"), "{with_literals}");
}

#[test]
fn unfinished_text_does_not_hang_or_panic() {
    for text in [
        "\"abc",
        "/* abc",
        "r#\"abc",
        "'",
        "'\\",
        "b'",
        "#[cfg(test)]",
        "\"\\",
    ] {
        without_tests(&blank(text, Keep::Code));
    }
}

#[test]
fn test_items_go() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn t() { [1]; } }\nfn b() {}\n#[cfg(test)]\nmod more;\nfn c() {}";
    let kept = without_tests(code);
    assert!(!kept.contains("mod"), "{kept}");
    assert!(
        ["fn a", "fn b", "fn c"]
            .iter()
            .all(|item| kept.contains(item)),
        "{kept}"
    );
}

#[test]
fn identifiers_are_whole_words() {
    let words: Vec<_> = identifiers("a::b_c(1x)").collect();
    assert_eq!(words, [(0, "a"), (3, "b_c"), (7, "1x")]);
}
