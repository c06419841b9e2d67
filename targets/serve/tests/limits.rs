//! What a server bears: those who come in numbers, go away, dawdle or talk nonsense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use curt_serve::{Asset, Limits};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Reply, Running, engine, head, machine, options, read};

/// Time that dawdlers get here.
const SHORT: Duration = Duration::from_millis(300);

fn running(test: &str, limits: impl FnOnce(&mut Limits)) -> Option<Running> {
    let engine = engine("reasoner", test)?;
    let mut options = options();
    limits(&mut options.limits);
    Some(Running::new(engine, &options))
}

/// A request that takes the engine a good while, sent and not read.
fn long(server: &Running, more: Value) -> TcpStream {
    let body = machine(json!({"n": 64, "max_tokens": 200})).to_string();
    let mut body: Value = serde_json::from_str(&body).unwrap();
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    send(server, &body.to_string())
}

fn send(server: &Running, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = head(&format!(
        "Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    stream.write_all((head + body).as_bytes()).unwrap();
    stream
}

/// Waits until the answer to `stream` has begun.
fn begun(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; 400]).unwrap();
}

#[test]
fn more_than_the_queue_holds_are_told_to_come_again() {
    let test = "more_than_the_queue_holds_are_told_to_come_again";
    let Some(server) = running(test, |limits| limits.queue = 2) else {
        return;
    };
    let mut busy = long(&server, json!({"stream": true}));
    begun(&mut busy);
    let short = machine(json!({"max_tokens": 1})).to_string();
    let waiting: Vec<TcpStream> = (0..2).map(|_| send(&server, &short)).collect();
    server.wait_for("curt_queue_length", 2.0);
    let refused = server.post(&short, "");
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    // Who goes away while it waits makes room.
    let mut waiting = waiting.into_iter();
    drop(waiting.next());
    server.wait_for("curt_queue_length", 1.0);
    drop(busy);
    let replies: Vec<Reply> = waiting.map(read).collect();
    assert_eq!(replies[0].status, 200);
    assert_eq!(server.post(&short, "").status, 200);
}

#[test]
fn nobody_works_for_a_client_that_is_gone() {
    let test = "nobody_works_for_a_client_that_is_gone";
    let Some(server) = running(test, |_| {}) else {
        return;
    };
    for stream in [true, false] {
        let before = server.metric("curt_questions_total");
        let tokens = server.metric("curt_generated_tokens_total");
        let mut gone = long(&server, json!({"stream": stream}));
        if stream {
            begun(&mut gone);
        } else {
            // Long enough to be at it, and short of its end.
            std::thread::sleep(Duration::from_millis(60));
        }
        drop(gone);
        server.wait_for("curt_questions_total", before + 1.0);
        // What was broken off is no answer.
        assert_eq!(
            server.metric("curt_generated_tokens_total"),
            tokens,
            "stream {stream}"
        );
    }
    assert_eq!(
        server.answer(&machine(json!({"max_tokens": 1})))["usage"]["completion_tokens"],
        1
    );
}

#[test]
fn an_answer_that_takes_too_long_is_given_up() {
    let test = "an_answer_that_takes_too_long_is_given_up";
    let Some(server) = running(test, |limits| limits.answer_time = SHORT / 2) else {
        return;
    };
    let late = read(long(&server, json!({})));
    assert_eq!(late.status, 504, "{}", late.body);
    assert_eq!(late.json()["error"]["code"], "timeout");
    let late = read(long(&server, json!({"stream": true})));
    if late.status == 200 {
        let last = late.events().pop().unwrap();
        assert_eq!(last["error"]["code"], "timeout", "{last}");
    } else {
        assert_eq!(late.status, 504, "it had not begun");
    }
    // The engine is free for the next as soon as it has taken notice.
    let clock = Instant::now();
    while server.ask(&machine(json!({"max_tokens": 1}))).status != 200 {
        assert!(clock.elapsed() < PATIENCE);
    }
}

#[test]
fn who_dawdles_is_cut_off_and_holds_up_nobody() {
    let test = "who_dawdles_is_cut_off_and_holds_up_nobody";
    let set = |limits: &mut Limits| {
        limits.head_time = SHORT;
        limits.body_time = SHORT;
        limits.connections = 6;
    };
    let Some(server) = running(test, set) else {
        return;
    };
    // Slow loris: a letter now and then, in the head and in the body.
    let drip = |begin: String| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        let clock = Instant::now();
        while stream.write_all(b"x").is_ok() && clock.elapsed() < SHORT * 4 {
            std::thread::sleep(SHORT / 20);
        }
        read(stream)
    };
    std::thread::scope(|scope| {
        let heads = scope.spawn(|| drip(head("X-Slow: ")));
        let bodies = scope.spawn(|| drip(head("Content-Length: 100000\r\n\r\n")));
        assert_eq!(
            server.answer(&machine(json!({"max_tokens": 1})))["usage"]["completion_tokens"],
            1
        );
        let cut = heads.join().unwrap();
        assert!(cut.status == 0 || cut.status == 408, "{cut:?}");
        let body = bodies.join().unwrap();
        assert_eq!(body.status, 408, "{body:?}");
    });
    // Silent connections fill every place; who comes then waits until their time is over.
    let silent: Vec<TcpStream> = (0..6)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    assert_eq!(server.get("/healthz").status, 200);
    drop(silent);
}

#[test]
fn who_does_not_read_is_cut_off() {
    let test = "who_does_not_read_is_cut_off";
    let Some(engine) = engine("reasoner", test) else {
        return;
    };
    let mut options = options();
    // More than the system keeps for a connection.
    let bytes: &'static [u8] = Box::leak(vec![b'x'; 64 << 20].into_boxed_slice());
    let large = Asset {
        path: "/large",
        content_type: "text/plain",
        bytes,
    };
    options.assets = Box::leak(vec![large].into_boxed_slice());
    options.limits.write_time = SHORT;
    let server = Running::new(engine, &options);
    assert_eq!(server.get("/large").body.len(), bytes.len());
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    slow.read_exact(&mut [0; 100]).unwrap();
    // Whoever asks for the count is one of them.
    server.wait_for("curt_connections", 1.0);
}

#[test]
fn nonsense_is_answered_or_cut_off_and_harms_nobody() {
    let test = "nonsense_is_answered_or_cut_off_and_harms_nobody";
    let Some(server) = running(test, |limits| limits.head_time = SHORT) else {
        return;
    };
    let huge = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "a".repeat(200 << 10)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X: 1\r\n".repeat(5000)
    );
    for (nonsense, least) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], 0),
        (b"GET / HTTP/9.9\r\n\r\n", 0),
        (b"\r\n\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\n\r\n", 403),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n", 400),
        (huge.as_bytes(), 0),
        (many.as_bytes(), 0),
    ] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(nonsense);
        let reply = read(stream);
        assert!(reply.status >= least && reply.status != 200, "{reply:?}");
    }
    assert_eq!(
        server.answer(&machine(json!({"max_tokens": 1})))["usage"]["completion_tokens"],
        1
    );
}

#[test]
fn addresses_take_turns() {
    let test = "addresses_take_turns";
    let Some(server) = running(test, |limits| limits.queue_of_one = 2) else {
        return;
    };
    let mut busy = long(&server, json!({"stream": true}));
    begun(&mut busy);
    let short = machine(json!({"max_tokens": 1})).to_string();
    let _two = [send(&server, &short), send(&server, &short)];
    server.wait_for("curt_queue_length", 2.0);
    // One address has its share of the queue; the rest of it is there for others.
    assert_eq!(server.post(&short, "").status, 429);
}
