//! What a tokenizer file may ask for. Each limit keeps out something that makes tokenizers panic, loop or fill the memory,
//! and lies far from what published tokenizers have.

use serde_json::Value;
use tokenizers::utils::SysRegex;
use tokenizers::{AddedToken, NormalizedString, Normalizer, NormalizerWrapper};

use super::precompiled;

/// Bytes of one token. Published ones reach a few hundred (runs of spaces). A trie of tokens is as deep as the longest, and
/// is freed by recursion.
const TOKEN_BYTES: usize = 2_048;
/// Bytes of a prefix or suffix that marks a piece of a word: added to each character.
const AFFIX_BYTES: usize = 64;
/// Characters of a word that WordPiece cuts up, in time that grows with its third power. Published ones have 100.
const WORD_CHARS: usize = 1_000;
/// Components of one kind, and how deep lists of them may nest.
const COMPONENTS: usize = 64;
const DEPTH: usize = 4;
/// Bytes of all regular expressions together. The longest published are below 1,000.
const PATTERN_BYTES: usize = 8_192;
/// The largest number in a counted repetition: each repeats its compiled piece.
const REPEATS: usize = 256;
/// Components that put something before each piece they get, or write one character as several: each may double a text.
const LENGTHENING: usize = 2;
/// Times that a text may become longer by replacements.
const GROWTH: usize = 64;
/// Bytes that decoding may make of one token: the longest token, lengthened as much as a text may be.
const DECODED_TOKEN_BYTES: usize = TOKEN_BYTES * GROWTH;
/// Tokens that a post-processor adds to a text.
const ADDED_IDS: usize = 64;

/// A part of the file that is not as this library takes it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) field: String,
    pub(super) expected: String,
    pub(super) got: String,
}

impl Refusal {
    pub(super) fn new(
        field: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Self {
            field: field.into(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}

/// By how much a text can become longer before it is cut into tokens: characters for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Growth(pub(super) usize);

/// What the components before the model have used up.
struct Used {
    pattern_bytes: usize,
    lengthening: usize,
    growth: usize,
}

impl Used {
    const NOTHING: Self = Self {
        pattern_bytes: 0,
        lengthening: 0,
        growth: 1,
    };

    fn grow(&mut self, at: &str, times: usize) -> Result<(), Refusal> {
        self.growth = self.growth.saturating_mul(times.max(1));
        within(
            at,
            "times that replacements lengthen a text",
            GROWTH,
            self.growth,
        )
    }

    fn lengthen(&mut self, at: &str) -> Result<(), Refusal> {
        self.lengthening += 1;
        let what = "components of the types ByteLevel and Metaspace";
        within(at, what, LENGTHENING, self.lengthening)
    }

    /// A pattern, `{"String": …}` or `{"Regex": …}`. Returns the characters it takes at the least.
    fn pattern(&mut self, at: &str, pattern: &Value) -> Result<usize, Refusal> {
        if let Some(text) = pattern.get("String").and_then(Value::as_str) {
            return match text.chars().count() {
                0 => Err(Refusal::new(at, "a pattern", "an empty text")),
                chars => Ok(chars),
            };
        }
        let Some(regex) = pattern.get("Regex").and_then(Value::as_str) else {
            let expected = "a pattern, {\"String\": …} or {\"Regex\": …}";
            return Err(Refusal::new(at, expected, pattern));
        };
        self.pattern_bytes += regex.len();
        let what = "bytes of regular expressions";
        within(at, what, PATTERN_BYTES, self.pattern_bytes)?;
        let repeats = regex.split('{').skip(1).flat_map(|rest| {
            let counts = rest.split('}').next().unwrap_or_default();
            counts.split(',').filter_map(|n| n.trim().parse().ok())
        });
        within(
            at,
            "repetitions",
            REPEATS,
            repeats.max().unwrap_or_default(),
        )?;
        Ok(0)
    }
}

fn within(at: &str, what: &str, limit: usize, got: usize) -> Result<(), Refusal> {
    if got <= limit {
        return Ok(());
    }
    Err(Refusal::new(at, format!("at most {limit} {what}"), got))
}

/// The components of `value`: itself, or those of the lists in it, each with its type and its place in the file.
fn components<'a>(
    value: &'a Value,
    field: &str,
    list: &str,
) -> Result<Vec<(String, &'a str, &'a Value)>, Refusal> {
    let mut open = vec![(field.to_string(), value, 0)];
    let mut found = Vec::new();
    while let Some((at, value, depth)) = open.pop() {
        if value.is_null() && depth == 0 {
            continue;
        }
        let Some(kind) = value.get("type").and_then(Value::as_str) else {
            return Err(Refusal::new(at, "a component with a \"type\"", value));
        };
        if kind != "Sequence" {
            found.push((at, kind, value));
            continue;
        }
        within(&at, "lists in each other", DEPTH, depth + 1)?;
        let Some(parts) = value.get(list).and_then(Value::as_array) else {
            return Err(Refusal::new(at, format!("a list {list:?}"), value));
        };
        within(&at, "components", COMPONENTS, open.len() + parts.len())?;
        let each = parts.iter().enumerate().rev();
        open.extend(each.map(|(i, part)| (format!("{at}.{list}[{i}]"), part, depth + 1)));
    }
    within(field, "components", COMPONENTS, found.len())?;
    Ok(found)
}

/// Holds normalizer and pre-tokenizer to the limits.
pub(super) fn before_tokens(normalizer: &Value, pre_tokenizer: &Value) -> Result<Growth, Refusal> {
    let mut used = Used::NOTHING;
    for (at, kind, part) in components(normalizer, "normalizer", "normalizers")? {
        match kind {
            "Replace" => {
                replace(&mut used, &at, part)?;
                takes_a_character(&at, part)?;
            }
            "Prepend" => {
                let prefix = part.get("prepend").and_then(Value::as_str);
                let chars = prefix.unwrap_or_default().chars().count();
                if chars == 0 {
                    // It would leave the text without its alignments.
                    return Err(Refusal::new(at, "a text to prepend", "an empty one"));
                }
                used.grow(&at, 1 + chars)?;
            }
            "Precompiled" => {
                let longest = precompiled::longest_entry(part)
                    .map_err(|got| Refusal::new(&at, "a character map of sentencepiece", got))?;
                used.grow(&at, longest)?;
            }
            "ByteLevel" => used.lengthen(&at)?,
            "BertNormalizer" | "Strip" | "StripAccents" | "NFC" | "NFD" | "NFKC" | "NFKD"
            | "Lowercase" | "Nmt" => {}
            other => return Err(Refusal::new(at, "a normalizer of tokenizers", other)),
        }
    }
    for (at, kind, part) in components(pre_tokenizer, "pre_tokenizer", "pretokenizers")? {
        match kind {
            "Split" => {
                used.pattern(&at, part.get("pattern").unwrap_or(&Value::Null))?;
            }
            "FixedLength" => {
                let length = part.get("length").and_then(Value::as_u64);
                if length == Some(0) {
                    return Err(Refusal::new(at, "a length of at least 1", 0));
                }
            }
            "ByteLevel" | "Metaspace" => used.lengthen(&at)?,
            "BertPreTokenizer" | "Delimiter" | "CharDelimiterSplit" | "Whitespace"
            | "WhitespaceSplit" | "Punctuation" | "Digits" | "UnicodeScripts" => {}
            other => return Err(Refusal::new(at, "a pre-tokenizer of tokenizers", other)),
        }
    }
    Ok(Growth(used.growth))
}

fn replace(used: &mut Used, at: &str, part: &Value) -> Result<(), Refusal> {
    let times = times(used, at, part)?;
    used.grow(at, times)
}

/// By how much a replacement can lengthen a text.
fn times(used: &mut Used, at: &str, part: &Value) -> Result<usize, Refusal> {
    let takes = used.pattern(at, part.get("pattern").unwrap_or(&Value::Null))?;
    let content = part.get("content").and_then(Value::as_str);
    let gives = content.unwrap_or_default().chars().count();
    // A regular expression may match between two characters.
    Ok(match takes {
        0 => 1 + gives,
        takes => gives.div_ceil(takes),
    }
    .max(1))
}

/// Characters that regular expressions ask about, beside those that stand in them.
const ASKED_ABOUT: [char; 9] = ['a', 'A', '1', '_', ' ', '.', '\n', 'é', '\u{2581}'];

/// Characters that a regular expression is tried on.
const TRIED: usize = 32;

/// What is put where nothing was has no place in the text before: tokenizers loses count of the places, and panics. Found
/// by trying the expression on texts of up to two characters; the panic of one that shows itself in longer texts alone is
/// caught where the text is encoded.
fn takes_a_character(at: &str, part: &Value) -> Result<(), Refusal> {
    let Some(regex) = part.pointer("/pattern/Regex").and_then(Value::as_str) else {
        return Ok(());
    };
    let at = format!("{at}.pattern.Regex");
    let expected = "a regular expression";
    let compiled = SysRegex::new(regex).map_err(|e| Refusal::new(&at, expected, e))?;
    let mut tried: Vec<char> = Vec::with_capacity(TRIED);
    for c in ASKED_ABOUT.into_iter().chain(regex.chars()) {
        if tried.len() < TRIED && !tried.contains(&c) {
            tried.push(c);
        }
    }
    let alone = tried.iter().map(char::to_string);
    let pairs = tried
        .iter()
        .flat_map(|a| tried.iter().map(move |b| format!("{a}{b}")));
    for text in std::iter::once(String::new()).chain(alone).chain(pairs) {
        if compiled.find_iter(&text).any(|(begin, end)| begin == end) {
            let expected = "one that takes at least a character";
            let got =
                format!("{regex:?}, which finds nothing in {text:?} and takes it for a place");
            return Err(Refusal::new(at, expected, got));
        }
    }
    Ok(())
}

/// Whether a replacement happens at most once in a text: every match begins where the text does.
fn replaces_once(part: &Value) -> bool {
    let regex = part.pointer("/pattern/Regex").and_then(Value::as_str);
    regex.is_some_and(|regex| regex.starts_with('^') && !regex.contains('|'))
}

/// Holds the post-processor to the limits.
pub(super) fn post_processor(value: &Value) -> Result<(), Refusal> {
    for (at, kind, part) in components(value, "post_processor", "processors")? {
        match kind {
            "TemplateProcessing" => template(&at, part)?,
            "BertProcessing" | "RobertaProcessing" | "ByteLevel" => {}
            other => return Err(Refusal::new(at, "a post-processor of tokenizers", other)),
        }
    }
    Ok(())
}

/// A template has its text once, and each special token that it names.
fn template(at: &str, part: &Value) -> Result<(), Refusal> {
    let at = format!("{at}.single");
    let single = part.get("single").and_then(Value::as_array);
    let mut texts = 0;
    let mut ids = 0;
    for piece in single.into_iter().flatten() {
        if let Some(text) = piece.get("Sequence") {
            if text.get("id").and_then(Value::as_str) != Some("A") {
                return Err(Refusal::new(at, "the text A alone", text));
            }
            texts += 1;
        } else if let Some(name) = piece.pointer("/SpecialToken/id").and_then(Value::as_str) {
            let token = part.get("special_tokens").and_then(|all| all.get(name));
            let count = |list| {
                let list = token.and_then(|token| token.get(list));
                list.and_then(Value::as_array).map_or(0, Vec::len)
            };
            if count("ids") == 0 || count("ids") != count("tokens") {
                let expected = format!("{name:?} in special_tokens, with as many ids as tokens");
                return Err(Refusal::new(at, expected, token.unwrap_or(&Value::Null)));
            }
            ids += count("ids");
        }
    }
    within(&at, "added tokens", ADDED_IDS, ids)?;
    if texts != 1 {
        return Err(Refusal::new(
            at,
            "the text A once",
            format!("{texts} times"),
        ));
    }
    Ok(())
}

/// Holds the decoder to the limits.
pub(super) fn decoder(value: &Value) -> Result<(), Refusal> {
    let mut used = Used::NOTHING;
    let mut token_bytes = TOKEN_BYTES;
    for (nth, (at, kind, part)) in components(value, "decoder", "decoders")?
        .into_iter()
        .enumerate()
    {
        match kind {
            "Replace" => {
                let gives = part.get("content").and_then(Value::as_str);
                let gives = gives.unwrap_or_default().len();
                token_bytes = if replaces_once(part) {
                    used.pattern(&at, part.get("pattern").unwrap_or(&Value::Null))?;
                    token_bytes.saturating_add(gives)
                } else {
                    token_bytes.saturating_mul(times(&mut used, &at, part)?)
                };
                let what = "bytes that replacements lengthen a token to";
                within(&at, what, DECODED_TOKEN_BYTES, token_bytes)?;
            }
            "Strip" => {
                // A token shorter than that is a panic.
                let stop = part.get("stop").and_then(Value::as_u64);
                if stop.unwrap_or_default() > 0 {
                    let expected = "\"stop\": 0 (the end of a token is kept)";
                    return Err(Refusal::new(at, expected, part));
                }
            }
            // It takes for granted that there is a token, and the others may leave none.
            "BPEDecoder" if nth > 0 => {
                return Err(Refusal::new(at, "nothing before a BPEDecoder", kind));
            }
            "BPEDecoder" | "ByteLevel" | "WordPiece" | "Metaspace" | "CTC" | "Fuse"
            | "ByteFallback" => {}
            other => return Err(Refusal::new(at, "a decoder of tokenizers", other)),
        }
    }
    Ok(())
}

/// Whether the text of more tokens always begins with the text of fewer, a run of byte tokens at the end and half a
/// character left out. A replacement may span tokens once they have been joined, unless it takes single characters.
pub(super) fn decoded_text_grows(decoder: &Value) -> bool {
    let Ok(parts) = components(decoder, "decoder", "decoders") else {
        return false;
    };
    let mut joined = false;
    for (_, kind, part) in parts {
        match kind {
            "Fuse" | "ByteLevel" => joined = true,
            "Replace" if joined => {
                let pattern = part.pointer("/pattern/String").and_then(Value::as_str);
                if pattern.is_none_or(|pattern| pattern.chars().count() != 1) {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

/// Whether tokens like `<0x0A>` are read as bytes.
pub(super) fn reads_bytes(decoder: &Value) -> bool {
    components(decoder, "decoder", "decoders")
        .is_ok_and(|parts| parts.iter().any(|(_, kind, _)| *kind == "ByteFallback"))
}

/// Holds the longest token to the limit.
pub(super) fn token(bytes: usize) -> Result<(), Refusal> {
    within("model.vocab", "bytes in a token", TOKEN_BYTES, bytes)
}

/// Holds the longest word to the limit.
pub(super) fn word(chars: usize) -> Result<(), Refusal> {
    let field = "model.max_input_chars_per_word";
    within(field, "characters in a word", WORD_CHARS, chars)
}

/// Holds a prefix or suffix of pieces of words to the limit.
pub(super) fn affix(field: &str, affix: &str) -> Result<(), Refusal> {
    within(field, "bytes", AFFIX_BYTES, affix.len())
}

/// The second token of a merge begins with the prefix that is taken off it.
pub(super) fn merges(merges: &[(String, String)], prefix: &str) -> Result<(), Refusal> {
    match merges.iter().position(|(_, b)| !b.starts_with(prefix)) {
        None => Ok(()),
        Some(at) => Err(Refusal::new(
            format!("model.merges[{at}]"),
            format!("a second token that begins with {prefix:?}"),
            format!("{:?}", merges[at].1),
        )),
    }
}

/// No added token is looked for as an empty text, which is everywhere.
pub(super) fn added_tokens(
    tokens: &[AddedToken],
    normalizer: Option<&NormalizerWrapper>,
) -> Result<(), Refusal> {
    let Some(normalizer) = normalizer else {
        return Ok(());
    };
    for token in tokens.iter().filter(|token| token.normalized) {
        let mut text = NormalizedString::from(token.content.as_str());
        normalizer
            .normalize(&mut text)
            .map_err(|e| Refusal::new("added_tokens", "tokens that can be normalized", e))?;
        if text.get().is_empty() && !token.content.is_empty() {
            return Err(Refusal::new(
                "added_tokens",
                "tokens of which the normalizer leaves something",
                format!("{:?}", token.content),
            ));
        }
    }
    Ok(())
}
