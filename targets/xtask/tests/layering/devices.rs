//! Rule 3: `runtime` names no model or maker of devices. Policy arrives as options; profiles live in `targets/`. An
//! operating system may be named, where a system call differs.

use std::sync::LazyLock;

use regex::Regex;

use crate::{assert_none, code, line_of, root, rust_files};

/// A model or a maker as a word: in `JetsonOrin`, `jetson_orin` and `"orin"`, not in `Scenarios` or `as_nanos`.
static DEVICE: LazyLock<Regex> = LazyLock::new(|| {
    let names = "iphone|ipad|pixel[0-9]|jetson|orin|xavier|nano|tegra|raspberry|rpi|snapdragon|hexagon|\
                 nvidia|qualcomm|samsung|mediatek|rockchip";
    let capital = names
        .split('|')
        .map(|name| format!("{}{}", name[..1].to_uppercase(), &name[1..]))
        .collect::<Vec<_>>()
        .join("|");
    Regex::new(&format!(
        "(?:^|[^a-zA-Z])(?:{names})(?:$|[^a-z])|(?:{capital})(?:$|[^a-z])"
    ))
    .unwrap()
});

fn violations(file: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let found = DEVICE.find_iter(&code);
    found
        .map(|name| {
            let line = line_of(&code, name.start() + 1);
            format!("{file}:{line}: names a device: {:?}", name.as_str())
        })
        .collect()
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
fn models_and_makers_are_found_and_systems_are_not() {
    for bad in [
        "struct JetsonNano;",
        "if name == \"orin\" {",
        "fn is_iphone() {}",
        "const MAKER: &str = \"nvidia\";",
    ] {
        assert_eq!(violations("bad.rs", bad).len(), 1, "{bad}");
    }
    for good in [
        "// as on a Jetson",
        "#[cfg(target_os = \"android\")]",
        "let ratios = [0.5];",
        "let nanos = since.as_nanos();",
        "Scenarios::new()",
    ] {
        assert_eq!(violations("good.rs", good), [""; 0], "{good}");
    }
}
