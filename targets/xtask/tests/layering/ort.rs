//! Rule 2: `curt-session` alone depends on the crate `ort`. The compiler then keeps it out of every other crate.

use crate::{assert_none, files, root};

/// The crate. Composed below, so that this file does not name it either.
const CRATE: &str = "ort";
/// The manifest of the one crate that may.
const SESSION: &str = "runtime/session/Cargo.toml";

/// Whether a manifest depends on the crate.
fn manifest_names_crate(text: &str) -> bool {
    text.lines().any(|line| {
        let key = line.trim().trim_start_matches('[').trim_end_matches(']');
        let key = key
            .rsplit_once("dependencies.")
            .map_or(key, |(_, name)| name);
        let name: String = key
            .chars()
            .take_while(|c| c.is_alphanumeric() || "-_".contains(*c))
            .collect();
        (name == CRATE || name == "ort-sys") && (line.trim().starts_with('[') || line.contains('='))
    })
}

#[test]
fn only_the_session_crate_depends_on_it() {
    let root = root();
    let allowed = [root.join("Cargo.toml"), root.join(SESSION)];
    let manifests = files(&root, |path| {
        path.file_name().is_some_and(|name| name == "Cargo.toml")
    });
    let found: Vec<String> = manifests
        .iter()
        .filter(|(path, text)| !allowed.contains(path) && manifest_names_crate(text))
        .map(|(path, _)| format!("{} depends on `{CRATE}`", path.display()))
        .collect();
    assert_none(&format!("only {SESSION} depends on `{CRATE}`"), &found);
}

#[test]
fn a_manifest_that_depends_on_it_is_found() {
    for bad in [
        "@ = \"2\"",
        "@.workspace = true",
        "[dependencies.@]",
        "ort-sys = \"2\"",
    ] {
        assert!(manifest_names_crate(&bad.replace('@', CRATE)), "{bad}");
    }
    for good in ["sort = \"1\"", "# @ = 1", "portable = [\"@\"]"] {
        assert!(!manifest_names_crate(&good.replace('@', CRATE)), "{good}");
    }
}
