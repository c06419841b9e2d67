//! Servers that nobody should trust: their keys, their redirects, their endless answers, and what they write to a terminal.

use crate::server::workload;
use crate::support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use curt::{CancelToken, SamplingDefaults};
use curt_ablate::arm::Arm;
use curt_ablate::record::{Measure, Run};
use curt_ablate::run::{Asked, Given, ServerRespondent, Unreachable};
use curt_ablate::{Error, Result};
use curt_workload::Part;
use serde_json::json;

/// Long enough that no text holds it by chance.
const SECRET: &str = "sk-0123456789abcdef";

/// A server that answers a request's head as `answer` says, byte for byte. Returns its address and the heads it was sent.
fn serve(
    answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + 'static,
) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (sent, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(64) {
            let mut stream = stream.unwrap();
            let Some(head) = head(&stream) else { continue };
            let _ = sent.send(head.clone());
            // A client that has seen enough hangs up.
            let _ = answer(&head, &mut stream);
        }
    });
    (host, received)
}

fn head(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let length = lower.split("content-length:").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
    reader.read_exact(&mut vec![0; length.unwrap_or(0)]).ok()?;
    Some(head)
}

fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn completion(message: serde_json::Value, usage: serde_json::Value) -> String {
    json!({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}).to_string()
}

fn seven() -> String {
    completion(
        json!({"content": "it is 7"}),
        json!({"completion_tokens": 5}),
    )
}

/// An arm of the server at `address`.
fn arm(address: &str, more: &str) -> Arm {
    let server = format!(
        "server = {{ url = \"http://{address}/v1\", model = \"m\", timeout_s = 1.0{more} }}"
    );
    toml::from_str(&format!("name = \"server\"\n{server}")).unwrap()
}

/// Asks `arm` an item, where the environment holds `key` under its name.
fn ask_with(arm: &Arm, key: (&str, &str)) -> Result<Given> {
    let (_dir, workload) = workload();
    let run = Run {
        arms: vec![arm.clone()],
        ..support::run_of(1, Measure::Run)
    };
    let environment = |name: &str| (name == key.0).then(|| key.1.to_string());
    let (sampling, cancel) = (SamplingDefaults::default(), CancelToken::new());
    let mut server = ServerRespondent::new(&run, &workload, sampling, cancel, &environment)?;
    let item = &workload.part(Part::HeldOut)[0];
    let kind = workload.answer_kind(item);
    let asked = Asked {
        index: 0,
        item,
        kind,
    };
    server.answer(arm, arm.server.as_ref().unwrap(), &asked, 0)
}

fn ask(address: &str) -> Result<Given> {
    ask_with(&arm(address, ""), ("", ""))
}

/// What an item's record says went wrong.
fn failure(address: &str) -> String {
    ask(address).unwrap().record.error.unwrap()
}

#[test]
fn a_key_is_sent_and_stands_nowhere_else() {
    let wanted = format!("authorization: bearer {SECRET}");
    let (host, _heads) = serve(move |head, stream| {
        if head.to_lowercase().contains(&wanted) {
            // Some repeat what they were given.
            let body = completion(
                json!({"content": format!("it is 7, {SECRET}")}),
                json!(null),
            );
            return respond(stream, "200 OK", "", &body);
        }
        respond(
            stream,
            "401 Unauthorized",
            "",
            r#"{"error": "who are you?"}"#,
        )
    });
    for (more, variable) in [("", "OPENAI_API_KEY"), (", key_env = \"MINE\"", "MINE")] {
        let arm = arm(&host, more);
        let given = ask_with(&arm, (variable, SECRET)).unwrap();
        assert!(given.record.correct);
        let seen = format!(
            "{:?}{}{arm:?}",
            given,
            serde_json::to_string(&(&arm, &given.record)).unwrap()
        );
        assert!(
            !seen.contains(SECRET) && seen.contains("it is 7, [key]"),
            "{seen}"
        );
    }
    let error = ask(&host).unwrap_err();
    assert!(matches!(error, Error::Server { .. }), "{error}");
    let error = error.to_string();
    assert!(
        error.contains("without a key") && error.contains("--server-key-env"),
        "{error}"
    );
    assert!(error.contains("who are you?"), "{error}");
    let error = ask_with(&arm(&host, ", key_env = \"MINE\""), ("OTHER", SECRET)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the key in MINE: expected an environment variable"),
        "{error}"
    );
    let error = ask_with(&arm(&host, ""), ("OPENAI_API_KEY", "sk-01234567\r\nX: y")).unwrap_err();
    assert!(!error.to_string().contains("sk-0123"), "{error}");
    // A key that is refused is not shown where the server repeats it.
    let (host, _heads) = serve(|head, stream| {
        let body = format!("bad key in {}", head.replace("\r\n", " "));
        respond(stream, "403 Forbidden", "", &body)
    });
    let error = ask_with(&arm(&host, ""), ("OPENAI_API_KEY", SECRET))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the key in OPENAI_API_KEY") && !error.contains(SECRET),
        "{error}"
    );
}

#[test]
fn a_password_in_the_address_is_sent_and_stands_nowhere_else() {
    // RFC 7617, section 2: "Aladdin" and "open sesame".
    let (host, _heads) = serve(|head, stream| {
        let login = "authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==";
        match head.to_lowercase().contains(login) {
            true => respond(stream, "200 OK", "", &seven()),
            false => respond(stream, "401 Unauthorized", "", "no"),
        }
    });
    let arm = arm(&format!("Aladdin:open%20sesame@{host}"), "");
    // What is usual for keys is not sent beside it.
    let given = ask_with(&arm, ("OPENAI_API_KEY", SECRET)).unwrap();
    assert!(given.record.correct, "{:?}", given.record.error);
    let run = Run {
        arms: vec![arm.clone()],
        ..support::run_of(1, Measure::Run)
    };
    let seen = format!("{arm:?}{}", serde_json::to_string(&run).unwrap());
    assert!(
        !seen.contains("sesame") && !seen.contains("Aladdin"),
        "{seen}"
    );
    // Nor in an error.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for address in [
        format!("u:open-sesame@{closed}"),
        format!("u:open@sesame@{closed}"),
    ] {
        let ended = ask(&address);
        let said = format!("{ended:?}");
        assert!(!said.contains("sesame"), "{said}");
    }
}

#[test]
fn a_redirect_is_not_followed_and_its_place_is_said() {
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let (other, asked) = serve(|_, stream| respond(stream, "200 OK", "", &seven()));
        let to = format!("Location: http://{other}/v1/chat/completions\r\n");
        let (host, _heads) = serve(move |_, stream| respond(stream, status, &to, ""));
        let error = ask_with(&arm(&host, ""), ("OPENAI_API_KEY", SECRET)).unwrap_err();
        assert!(matches!(error, Error::Server { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(&other) && error.contains("does not follow"),
            "{error}"
        );
        assert_eq!(asked.try_iter().count(), 0, "{status} was followed");
    }
}

#[test]
fn nothing_that_answers_ends_the_run() {
    for status in ["404 Not Found", "405 Method Not Allowed"] {
        let (host, _heads) = serve(move |_, stream| respond(stream, status, "", "no such model"));
        let error = ask(&host).unwrap_err();
        assert!(matches!(error, Error::Server { .. }), "{error}");
        assert!(error.to_string().contains("no such model"), "{error}");
    }
}

#[test]
fn an_answer_is_one_whatever_success_its_status_says() {
    for status in [
        "201 Created",
        "202 Accepted",
        "203 Non-Authoritative",
        "206 Partial Content",
    ] {
        let (host, _heads) = serve(move |_, stream| respond(stream, status, "", &seven()));
        let given = ask(&host).unwrap();
        assert_eq!(given.record.error, None, "{status}");
        assert_eq!(given.record.answer.as_deref(), Some("7"), "{status}");
    }
    for (status, body) in [
        ("204 No Content", ""),
        ("201 Created", "{}"),
        ("202 Accepted", "queued"),
    ] {
        let (host, _heads) = serve(move |_, stream| respond(stream, status, "", body));
        assert!(failure(&host).contains("is no completion"), "{status}");
    }
}

#[test]
fn what_is_beside_the_text_may_be_absent_or_odd() {
    let text = json!({"content": "it is 7"});
    let many = u64::MAX / 2;
    for (message, usage, prompt, generated) in [
        (
            text.clone(),
            json!({"prompt_tokens": 20, "completion_tokens": 5}),
            Some(20),
            Some(5),
        ),
        (text.clone(), json!({"prompt_tokens": 20}), Some(20), None),
        (
            text.clone(),
            json!({"prompt_tokens": 20, "completion_tokens": null}),
            Some(20),
            None,
        ),
        (
            text.clone(),
            json!({"prompt_tokens": "20", "completion_tokens": -5}),
            None,
            None,
        ),
        (
            text.clone(),
            json!({"prompt_tokens": many, "completion_tokens": many}),
            None,
            None,
        ),
        (text.clone(), json!("none"), None, None),
        (
            json!({"content": [{"type": "text", "text": "it "}, {"type": "text", "text": "is 7"}]}),
            json!(null),
            None,
            None,
        ),
        (
            json!({"content": null, "reasoning_content": "hmm, it is 7"}),
            json!(null),
            None,
            None,
        ),
        (
            json!({"content": "it is 7", "reasoning": "is 8?"}),
            json!(null),
            None,
            None,
        ),
    ] {
        let body = completion(message, usage);
        let said = body.clone();
        let (host, _heads) = serve(move |_, stream| respond(stream, "200 OK", "", &body));
        let record = ask(&host).unwrap().record;
        assert!(record.correct, "{said}: {:?}", record.error);
        assert_eq!(
            (record.prompt_tokens, record.generated()),
            (prompt, generated),
            "{said}"
        );
    }
    // An error that comes with the status of an answer is none.
    let (host, _heads) =
        serve(|_, stream| respond(stream, "200 OK", "", r#"{"error": {"message": "no"}}"#));
    assert!(failure(&host).contains("no completion"));
}

#[test]
fn what_a_server_says_is_one_line_of_an_error() {
    let (host, _heads) =
        serve(|_, stream| respond(stream, "400 Bad", "", "no\r\nReady: all is well"));
    let error = failure(&host);
    assert!(
        error.ends_with("status 400: no  Ready: all is well"),
        "{error:?}"
    );
}

#[test]
fn a_long_answer_is_graded_whole_and_recorded_in_part() {
    // The answer stands at its end.
    let whole = 15 << 20;
    let text = "ä".repeat(whole / 2) + "it is 7";
    let body = completion(json!({"content": text}), json!(null));
    let (host, _heads) = serve(move |_, stream| respond(stream, "200 OK", "", &body));
    let arm = Arm {
        server: arm(&host, "").server.map(|mut server| {
            server.timeout_s = 60.0;
            server
        }),
        ..arm(&host, "")
    };
    let record = ask_with(&arm, ("", "")).unwrap().record;
    assert!(record.correct, "{:?}", record.error);
    let path = &record.paths[0];
    assert_eq!(path.cut_from_bytes, Some(whole + "it is 7".len()));
    assert!(path.text.as_ref().unwrap().len() <= 256 << 10);
    assert!(serde_json::to_vec(&record).unwrap().len() < 512 << 10);
}

/// What a client that waits a second makes of `answer`: within what time, and why.
fn in_time(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Given {
    let (host, _heads) = serve(move |_, stream| answer(stream));
    let clock = Instant::now();
    let given = ask(&host).unwrap();
    let took = clock.elapsed();
    // A warm-up and the question, a second each.
    assert!(took < Duration::from_secs(10), "{took:?}");
    given
}

#[test]
fn an_answer_that_drips_or_breaks_off_costs_bounded_time() {
    let drips = in_time(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
        loop {
            stream.write_all(b" ")?;
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(drips.unreachable, Some(Unreachable::NoAnswer));
    let heads_without_end = in_time(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-More: and more\r\n")?;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    assert_eq!(heads_without_end.unreachable, Some(Unreachable::NoAnswer));
    let breaks_off = in_time(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"choices\": [")
    });
    assert!(breaks_off.record.error.is_some() && !breaks_off.record.correct);
    let bad_chunks = in_time(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk")
    });
    assert!(bad_chunks.record.error.is_some());
    let no_http = in_time(|stream| stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"));
    assert!(no_http.record.error.is_some());
    let endless = in_time(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = [b"100000\r\n", vec![b' '; 1 << 20].as_slice(), b"\r\n"].concat();
        loop {
            stream.write_all(&chunk)?;
        }
    });
    let error = endless.record.error.unwrap();
    assert!(
        error.contains("has more than 16777216 bytes") || error.contains("within 1 s"),
        "{error}"
    );
    let deep = "[".repeat(1 << 20);
    let nested = in_time(move |stream| respond(stream, "200 OK", "", &deep));
    assert!(nested.record.error.unwrap().contains("no completion"));
}
