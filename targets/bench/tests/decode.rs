//! The decode benchmark: what it measures is right before it is timed.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn decode(more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curt-bench"));
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .args([
            "decode",
            "--batch",
            "1,4",
            "--prompt-tokens",
            "20",
            "--new-tokens",
            "8",
            "--json",
        ])
        .args(more);
    command
}

/// Whether ONNX Runtime is here; notes `test` as skipped where it is not.
fn library_or_skip(test: &str) -> bool {
    let Err(error) = curt_command::locate::load_library() else {
        return true;
    };
    eprintln!("skipped: {test}: {error}");
    if let Some(log) = std::env::var_os("CURT_SKIP_LOG") {
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log);
        writeln!(log.unwrap(), "{test}\t{error}").unwrap();
    }
    false
}

#[test]
fn the_benchmark_checks_before_it_times() {
    if !library_or_skip("the_benchmark_checks_before_it_times") {
        return;
    }
    let output = decode(&[]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let batches: Vec<_> = lines
        .iter()
        .map(|line| line["batch"].as_u64().unwrap())
        .collect();
    assert_eq!(batches, [1, 4]);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[0, 0, 0, 0, 0]").unwrap();
    let refused = decode(&["--expect", file.path().to_str().unwrap()])
        .output()
        .unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(refused.stdout.is_empty(), "something was timed");
    assert!(
        error.contains("nothing is timed") && error.contains("token 0"),
        "{error}"
    );
}
