//! What goes to the model and what comes of it, as texts: templates of transformers, system texts, the tokenizer's own
//! tokens, stop texts, long questions.

use std::collections::BTreeMap;
use std::fs;

use curt::AskOptions;
use curt::package::{ChatTemplate, Message, Package, Role};
use serde_json::{Value, json};

use crate::support::{self, copy, edit, engine, in_full, reasoner, tiny};

fn render(source: &str, messages: &[Message]) -> curt::Result<String> {
    let specials = BTreeMap::from([("bos_token", "<s>".to_string())]);
    let template = ChatTemplate::compile("chat_template.jinja".into(), source.into(), specials)?;
    Ok(template.render(messages, &|| false)?.text)
}

fn talk() -> Vec<Message> {
    vec![
        Message::new(Role::User, "Hi <b> & 'é'"),
        Message::new(Role::Assistant, "Hello"),
        Message::new(Role::User, "12+5"),
    ]
}

#[test]
fn a_template_reads_as_transformers_reads_it() {
    // The right-hand sides are what `apply_chat_template` of transformers 5.24.0 gives for the same source.
    for (source, wanted) in [
        // Lines with nothing but a block vanish (trim_blocks, lstrip_blocks), Python's string methods work.
        (
            "{{ bos_token }}\n{% for m in messages %}\n    {% if m['role'] == 'user' %}\n[{{ m.content.strip() }}]\n    {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}>{% endif %}",
            "<s>\n[Hi <b> & 'é']\n[12+5]\n>",
        ),
        (
            "{% for m in messages %}\r\n{{ m.role }}\r\n{% endfor %}\r.",
            "user\nassistant\nuser\n.",
        ),
        (
            "{% for m in messages %}{% generation %}\n[{{ m.content }}]{% endgeneration %}\n{% endfor %}",
            "[Hi <b> & 'é'][Hello][12+5]",
        ),
        (
            "{%- for m in messages -%} {%- generation -%} {{ m.role }} {%- endgeneration -%} {%- endfor -%}",
            "userassistantuser",
        ),
        // Set in the block, gone after it, as in a call block; a text that only looks like the tag stays.
        (
            "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}{{ '{% generation %}' }}",
            "21{% generation %}",
        ),
        (
            "{{ messages[0]|tojson }}",
            r#"{"role": "user", "content": "Hi <b> & 'é'"}"#,
        ),
        (
            "{{ {'b': [1, none, 1.5], 'a': true}|tojson(indent=2, sort_keys=true) }}",
            "{\n  \"a\": true,\n  \"b\": [\n    1,\n    null,\n    1.5\n  ]\n}",
        ),
        (
            "{{ ['é🎉', {}, []]|tojson(ensure_ascii=true, separators=(',', ':')) }}",
            r#"["\u00e9\ud83c\udf89",{},[]]"#,
        ),
        (
            "{% macro f(a, b=true) %}{{ a }}{{ caller(3) }}{% endmacro %}{% call(x) f(1, true) %}{{ x * 2 }}{% endcall %}{% macro g(a) %}{{ caller() }}{% endmacro %}{% call g(true) %}-{% endcall %}",
            "16-",
        ),
        (
            "{% with a = 1, b = [2] %}{{ a }}{{ b[0] }}{% endwith %}",
            "12",
        ),
        ("{{ tools is none }}{{ documents is none }}", "TrueTrue"),
        ("{% if tools is defined and tools %}x{% endif %}y", "y"),
        (
            "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
            "<s>False",
        ),
        (
            "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
            "user",
        ),
        ("{{ '{}-{:>3}'.format('a', 3) }}", "a-  3"),
        (
            "{% set ns = namespace(l=[]) %}{% for m in messages %}{% set ns.l = ns.l + [m] %}{% endfor %}{{ ns.l|length }}{{ ns.l[1].content }}",
            "3Hello",
        ),
    ] {
        assert_eq!(render(source, &talk()).unwrap(), wanted, "{source}");
    }
}

#[test]
fn a_date_is_local() {
    // `date` knows the time zone by its own means.
    let said = std::process::Command::new("date")
        .arg("+%d %b %Y %H %z")
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let ours = render("{{ strftime_now('%d %b %Y %H %z') }}", &talk()).unwrap();
    assert_eq!(ours, said.trim());
    let padded = render("{{ strftime_now('%-d') }}", &talk()).unwrap();
    assert!(!padded.starts_with('0'), "{padded}");
    let error = render("{{ strftime_now('%') }}", &talk()).unwrap_err();
    assert!(
        in_full(&error).contains("strftime_now"),
        "{}",
        in_full(&error)
    );
}

#[test]
fn what_a_template_says_is_the_cause_of_its_error() {
    let error = render("{{ raise_exception('roles must alternate') }}", &talk()).unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
    assert!(
        in_full(&error).contains("roles must alternate"),
        "{}",
        in_full(&error)
    );
}

#[test]
fn a_system_text_that_the_template_does_not_take_stands_before_the_first_question() {
    let turns = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let refuses = format!(
        "{{% if messages[0].role == 'system' %}}{{{{ raise_exception('no system') }}}}{{% endif %}}{turns}"
    );
    let drops =
        "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let with_system = [vec![Message::new(Role::System, "Be brief.")], talk()].concat();
    for source in [refuses.as_str(), drops] {
        let template = ChatTemplate::compile("t".into(), source.into(), BTreeMap::new()).unwrap();
        let rendered = template.render(&with_system, &|| false).unwrap();
        assert!(rendered.system_moved);
        assert_eq!(
            rendered.text,
            "<user>Be brief.\n\nHi <b> & 'é'<assistant>Hello<user>12+5"
        );
        assert!(!template.render(&talk(), &|| false).unwrap().system_moved);
    }
    // One that changes the text has taken it.
    for source in [
        turns,
        "{% for m in messages %}{{ m.content|upper if m.role == 'system' else m.content }}{% endfor %}",
    ] {
        let template = ChatTemplate::compile("t".into(), source.into(), BTreeMap::new()).unwrap();
        assert!(
            !template
                .render(&with_system, &|| false)
                .unwrap()
                .system_moved,
            "{source}"
        );
    }
    // What else it refuses stays refused, in its own words.
    let never = "{{ raise_exception('never') }}";
    let error = in_full(&render(never, &with_system).unwrap_err());
    assert!(error.contains("never"), "{error}");
}

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
