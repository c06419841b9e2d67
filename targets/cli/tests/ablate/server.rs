//! Servers that want a key, and curt's own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{ablate, files, lines, refused, succeeds};
use crate::support::{curt, library_or_skip, text};

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

/// What the arm `name` answered to each item, and how many of its paths were right.
fn answers(dir: &Path, name: &str) -> BTreeMap<u64, [Value; 3]> {
    let records = std::fs::read_to_string(dir.join("records.jsonl")).unwrap();
    let records = records
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    records
        .filter(|record: &Value| record["kind"] == "result" && record["arm"] == name)
        .map(|record| {
            let said = ["answer", "correct", "finished_correct"].map(|field| record[field].clone());
            (record["index"].as_u64().unwrap(), said)
        })
        .collect()
}

#[test]
fn curts_own_server_answers_as_the_engine_in_process() {
    if !library_or_skip("curts_own_server_answers_as_the_engine_in_process") {
        return;
    }
    let mut server = curt(&["serve", "--package", "models/packages/reasoner"])
        .args(["--address", "127.0.0.1:0", "--threads", "1"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(server.stderr.take().unwrap());
    lines.read_line(&mut said).unwrap();
    let url = said.trim().rsplit(' ').next().unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let arms = dir.path().join("arms.toml");
    let arm = format!("[[arm]]\nname = \"served\"\ngreedy = true\nserver = {{ url = {url:?} }}\n");
    std::fs::write(&arms, arm).unwrap();
    let out = dir.path().join("out");
    // Seeds of paths are of 64 bits in process and of 31 for a server: greedy answers are the ones that can be the same.
    let options = ["--limit", "8", "--arms", "full,greedy,served", "--arm-file"];
    succeeds(ablate(&out, &options).arg(&arms));
    server.kill().unwrap();
    server.wait().unwrap();
    let (greedy, served) = (answers(&out, "greedy"), answers(&out, "served"));
    assert_eq!(greedy.len(), 8);
    assert_eq!(greedy, served);
}
