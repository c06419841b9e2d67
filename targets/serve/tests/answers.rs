//! Answers are those of the engine, put in OpenAI's words.

use curt::format::SectionKind;
use curt::paths::{Keep, SignalName};
use curt::vision::Image;
use curt::{AskOptions, Format, Message, PruneOptions, Question, Role, SamplingDefaults};
use serde_json::{Value, json};

use crate::support::{MACHINE, Running, about, engine, machine, package, sample, with};

fn conversation(messages: &[(Role, &str)]) -> Question {
    let messages = messages
        .iter()
        .map(|(role, text)| Message::new(*role, *text));
    Question::Messages(messages.collect())
}

fn of_server() -> AskOptions {
    AskOptions {
        reuse: false,
        ..AskOptions::default()
    }
}

#[test]
fn a_text_is_answered_as_in_process() {
    let test = "a_text_is_answered_as_in_process";
    let Some(server) = Running::of("reasoner", test) else {
        return;
    };
    let Some(mut engine) = engine("reasoner", test) else {
        return;
    };
    let turns = [
        (Role::User, MACHINE),
        (Role::Assistant, "OK. Maybe"),
        (Role::User, MACHINE),
    ];
    let said = turns.map(|(role, text)| {
        json!({"role": if role == Role::User { "user" } else { "assistant" }, "content": text})
    });
    let answer = engine
        .ask(&conversation(&turns), &of_server(), &mut |_| {})
        .unwrap();
    let got = server.answer(&json!({"messages": said, "seed": 0, "model": "reasoner"}));
    assert_eq!(
        got["choices"][0]["message"]["content"],
        answer.text.as_str()
    );
    assert_eq!(got["choices"][0]["finish_reason"], "stop");
    assert_eq!(got["usage"]["prompt_tokens"], answer.tokens.prompt);
    assert_eq!(got["usage"]["completion_tokens"], answer.tokens.generated);
    assert_eq!(got["object"], "chat.completion");
    assert_eq!(got["curt"]["tokens"]["reused"], 0);
    assert!(got["curt"]["times"]["decode_ms"].as_f64().unwrap() > 0.0);

    // Each option reaches the engine.
    let options = AskOptions {
        sampling: SamplingDefaults {
            temperature: Some(0.9),
            top_p: Some(0.9),
            top_k: Some(20),
            max_tokens: Some(24),
            ..SamplingDefaults::default()
        },
        seed: 7,
        stop: vec!["ok".into()],
        ..of_server()
    };
    let question = conversation(&[(Role::User, MACHINE)]);
    let answer = engine.ask(&question, &options, &mut |_| {}).unwrap();
    let more = json!({"temperature": 0.9, "top_p": 0.9, "top_k": 20, "max_tokens": 24, "seed": 7, "stop": "ok"});
    let got = server.answer(&machine(more));
    assert_eq!(
        got["choices"][0]["message"]["content"],
        answer.text.as_str()
    );
    let got = server.answer(&machine(
        json!({"max_completion_tokens": 5, "stop": ["never"]}),
    ));
    assert_eq!(got["choices"][0]["finish_reason"], "length");
    assert_eq!(got["usage"]["completion_tokens"], 5);
}

#[test]
fn n_answers_are_the_paths_of_one_seed() {
    let test = "n_answers_are_the_paths_of_one_seed";
    let Some(server) = Running::of("reasoner", test) else {
        return;
    };
    let Some(mut engine) = engine("reasoner", test) else {
        return;
    };
    let options = AskOptions {
        paths: 4,
        ..of_server()
    };
    let question = conversation(&[(Role::User, MACHINE)]);
    let answer = engine.ask(&question, &options, &mut |_| {}).unwrap();
    let got = server.answer(&machine(json!({"n": 4, "logprobs": true})));
    for (place, path) in answer.paths.iter().enumerate() {
        let choice = &got["choices"][place];
        assert_eq!(choice["index"], place);
        assert_eq!(choice["message"]["content"], path.text.as_str());
        let content = choice["logprobs"]["content"].as_array().unwrap();
        assert_eq!(content.len(), path.tokens.len());
        for (token, &logprob) in content.iter().zip(&path.logprobs) {
            assert!((token["logprob"].as_f64().unwrap() - f64::from(logprob)).abs() < 1e-6);
        }
        let text: String = content
            .iter()
            .map(|token| token["token"].as_str().unwrap())
            .collect();
        assert!(text.starts_with(&path.text[..20]), "{text}");
    }
    assert_eq!(got["choices"].as_array().unwrap().len(), 4);

    // One answer of the same paths, by vote, with a check.
    let options = AskOptions {
        paths: 8,
        prune: PruneOptions {
            keep: vec![Keep::Top(2)],
            signals: vec![SignalName::Head("kv".into())],
            ..PruneOptions::default()
        },
        ..of_server()
    };
    let answer = engine.ask(&question, &options, &mut |_| {}).unwrap();
    let got = server.answer(&machine(
        json!({"curt": {"paths": 8, "keep": 2, "signal": "head:kv"}}),
    ));
    assert_eq!(got["choices"].as_array().unwrap().len(), 1);
    assert_eq!(
        got["choices"][0]["message"]["content"],
        answer.text.as_str()
    );
    assert_eq!(got["curt"]["answer"].as_str(), answer.answer.as_deref());
    assert_eq!(got["curt"]["checks"][0]["kept"], 2);
    assert_eq!(
        got["curt"]["paths"][3]["tokens"],
        answer.paths[3].tokens.len()
    );
    assert_eq!(got["usage"]["completion_tokens"], answer.tokens.generated);
}

#[test]
fn a_picture_is_answered_as_in_process_and_its_sections_are_apart() {
    let test = "a_picture_is_answered_as_in_process_and_its_sections_are_apart";
    let Some(server) = Running::of("vqa", test) else {
        return;
    };
    let Some(mut engine) = engine("vqa", test) else {
        return;
    };
    for (question, format, name) in [
        ("How many shapes are red?", Format::Auto, "auto"),
        ("Which color is at the top right?", Format::Auto, "auto"),
        (
            "What is the sum of the red digits?",
            Format::Cascade,
            "cascade",
        ),
        ("What is the sum of the red digits?", Format::Full, "full"),
    ] {
        let options = AskOptions {
            format,
            ..of_server()
        };
        let asked =
            Question::from(question).about([Image::File(package("vqa").join("sample.jpg"))]);
        let answer = engine.ask(&asked, &options, &mut |_| {}).unwrap();
        let body = json!({"messages": about(&sample(), question), "curt": {"format": name}});
        let got = server.answer(&body);
        let message = &got["choices"][0]["message"];
        assert_eq!(
            message["content"].as_str(),
            answer.answer.as_deref(),
            "{question}"
        );
        let before = answer.paths[0]
            .sections
            .iter()
            .filter(|s| s.kind != SectionKind::Answer);
        let before: Vec<&str> = before.map(|s| s.text.as_str()).collect();
        assert_eq!(
            message["reasoning_content"].as_str().unwrap_or_default(),
            before.join("\n\n")
        );
        assert_eq!(got["curt"]["tokens"]["generated"], answer.tokens.generated);
        assert_eq!(
            got["curt"]["format"]["used"],
            json!(answer.format.unwrap().used)
        );
        assert_eq!(got["curt"]["images"][0]["width"], 384);
    }
    // Text before its picture, as many clients send it.
    let mut swapped = about(&sample(), "How many shapes are red?");
    swapped[0]["content"].as_array_mut().unwrap().swap(0, 1);
    let got = server.answer(&json!({"messages": swapped}));
    assert_eq!(got["choices"][0]["message"]["content"], "2");
    assert_eq!(got["curt"]["images"][0]["cached"], true);
}

#[test]
fn the_model_is_listed_with_what_it_can_do() {
    let test = "the_model_is_listed_with_what_it_can_do";
    let Some(server) = Running::of("vqa", test) else {
        return;
    };
    let listed = server.get("/v1/models").json();
    let model = &listed["data"][0];
    assert_eq!(
        (&listed["object"], &model["id"]),
        (&json!("list"), &json!("vqa"))
    );
    assert_eq!(model["curt"]["vision"], true);
    assert_eq!(
        model["curt"]["formats"],
        json!(["direct", "perception", "full"])
    );
    assert!(
        model["curt"]["calibrations"]["package"]["full_tokens"]
            .as_f64()
            .unwrap()
            > 70.0
    );
    assert_eq!(server.get("/v1/models/vqa").json(), *model);
    assert_eq!(server.get("/v1/models/other").status, 404);
    assert_eq!(server.get("/healthz").json(), json!({"status": "ok"}));
    let body = json!({"messages": about(&sample(), "How many shapes are red?")});
    server.answer(&body);
    assert_eq!(server.metric("curt_questions_total"), 1.0);
    assert_eq!(server.metric("curt_generated_tokens_total"), 24.0);
    assert_eq!(server.metric("curt_answer_seconds_count"), 1.0);
    assert_eq!(
        server.metric("curt_responses_total{route=\"chat\",status=\"200\"}"),
        1.0
    );
    assert!(server.metric("process_resident_memory_bytes") > 1e6);
    // Nothing of one question is in the next.
    let first = server.answer(&body);
    let again = server.answer(&with(body, json!({"curt": {"reuse": false}})));
    let stable = |got: &Value| (got["choices"].clone(), got["usage"].clone());
    assert_eq!(stable(&first), stable(&again));
}
