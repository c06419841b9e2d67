//! What is refused before anything is asked.

use std::fs;

use super::{ablate, refused};
use crate::support::curt;

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
