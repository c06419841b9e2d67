//! Servers that want a key.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::{ablate, files, lines, refused};
use crate::support::{library_or_skip, text};

/// A server that answers every question, where its request holds `key`. Its address without a scheme.
fn server(key: &'static str) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let lower = head.to_lowercase();
            let length = lower.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            stream
                .read_exact(&mut vec![0; length.unwrap_or(0)])
                .unwrap();
            let (status, body) = match head.contains(key) {
                true => (
                    "200 OK",
                    r#"{"choices":[{"message":{"content":"Answer: 7"}}]}"#,
                ),
                false => ("401 Unauthorized", "\u{1b}[2Jwho are you?"),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn what_a_server_asks_for_is_sent_and_stands_nowhere() {
    if !library_or_skip("what_a_server_asks_for_is_sent_and_stands_nowhere") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The second is `user:open-sesame` (RFC 7617).
    for (number, (key, user, variable)) in [
        ("Bearer sk-open-sesame", "", "sk-open-sesame"),
        (
            "Basic dXNlcjpvcGVuLXNlc2FtZQ==",
            "user:open-sesame@",
            "other",
        ),
        ("Bearer sk-open-sesame", "", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("http://{user}{}/v1", server(key));
        let out = dir.path().join(number.to_string());
        let options = [
            "--limit",
            "1",
            "--arms",
            "full,server",
            "--server-model",
            "m",
            "--server",
            &url,
        ];
        let output = ablate(&out, &options)
            .env("OPENAI_API_KEY", variable)
            .output()
            .unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        if variable.is_empty() {
            refused(&output, "status 401: \\u{1b}[2Jwho are you?");
            assert!(said.contains("--server-key-env"), "{said}");
            assert_eq!(
                lines(&out, "result"),
                0,
                "a question that could not be asked is no result"
            );
            continue;
        }
        assert!(output.status.success(), "{said}");
        assert_eq!(lines(&out, "result"), 2);
        assert!(!said.contains("sesame"), "{said}");
        for (name, bytes) in files(&out) {
            let bytes = String::from_utf8_lossy(&bytes);
            assert!(
                !bytes.contains("sesame") && !bytes.contains("dXNlc"),
                "{name:?}"
            );
        }
    }
}
