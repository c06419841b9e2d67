//! `curt train-head` from collected paths to files.

use crate::support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use curt::head::HeadFile;
use serde_json::Value;
use support::{curt, library_or_skip, text};

const QUESTIONS: &str = "30";
const PATHS: &str = "6";
const CHECK_AT: &str = "32";

fn command(data: &Path, out: &Path, extra: &[&str]) -> Command {
    let (data, out) = (data.to_str().unwrap(), out.to_str().unwrap());
    let args = ["train-head", "--data", data, "--out", out, "--threads", "1"];
    curt(&[&args, extra].concat())
}

fn train_head(data: &Path, out: &Path, extra: &[&str]) -> Output {
    command(data, out, extra).output().unwrap()
}

fn refused(output: &Output, wanted: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    for part in wanted {
        assert!(error.contains(part), "expected {part:?} in {error:?}");
    }
}

/// Every file of `dir` by name.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn outputs_of_one_name_are_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let heads = dir.path().join("heads");
    let nowhere = dir.path().join("nowhere");
    let controls = ["--controls", heads.to_str().unwrap()];
    for name in ["text", "logprob", "kv-only"] {
        let out = heads.join(name).with_extension("safetensors");
        refused(&train_head(&nowhere, &out, &controls), &["twice", name]);
    }
    // The same folder, spelt otherwise.
    fs::create_dir(&heads).unwrap();
    let out = heads.join("../heads/./text.safetensors");
    refused(&train_head(&nowhere, &out, &controls), &["twice"]);
    let out = heads.join("kv.safetensors");
    refused(&train_head(&nowhere, &out, &controls), &["collect.toml"]);
    assert!(files(&heads).is_empty());
}

#[test]
fn the_same_paths_give_the_same_heads_and_what_cannot_be_trained_on_is_refused() {
    let name = "the_same_paths_give_the_same_heads_and_what_cannot_be_trained_on_is_refused";
    if !library_or_skip(name) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let collected = curt(&[
        "collect",
        "--workload",
        "models/workloads/reasoner",
        "--out",
        data.to_str().unwrap(),
        "--paths",
        PATHS,
        "--limit",
        QUESTIONS,
    ])
    .output()
    .unwrap();
    assert!(collected.status.success(), "{}", text(&collected.stderr));

    // Both poolings are tried, as without options; only what takes long is left out. Each run rebuilds what it reads, and
    // they run at once: training takes one core.
    let quick = ["--check-at", CHECK_AT, "--layers", "0"];
    let again = dir.path().join("again");
    fs::create_dir(&again).unwrap();
    for file in ["collect.toml", "paths.jsonl"] {
        fs::copy(data.join(file), again.join(file)).unwrap();
    }
    let started = [("first", &data), ("second", &again)].map(|(run, data)| {
        let heads = dir.path().join(run);
        let controls = ["--controls", heads.to_str().unwrap()];
        let out = heads.join("kv.safetensors");
        let child = command(data, &out, &[&quick[..], &controls].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        (heads, child)
    });
    let runs = started.map(|(heads, child)| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("pooling: means"));
        files(&heads)
    });
    let [first, second] = &runs;
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "kv-only.safetensors",
            "kv.report.json",
            "kv.safetensors",
            "logprob-text.safetensors",
            "logprob.safetensors",
            "text.safetensors",
        ]
    );
    for (name, bytes) in first {
        assert!(second[name] == *bytes, "{name} differs");
    }
    for name in names.iter().filter(|n| n.ends_with(".safetensors")) {
        let head = HeadFile::read(&dir.path().join("first").join(name)).unwrap();
        let header = head.header;
        assert_eq!(format!("{}.safetensors", header.name), *name);
        assert_eq!(header.check_at_tokens, [32]);
        assert_eq!(header.kv.is_some(), name.starts_with("kv"));
        assert_eq!(header.text.is_some(), name.contains("text"));
    }
    let report: Value = serde_json::from_slice(&first["kv.report.json"]).unwrap();
    let questions: u64 = report["questions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(questions.to_string(), QUESTIONS);
    assert!(report["pooling"]["attend"].as_f64().unwrap() > 0.0);

    let out = dir.path().join("refused.safetensors");
    refused(
        &train_head(&data, &out, &["--check-at", "300"]),
        &["still run at 300 tokens", "[0, 0, 0]", "--check-at"],
    );
    let settings = data.join("collect.toml");
    let recorded = fs::read_to_string(&settings).unwrap();
    fs::write(
        &settings,
        recorded.replace("part = \"train\"", "part = \"held_out\""),
    )
    .unwrap();
    refused(
        &train_head(&data, &out, &quick),
        &["part: expected train", "got held_out", "--part train"],
    );
    assert!(!out.exists());
}
