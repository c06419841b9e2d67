//! A path's text is what the tokenizer makes of all its tokens, whatever the decoder, and so is what was shown of it.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{PathText, StopTexts};
use crate::package::TextCodec;

/// Special tokens `<s>` (id 0) and `<end>` (id 1), and then `words`.
fn codec(decoder: Value, words: &[String]) -> TextCodec {
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let tokens = ["<s>".to_string(), "<end>".to_string()];
    let vocab: serde_json::Map<String, Value> = tokens
        .iter()
        .chain(words)
        .enumerate()
        .map(|(id, token)| (token.clone(), json!(id)))
        .collect();
    let file = json!({
        "version": "1.0",
        "added_tokens": [special(0, "<s>"), special(1, "<end>")],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "decoder": decoder,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<s>"},
    });
    TextCodec::parse(Path::new("tokenizer.json"), file.to_string()).unwrap()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| word.to_string()).collect()
}

fn bytes() -> Vec<String> {
    // The bytes of a newline, of letters, and of characters of two, three and four bytes, whole and in part.
    let bytes = "\nab é✓🎉".bytes().map(|byte| format!("<0x{byte:02X}>"));
    let mut list: Vec<String> = bytes.collect();
    list.sort();
    list.dedup();
    list
}

fn replace(pattern: Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

fn sequence(decoders: &[Value]) -> Value {
    json!({"type": "Sequence", "decoders": decoders})
}

/// Every kind of decoder, with words that show its ways.
fn codecs() -> Vec<(&'static str, TextCodec)> {
    let plain = words(&["Yes", "▁The", "▁answer", "▁", "18", ".", "▁▁", "é"]);
    let with_bytes = [plain.clone(), bytes()].concat();
    let byte_fallback = json!({"type": "ByteFallback"});
    let fuse = json!({"type": "Fuse"});
    let spaces = replace(json!({"String": "▁"}), " ");
    let llama = sequence(&[
        spaces.clone(),
        byte_fallback.clone(),
        fuse.clone(),
        json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}),
    ]);
    // The first characters of byte-level vocabularies: "é" is Ã ©, "🎉" is ð Ł İ ī, a newline Ċ, a space Ġ.
    let byte_level = words(&["a", "Ġb", "Ċ", "Ã", "©", "ð", "Ł", "İ", "ī", "Ã©c", "ðŁ"]);
    let pieces = words(&["un", "##able", "it", "'", "s", ".", ",", "do", "not", "##!"]);
    let suffixed = words(&["lo", "w</w>", "er</w>", ".</w>", "a</w>b"]);
    let ctc = words(&["a", "b", "|", "c"]);
    vec![
        ("ByteFallback", codec(llama, &with_bytes)),
        (
            "ByteFallback alone",
            codec(byte_fallback.clone(), &with_bytes),
        ),
        (
            "ByteLevel",
            codec(
                json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
                &byte_level,
            ),
        ),
        (
            "Metaspace",
            codec(
                json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
                &plain,
            ),
        ),
        (
            "WordPiece",
            codec(
                json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
                &pieces,
            ),
        ),
        (
            "BPEDecoder",
            codec(
                json!({"type": "BPEDecoder", "suffix": "</w>"}),
                &suffixed[..4],
            ),
        ),
        (
            "CTC",
            codec(
                json!({"type": "CTC", "pad_token": "a", "word_delimiter_token": "|", "cleanup": true}),
                &ctc,
            ),
        ),
        ("none", codec(Value::Null, &plain)),
        (
            "a replacement across tokens",
            codec(
                sequence(&[fuse.clone(), replace(json!({"String": "▁The"}), "[the]")]),
                &words(&["▁", "T", "he", "▁The", "x"]),
            ),
        ),
        (
            "a regular expression across tokens",
            codec(
                sequence(&[byte_fallback, fuse, replace(json!({"Regex": "\\s+$"}), "")]),
                &with_bytes,
            ),
        ),
    ]
}

/// Says `ids` until a stop text ends the path: what was shown, and the path's text.
fn said(codec: &TextCodec, ids: &[u32], stops: &StopTexts) -> (String, String, usize) {
    let mut path = PathText::default();
    let mut shown = String::new();
    let mut tokens = 0;
    for &id in ids {
        let (text, stopped) = path.push(codec, id, stops).unwrap();
        shown.push_str(text);
        tokens += 1;
        if stopped {
            break;
        }
    }
    shown.push_str(path.finish(codec, stops).unwrap());
    (shown, path.text().to_string(), tokens)
}

/// The same by decoding everything anew after each token.
fn expected(codec: &TextCodec, ids: &[u32], stops: &[String]) -> (String, usize) {
    for tokens in 1..=ids.len() {
        let all = codec.decode(&ids[..tokens]).unwrap();
        let found = stops.iter().filter_map(|stop| all.find(stop)).min();
        if let Some(at) = found {
            return (all[..at].to_string(), tokens);
        }
    }
    (codec.decode(ids).unwrap(), ids.len())
}

#[test]
fn text_after_a_broken_byte_sequence_is_there() {
    let (_, codec) = codecs().swap_remove(0);
    let id = |token: &str| (0..99).find(|&id| codec.token(id).as_deref() == Some(token));
    let ids = ["Yes", "<0x0A>", "<0xF0>", "▁The", "▁answer", "18"].map(|token| id(token).unwrap());
    let (shown, text, _) = said(&codec, &ids, &StopTexts::default());
    assert_eq!(text, "Yes\u{fffd}\u{fffd} The answer18");
    assert_eq!(shown, text);
}

#[test]
fn a_byte_that_is_a_stop_text_ends_the_path_at_once() {
    let (_, codec) = codecs().swap_remove(0);
    let id = |token: &str| (0..99).find(|&id| codec.token(id).as_deref() == Some(token));
    let ids = ["Yes", "<0x0A>", "▁The"].map(|token| id(token).unwrap());
    let stops = StopTexts::new(&codec, &["\n".into()]).unwrap();
    let (shown, text, tokens) = said(&codec, &ids, &stops);
    assert_eq!((shown.as_str(), text.as_str(), tokens), ("Yes", "Yes", 2));
}

#[test]
fn a_special_token_in_a_stop_text_is_compared_by_id() {
    for (name, codec) in codecs() {
        for (stop, ids, stopped_at) in [
            ("<end>", vec![2, 3, 1, 4], 3),
            ("<end>", vec![1], 1),
            ("<end><s>", vec![2, 1, 0, 3], 3),
            ("<end><s>", vec![2, 1, 3, 0], 4),
        ] {
            let stops = StopTexts::new(&codec, &[stop.into()]).unwrap();
            let (shown, text, tokens) = said(&codec, &ids, &stops);
            assert_eq!(tokens, stopped_at, "{name}: {stop} in {ids:?}");
            assert_eq!(text, codec.decode(&ids[..tokens]).unwrap(), "{name}");
            assert_eq!(shown, text, "{name}");
        }
    }
    // With text on both sides, which goes with it.
    let (_, codec) = codecs().swap_remove(0);
    let id = |token: &str| (0..99).find(|&id| codec.token(id).as_deref() == Some(token));
    let ids = ["Yes", "18", "<end>", ".", "▁The"].map(|token| id(token).unwrap());
    for (stop, left) in [("8<end>.", "Yes1"), ("8<end>", "Yes1"), ("<end>.", "Yes18")] {
        let stops = StopTexts::new(&codec, &[stop.into()]).unwrap();
        let (shown, text, _) = said(&codec, &ids, &stops);
        assert_eq!((shown.as_str(), text.as_str()), (left, left), "{stop}");
    }
}

#[test]
fn an_empty_stop_text_is_refused() {
    let (_, codec) = codecs().swap_remove(0);
    let error = StopTexts::new(&codec, &[String::new()]).unwrap_err();
    assert!(error.to_string().contains("stop"), "{error}");
}

#[test]
fn the_beginning_of_a_stop_text_is_held_back() {
    let (_, codec) = codecs().swap_remove(0);
    let id = |token: &str| (0..99).find(|&id| codec.token(id).as_deref() == Some(token));
    let stops = StopTexts::new(&codec, &["18.".into()]).unwrap();
    let mut path = PathText::default();
    let mut push = |token: &str| {
        let (text, stopped) = path.push(&codec, id(token).unwrap(), &stops).unwrap();
        (text.to_string(), stopped)
    };
    assert_eq!(push("Yes"), ("Yes".into(), false));
    assert_eq!(push("18"), (String::new(), false));
    assert_eq!(push("18"), ("18".into(), false));
    assert_eq!(push("."), (String::new(), true));
    assert_eq!(path.finish(&codec, &stops).unwrap(), "");
    assert_eq!(path.text(), "Yes18");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn text_is_that_of_all_tokens_and_shown_as_it_is(ids in prop::collection::vec(0_u32..30, 0..40)) {
        for (name, codec) in codecs() {
            let whole = codec.decode(&ids).unwrap();
            let (shown, text, _) = said(&codec, &ids, &StopTexts::default());
            prop_assert_eq!(&text, &whole, "{}", name);
            prop_assert_eq!(&shown, &whole, "{}", name);
        }
    }

    #[test]
    fn a_stop_text_ends_a_path_where_it_first_stands(
        ids in prop::collection::vec(0_u32..30, 1..30),
        stop in "[ a1.\n]{1,3}|The|é",
    ) {
        let stops = [stop];
        for (name, codec) in codecs() {
            let (wanted, at) = expected(&codec, &ids, &stops);
            let (shown, text, tokens) = said(&codec, &ids, &StopTexts::new(&codec, &stops).unwrap());
            prop_assert_eq!(tokens, at, "{}", name);
            prop_assert_eq!(&text, &wanted, "{}", name);
            prop_assert_eq!(&shown, &wanted, "{}", name);
        }
    }
}
