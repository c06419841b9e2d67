//! What these tests ask of the machine.

use std::io::Write;
use std::path::{Path, PathBuf};

use curt::session::LibraryOptions;

pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether ONNX Runtime is here; notes `test` as skipped where it is not.
pub fn library_or_skip(test: &str) -> bool {
    match curt::session::load_library(&LibraryOptions::default()) {
        Ok(()) => true,
        Err(error) => {
            skip(test, &error.to_string());
            false
        }
    }
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
