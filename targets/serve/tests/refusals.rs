//! What is refused, with the field at fault.

use serde_json::{Value, json};

use crate::support::{Running, about, engine, machine, options, sample, with};

#[test]
fn a_field_that_cannot_be_honoured_is_named() {
    let test = "a_field_that_cannot_be_honoured_is_named";
    let Some(server) = Running::of("reasoner", test) else {
        return;
    };
    let message = |message: Value| json!({"messages": [message]});
    for (body, field) in [
        (json!([]), "body"),
        (json!({}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (message(json!("hi")), "messages[0]"),
        (message(json!({"content": "hi"})), "messages[0].role"),
        (
            message(json!({"role": "tool", "content": "hi"})),
            "messages[0].role",
        ),
        (message(json!({"role": "user"})), "messages[0].content"),
        (
            message(json!({"role": "user", "content": 3})),
            "messages[0].content",
        ),
        (
            message(json!({"role": "user", "content": [{"type": "text"}]})),
            "messages[0].content[0].text",
        ),
        (
            message(json!({"role": "user", "content": [{"type": "video"}]})),
            "messages[0].content[0].type",
        ),
        (
            message(json!({"role": "user", "content": "hi", "colour": 1})),
            "messages[0].colour",
        ),
        (
            json!({"messages": about(&sample(), "hi")}),
            "messages[0].content[0].type",
        ),
        (
            message(json!({"role": "assistant", "content": "hi"})),
            "messages",
        ),
        (machine(json!({"temperature": "hot"})), "temperature"),
        (machine(json!({"temperature": -1})), "temperature"),
        (machine(json!({"top_p": 0})), "top_p"),
        (machine(json!({"n": 0})), "n"),
        (machine(json!({"n": 65})), "n"),
        (machine(json!({"n": 2, "temperature": 0})), "temperature"),
        (machine(json!({"n": 2, "curt": {"paths": 2}})), "n"),
        (machine(json!({"max_tokens": 0})), "max_tokens"),
        (machine(json!({"max_tokens": 1.5})), "max_tokens"),
        (
            machine(json!({"max_tokens": 1, "max_completion_tokens": 2})),
            "max_completion_tokens",
        ),
        (machine(json!({"seed": "x"})), "seed"),
        (machine(json!({"stop": [""]})), "stop"),
        (machine(json!({"stop": [1]})), "stop"),
        (machine(json!({"stream": 1})), "stream"),
        (
            machine(json!({"stream_options": {"x": 1}})),
            "stream_options.x",
        ),
        (machine(json!({"tools": [{"type": "function"}]})), "tools"),
        (
            machine(json!({"response_format": {"type": "json_object"}})),
            "response_format",
        ),
        (machine(json!({"logit_bias": {"5": 1}})), "logit_bias"),
        (
            machine(json!({"presence_penalty": 0.5})),
            "presence_penalty",
        ),
        (machine(json!({"top_logprobs": 3})), "top_logprobs"),
        (machine(json!({"temprature": 1})), "temprature"),
        (machine(json!({"curt": 1})), "curt"),
        (machine(json!({"curt": {"paths": 65}})), "curt.paths"),
        (machine(json!({"curt": {"keep": 2}})), "curt.paths"),
        (
            machine(json!({"curt": {"paths": 4, "keep": 5}})),
            "curt.keep",
        ),
        (
            machine(json!({"curt": {"paths": 4, "keep": "some"}})),
            "curt.keep",
        ),
        (
            machine(json!({"curt": {"paths": 4, "keep": 2, "check_at": -1}})),
            "curt.check_at",
        ),
        (
            machine(json!({"curt": {"paths": 4, "keep": 2, "signal": "head:../../kv"}})),
            "curt.signal",
        ),
        (
            machine(
                json!({"curt": {"paths": 4, "keep": 2, "signal": "head:models/packages/reasoner/heads/kv.safetensors"}}),
            ),
            "curt.signal",
        ),
        (machine(json!({"curt": {"format": "long"}})), "curt.format"),
        (
            machine(json!({"curt": {"calibration": "/etc/passwd"}})),
            "curt.calibration",
        ),
        (
            machine(json!({"curt": {"deadline_ms": 5}})),
            "curt.deadline_ms",
        ),
        (machine(json!({"curt": {"vote": "loudest"}})), "curt.vote"),
        (machine(json!({"curt": {"pahts": 2}})), "curt.pahts"),
    ] {
        let reply = server.ask(&body);
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        let error = &reply.json()["error"];
        assert_eq!(error["param"], field, "{body}: {error}");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(
            error["message"].as_str().unwrap().contains("expected"),
            "{error}"
        );
    }
    // None of it harmed anybody.
    assert_eq!(
        server.answer(&machine(json!({"max_tokens": 2})))["usage"]["completion_tokens"],
        2
    );
    let what_changes_nothing = json!({
        "max_tokens": 2, "user": "me", "tools": [], "tool_choice": "none", "response_format": {"type": "text"},
        "logit_bias": {}, "presence_penalty": 0, "frequency_penalty": 0.0, "stop": null, "top_logprobs": null, "n": 1,
        "metadata": {"a": "b"}, "store": false, "service_tier": "auto", "seed": -1,
    });
    server.answer(&machine(what_changes_nothing));
}

#[test]
fn what_is_no_request_is_refused_by_its_status() {
    let test = "what_is_no_request_is_refused_by_its_status";
    let Some(server) = Running::of("reasoner", test) else {
        return;
    };
    let refused = |body: &str, headers: &str, status: u16| {
        let reply = server.post(body, headers);
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        reply.json()["error"].clone()
    };
    refused("{", "", 400);
    refused("\u{0}", "", 400);
    // Deeper than any reader should go.
    refused(&"[".repeat(100_000), "", 400);
    refused("{}", "Content-Type: text/plain\r\n", 415);
    let other = machine(json!({"model": "gpt-5"})).to_string();
    assert_eq!(refused(&other, "", 404)["code"], "model_not_found");
    let long = json!({"messages": [{"role": "user", "content": "1 ".repeat(40_000)}]}).to_string();
    assert_eq!(refused(&long, "", 400)["code"], "context_length_exceeded");
    assert_eq!(server.get("/v1/chat/completions").status, 405);
    assert_eq!(server.get("/v1/nothing").status, 404);
    assert_eq!(server.get("/../../etc/passwd").status, 404);
}

#[test]
fn a_picture_is_data_within_its_bounds_or_refused() {
    let test = "a_picture_is_data_within_its_bounds_or_refused";
    let Some(engine) = engine("vqa", test) else {
        return;
    };
    let mut options = options();
    options.limits.image_pixels = 384 * 384 - 1;
    options.limits.image_bytes = 64 << 10;
    options.limits.body_bytes = 256 << 10;
    options.limits.images = 2;
    let server = Running::new(engine, &options);
    let url = "messages[0].content[0].image_url.url";
    for (picture, status, field) in [
        ("http://127.0.0.1/x.jpg".into(), 400, Some(url)),
        ("file:///etc/passwd".into(), 400, Some(url)),
        ("/etc/passwd".into(), 400, Some(url)),
        ("data:image/png;base64".into(), 400, Some(url)),
        ("data:text/plain;base64,aGk=".into(), 400, Some(url)),
        ("data:image/png,hi".into(), 400, Some(url)),
        ("data:image/png;base64,!!!!".into(), 400, Some(url)),
        ("data:image/png;base64,".into(), 400, Some(url)),
        ("data:image/png;base64,iVBORw0KGgo=".into(), 400, Some(url)),
        // One pixel more than is allowed.
        (sample(), 400, Some(url)),
        (
            format!("data:image/png;base64,{}", "A".repeat(100 << 10)),
            413,
            Some(url),
        ),
        (
            format!("data:image/png;base64,{}", "A".repeat(300 << 10)),
            413,
            Some("body"),
        ),
    ] {
        let reply = server.ask(&json!({"messages": about(&picture, "hi")}));
        let error = &reply.json()["error"];
        assert_eq!(reply.status, status, "{error}");
        assert_eq!(error["param"].as_str(), field, "{error}");
    }
    let small = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    server.answer(&json!({"messages": about(small, "How many shapes are red?")}));
    let mut many = about(small, "hi");
    let part = many[0]["content"][0].clone();
    many[0]["content"]
        .as_array_mut()
        .unwrap()
        .extend([part.clone(), part]);
    let error = &server.ask(&json!({"messages": many})).json()["error"];
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("at most 2 images"),
        "{error}"
    );
    // More than the package takes.
    let system = json!([{"role": "system", "content": [{"type": "image_url", "image_url": small}]}, {"role": "user", "content": "hi"}]);
    assert_eq!(
        server.ask(&json!({"messages": system})).json()["error"]["param"],
        "messages[0].content"
    );
}

#[test]
fn other_names_and_other_origins_are_refused() {
    let test = "other_names_and_other_origins_are_refused";
    let Some(server) = Running::of("reasoner", test) else {
        return;
    };
    let body = machine(json!({"max_tokens": 1})).to_string();
    for (headers, status) in [
        ("Host: evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("Host: localhost\r\nOrigin: http://localhost\r\n", 200),
        ("Host: 127.0.0.1\r\n", 200),
    ] {
        let reply = server.post(&body, headers);
        assert_eq!(reply.status, status, "{headers}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert!(
            reply
                .header("content-security-policy")
                .unwrap()
                .contains("default-src 'none'")
        );
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn elsewhere_only_those_with_the_key_are_answered() {
    let test = "elsewhere_only_those_with_the_key_are_answered";
    let Some(engine) = engine("reasoner", test) else {
        return;
    };
    let mut open = options();
    open.address = ([0, 0, 0, 0], 0).into();
    let error = curt_serve::Server::open(engine, &open)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("`key`"), "{error}");
    let Some(engine) = crate::support::engine("reasoner", test) else {
        return;
    };
    let key = "a-key-of-some-length";
    open.key = Some("short".into());
    assert!(curt_serve::Server::open(engine, &open).is_err());
    let Some(engine) = crate::support::engine("reasoner", test) else {
        return;
    };
    open.key = Some(key.into());
    let server = Running::new(engine, &open);
    let body = with(machine(json!({})), json!({"max_tokens": 1})).to_string();
    for (headers, status) in [
        (String::new(), 401),
        ("Authorization: Bearer no\r\n".into(), 401),
        (format!("Authorization: Basic {key}\r\n"), 401),
        (format!("Authorization: Bearer {key}x\r\n"), 401),
        (format!("Authorization: Bearer {key}\r\n"), 200),
    ] {
        assert_eq!(server.post(&body, &headers).status, status, "{headers}");
    }
    for path in ["/v1/models", "/metrics"] {
        assert_eq!(server.get(path).status, 401);
    }
    assert_eq!(server.get("/healthz").status, 200);
}
