//! `curt ablate` as a person and a batch system meet it: killed, resumed, sharded, and given what is no workload.

mod agree;
mod broken_off;
mod refuse;
mod report;
mod server;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{curt, text};

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

/// Every file in `dir`, with its bytes.
fn files(dir: &Path) -> BTreeMap<OsString, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
        .collect()
}
