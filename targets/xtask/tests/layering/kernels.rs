//! Rule 1: `kernels` depends on `half` alone, and never allocates, spawns, logs, does I/O or reads a clock. The compiler
//! holds it to that, since the crate has no standard library and no allocator. What is left to look at here: that it
//! stays so, and that the standard library is asked for the processor's instruction sets and for nothing else.

use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;

use crate::{assert_none, code, line_of, root, rust_files};

/// The standard library or an allocator, but for the detection of instruction sets.
static FORBIDDEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"\bstd::(?:arch::is_\w+_feature_detected!)?|\bextern crate \w+|\balloc::|\b_rdtsc\b",
    )
    .unwrap()
});

fn violations(file: &str, text: &str) -> Vec<String> {
    let code = code(text);
    FORBIDDEN
        .find_iter(&code)
        .filter(|found| !found.as_str().ends_with('!') && found.as_str() != "extern crate std")
        .map(|found| {
            let line = line_of(&code, found.start());
            format!("{file}:{line}: `{}` is not for kernels", found.as_str())
        })
        .collect()
}

/// `tree` is what `cargo tree --depth 1 --prefix none` prints: the crate, then each direct dependency.
fn dependency_violations(tree: &str) -> Vec<String> {
    let names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if names.first() != Some(&"curt-kernels") {
        return vec![format!(
            "cargo tree did not start with curt-kernels: {tree:?}"
        )];
    }
    names[1..]
        .iter()
        .filter(|name| **name != "half")
        .map(|name| format!("depends on `{name}`"))
        .collect()
}

#[test]
fn the_crate_depends_on_half_alone() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "curt-kernels"])
        .args(["--edges", "normal,build", "--target", "all"])
        .args(["--depth", "1", "--prefix", "none"])
        .current_dir(root())
        .output()
        .expect("cargo runs, it runs this test");
    assert!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8_lossy(&output.stdout);
    assert_none(
        "curt-kernels depends on half alone",
        &dependency_violations(&tree),
    );
}

#[test]
fn it_has_no_standard_library() {
    let files = rust_files(&root().join("kernels/src"));
    let root = files.iter().find(|(path, _)| path.ends_with("src/lib.rs"));
    let (_, root) = root.expect("kernels/src/lib.rs is there");
    assert!(
        root.lines().any(|line| line == "#![no_std]"),
        "kernels/src/lib.rs: expected `#![no_std]`, whatever the features"
    );
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| violations(&path.display().to_string(), text))
        .collect();
    assert_none("kernels does arithmetic and nothing else", &found);
}

#[test]
fn what_reaches_past_it_is_found() {
    for bad in [
        "use std::vec::Vec;",
        "std::thread::spawn(f);",
        "extern crate alloc;",
        "alloc::vec![1]",
    ] {
        assert_eq!(violations("bad.rs", bad).len(), 1, "{bad}");
    }
    let good = "//! std::vec\nextern crate std;\nstd::arch::is_x86_feature_detected!(\"avx2\")\n\
                #[cfg(test)]\nmod tests {\n    use std::vec::Vec;\n}\n";
    assert_eq!(violations("good.rs", good), [""; 0]);
    assert_eq!(
        dependency_violations("curt-kernels v0.1.0\nhalf v2\n"),
        [""; 0]
    );
    assert_eq!(
        dependency_violations("curt-kernels v0.1.0\nhalf v2\nrayon v1\n"),
        ["depends on `rayon`"]
    );
    assert_eq!(dependency_violations("").len(), 1);
}
