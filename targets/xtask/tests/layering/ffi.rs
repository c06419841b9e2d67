//! Rule: `targets/ffi` converts, calls the engine and converts back; no panic crosses it. So every function that C sees is a
//! call of the boundary, and nothing beneath the engine is named.

use std::sync::LazyLock;

use regex::Regex;

use crate::{assert_none, code, line_of, root, rust_files};

/// A function that C sees, and its body.
static FUNCTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?ms)^pub (?:unsafe )?extern "C" fn (\w+)\(.*?\{\n(.*?)^\}"#).unwrap()
});

/// A body that is one call of the boundary.
static GUARDED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)\A\s*(?:call|quietly)\(\|\|.*\)\n\z").unwrap());

/// Functions that give a number, which nothing can go wrong with.
const PLAIN: [&str; 2] = ["curt_abi_version", "curt_error_status"];

/// What lies beneath the engine.
static BENEATH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"\bcurt::(?:generate|paths|head|reading|package|metrics)\b|\bcurt_(?:kernels|session)\b",
    )
    .unwrap()
});

fn violations(file: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let unguarded = FUNCTION.captures_iter(&code).filter_map(|function| {
        let name = &function[1];
        let fine = GUARDED.is_match(&function[2]) || PLAIN.contains(&name);
        let line = line_of(&code, function.get(1).unwrap().start());
        (!fine).then(|| format!("{file}:{line}: {name} is not one call of the boundary"))
    });
    let beneath = BENEATH.find_iter(&code).map(|name| {
        let line = line_of(&code, name.start());
        format!("{file}:{line}: names {}", name.as_str())
    });
    unguarded.chain(beneath).collect()
}

#[test]
fn the_c_interface_converts_calls_and_converts() {
    let files = rust_files(&root().join("targets/ffi/src"));
    let functions: usize = files
        .iter()
        .map(|(_, text)| FUNCTION.find_iter(&code(text)).count())
        .sum();
    assert!(functions > 20, "{functions} functions of C were found");
    let exported: usize = files
        .iter()
        .map(|(_, text)| code(text).matches("no_mangle").count())
        .sum();
    assert_eq!(exported, functions, "every function of C is looked at");
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| violations(&path.display().to_string(), text))
        .collect();
    assert_none(
        "targets/ffi holds no logic, and no panic crosses it",
        &found,
    );
}

#[test]
fn unguarded_functions_and_what_lies_beneath_are_found() {
    let unguarded =
        "pub extern \"C\" fn curt_go(a: u64) -> u32 {\n    let b = a;\n    call(|| Ok(b))\n}\n";
    assert_eq!(violations("bad.rs", unguarded).len(), 1);
    assert_eq!(violations("bad.rs", "use curt::paths::launch;\n").len(), 1);
    let guarded = "pub unsafe extern \"C\" fn curt_go(\n    a: u64,\n) -> u32 {\n    // SAFETY: so.\n    call(|| unsafe {\n        Ok(())\n    })\n}\n";
    assert_eq!(violations("good.rs", guarded), [""; 0]);
}
