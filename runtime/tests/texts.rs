//! What goes to the model and what comes of it, as texts: system texts, the tokenizer's own tokens, stop texts, long
//! questions.

use std::fs;

use curt::AskOptions;
use curt::package::{Message, Package, Role};
use serde_json::{Value, json};

use crate::support::{self, copy, edit, engine, reasoner, tiny};

#[test]
fn the_answer_says_where_the_system_text_went() {
    const NAME: &str = "the_answer_says_where_the_system_text_went";
    if !support::library_or_skip(NAME) {
        return;
    }
    let dir = copy(&tiny("tiny-llama-fp32"));
    let template = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ m.content }}{% endfor %}";
    fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
    let mut engine = engine(dir.path());
    let mut options = AskOptions {
        system: Some("Be brief.".into()),
        ..AskOptions::default()
    };
    options.sampling.max_tokens = Some(2);
    let answer = engine.ask(&"Hi".into(), &options, &mut |_| {}).unwrap();
    assert!(
        answer
            .notes
            .iter()
            .any(|n| n.contains("before the first question")),
        "{:?}",
        answer.notes
    );
    options.system = None;
    let answer = engine.ask(&"Hi".into(), &options, &mut |_| {}).unwrap();
    assert!(answer.notes.is_empty(), "{:?}", answer.notes);
}

#[test]
fn without_a_template_the_tokenizer_adds_its_own_tokens_and_with_one_it_does_not() {
    let dir = copy(&tiny("tiny-llama-fp32"));
    edit(dir.path(), "tokenizer.json", |json| {
        json["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}}
        });
    });
    let messages = [Message::new(Role::User, "hello there")];
    let template = dir.path().join("chat_template.jinja");
    fs::write(&template, "{{ messages[0].content }}").unwrap();
    let tokens = || {
        let package = Package::open(dir.path()).unwrap();
        package.encode(&messages, &|| false).unwrap().tokens
    };
    let with = tokens();
    fs::remove_file(template).unwrap();
    let without = tokens();
    assert_eq!(without[0], 1);
    assert_eq!(without[1..], with);
}

#[test]
fn a_token_beyond_the_logits_matters_only_in_a_prompt() {
    const NAME: &str = "a_token_beyond_the_logits_matters_only_in_a_prompt";
    if !support::library_or_skip(NAME) {
        return;
    }
    let dir = copy(&tiny("tiny-llama-fp32"));
    edit(dir.path(), "tokenizer.json", |json| {
        let id = json["model"]["vocab"].as_object().unwrap().len();
        json["added_tokens"].as_array_mut().unwrap().push(json!({
            "id": id, "content": "<image>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true
        }));
    });
    let mut engine = engine(dir.path());
    let mut options = AskOptions::default();
    options.sampling.max_tokens = Some(2);
    engine.ask(&"hello".into(), &options, &mut |_| {}).unwrap();
    let error = engine
        .ask(&"hello <image>".into(), &options, &mut |_| {})
        .unwrap_err();
    assert!(error.to_string().contains("token ids below"), "{error}");
}

#[test]
fn a_special_token_as_stop_text_ends_a_path() {
    const NAME: &str = "a_special_token_as_stop_text_ends_a_path";
    if !support::library_or_skip(NAME) {
        return;
    }
    // The end of a turn is not among the ids that end a path, as in many early packages of Llama 3.
    let dir = copy(&reasoner());
    edit(dir.path(), "genai_config.json", |json| {
        json["model"]["eos_token_id"] = json!(0)
    });
    let mut options = AskOptions {
        stop: vec!["<|end|>".into()],
        ..AskOptions::default()
    };
    options.sampling.temperature = Some(0.0);
    let question =
        "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7, 12. What comes out?";
    let answer = engine(dir.path())
        .ask(&question.into(), &options, &mut |_| {})
        .unwrap();
    let path = &answer.paths[0];
    assert_eq!(path.finish, curt::paths::FinishReason::Stop);
    assert_eq!(
        path.tokens.iter().position(|&t| t == 1),
        Some(path.tokens.len() - 1)
    );
    let whole = engine(reasoner())
        .ask(
            &question.into(),
            &AskOptions {
                stop: vec![],
                ..options
            },
            &mut |_| {},
        )
        .unwrap();
    assert_eq!((&answer.text, &answer.answer), (&whole.text, &whole.answer));
}

#[test]
fn a_question_beyond_any_context_is_refused_before_it_is_encoded() {
    let package = Package::open(&reasoner()).unwrap();
    let clock = std::time::Instant::now();
    let messages = [Message::new(Role::User, "12+5 ".repeat(2_000_000))];
    let error = package.encode(&messages, &|| false).unwrap_err();
    assert!(matches!(error, curt::Error::LongText { .. }), "{error}");
    assert!(error.to_string().contains("shorten"), "{error}");
    // Encoding it takes half a minute.
    assert!(clock.elapsed().as_secs() < 2, "{:?}", clock.elapsed());
}

#[test]
fn nothing_is_encoded_when_somebody_has_cancelled() {
    let package = Package::open(&tiny("tiny-llama-fp32")).unwrap();
    let messages = [Message::new(Role::User, "hello")];
    let error = package.encode(&messages, &|| true).unwrap_err();
    assert!(matches!(error, curt::Error::Cancelled { .. }), "{error}");
}

#[test]
fn published_shapes_of_tokenizer_files_are_read() {
    // Without a model's type, with merges in either form, with settings of a training pipeline.
    let base: Value = serde_json::from_str(
        &fs::read_to_string(tiny("tiny-llama-fp32").join("tokenizer.json")).unwrap(),
    )
    .unwrap();
    let parse = |file: &Value| {
        curt::package::TextCodec::parse(std::path::Path::new("tokenizer.json"), file.to_string())
            .unwrap()
            .encode("hello there, hello")
            .unwrap()
    };
    let ids = parse(&base);
    let mut other = base.clone();
    other["model"].as_object_mut().unwrap().remove("type");
    other["truncation"] =
        json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    other["padding"] = json!({"strategy": {"Fixed": 99}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"});
    assert_eq!(parse(&other), ids);
    let merges = other["model"]["merges"].as_array().unwrap().clone();
    let turned: Vec<Value> = merges
        .iter()
        .map(|merge| match merge {
            Value::String(line) => json!(line.split(' ').collect::<Vec<_>>()),
            pair => json!(format!(
                "{} {}",
                pair[0].as_str().unwrap(),
                pair[1].as_str().unwrap()
            )),
        })
        .collect();
    other["model"]["merges"] = turned.into();
    assert_eq!(parse(&other), ids);
}
