//! `curt ablate` as a person and a batch system meet it: killed, resumed, sharded, and given what is no workload.

use crate::support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{curt, library_or_skip, text};

/// Few paths and short ones: what is tested does not depend on the model's wit.
const SMALL: [&str; 12] = [
    "--package",
    "models/packages/reasoner",
    "--workload",
    "models/workloads/reasoner",
    "--paths",
    "4",
    "--keep",
    "2",
    "--check-at",
    "28,60",
    "--threads",
    "1",
];

fn ablate(out: &Path, more: &[&str]) -> Command {
    let mut command = curt(&["ablate"]);
    command.args(SMALL).arg("--out").arg(out).args(more);
    command
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn refused(output: &Output, wanted: &str) {
    let error = text(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{error}");
    assert!(
        error.contains(wanted) && !error.contains("panicked"),
        "expected {wanted:?} in {error:?}"
    );
}

/// The summary in `dir` without what a clock or a memory says.
fn timeless(dir: &Path) -> Value {
    let mut summary: Value =
        serde_json::from_slice(&fs::read(dir.join("summary.json")).unwrap()).unwrap();
    let top = summary.as_object_mut().unwrap();
    for timed in ["cold_start", "latency_model", "dates", "times_void"] {
        top.remove(timed);
    }
    for arm in top["arms"].as_array_mut().unwrap() {
        for timed in ["latency", "peak_resident_bytes", "energy"] {
            arm.as_object_mut().unwrap().remove(timed);
        }
    }
    summary
}

/// The same without what only one way of measuring knows.
fn figures(dir: &Path) -> Value {
    let mut summary = timeless(dir);
    let top = summary.as_object_mut().unwrap();
    top["run"].as_object_mut().unwrap().remove("measure");
    // A run that samples nothing has no signals to be judged, and no note that they cannot be.
    for known in ["signals", "notes", "tokens_exact"] {
        top.remove(known);
    }
    summary
}

/// Lines of a kind in the records of `dir`.
fn lines(dir: &Path, kind: &str) -> usize {
    let records = fs::read_to_string(dir.join("records.jsonl")).unwrap_or_default();
    let mark = format!("{{\"kind\":\"{kind}\"");
    let whole = records.rfind('\n').map_or("", |end| &records[..end]);
    whole.lines().filter(|line| line.starts_with(&mark)).count()
}

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
fn what_is_derived_is_what_runs() {
    if !library_or_skip("what_is_derived_is_what_runs") {
        return;
    }
    // f32 weights and one thread: rows do not depend on their batch on any machine that CI has.
    let arms = [
        "--limit",
        "6",
        "--arms",
        "greedy,full,fewer,random,confidence,stop,stop-twice,stop+early-vote,early-vote,short-m",
    ];
    let (derived, ran) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    succeeds(&mut ablate(derived.path(), &arms));
    succeeds(ablate(ran.path(), &arms).args(["--measure", "run"]));
    let exact: Value =
        serde_json::from_slice(&fs::read(derived.path().join("summary.json")).unwrap()).unwrap();
    if exact["tokens_exact"] == false {
        eprintln!(
            "rows depend on their batch here: derived tokens are approximate, and are not compared"
        );
        return;
    }
    assert_eq!(figures(derived.path()), figures(ran.path()));
    let arms = exact["arms"].as_array().unwrap();
    let right = |arm: &Value| arm["accuracy"]["mean"].as_f64().unwrap() > 0.0;
    assert!(
        arms.iter().any(right),
        "nobody is right: nothing was compared"
    );
    let unused = |name: &str| {
        let arm = arms.iter().find(|arm| arm["name"] == name).unwrap();
        arm["tokens"]["unused"].as_f64().unwrap()
    };
    for arm in ["stop", "stop-twice", "stop+early-vote"] {
        assert!(
            unused(arm) > 0.0,
            "{arm} drops nothing: it compares nothing"
        );
    }
}

/// Every file in `dir`, with its bytes.
fn files(dir: &Path) -> BTreeMap<OsString, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_report_replaces_nothing_that_it_was_not_told_to() {
    if !library_or_skip("a_report_replaces_nothing_that_it_was_not_told_to") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let arms = ["--limit", "3", "--arms", "full,confidence,early-vote"];
    succeeds(&mut ablate(&at("a"), &arms));
    succeeds(ablate(&at("b"), &arms).args(["--seed", "1"]));
    let before = files(&at("a"));
    let report = |options: &[&str], place: &str| {
        let mut command = curt(&["ablate", "report"]);
        command.args(options).arg(at(place));
        command
    };

    let shown = succeeds(&mut report(&[], "a"));
    assert!(shown.contains("confidence"), "{shown}");
    succeeds(&mut report(&["--candidate", "early-vote"], "a"));
    let beside = ["--format", "files", "--candidate", "early-vote"];
    refused(&report(&beside, "a").output().unwrap(), "give --out DIR");
    refused(
        &report(&["--candidate", "early-vote"], "a")
            .arg("--out")
            .arg(at("a"))
            .output()
            .unwrap(),
        "give --out DIR",
    );
    refused(
        &report(&[], "b").arg("--out").arg(at("a")).output().unwrap(),
        "without records of its own",
    );
    refused(
        &report(&["--format", "json"], "b")
            .arg("--out")
            .arg(at("c"))
            .output()
            .unwrap(),
        "only --format files writes files",
    );
    for more in [&[][..], &["--without-paths"]] {
        refused(
            &curt(&["ablate", "merge", "--out"])
                .arg(at("a"))
                .arg(at("b"))
                .args(more)
                .output()
                .unwrap(),
            "holds 9 records of an earlier run",
        );
    }
    assert!(files(&at("a")) == before, "a file in a was touched");

    succeeds(
        report(&["--candidate", "early-vote"], "a")
            .arg("--out")
            .arg(at("d")),
    );
    let other: Value =
        serde_json::from_slice(&fs::read(at("d").join("summary.json")).unwrap()).unwrap();
    assert_eq!(other["run"]["candidate"], "early-vote");

    // Records without texts, beside a page that has them.
    succeeds(
        curt(&["ablate", "merge", "--without-paths", "--out"])
            .arg(at("small"))
            .arg(at("a")),
    );
    let before = files(&at("small"));
    refused(
        &report(&["--format", "files"], "small").output().unwrap(),
        "shows paths and their texts",
    );
    assert!(files(&at("small")) == before);
    succeeds(report(&[], "small").arg("--out").arg(at("e")));
}

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
fn items_side_by_side_say_what_one_at_a_time_says() {
    if !library_or_skip("items_side_by_side_say_what_one_at_a_time_says") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let arms = ["--limit", "6", "--arms", "greedy,full,stop"];
    succeeds(&mut ablate(&at("one"), &arms));
    let said = succeeds(ablate(&at("two"), &arms).args(["--jobs", "2"]));
    assert!(said.contains("2 items were asked side by side"), "{said}");
    let without_jobs = |name: &str| {
        let mut summary = timeless(&at(name));
        // Two engines share the processor's cores.
        for of_jobs in ["jobs", "threads"] {
            summary["run"].as_object_mut().unwrap().remove(of_jobs);
        }
        summary["notes"]
            .as_array_mut()
            .unwrap()
            .retain(|note| !note.as_str().unwrap().contains("--jobs"));
        round(&mut summary);
        summary
    };
    assert_eq!(without_jobs("two"), without_jobs("one"));
}

/// Rounds every number to nine digits. Items that end in another order are added in another order, and sums of some tens
/// of numbers then differ in their last places.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(x) = number.as_f64() {
                *value = Value::from(format!("{x:.8e}"));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(fields) => fields.values_mut().for_each(round),
        _ => {}
    }
}

#[test]
fn one_check_point_and_two_are_compared_in_one_run() {
    if !library_or_skip("one_check_point_and_two_are_compared_in_one_run") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let lists = ["--check-at", "32", "--check-at", "16,32", "--keep", "2"];
    let options = [
        "--limit",
        "1",
        "--paths",
        "8",
        "--arms",
        "full,stop,stop-twice",
    ];
    succeeds(
        curt(&[
            "ablate",
            "--workload",
            "models/workloads/reasoner",
            "--package",
            "models/packages/reasoner",
        ])
        .args(lists)
        .args(options)
        .arg("--out")
        .arg(dir.path()),
    );
    let arms = timeless(dir.path())["run"]["arms"].clone();
    let checks = |place: usize| {
        let checks = arms[place]["checks"].as_array().unwrap().iter();
        checks
            .map(|c| (c["at"].as_u64().unwrap(), c["keep"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (checks(1), checks(2)),
        (vec![(32, 2)], vec![(16, 4), (32, 2)])
    );
    let help = succeeds(&mut curt(&["ablate", "--help"]));
    for named in [
        "[[arm]]",
        "signal = \"head:stop\"",
        "--check-at 36 --check-at 16,36",
        "OPENAI_API_KEY",
    ] {
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(named), "{named:?} in {help}");
    }
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

#[test]
fn shards_are_merged_and_packed() {
    if !library_or_skip("shards_are_merged_and_packed") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let arms = ["--limit", "5", "--arms", "full,confidence"];
    succeeds(&mut ablate(&at("one"), &arms));
    for shard in ["1", "2"] {
        succeeds(ablate(&at(shard), &arms).args(["--shard", &format!("{shard}/2")]));
    }
    succeeds(
        curt(&["ablate", "merge", "--without-paths", "--out"])
            .arg(at("merged"))
            .arg(at("2"))
            .arg(at("1")),
    );
    assert_eq!(figures(&at("merged")), figures(&at("one")));
    let again = curt(&["ablate", "merge", "--out"])
        .arg(at("merged"))
        .args([at("1"), at("2")])
        .output()
        .unwrap();
    refused(&again, "of an earlier run: choose another --out");
    // Read and written again, a number is what it was to the last digit.
    succeeds(
        curt(&["ablate", "merge", "--out"])
            .arg(at("whole"))
            .arg(at("1"))
            .arg(at("2")),
    );
    let results = |name: &str| -> BTreeSet<String> {
        let records = fs::read_to_string(at(name).join("records.jsonl")).unwrap();
        let marks = ["{\"kind\":\"sample\"", "{\"kind\":\"result\""];
        let results = records
            .lines()
            .filter(|line| marks.iter().any(|m| line.starts_with(m)));
        results.map(str::to_owned).collect()
    };
    let drawn: BTreeSet<String> = results("1").union(&results("2")).cloned().collect();
    assert_eq!(drawn.len(), 5 + 10);
    assert_eq!(results("whole"), drawn);
    let readme = succeeds(
        curt(&["ablate", "report", "--format", "readme"])
            .arg(at("merged").join("records.jsonl.gz")),
    );
    assert!(readme.starts_with("| arm | accuracy, %"), "{readme}");
    let alone = curt(&["ablate", "merge", "--out"])
        .arg(at("none"))
        .arg(at("1"))
        .output()
        .unwrap();
    refused(&alone, "missing of 2: 2");
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    for (options, said) in [
        (&["--arms", "magic"][..], "got \"magic\""),
        (&["--arms", "server"], "server needs --server"),
        (&["--keep", "9"], "1 to 4, the paths of the arm, got 9"),
        (&["--limit", "0"], "at least one item"),
        (&["--repeat", "0"], "--repeat: expected 1 to"),
        (&["--shard", "3/2"], "expected I/N"),
        (
            &["--shard", "1/18446744073709551615"],
            "--shard: expected 1 to 65536",
        ),
        (
            &["--jobs", "2", "--latency-budget-ms", "5"],
            "--latency-budget-ms: expected --jobs 1",
        ),
        (&["--check-at", "36"], "--check-at: expected one list"),
        (&["--check-at", "x"], "expected tokens"),
        (
            &[
                "--server",
                "http://127.0.0.1:1/v1",
                "--server-key-env",
                "CURT_NO_SUCH_VARIABLE",
            ],
            "the key in CURT_NO_SUCH_VARIABLE: expected an environment variable",
        ),
        (
            &["--max-accuracy-drop", "0"],
            "--max-accuracy-drop: expected points above 0",
        ),
        (
            &["--latency-budget-ms", "0"],
            "--latency-budget-ms: expected milliseconds above 0",
        ),
        (&["--server", "https://example.org"], "begins with http://"),
        (&["--baseline", "nobody"], "--baseline: expected one of"),
        (&["--head", "nobody"], "--head"),
    ] {
        refused(&ablate(&out, options).output().unwrap(), said);
    }
    assert!(!out.join("records.jsonl").exists());
    let empty = dir.path().join("empty.jsonl");
    fs::write(&empty, "").unwrap();
    let output = curt(&[
        "ablate",
        "--prompt",
        "models/packages/reasoner/prompt.toml",
        "--workload",
    ])
    .arg(&empty)
    .output()
    .unwrap();
    refused(&output, "empty");
}
