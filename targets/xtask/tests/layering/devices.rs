//! Rule 3: `runtime` names no device. Policy arrives as options; profiles live in `targets/`.

use crate::source::{Keep, blank, identifiers, line_of};
use crate::{assert_none, root, rust_files};

/// Devices, and the systems that stand for them.
const DEVICES: [&str; 14] = [
    "android",
    "ios",
    "iphone",
    "ipad",
    "pixel6",
    "jetson",
    "orin",
    "xavier",
    "nano",
    "tegra",
    "raspberry",
    "rpi",
    "snapdragon",
    "hexagon",
];

fn violations(file: &str, text: &str) -> Vec<String> {
    let code = blank(text, Keep::CodeAndLiterals);
    let mut found = Vec::new();
    for (at, identifier) in identifiers(&code) {
        if let Some(word) = words(identifier)
            .into_iter()
            .find(|word| DEVICES.contains(&word.as_str()))
        {
            found.push(format!(
                "{file}:{}: `{identifier}` names a device ({word})",
                line_of(&code, at)
            ));
        }
    }
    found
}

/// The words of an identifier, lower-case: `JetsonOrin_nano` is `jetson`, `orin`, `nano`.
fn words(identifier: &str) -> Vec<String> {
    let mut spaced = String::new();
    for c in identifier.chars() {
        if c.is_uppercase() && !spaced.ends_with(char::is_uppercase) {
            spaced.push(' ');
        }
        spaced.push(if c == '_' { ' ' } else { c });
    }
    spaced.split_whitespace().map(str::to_lowercase).collect()
}

#[test]
fn the_runtime_names_none() {
    let files = rust_files(&root().join("runtime/src"));
    assert!(!files.is_empty(), "runtime/src holds no Rust");
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| violations(&path.display().to_string(), text))
        .collect();
    assert_none("runtime names no device", &found);
}

#[test]
fn names_in_code_and_literals_are_found() {
    for bad in [
        "struct JetsonNano;",
        "if name == \"orin\" {",
        "#[cfg(target_os = \"android\")]",
        "fn is_ios() {}",
    ] {
        assert_eq!(violations("bad.rs", bad).len(), 1, "{bad}");
    }
    for good in [
        "// as on a Jetson",
        "let ratios = [0.5];",
        "fn pixels() {}",
        "let nanos = 3;",
        "Scenarios::new()",
    ] {
        assert_eq!(violations("good.rs", good), [""; 0], "{good}");
    }
}
