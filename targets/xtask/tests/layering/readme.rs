//! Rule 6: a number in a README names its record in `targets/records/`.
//!
//! Held to the tables of every README but those under `models/`: what these say of a package, its recipe makes and its
//! card shows.

use std::path::Path;

use crate::{assert_none, files, root};

/// Sections of `text` whose tables hold numbers and that link to no record. `exists` says whether the file that a link
/// names, as it is written, is there.
fn violations(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (heading, lines) in sections(text) {
        let Some(number) = lines
            .iter()
            .filter(|line| line.trim_start().starts_with('|'))
            .find_map(|row| measured(row))
        else {
            continue;
        };
        let links: Vec<&str> = lines
            .iter()
            .flat_map(|line| links(line))
            .filter(|link| link.contains("records/"))
            .collect();
        if links.is_empty() {
            found.push(format!(
                "{file}: the table under \"{heading}\" says `{number}` and its section links to no file of targets/records/ \
                 (a value that is set rather than measured stands in backticks)"
            ));
        }
        for link in links.into_iter().filter(|link| !exists(link)) {
            found.push(format!(
                "{file}: under \"{heading}\", the record {link} is not there"
            ));
        }
    }
    found
}

/// The sections of a Markdown text: heading, and lines outside code fences.
fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections = vec![("", Vec::new())];
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
        } else if line.starts_with('#') {
            sections.push((line.trim_start_matches('#').trim(), Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line);
        }
    }
    sections
}

/// A number in a row of a table that is not part of a name (`int8`, `SmolLM2-135M`), a link's target or in backticks.
fn measured(row: &str) -> Option<&str> {
    let outside_code = row.split('`').step_by(2);
    outside_code
        .flat_map(|part| part.split(|c: char| c.is_whitespace() || c == '|'))
        .filter(|token| !token.contains("]("))
        .map(|token| token.trim_start_matches(|c: char| !c.is_alphanumeric()))
        .find(|token| token.starts_with(|c: char| c.is_ascii_digit()))
}

fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
}

#[test]
fn every_number_names_its_record() {
    let root = root();
    let models = root.join("models");
    let readmes = files(&root, |path| {
        path.file_name().is_some_and(|name| name == "README.md")
    });
    let found: Vec<String> = readmes
        .iter()
        .filter(|(path, _)| !path.starts_with(&models))
        .flat_map(|(path, text)| {
            let dir = path.parent().unwrap_or(Path::new(""));
            violations(&path.display().to_string(), text, |link| {
                dir.join(link).is_file()
            })
        })
        .collect();
    assert_none(
        "a number in a README names its record in targets/records/",
        &found,
    );
}

#[test]
fn a_number_without_a_record_is_found() {
    let table = "# A\n\n| what | ms |\n|---|---|\n| decode | 3.5 |\n";
    let record = "\n[record](targets/records/x/2026.md#row)\n";
    assert_eq!(violations("R", table, |_| true).len(), 1);
    assert_eq!(
        violations("R", &format!("{table}{record}"), |_| true),
        [""; 0]
    );
    assert_eq!(
        violations("R", &format!("{table}{record}"), |_| false).len(),
        1
    );
    // The record of another section does not count.
    assert_eq!(
        violations("R", &format!("{table}# B\n{record}"), |_| true).len(),
        1
    );
}

#[test]
fn names_code_and_text_are_no_measurements() {
    let good = "# A\n16 paths\n| SmolLM2-135M | int8, avx512 | `--paths 16` |\n|---|---|---|\n```\n| 3 |\n```\n";
    assert_eq!(violations("R", good, |_| true), [""; 0]);
    for cell in ["~3", "**4.5**", "≥ 85 %", "-2", "+1.5x"] {
        assert_eq!(
            violations("R", &format!("| {cell} |"), |_| true).len(),
            1,
            "{cell}"
        );
    }
}
