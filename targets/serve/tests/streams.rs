//! Answers as they come.

use serde_json::{Value, json};

use crate::support::{Running, about, machine, sample, with};

/// What the choice `index` of a stream says in `field`, put together.
fn joined(events: &[Value], index: u64, field: &str) -> String {
    let choices = events
        .iter()
        .flat_map(|event| event["choices"].as_array().unwrap());
    let these = choices.filter(|choice| choice["index"] == index);
    these
        .filter_map(|choice| choice["delta"][field].as_str())
        .collect()
}

fn ends(events: &[Value]) -> Vec<&Value> {
    let choices = events
        .iter()
        .flat_map(|event| event["choices"].as_array().unwrap());
    choices
        .map(|choice| &choice["finish_reason"])
        .filter(|reason| !reason.is_null())
        .collect()
}

#[test]
fn a_stream_says_what_the_whole_says() {
    let test = "a_stream_says_what_the_whole_says";
    let Some(server) = Running::of("reasoner", test) else {
        return;
    };
    for more in [
        json!({"temperature": 0}),
        json!({"n": 3}),
        json!({"curt": {"paths": 6, "keep": 2}}),
        json!({"stop": ["want"], "max_tokens": 90}),
    ] {
        let body = machine(more);
        let whole = server.answer(&body);
        let reply = server.ask(&with(
            body,
            json!({"stream": true, "stream_options": {"include_usage": true}, "logprobs": true}),
        ));
        assert_eq!(
            reply.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        let events = reply.events();
        let choices = whole["choices"].as_array().unwrap();
        for (index, choice) in choices.iter().enumerate() {
            assert_eq!(
                joined(&events, index as u64, "content"),
                choice["message"]["content"].as_str().unwrap()
            );
            assert_eq!(
                joined(&events, index as u64, "role"),
                "assistant",
                "told once"
            );
        }
        assert_eq!(ends(&events).len(), choices.len());
        let last = events.last().unwrap();
        assert_eq!(
            (&last["usage"], &last["choices"]),
            (&whole["usage"], &json!([]))
        );
        assert_eq!(last["curt"]["tokens"], whole["curt"]["tokens"]);
        let ids: Vec<_> = events.iter().map(|event| &event["id"]).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
    }
    // Nobody asked for more.
    let events = server.ask(&machine(json!({"stream": true}))).events();
    assert!(
        events
            .iter()
            .all(|event| event["usage"].is_null() && event["curt"].is_null())
    );
    assert!(events.len() > 20, "{} pieces", events.len());
}

#[test]
fn sections_are_streamed_apart_and_what_the_cascade_discards_is_not_told() {
    let test = "sections_are_streamed_apart_and_what_the_cascade_discards_is_not_told";
    let Some(server) = Running::of("vqa", test) else {
        return;
    };
    for (format, question) in [
        ("auto", "How many shapes are red?"),
        ("cascade", "What is the sum of the red digits?"),
        ("full", "What is the sum of the red digits?"),
    ] {
        let body = json!({"messages": about(&sample(), question), "curt": {"format": format}});
        let whole = server.answer(&body);
        let events = server.ask(&with(body, json!({"stream": true}))).events();
        let message = &whole["choices"][0]["message"];
        assert_eq!(
            joined(&events, 0, "content"),
            message["content"].as_str().unwrap()
        );
        let reasoning = message["reasoning_content"].as_str().unwrap();
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(
            squeezed(&joined(&events, 0, "reasoning_content")),
            squeezed(reasoning)
        );
    }
}

#[test]
fn whoever_wants_hears_what_happens_on_the_way() {
    let test = "whoever_wants_hears_what_happens_on_the_way";
    let Some(server) = Running::of("vqa", test) else {
        return;
    };
    let question = "What is the sum of the red digits?";
    let body = json!({"messages": about(&sample(), question), "stream": true});
    let heard = |own: Value| {
        let events = server
            .ask(&with(
                body.clone(),
                json!({"curt": own, "temperature": 0.8}),
            ))
            .events();
        let names: Vec<String> = events
            .iter()
            .filter_map(|event| Some(event["curt"]["event"].as_str()?.to_owned()))
            .collect();
        (names, events)
    };
    let (names, events) = heard(json!({"format": "cascade", "events": true}));
    assert_eq!(
        names.iter().filter(|name| *name == "escalated").count(),
        2,
        "{names:?}"
    );
    assert_eq!(names[0], "prefilled");
    assert!(names.iter().any(|name| name == "section_text"));
    let escalated = events
        .iter()
        .find(|event| event["curt"]["event"] == "escalated")
        .unwrap();
    assert_eq!(escalated["curt"]["from"], "direct");

    let own = json!({"format": "full", "events": true, "paths": 6, "keep": 2, "signal": "confidence", "check_at": 12});
    let (names, events) = heard(own);
    assert!(names.iter().any(|name| name == "checked"), "{names:?}");
    let checked = events
        .iter()
        .find(|event| event["curt"]["event"] == "checked")
        .unwrap();
    let scores = checked["curt"]["scores"].as_array().unwrap();
    assert_eq!(
        scores.iter().filter(|score| score["kept"] == true).count(),
        2
    );
    let (names, _) = heard(json!({"format": "full"}));
    assert!(names.is_empty());
}
