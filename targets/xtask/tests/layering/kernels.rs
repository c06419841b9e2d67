//! Rule 1: `kernels` depends on `half` alone, and never allocates, spawns, logs, does I/O or reads a clock.

use std::process::Command;

use crate::source::{Keep, blank, identifiers, line_of, without_tests};
use crate::{assert_none, root, rust_files};

/// Words that the crate's own code has no use for, and what each would be doing there.
const FORBIDDEN: [(&str, &[&str]); 6] = [
    (
        "allocates",
        &[
            "Vec",
            "vec",
            "Box",
            "String",
            "format",
            "to_vec",
            "to_owned",
            "to_string",
            "collect",
            "Rc",
            "Arc",
            "Cow",
            "HashMap",
            "HashSet",
            "BTreeMap",
            "VecDeque",
            "alloc",
        ],
    ),
    (
        "uses threads",
        &[
            "thread", "spawn", "Mutex", "RwLock", "Condvar", "mpsc", "rayon",
        ],
    ),
    ("does I/O", &["fs", "File", "net", "io", "env"]),
    ("prints", &["println", "print", "eprintln", "eprint", "dbg"]),
    (
        "logs",
        &["log", "tracing", "trace", "debug", "info", "warn", "error"],
    ),
    ("reads a clock", &["Instant", "SystemTime", "_rdtsc"]),
];

/// Words of the list that are followed by `!` where they mean it, and are good names otherwise.
const MACROS: [&str; 12] = [
    "vec", "format", "println", "print", "eprintln", "eprint", "dbg", "trace", "debug", "info",
    "warn", "error",
];

/// Words of the list that are paths where they mean it (`std::env`, `log::info`), and are good names otherwise.
const MODULES: [&str; 7] = ["fs", "net", "io", "env", "log", "thread", "alloc"];

fn violations(file: &str, text: &str) -> Vec<String> {
    let code = without_tests(&blank(text, Keep::Code));
    let mut found = Vec::new();
    for (at, word) in identifiers(&code) {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        if MACROS.contains(&word) && !after.starts_with('!') {
            continue;
        }
        let in_path = after.starts_with("::")
            || ["std::", "core::", "crate "]
                .iter()
                .any(|p| before.ends_with(p));
        if MODULES.contains(&word) && !in_path {
            continue;
        }
        for (what, words) in FORBIDDEN {
            if words.contains(&word) {
                found.push(format!("{file}:{}: `{word}` {what}", line_of(&code, at)));
            }
        }
    }
    found
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
        .args([
            "tree",
            "--package",
            "curt-kernels",
            "--edges",
            "normal,build",
            "--target",
            "all",
        ])
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
fn the_source_keeps_to_arithmetic() {
    let files = rust_files(&root().join("kernels/src"));
    assert!(!files.is_empty(), "kernels/src holds no Rust");
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| violations(&path.display().to_string(), text))
        .collect();
    assert_none(
        "kernels never allocates, spawns, logs, does I/O or reads a clock",
        &found,
    );
}

#[test]
fn each_kind_of_word_is_found() {
    let bad = "use std::thread;\nfn a() -> Vec<f32> { x.iter().collect() }\nlet b = format!(\"{}\", 1);\n\
               log::info!(\"x\");\nlet t = std::time::Instant::now();\nstd::fs::read(p);\nextern crate alloc;\n";
    let found = violations("bad.rs", bad);
    for expected in [
        "1: `thread`",
        "2: `Vec`",
        "2: `collect`",
        "3: `format`",
        "4: `log`",
        "4: `info`",
        "5: `Instant`",
    ]
    .iter()
    .chain(&["6: `fs`", "7: `alloc`"])
    {
        assert!(
            found.iter().any(|v| v.contains(expected)),
            "{expected} not in {found:?}"
        );
    }
}

#[test]
fn honest_code_passes() {
    let good = "//! Vec and println!\n/// A `Box`.\nfn log(error: f32) -> f32 { let info = \"String\"; error.ln() }\n\
                impl core::fmt::Display for E { fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result { write!(f, \"x\") } }\n\
                #[cfg(test)]\nmod tests { fn a() { let v = vec![1]; println!(\"{v:?}\"); } }\n";
    assert_eq!(violations("good.rs", good), [""; 0]);
}

#[test]
fn another_dependency_is_found() {
    assert_eq!(
        dependency_violations("curt-kernels v0.1.0 (/x)\nhalf v2.4.1\n"),
        [""; 0]
    );
    assert_eq!(dependency_violations("curt-kernels v0.1.0 (/x)\n"), [""; 0]);
    assert_eq!(
        dependency_violations("curt-kernels v0.1.0\nhalf v2\nrayon v1\n"),
        ["depends on `rayon`"]
    );
    assert_eq!(dependency_violations("").len(), 1);
}
