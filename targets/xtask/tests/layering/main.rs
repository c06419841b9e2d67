//! The arrows and rules of the house (README, *Invariants*) that neither the compiler nor a lint can hold: they are read
//! from the source text, which is formatted. Each rule is a function from text to violations, so that a test can also show
//! it a text that breaks it.

mod arrows;
mod devices;
mod ffi;
mod kernels;
mod ort;
mod readme;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the checkout is two folders up")
}

/// Every file under `dir` that `wanted` accepts, sorted, with its text. Build output and hidden folders are left out.
fn files(dir: &Path, wanted: impl Fn(&Path) -> bool + Copy) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let entries =
        fs::read_dir(dir).unwrap_or_else(|error| panic!("cannot list {}: {error}", dir.display()));
    for entry in entries {
        let path = entry.expect("a folder can be listed to its end").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_symlink() || name.starts_with('.') || name == "node_modules" || name == "build" {
            continue;
        }
        if path.is_dir() {
            // A folder with cargo's tag is build output, whatever it is called.
            if !path.join("CACHEDIR.TAG").exists() {
                found.extend(files(&path, wanted));
            }
        } else if wanted(&path) {
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path, text));
        }
    }
    found.sort();
    found
}

/// Every Rust file under `dir`.
fn rust_files(dir: &Path) -> Vec<(PathBuf, String)> {
    files(dir, |path| {
        path.extension().is_some_and(|extension| extension == "rs")
    })
}

static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)//.*$").unwrap());
/// Items of tests, as rustfmt lays them out: up to the brace that closes in the first column.
static TESTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?ms)^#\[cfg\((?:test|all\(test\b[^\n]*)\)\]\n(?:[^\n{;]*;|[^\n]*?\{.*?^\})")
        .unwrap()
});

/// `text` without comments and without what only tests compile. Lines keep their numbers.
fn code(text: &str) -> String {
    let text = COMMENT.replace_all(text, "");
    let lines = |gone: &Captures<'_>| "\n".repeat(gone[0].matches('\n').count());
    TESTS.replace_all(&text, lines).into_owned()
}

/// The number of the line that holds the byte `at`.
fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Fails with every violation, and the rule they break.
fn assert_none(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}:\n  {}",
        violations.join("\n  ")
    );
}
