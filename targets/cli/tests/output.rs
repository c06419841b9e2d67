//! Where the command's words go: full disks, readers that leave, and names that would steer a terminal.
#![cfg(unix)]

use std::fs::{self, OpenOptions};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{checkout, curt, library_or_skip, text};

const RECORDS: &str = "targets/records/xeon-2-cores/2026-11-27-ablate-reasoner";
const TINY: &str = "models/recipes/reference/packages/tiny-llama-fp32";

/// What writes without ONNX Runtime.
const COMMANDS: [&[&str]; 9] = [
    &["--help"],
    &["--version"],
    &["ask", "--help"],
    &["inspect", TINY],
    &["inspect", TINY, "--json"],
    &["workload", "check", "models/workloads/reasoner"],
    &["ablate", "report", RECORDS],
    &["ablate", "report", RECORDS, "--format", "readme"],
    &["ablate", "report", RECORDS, "--format", "json"],
];

/// What writes with it.
const WITH_LIBRARY: [&[&str]; 4] = [
    &["ask", "x", "--max-tokens", "3"],
    &["ask", "x", "--max-tokens", "3", "--quiet"],
    &["ask", "x", "--max-tokens", "3", "--json"],
    &["doctor"],
];

fn commands(test: &str) -> Vec<&'static [&'static str]> {
    let mut commands = COMMANDS.to_vec();
    if library_or_skip(test) {
        commands.extend(WITH_LIBRARY);
    }
    commands
}

#[cfg(target_os = "linux")]
fn full() -> fs::File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_of_every_command() {
    for args in commands("a_full_disk_is_an_error_of_every_command") {
        let output = curt(args).stdout(full()).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(
            last.contains("standard output") && last.contains("No space left"),
            "{args:?}: {error}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_depends_on_standard_error() {
    for args in commands("nothing_depends_on_standard_error") {
        let output = curt(args).stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
    let refused = curt(&["inspect", "/nowhere"])
        .stderr(full())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn a_closed_standard_output_is_an_error_of_every_command() {
    for args in commands("a_closed_standard_output_is_an_error_of_every_command") {
        let command = curt(args);
        let output = std::process::Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" >&-"#])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(checkout())
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(
            last.contains("standard output is closed"),
            "{args:?}: {error}"
        );
    }
    // Not even where standard input and error are closed as well, or standard input alone.
    for (closed, status) in [(">&- 2>&- <&-", 1), ("<&-", 0), ("2>&-", 0)] {
        let command = curt(&["inspect", TINY]);
        let status_of = std::process::Command::new("sh")
            .args(["-c", &format!(r#"exec "$0" "$@" {closed}"#)])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(checkout())
            .output()
            .unwrap()
            .status;
        assert_eq!(status_of.code(), Some(status), "{closed}");
    }
}

#[test]
fn a_reader_that_leaves_ends_every_command_quietly() {
    for args in commands("a_reader_that_leaves_ends_every_command_quietly") {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = curt(args).stdout(writer).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(141), "{args:?}: {error}");
        assert!(!error.contains("curt: "), "{args:?}: {error}");
    }
}

/// No control characters but line feeds.
fn assert_harmless(bytes: &[u8]) {
    let text = text(bytes);
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'),
        "{text:?}"
    );
}

#[test]
fn names_in_a_package_or_a_workload_do_not_reach_the_terminal_as_they_are() {
    const EVIL: &str = "\u{1b}]0;owned\u{7}\r\u{9b}2J\nlicence         MIT";
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("p");
    fs::create_dir(&package).unwrap();
    for entry in fs::read_dir(checkout().join(TINY)).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(&from, package.join(from.file_name().unwrap())).unwrap();
    }
    let config = package.join("genai_config.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["model"]["type"] = EVIL.into();
    fs::write(&config, json.to_string()).unwrap();
    let package = package.to_str().unwrap();
    let shown = curt(&["inspect", package]).output().unwrap();
    let lines = text(&shown.stdout);
    assert_harmless(&shown.stdout);
    assert_harmless(&shown.stderr);
    // Read or refused, but no line of its own.
    assert!(
        !lines.lines().any(|line| line == "licence         MIT"),
        "{lines}"
    );
    let json = curt(&["inspect", package, "--json"]).output().unwrap();
    assert_harmless(&json.stdout);
    if json.status.success() {
        let value: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(value["model_type"], EVIL);
    }

    let items = dir.path().join("items.jsonl");
    let item = serde_json::json!({"id": EVIL, "question": "q", "answer": "", "group": EVIL});
    fs::write(&items, format!("{item}\n{item}\n")).unwrap();
    let prompt = dir.path().join("prompt.toml");
    fs::write(&prompt, "answer_pattern = \"a\"\n").unwrap();
    let checked = curt(&["workload", "check", items.to_str().unwrap()])
        .args(["--prompt", prompt.to_str().unwrap()])
        .output()
        .unwrap();
    assert_harmless(&checked.stdout);
    assert_harmless(&checked.stderr);
    assert!(!checked.stderr.is_empty(), "one id twice is a problem");
}

#[test]
fn ctrl_c_before_there_is_anything_to_finish_ends_it_at_once_and_says_so() {
    let mut child = curt(&["ask", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open: it waits for its question for ever. Long enough for its handler.
    let _stdin = child.stdin.take();
    std::thread::sleep(std::time::Duration::from_millis(500));
    // SAFETY: a signal to a child that nobody has waited for yet.
    let killed = unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    assert_eq!(killed, 0);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(text(&output.stderr), "curt: interrupted\n");
}
