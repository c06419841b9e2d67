//! `curt ablate` as a person and a batch system meet it: killed, resumed, sharded, and given what is no workload.

mod support;

use std::fs;
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

/// The summary in `dir` without what a clock, a memory or the way of measuring says.
fn figures(dir: &Path) -> Value {
    let mut summary: Value =
        serde_json::from_slice(&fs::read(dir.join("summary.json")).unwrap()).unwrap();
    let top = summary.as_object_mut().unwrap();
    for timed in ["cold_start", "latency_model", "dates", "signals"] {
        top.remove(timed);
    }
    top["run"].as_object_mut().unwrap().remove("measure");
    // A run that samples nothing has no signals to be judged, and no note that they cannot be.
    top.remove("notes");
    top.remove("tokens_exact");
    for arm in top["arms"].as_array_mut().unwrap() {
        for timed in ["latency", "peak_resident_bytes", "energy"] {
            arm.as_object_mut().unwrap().remove(timed);
        }
    }
    summary
}

#[test]
fn killed_at_many_points_and_resumed_it_says_what_the_uninterrupted_run_says() {
    if !library_or_skip("killed_at_many_points_and_resumed_it_says_what_the_uninterrupted_run_says")
    {
        return;
    }
    let whole = tempfile::tempdir().unwrap();
    let limit = ["--limit", "12"];
    succeeds(&mut ablate(whole.path(), &limit));
    let killed = tempfile::tempdir().unwrap();
    let mut kills = 0;
    // Each life is a little longer than the last, so that the run ends on any machine.
    for life in 1.. {
        let mut child = ablate(killed.path(), &limit)
            .arg("--resume")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 * life));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(
        kills >= 3,
        "killed {kills} times only: the run is over too soon to test anything"
    );
    assert_eq!(figures(killed.path()), figures(whole.path()));
    let lines = fs::read_to_string(killed.path().join("records.jsonl")).unwrap();
    let results = |dir: &str| {
        dir.lines()
            .filter(|line| line.contains("\"kind\":\"result\""))
            .count()
    };
    assert_eq!(
        results(&lines),
        results(&fs::read_to_string(whole.path().join("records.jsonl")).unwrap())
    );

    let other = ablate(killed.path(), &["--limit", "12", "--resume", "--seed", "1"])
        .output()
        .unwrap();
    refused(&other, "seed: was 0, is 1");
    refused(
        &ablate(killed.path(), &limit).output().unwrap(),
        "--resume goes on with it",
    );
    // The report is made of the records alone.
    let before = fs::read(killed.path().join("summary.json")).unwrap();
    fs::remove_file(killed.path().join("summary.json")).unwrap();
    succeeds(curt(&["ablate", "report"]).arg(killed.path()));
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
        "greedy,full,random,confidence,early-vote,short-m",
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
    let right = |arm: &Value| arm["accuracy"]["mean"].as_f64().unwrap() > 0.0;
    assert!(
        exact["arms"].as_array().unwrap().iter().any(right),
        "nobody is right: nothing was compared"
    );
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
        (&["--repeat", "0"], "--repeat: expected at least 1"),
        (&["--shard", "3/2"], "expected I/N"),
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
