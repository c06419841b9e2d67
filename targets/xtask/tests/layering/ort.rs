//! Rule 2: the crate `ort` is named only under `runtime/src/session/`, and there in no public signature.

use std::path::Path;

use crate::source::{Keep, blank, identifiers, item_end, line_of, without_tests};
use crate::{assert_none, files, root, rust_files};

/// The crate that only one folder may name. Composed, here and below, so that this file does not name it either.
const CRATE: &str = "ort";
const SESSION: &str = "runtime/src/session";

/// Where `code` names the crate: in a path, or in an import.
fn mentions(code: &str) -> Vec<usize> {
    let crates = identifiers(code).filter(|(_, word)| *word == CRATE || *word == "ort_sys");
    let named = crates.filter(|(at, word)| {
        let before = code[..*at].trim_end();
        // `crate::ort` is a module of ours, `self.ort` a field.
        let (before, within) = match before.strip_suffix("::") {
            Some(parent) => (
                parent,
                parent.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>'),
            ),
            None => (before, before.ends_with('.')),
        };
        let imported = before.trim_end().ends_with("use") || before.ends_with("extern crate");
        let path = code[at + word.len()..].trim_start().starts_with("::");
        !within && (path || imported)
    });
    named.map(|(at, _)| at).collect()
}

fn violations_outside(file: &str, text: &str) -> Vec<String> {
    let code = blank(text, Keep::Code);
    mentions(&code)
        .into_iter()
        .map(|at| {
            format!(
                "{file}:{}: names `{CRATE}`; only {SESSION} may",
                line_of(&code, at)
            )
        })
        .collect()
}

/// What is wrong with the public items of a file of the session module.
fn public_violations(file: &str, text: &str) -> Vec<String> {
    let code = without_tests(&blank(text, Keep::Code));
    let imported = imported_names(&code);
    let words: Vec<(usize, &str)> = identifiers(&code).collect();
    let mut found = Vec::new();
    for (index, &(at, word)) in words.iter().enumerate() {
        let after = &code[at + word.len()..];
        let signature = match word {
            // `pub(crate)` and narrower are not public.
            "pub"
                if !after.trim_start().starts_with('(')
                    || after.trim_start().starts_with("(in ") =>
            {
                public_signature(after, words.get(index + 1).map(|(_, next)| *next))
            }
            // A conversion from one of its types is public wherever it stands.
            "impl" => Some(after[..after.find(['{', ';']).unwrap_or(after.len())].to_owned())
                .filter(|s| s.contains(" for ")),
            _ => None,
        };
        let Some(signature) = signature else { continue };
        let leaked =
            identifiers(&signature).find(|(_, name)| imported.iter().any(|import| import == name));
        let leak = leaked
            .map(|(_, name)| name.to_owned())
            .or_else(|| (!mentions(&signature).is_empty()).then(|| CRATE.into()));
        if let Some(name) = leak {
            found.push(format!(
                "{file}:{}: a public signature names `{name}`",
                line_of(&code, at)
            ));
        }
    }
    found
}

/// The part of a public item that others see. `after` follows `pub`, `keyword` is the next word.
fn public_signature(after: &str, keyword: Option<&str>) -> Option<String> {
    let end = match keyword? {
        "enum" | "trait" | "use" | "type" | "const" | "static" => item_end(after),
        // The body of a function is its own; the fields of a structure have their own `pub`.
        "fn" | "async" | "unsafe" | "extern" => after.find(['{', ';']).unwrap_or(after.len()),
        "struct" | "union" => after.find(['{', ';', '(']).unwrap_or(after.len()),
        "mod" => return None,
        // A field.
        _ => after.find('\n').unwrap_or(after.len()),
    };
    Some(after[..end].to_owned())
}

/// Names that the file imports from the crate: `{session::Session, Error as OrtError}` gives `Session` and
/// `OrtError`.
fn imported_names(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for at in mentions(code) {
        let before = code[..at].trim_end();
        if !before.trim_end_matches("::").trim_end().ends_with("use") {
            continue;
        }
        let import = &code[at..at + code[at..].find(';').unwrap_or(code.len() - at)];
        for entry in import
            .split([',', '{', '}'])
            .filter(|entry| !entry.trim_end().ends_with("::"))
        {
            let name = identifiers(entry).last().map(|(_, name)| name);
            names.extend(
                name.filter(|name| ![CRATE, "self", "_"].contains(name))
                    .map(str::to_owned),
            );
        }
    }
    names
}

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
fn only_the_session_names_it() {
    let root = root();
    let session = root.join(SESSION);
    let found: Vec<String> = rust_files(&root)
        .iter()
        .filter(|(path, _)| !path.starts_with(&session))
        .flat_map(|(path, text)| violations_outside(&path.display().to_string(), text))
        .collect();
    assert_none(&format!("`{CRATE}` appears only under {SESSION}"), &found);
}

#[test]
fn only_the_runtime_depends_on_it() {
    let root = root();
    let allowed = [root.join("Cargo.toml"), root.join("runtime/Cargo.toml")];
    let manifests = files(&root, |path| {
        path.file_name().is_some_and(|name| name == "Cargo.toml")
    });
    let found: Vec<String> = manifests
        .iter()
        .filter(|(path, text)| !allowed.contains(path) && manifest_names_crate(text))
        .map(|(path, _)| format!("{} depends on `{CRATE}`", path.display()))
        .collect();
    assert_none(&format!("only the runtime depends on `{CRATE}`"), &found);
}

#[test]
fn no_public_signature_names_it() {
    let session = root().join(SESSION);
    let found: Vec<String> = rust_files(Path::new(&session))
        .iter()
        .flat_map(|(path, text)| public_violations(&path.display().to_string(), text))
        .collect();
    assert_none(&format!("`{CRATE}` is in no public signature"), &found);
}

#[test]
fn a_path_or_an_import_is_found() {
    for bad in [
        "use @::session::Session;",
        "let s: @::Session;",
        "use ::@::Error;",
        "extern crate @;",
        "use @;",
    ] {
        let text = bad.replace('@', CRATE);
        assert_eq!(violations_outside("bad.rs", &text).len(), 1, "{text}");
    }
    for good in [
        "// @::Session",
        "let a = \"@::x\";",
        "sort::by();",
        "self.@ = 1;",
        "crate::@::x();",
        "fn @() {}",
    ] {
        let text = good.replace('@', CRATE);
        assert_eq!(violations_outside("good.rs", &text), [""; 0], "{text}");
    }
}

#[test]
fn leaks_of_every_shape_are_found() {
    let import = "use @::{session::Session, Error as OrtError, value::{Tensor, self}};\n";
    for bad in [
        "pub fn session(&self) -> &@::session::Session {",
        "pub fn session(&self) -> &Session { }",
        "pub fn open(p: &Path) -> Result<Self, OrtError> {",
        "pub struct Open { pub session: Session,\n}",
        "pub struct Open(pub Tensor);\n",
        "pub enum Error { Run(@::Error) }",
        "pub type Run = Result<(), OrtError>;",
        "pub use @::Error;",
        "impl From<OrtError> for Error { }",
        "pub trait Runs { fn run(&self) -> Tensor; }",
    ] {
        let text = format!("{import}{bad}").replace('@', CRATE);
        assert_eq!(public_violations("bad.rs", &text).len(), 1, "{text}");
    }
    for good in [
        "pub fn session(&self) -> usize { let s: Session = @::x(); }",
        "pub(crate) fn session(&self) -> &Session {",
        "pub struct Open { session: Session }",
        "enum Error { Run(@::Error) }",
        "impl Open { fn session(&self) -> &Session {} }",
        "#[cfg(test)]\nmod tests { pub fn session() -> Session {} }",
    ] {
        let text = format!("{import}{good}").replace('@', CRATE);
        assert_eq!(public_violations("good.rs", &text), [""; 0], "{text}");
    }
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
