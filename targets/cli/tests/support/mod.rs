//! The command under test, and what these tests ask of the machine.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `curt` with `args`, from the top of the checkout, with nothing on standard input.
pub fn curt(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curt"));
    command
        .args(args)
        .current_dir(checkout())
        .stdin(Stdio::null());
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Whether ONNX Runtime is here; notes `test` as skipped where it is not.
pub fn library_or_skip(test: &str) -> bool {
    let asked = curt(&["ask", "--quiet", "--max-tokens", "1", "x"])
        .output()
        .unwrap();
    let error = text(&asked.stderr);
    if !error.contains("no usable ONNX Runtime library") {
        return true;
    }
    skip(test, error.trim());
    false
}

/// Notes that `test` did not run: on standard error, and in the list that `cargo xtask test` prints at its end.
pub fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(log) = std::env::var_os("CURT_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .unwrap();
        writeln!(log, "{test}\t{why}").unwrap();
    }
}
