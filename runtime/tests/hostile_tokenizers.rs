//! Tokenizer files that nobody vouches for: an error, in bounded time and memory, and no panic even where it would be
//! caught.

use std::path::Path;

use curt::package::TextCodec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::support::{caught_panics, in_full};

fn file() -> Value {
    json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "<s>": 2}, "unk_token": "a"},
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut file = file();
    file[field] = value;
    file
}

fn parse(file: &Value) -> curt::Result<TextCodec> {
    TextCodec::parse(Path::new("tokenizer.json"), file.to_string())
}

fn sequence(list: &str, of: Value, times: usize) -> Value {
    json!({"type": "Sequence", list: vec![of; times]})
}

fn replace(pattern: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": pattern}, "content": content})
}

fn template(single: Value, special_tokens: Value) -> Value {
    json!({"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special_tokens})
}

#[test]
fn a_decoder_may_write_a_token_as_a_sentence() {
    let sentence = "The answer is 18. ".repeat(20);
    let part = |digit: usize| json!({"type": "Replace", "pattern": {"Regex": format!("^w[0-9]*{digit}$")}, "content": sentence});
    let parts: Vec<Value> = (0..10).map(part).collect();
    let decoder = json!({"type": "Sequence", "decoders": parts});
    parse(&with("decoder", decoder)).unwrap();
    // Not at the beginning alone: each may lengthen what the one before has given.
    let parts = vec![
        json!({"type": "Replace", "pattern": {"Regex": "a|^b"}, "content": "a".repeat(20)});
        3
    ];
    let decoder = json!({"type": "Sequence", "decoders": parts});
    let error = parse(&with("decoder", decoder)).unwrap_err().to_string();
    assert!(error.contains("decoders[1]"), "{error}");
}

#[test]
fn what_makes_tokenizers_panic_or_fill_the_memory_is_refused_with_its_place() {
    let caught = caught_panics();
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let named = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    let bpe = |prefix: &str, merge: Value| json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [merge], "continuing_subword_prefix": prefix});
    let nested = (0..20).fold(
        json!({"type": "NFC"}),
        |inner, _| json!({"type": "Sequence", "normalizers": [inner]}),
    );
    // A trie of one unit, which is the root, and whose ways lead out of it.
    let lone_unit = "BAAAAAAAAAA=";
    let cases: Vec<(Value, &str)> = vec![
        (
            with(
                "normalizer",
                json!({"type": "Replace", "pattern": {"Regex": "\\b|$"}, "content": "a"}),
            ),
            "takes it for a place",
        ),
        (
            with(
                "normalizer",
                json!({"type": "Replace", "pattern": {"Regex": "(?<=x)(?=z)"}, "content": "a"}),
            ),
            "takes it for a place",
        ),
        (
            with(
                "normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": ""}),
            ),
            "4 bytes",
        ),
        (
            with(
                "normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": lone_unit}),
            ),
            "unit",
        ),
        (
            with(
                "normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
            ),
            "cut short",
        ),
        (
            with("normalizer", json!({"type": "Precompiled"})),
            "character map",
        ),
        (
            with(
                "normalizer",
                sequence("normalizers", replace("a", &"a".repeat(100)), 6),
            ),
            "lengthen",
        ),
        (
            with(
                "normalizer",
                sequence("normalizers", replace("a", "aa"), 40),
            ),
            "lengthen",
        ),
        (
            with(
                "normalizer",
                sequence(
                    "normalizers",
                    json!({"type": "Prepend", "prepend": "aaaaaaa"}),
                    40,
                ),
            ),
            "lengthen",
        ),
        (
            with(
                "normalizer",
                sequence("normalizers", json!({"type": "ByteLevel"}), 40),
            ),
            "ByteLevel",
        ),
        (with("normalizer", replace("", "x")), "empty"),
        (with("normalizer", nested), "lists in each other"),
        (
            with(
                "normalizer",
                sequence("normalizers", json!({"type": "NFC"}), 1000),
            ),
            "components",
        ),
        (with("normalizer", json!({"prepend": "x"})), "type"),
        (with("normalizer", json!({"type": "Unheard"})), "Unheard"),
        (
            with("pre_tokenizer", json!({"type": "FixedLength", "length": 0})),
            "at least 1",
        ),
        (
            with(
                "pre_tokenizer",
                sequence(
                    "pretokenizers",
                    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
                    40,
                ),
            ),
            "Metaspace",
        ),
        (
            with(
                "pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "(a{99999}){99999}"}, "behavior": "Isolated", "invert": false}),
            ),
            "repetitions",
        ),
        (
            with(
                "pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "a|".repeat(9000)}, "behavior": "Isolated", "invert": false}),
            ),
            "regular expressions",
        ),
        (
            with("post_processor", template(json!([text, text]), json!({}))),
            "once",
        ),
        (
            with("post_processor", template(json!([named]), json!({}))),
            "special_tokens",
        ),
        (
            with(
                "post_processor",
                template(
                    json!([named, text]),
                    json!({"<s>": {"id": "<s>", "ids": [2], "tokens": []}}),
                ),
            ),
            "as many ids",
        ),
        (
            with(
                "post_processor",
                template(json!([{"Sequence": {"id": "B", "type_id": 0}}]), json!({})),
            ),
            "text A",
        ),
        (
            with(
                "post_processor",
                template(
                    json!([text, named]),
                    json!({"<s>": {"id": "<s>", "ids": vec![2; 9999], "tokens": vec!["<s>"; 9999]}}),
                ),
            ),
            "added tokens",
        ),
        (
            with(
                "decoder",
                json!({"type": "Strip", "content": " ", "start": 0, "stop": 3}),
            ),
            "stop",
        ),
        (
            with(
                "decoder",
                json!({"type": "Sequence", "decoders": [{"type": "CTC", "pad_token": "a", "word_delimiter_token": "|", "cleanup": true}, {"type": "BPEDecoder", "suffix": "x"}]}),
            ),
            "BPEDecoder",
        ),
        (
            with("decoder", sequence("decoders", replace("a", "aa"), 40)),
            "lengthen",
        ),
        (with("model", bpe("##é☃", json!("a b"))), "begins with"),
        (with("model", bpe("é", json!(["a", "b"]))), "begins with"),
        (with("model", bpe("", json!("a b c"))), "two tokens"),
        (with("model", bpe("", json!(["a"]))), "two tokens"),
        (with("model", bpe("", json!(["a", "x"]))), "model"),
        (
            with("model", bpe(&"#".repeat(1000), json!(["a", "b"]))),
            "bytes",
        ),
        (
            with(
                "model",
                json!({"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 999_999_999_u64}),
            ),
            "characters in a word",
        ),
        (
            with(
                "model",
                json!({"type": "WordPiece", "vocab": {"a": 0}, "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}),
            ),
            "unk_token",
        ),
        (
            with(
                "model",
                json!({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}),
            ),
            "model",
        ),
        (
            with(
                "model",
                json!({"type": "Unigram", "vocab": [["a".repeat(1_000_000), 0.0]], "unk_id": 0}),
            ),
            "bytes in a token",
        ),
        (
            with("model", json!({"type": "Unigram", "vocab": {"a": 0}})),
            "scores",
        ),
        (
            with(
                "model",
                json!({"type": "BPE", "vocab": {"a": -1}, "merges": []}),
            ),
            "JSON",
        ),
        (with("version", json!("2.0")), "version"),
        (
            {
                let mut file = with(
                    "normalizer",
                    json!({"type": "Strip", "strip_left": true, "strip_right": true}),
                );
                file["added_tokens"] = json!([{"id": 3, "content": " ", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false}]);
                file
            },
            "leaves something",
        ),
    ];
    for (file, words) in cases {
        match parse(&file) {
            Ok(_) => panic!("opened: {file:.300}"),
            Err(error) => {
                let error = in_full(&error);
                assert!(error.contains(words), "expected {words:?} in {error:.300}");
                assert!(error.starts_with("tokenizer.json: "), "{error:.300}");
            }
        }
    }
    assert_eq!(caught.since(), 0, "panics were caught");
}

#[test]
fn a_field_of_a_wrong_type_is_refused_as_tokenizers_refuses_it() {
    let token = json!({"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let padding = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"});
    let truncation =
        json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    let mut file = file();
    file["added_tokens"] = json!([token]);
    (file["truncation"], file["padding"]) = (truncation, padding);
    let word_level = file["model"].clone();
    let bpe = json!({"type": "BPE", "dropout": 0.5, "vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3}, "merges": [["a", "b"]]});
    let word_piece = json!({"type": "WordPiece", "vocab": {"<s>": 0, "a": 1}, "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9});
    let unigram = json!({"type": "Unigram", "vocab": [["<s>", 0.0], ["a", -1.0]], "unk_id": 0, "byte_fallback": false});
    // Model, field, and what the tokenizers of Python refuse in it; `null` is not the same as nothing.
    let cases: Vec<(&Value, &str, Vec<Value>)> = vec![
        (&word_level, "/version", vec![json!(1.0), Value::Null]),
        (
            &word_level,
            "/truncation",
            vec![json!(5), json!("x"), json!({}), json!([])],
        ),
        (
            &word_level,
            "/truncation/max_length",
            vec![json!("x"), json!(-1)],
        ),
        (
            &word_level,
            "/padding",
            vec![json!(true), json!({}), json!("x")],
        ),
        (&word_level, "/padding/pad_id", vec![json!("x"), json!(-1)]),
        (
            &word_level,
            "/added_tokens",
            vec![json!({}), json!("x"), Value::Null],
        ),
        (
            &word_level,
            "/added_tokens/0",
            vec![json!("<s>"), Value::Null],
        ),
        (
            &word_level,
            "/added_tokens/0/id",
            vec![json!("0"), json!(-1), json!(1.5), Value::Null],
        ),
        (
            &word_level,
            "/added_tokens/0/content",
            vec![json!(1), Value::Null],
        ),
        (
            &word_level,
            "/added_tokens/0/special",
            vec![json!(1), json!("true")],
        ),
        (&word_level, "/model/type", vec![json!(1), Value::Null]),
        (&word_level, "/model/unk_token", vec![json!(1), Value::Null]),
        (
            &word_level,
            "/model/vocab",
            vec![json!([]), json!({"a": -1}), json!({"a": "0"})],
        ),
        (
            &bpe,
            "/model/dropout",
            vec![json!("x"), json!(1.5), json!(-1), json!([])],
        ),
        (
            &bpe,
            "/model/merges",
            vec![json!("x"), json!({}), json!([1]), Value::Null],
        ),
        (&bpe, "/model/vocab/a", vec![json!(1.5), Value::Null]),
        (
            &word_piece,
            "/model/continuing_subword_prefix",
            vec![json!(1), Value::Null],
        ),
        (
            &word_piece,
            "/model/max_input_chars_per_word",
            vec![json!("x"), json!(-1), Value::Null],
        ),
        (
            &unigram,
            "/model/byte_fallback",
            vec![json!(1), json!("x"), Value::Null],
        ),
        (
            &unigram,
            "/model/unk_id",
            vec![json!("x"), json!(-1), json!(5)],
        ),
        (
            &unigram,
            "/model/vocab/0",
            vec![json!("a"), json!(["a"]), json!([0.0, "a"])],
        ),
    ];
    for (model, field, values) in cases {
        file["model"] = model.clone();
        parse(&file).unwrap();
        for value in values {
            let mut wrong = file.clone();
            match wrong.pointer_mut(field) {
                Some(there) => *there = value.clone(),
                None => panic!("{field} is not there"),
            }
            let Err(error) = parse(&wrong) else {
                panic!("{field}: took {value}");
            };
            assert!(error.to_string().starts_with("tokenizer.json: "), "{error}");
        }
    }
}

#[test]
fn a_text_of_no_known_word_is_an_error_with_its_cause() {
    let mut file = file();
    file["model"] = json!({"type": "Unigram", "vocab": [["a", 0.0]]});
    let error = parse(&file).unwrap().encode("ab").unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "{error:?}");
    assert!(in_full(&error).contains("unk_id"), "{}", in_full(&error));
}

fn text() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "a", "b", "ab", " ", "  ", "<s>", "é", "e\u{301}", "🎉", "▁", "#", "İ", "ﷺ", "\n",
        "\u{200d}", "中", "0", "'s", ".", "\u{0}", "Ġ", "<0x41>", "</w>", "\u{fffd}",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn pattern() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(|text| json!({"String": text})),
        select(vec![
            "", "a", "\\s+", "a*", "(?=a)", "b|", "\\p{L}+", ".", "$", "^", "\\b", "(a)(?!b)",
            "[^a]", "é?"
        ])
        .prop_map(|regex| json!({"Regex": regex})),
    ]
}

fn split_behavior() -> impl Strategy<Value = &'static str> {
    select(vec![
        "Removed",
        "Isolated",
        "MergedWithPrevious",
        "MergedWithNext",
        "Contiguous",
    ])
}

fn normalizer() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        select(vec!["StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "ByteLevel"])
            .prop_map(|kind| json!({"type": kind})),
        any::<[bool; 4]>().prop_map(|[a, b, c, d]| json!({"type": "BertNormalizer", "clean_text": a, "handle_chinese_chars": b, "strip_accents": c, "lowercase": d})),
        any::<[bool; 2]>().prop_map(|[a, b]| json!({"type": "Strip", "strip_left": a, "strip_right": b})),
        text().prop_map(|text| json!({"type": "Prepend", "prepend": text})),
        (pattern(), text()).prop_map(|(pattern, content)| json!({"type": "Replace", "pattern": pattern, "content": content})),
        prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| {
            use base64::Engine as _;
            let map = base64::engine::general_purpose::STANDARD.encode(bytes);
            json!({"type": "Precompiled", "precompiled_charsmap": map})
        }),
    ]
}

fn pre_tokenizer() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        select(vec!["BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts"])
            .prop_map(|kind| json!({"type": kind})),
        any::<[bool; 3]>().prop_map(|[a, b, c]| json!({"type": "ByteLevel", "add_prefix_space": a, "trim_offsets": b, "use_regex": c})),
        (select(vec!["▁", "é", "a", " "]), select(vec!["always", "never", "first"]), any::<bool>())
            .prop_map(|(c, scheme, split)| json!({"type": "Metaspace", "replacement": c, "prepend_scheme": scheme, "split": split})),
        (pattern(), split_behavior(), any::<bool>())
            .prop_map(|(pattern, behavior, invert)| json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert})),
        split_behavior().prop_map(|behavior| json!({"type": "Punctuation", "behavior": behavior})),
        any::<bool>().prop_map(|each| json!({"type": "Digits", "individual_digits": each})),
        (0_u64..4).prop_map(|length| json!({"type": "FixedLength", "length": length})),
        select(vec!["a", " ", "é"]).prop_map(|c| json!({"type": "CharDelimiterSplit", "delimiter": c})),
    ]
}

fn post_processor() -> impl Strategy<Value = Value> {
    let piece = select(vec![
        json!({"Sequence": {"id": "A", "type_id": 0}}),
        json!({"Sequence": {"id": "B", "type_id": 0}}),
        json!({"SpecialToken": {"id": "<s>", "type_id": 0}}),
        json!({"SpecialToken": {"id": "x", "type_id": 0}}),
    ]);
    prop_oneof![
        Just(json!(null)),
        any::<[bool; 3]>().prop_map(|[a, b, c]| json!({"type": "ByteLevel", "add_prefix_space": a, "trim_offsets": b, "use_regex": c})),
        any::<[bool; 2]>().prop_map(|[a, b]| json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": a, "add_prefix_space": b})),
        Just(json!({"type": "BertProcessing", "sep": ["b", 1], "cls": ["<s>", 9]})),
        prop::collection::vec(piece, 0..4).prop_map(|single| template(
            json!(single),
            json!({"<s>": {"id": "<s>", "ids": [2], "tokens": ["<s>"]}})
        )),
    ]
}

fn decoder() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        select(vec!["Fuse", "ByteFallback", "ByteLevel"]).prop_map(|kind| match kind {
            "ByteLevel" => json!({"type": kind, "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
            kind => json!({"type": kind}),
        }),
        (text(), any::<bool>()).prop_map(|(prefix, cleanup)| json!({"type": "WordPiece", "prefix": prefix, "cleanup": cleanup})),
        text().prop_map(|suffix| json!({"type": "BPEDecoder", "suffix": suffix})),
        (text(), text()).prop_map(|(pad, word)| json!({"type": "CTC", "pad_token": pad, "word_delimiter_token": word, "cleanup": true})),
        (0_u64..3, 0_u64..2).prop_map(|(start, stop)| json!({"type": "Strip", "content": " ", "start": start, "stop": stop})),
        select(vec!["always", "never", "first"]).prop_map(|scheme| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true})),
        (pattern(), text()).prop_map(|(pattern, content)| json!({"type": "Replace", "pattern": pattern, "content": content})),
    ]
}

/// A component, or a list of some.
fn some(
    one: impl Strategy<Value = Value> + 'static,
    list: &'static str,
) -> impl Strategy<Value = Value> {
    prop::collection::vec(one, 1..4).prop_map(move |mut parts| match parts.len() {
        1 => parts.swap_remove(0),
        _ => {
            parts.retain(|part| !part.is_null());
            json!({"type": "Sequence", list: parts})
        }
    })
}

fn model() -> impl Strategy<Value = Value> {
    let vocab = prop::collection::vec(text(), 1..12);
    (select(vec!["BPE", "WordPiece", "WordLevel", "Unigram"]), vocab, text(), any::<[bool; 3]>(), select(vec![0.0, -1.0, 1e308, -1e308]))
        .prop_map(|(kind, words, affix, [a, b, c], score)| {
            let merges: Vec<Value> = words.windows(2).filter_map(|pair| {
                let joined = format!("{}{}", pair[0], pair[1].strip_prefix(affix.as_str()).unwrap_or(&pair[1]));
                words.contains(&joined).then(|| json!([pair[0], pair[1]]))
            }).collect();
            if kind == "Unigram" {
                let vocab: Vec<Value> = words.iter().map(|word| json!([word, score])).collect();
                return json!({"type": kind, "vocab": vocab, "unk_id": a.then_some(0), "byte_fallback": b});
            }
            let unknown = words[0].clone();
            let mut vocab = serde_json::Map::new();
            for (id, word) in words.into_iter().chain(["a".into(), "b".into(), "<s>".into()]).enumerate() {
                vocab.insert(word, json!(id));
            }
            json!({"type": kind, "vocab": vocab, "merges": merges, "unk_token": unknown, "continuing_subword_prefix": affix,
                "end_of_word_suffix": c.then(|| affix.clone()), "fuse_unk": a, "byte_fallback": b, "ignore_merges": c, "max_input_chars_per_word": 50})
        })
}

fn added() -> impl Strategy<Value = Value> {
    let token = (text(), any::<[bool; 5]>(), 0_u32..40).prop_map(|(content, [a, b, c, d, e], id)| {
        json!({"id": id, "content": content, "single_word": a, "lstrip": b, "rstrip": c, "normalized": d, "special": e})
    });
    prop::collection::vec(token, 0..5).prop_map(Value::from)
}

proptest! {
    #[test]
    fn a_file_of_any_components_gives_text_or_an_error(
        normalizer in some(normalizer(), "normalizers"),
        pre_tokenizer in some(pre_tokenizer(), "pretokenizers"),
        post_processor in some(post_processor(), "processors"),
        decoder in some(decoder(), "decoders"),
        model in model(),
        added in added(),
        texts in prop::collection::vec(text(), 4),
        ids in prop::collection::vec(0_u32..20, 0..12),
    ) {
        let caught = caught_panics();
        let file = json!({
            "version": "1.0", "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
            "post_processor": post_processor, "decoder": decoder, "model": model,
        });
        if let Ok(codec) = parse(&file) {
            for text in texts {
                if let Ok(ids) = codec.encode(&text) {
                    drop(codec.decode(&ids));
                }
            }
            drop(codec.decode(&ids));
        }
        prop_assert_eq!(caught.since(), 0, "a panic was caught: {}", file);
    }
}
