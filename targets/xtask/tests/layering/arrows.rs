//! Rule: module arrows inside a crate run one way, floor by floor. A floor is the modules that one module declares; an
//! arrow goes from one of them to another that its files name.
//!
//! Reads formatted source with regular expressions: paths that begin with `crate`, `super` or `self`, imports, and
//! re-exports, which are followed to where a thing is. Test modules may name whatever they like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::{assert_none, code, line_of, root, rust_files};

/// Folders of the crates.
const CRATES: [&str; 11] = [
    "kernels",
    "models/train",
    "models/workloads",
    "runtime",
    "runtime/session",
    "targets/ablate",
    "targets/cli",
    "targets/ffi",
    "targets/profiles",
    "targets/serve",
    "targets/xtask",
];

/// A module's place in its crate: `["paths", "vote"]`; the root is empty.
type Module = Vec<String>;

static IMPORT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);").unwrap());
static PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").unwrap());

/// A crate's source: what each of its modules names, and where.
#[derive(Default)]
struct Source {
    /// Each module's imports by the name they give it.
    imports: BTreeMap<Module, BTreeMap<String, Module>>,
    /// Module, line as `file:line`, path named, from the root.
    named: Vec<(Module, String, Module)>,
}

impl Source {
    /// `files`: path below `src`, text.
    fn read(files: &[(String, String)]) -> Self {
        let mut source = Self::default();
        let modules: Vec<Module> = files.iter().map(|(path, _)| module(path)).collect();
        for module in &modules {
            source.imports.entry(module.clone()).or_default();
        }
        for ((file, text), module) in files.iter().zip(&modules) {
            let text = code(text);
            for import in IMPORT.captures_iter(&text) {
                let whole = import.get(1).unwrap();
                for (path, name) in leaves(whole.as_str()) {
                    let Some(path) = source.absolute(&path, module) else {
                        continue;
                    };
                    source.named.push((
                        module.clone(),
                        format!("{file}:{}", line_of(&text, whole.start())),
                        path.clone(),
                    ));
                    source.imports.get_mut(module).unwrap().insert(name, path);
                }
            }
            let lines = |import: &Captures<'_>| "\n".repeat(import[0].matches('\n').count());
            let text = IMPORT.replace_all(&text, lines);
            for path in PATH.find_iter(&text) {
                let names: Vec<String> = path.as_str().split("::").map(str::to_owned).collect();
                if let Some(named) = source.absolute(&names, module) {
                    source.named.push((
                        module.clone(),
                        format!("{file}:{}", line_of(&text, path.start())),
                        named,
                    ));
                }
            }
        }
        source
    }

    /// `path` from the root, where it leads into this crate.
    fn absolute(&self, path: &[String], from: &Module) -> Option<Module> {
        let mut at = from.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
            }
            // A module that this one declares, or another crate.
            child => {
                at.push(child.to_owned());
                if !self.imports.contains_key(&at) {
                    return None;
                }
            }
        }
        rest = &rest[1..];
        while rest.first().is_some_and(|name| name == "super") {
            at.pop();
            rest = &rest[1..];
        }
        at.extend_from_slice(rest);
        Some(at)
    }

    /// The module in which what `path` names stands: re-exports are followed.
    fn home(&self, path: &[String]) -> Module {
        let mut path = path.to_vec();
        // No chain of re-exports is as long as this; a circle of them does not compile.
        for _ in 0..16 {
            let deepest = (0..=path.len())
                .rev()
                .find(|&n| self.imports.contains_key(&path[..n]));
            let Some(depth) = deepest else { break };
            let Some(name) = path.get(depth) else { break };
            let Some(target) = self.imports[&path[..depth]].get(name) else {
                path.truncate(depth);
                break;
            };
            let mut followed = target.clone();
            followed.extend_from_slice(&path[depth + 1..]);
            if followed == path {
                break;
            }
            path = followed;
        }
        path
    }

    /// Arrows between modules of one floor, each with the first line that draws it. The key is the floor's module.
    fn arrows(&self) -> BTreeMap<Module, BTreeMap<(String, String), String>> {
        let mut floors: BTreeMap<Module, BTreeMap<(String, String), String>> = BTreeMap::new();
        for (from, line, path) in &self.named {
            let to = self.home(path);
            let floor = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            let (Some(a), Some(b)) = (from.get(floor), to.get(floor)) else {
                continue;
            };
            if self.imports.contains_key(&to[..=floor]) {
                let arrows = floors.entry(from[..floor].to_vec()).or_default();
                let arrow = (a.clone(), b.clone());
                arrows
                    .entry(arrow)
                    .or_insert_with(|| format!("{line} names {}", path.join("::")));
            }
        }
        floors
    }

    /// Every circle, described by the arrows within it.
    fn circles(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (floor, arrows) in self.arrows() {
            let mut described = BTreeSet::new();
            for start in arrows.keys().map(|(from, _)| from) {
                let after = reached(start, &arrows);
                let circle: BTreeSet<&String> = after
                    .iter()
                    .filter(|m| reached(m, &arrows).contains(start))
                    .copied()
                    .collect();
                if circle.len() < 2 || !described.insert(circle.clone()) {
                    continue;
                }
                let within = arrows
                    .iter()
                    .filter(|((a, b), _)| circle.contains(a) && circle.contains(b))
                    .map(|((a, b), line)| format!("\n    {a} -> {b}: {line}"));
                let floor = if floor.is_empty() {
                    "the root".into()
                } else {
                    floor.join("::")
                };
                let names: Vec<&str> = circle.iter().map(|m| m.as_str()).collect();
                found.push(format!(
                    "in {floor}: {}{}",
                    names.join(", "),
                    within.collect::<String>()
                ));
            }
        }
        found
    }
}

/// The modules that arrows lead to from `start`.
fn reached<'a>(
    start: &str,
    arrows: &'a BTreeMap<(String, String), String>,
) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        for (_, to) in arrows.keys().filter(|(from, _)| from == module) {
            if found.insert(to) {
                next.push(to);
            }
        }
    }
    found
}

/// The module of a file below `src`.
fn module(path: &str) -> Module {
    let path = path.trim_end_matches(".rs");
    let parts = path
        .split('/')
        .filter(|part| !["lib", "main", "mod"].contains(part));
    parts.map(str::to_owned).collect()
}

/// What an import brings in: `a::{b::C, self as d}` gives `a::b::C` as `C`, and `a` as `d`.
fn leaves(import: &str) -> Vec<(Module, String)> {
    let import: String = import.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    expand(&import, &[], &mut found);
    found
}

fn expand(import: &str, before: &[String], found: &mut Vec<(Module, String)>) {
    let import = import.trim();
    let (head, group) = match import.find('{') {
        Some(at) => (
            &import[..at],
            Some(&import[at + 1..import.rfind('}').unwrap_or(import.len())]),
        ),
        None => (import, None),
    };
    let (head, alias) = head
        .split_once(" as ")
        .map_or((head, None), |(h, a)| (h, Some(a)));
    let mut path = before.to_vec();
    let parts = head
        .split("::")
        .map(str::trim)
        .filter(|part| !part.is_empty());
    path.extend(parts.map(str::to_owned));
    let Some(group) = group else {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if path.last().is_some_and(|last| last == "*") {
            path.pop();
        }
        if let Some(last) = path.last().cloned() {
            found.push((path, alias.map_or(last, |alias| alias.trim().to_owned())));
        }
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    expand(&group[start..at], &path, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn circles_of(folder: &Path) -> Vec<String> {
    let src = folder.join("src");
    let files: Vec<(String, String)> = rust_files(&src)
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(&src).unwrap().display().to_string(), text))
        .collect();
    assert!(!files.is_empty(), "{} holds no Rust", src.display());
    Source::read(&files).circles()
}

#[test]
fn modules_name_only_those_below_them() {
    let found: Vec<String> = CRATES
        .iter()
        .flat_map(|name| {
            circles_of(&root().join(name))
                .into_iter()
                .map(move |circle| format!("{name}, {circle}"))
        })
        .collect();
    assert_none("module arrows inside a crate run one way", &found);
}

#[cfg(test)]
fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.to_string(), text.to_string()))
        .collect();
    Source::read(&files).circles()
}

#[test]
fn circles_are_found_on_every_floor_and_through_re_exports() {
    let root = ("lib.rs", "pub mod a;\npub mod b;\npub use b::B;\n");
    let direct = circles(&[
        root,
        ("a.rs", "use crate::b::B;\n"),
        ("b/mod.rs", "fn f() { crate::a::g(); }\n"),
    ]);
    assert_eq!(
        direct,
        ["in the root: a, b\n    a -> b: a.rs:1 names b::B\n    b -> a: b/mod.rs:1 names a::g"]
    );
    let exported = circles(&[
        root,
        ("a.rs", "fn f(_: crate::B) {}\n"),
        ("b/mod.rs", "use super::a;\n"),
    ]);
    assert_eq!(exported.len(), 1, "{exported:?}");
    let second_floor = circles(&[
        ("lib.rs", ""),
        ("a/mod.rs", "pub use c::C;\n"),
        ("a/c.rs", "use super::d::{D, self as other};\n"),
        ("a/d.rs", "use crate::{a::C};\n"),
    ]);
    assert_eq!(second_floor.len(), 1, "{second_floor:?}");
    let of_three = circles(&[
        ("lib.rs", ""),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::c::d::E;"),
        ("c/mod.rs", ""),
        ("c/d.rs", "use crate::a::F;"),
    ]);
    assert_eq!(of_three.len(), 1, "{of_three:?}");
}

#[test]
fn one_way_arrows_parents_tests_and_comments_pass() {
    let found = circles(&[
        ("lib.rs", "mod a;\nmod b;\nuse a::A;\n"),
        ("a.rs", "use crate::b::B;\nuse super::Root;\n"),
        (
            "b.rs",
            "// crate::a::A\nuse std::a;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n    fn f() {}\n}\n",
        ),
    ]);
    assert_eq!(found, [""; 0]);
}
