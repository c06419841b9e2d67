//! Runs that are broken off: killed, interrupted, without their folder or a package that works.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{ablate, lines, refused, succeeds, timeless};
use crate::support;
use crate::support::{curt, library_or_skip, text};

/// Kills of the test below. Each falls after a few more results than the one before.
const KILLS: usize = 8;

#[test]
fn killed_at_many_points_and_resumed_it_says_what_the_uninterrupted_run_says() {
    if !library_or_skip("killed_at_many_points_and_resumed_it_says_what_the_uninterrupted_run_says")
    {
        return;
    }
    let whole = tempfile::tempdir().unwrap();
    let limit = ["--limit", "18"];
    succeeds(&mut ablate(whole.path(), &limit));
    let all = lines(whole.path(), "result");
    let killed = tempfile::tempdir().unwrap();
    let mut at_kills = Vec::new();
    for kill in 0..KILLS {
        let mut child = ablate(killed.path(), &limit)
            .arg("--resume")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // As soon as something is there that was not, or some moments later: within an item and between two.
        let before = lines(killed.path(), "result");
        while lines(killed.path(), "result") == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(7 * (kill as u64 % 4)));
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        at_kills.push(lines(killed.path(), "result"));
    }
    let mid_run = at_kills
        .iter()
        .filter(|&&left| left > 0 && left < all)
        .count();
    assert!(
        mid_run >= KILLS / 2 && at_kills.is_sorted(),
        "of {all} results there were at each kill {at_kills:?}: too few fell within the run"
    );
    assert!(at_kills[0] < at_kills[KILLS - 1]);
    succeeds(ablate(killed.path(), &limit).arg("--resume"));
    assert_eq!(timeless(killed.path()), timeless(whole.path()));
    for kind in ["run", "item", "sample", "result"] {
        assert_eq!(
            lines(killed.path(), kind),
            lines(whole.path(), kind),
            "{kind}"
        );
    }

    let other = ablate(killed.path(), &["--limit", "18", "--resume", "--seed", "1"])
        .output()
        .unwrap();
    refused(&other, "seed: was 0, is 1");
    let other = ablate(killed.path(), &limit)
        .args(["--resume", "--max-kv-bytes", "100000000"])
        .output()
        .unwrap();
    refused(&other, "max kv bytes: was null, is 100000000");
    refused(
        &ablate(killed.path(), &limit).output().unwrap(),
        "--resume goes on with it",
    );
    // The report is made of the records alone.
    let before = fs::read(killed.path().join("summary.json")).unwrap();
    fs::remove_file(killed.path().join("summary.json")).unwrap();
    succeeds(curt(&["ablate", "report", "--format", "files"]).arg(killed.path()));
    assert_eq!(
        fs::read(killed.path().join("summary.json")).unwrap(),
        before
    );
}

#[test]
fn a_folder_that_is_removed_ends_the_run_with_an_error() {
    if !library_or_skip("a_folder_that_is_removed_ends_the_run_with_an_error") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let child = ablate(&out, &["--limit", "200"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while lines(&out, "result") == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    fs::remove_dir_all(&out).unwrap();
    refused(
        &child.wait_with_output().unwrap(),
        "removed, moved or replaced",
    );
    assert!(!out.exists());
}

#[test]
fn a_fault_of_the_package_ends_the_run() {
    if !library_or_skip("a_fault_of_the_package_ends_the_run") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    fs::create_dir(&package).unwrap();
    let shipped = support::checkout().join("models/recipes/reference/packages/tiny-llama-fp32");
    for entry in fs::read_dir(shipped).unwrap() {
        let file = entry.unwrap().path();
        fs::copy(&file, package.join(file.file_name().unwrap())).unwrap();
    }
    fs::write(
        package.join("chat_template.jinja"),
        "{{ raise_exception('This model takes nothing') }}",
    )
    .unwrap();
    let out = dir.path().join("out");
    let output = curt(&[
        "ablate",
        "--workload",
        "models/workloads/reasoner",
        "--arms",
        "greedy,full",
        "--limit",
        "3",
    ])
    .args(["--paths", "2", "--max-tokens", "1"])
    .arg("--package")
    .arg(&package)
    .arg("--out")
    .arg(&out)
    .output()
    .unwrap();
    refused(&output, "This model takes nothing");
    assert_eq!(lines(&out, "result"), 0);
    assert!(
        !out.join("summary.json").exists(),
        "a verdict over failures"
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_that_only_a_server_answers() {
    if !library_or_skip("ctrl_c_ends_a_run_that_only_a_server_answers") {
        return;
    }
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", server.local_addr().unwrap());
    // One connection at a time, a tenth of a second for each answer, for as long as it is asked.
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .map(|rest| rest.lines().next());
            let length: usize = length.flatten().map_or(0, |text| text.parse().unwrap());
            stream.read_exact(&mut vec![0; length]).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            let choice = r#"{"message":{"content":"the answer is 7"}}"#;
            let body = format!(r#"{{"choices":[{choice}]}}"#);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let server = ["--arms", "server", "--server", &url, "--server-model", "m"];
    let child = ablate(dir.path(), &server)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while lines(dir.path(), "result") < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
    assert!(lines(dir.path(), "result") < 20);
    assert!(text(&ended.stderr).contains("cancelled"));
}
