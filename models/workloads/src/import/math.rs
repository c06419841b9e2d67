//! MATH: github.com/hendrycks/math, `{train,test}/SUBJECT/NUMBER.json`; and the same objects as JSON lines.

use std::fs;
use std::path::{Path, PathBuf};

use super::record::{self, Record};
use curt::reading::boxed;

use super::{Item, Parts, Result, gsm8k};
use crate::Error;
use crate::workload::Part;

pub const MANIFEST: &str = r#"# Imported from the layout of MATH. Answers count as right when they are written the same: \frac{1}{2} and 0.5 differ. A
# scorer that knows better can be put here: scorer = { kind = "command", argv = ["./grade"] }
name = "math"
scorer = "exact"

[prompt]
system = 'Solve the problem step by step. Put the final answer in \boxed{}.'
# What stands in the last box, braces within it and all.
answer_pattern = '\boxed{}'

[prompt.sampling]
temperature = 0.7
max_tokens = 512
"#;

pub fn read(input: &Path) -> Result<Parts> {
    let mut parts = Parts::default();
    let folders: Vec<_> = [(Part::Train, "train"), (Part::HeldOut, "test")]
        .into_iter()
        .map(|(part, name)| (part, name, input.join(name)))
        .filter(|(_, _, folder)| folder.is_dir())
        .collect();
    for (part, prefix, folder) in &folders {
        for (subject, number, file) in problems(folder)? {
            let value = record::json(&file)?;
            let record = Record::new(&file, "the file".into(), &value)?;
            let id = format!("{prefix}/{subject}/{number}");
            parts.part(*part).push(record.sourced(item(id, &record)?));
        }
    }
    if !folders.is_empty() {
        return Ok(parts);
    }
    for (part, prefix, file) in gsm8k::files(input)? {
        for (number, (place, value)) in record::json_lines(&file)?.into_iter().enumerate() {
            let record = Record::new(&file, place, &value)?;
            // The 500 problems that are often asked on their own name the file they came from.
            let id = match record.text_if_any("unique_id")? {
                Some(id) => id.trim_end_matches(".json").to_string(),
                None => format!("{prefix}-{number}"),
            };
            parts.part(part).push(record.sourced(item(id, &record)?));
        }
    }
    Ok(parts)
}

fn item(id: String, record: &Record<'_>) -> Result<Item> {
    let answer = match record.text_if_any("answer")? {
        Some(answer) => answer,
        None => {
            let solution = record.text("solution")?;
            boxed(solution)
                .ok_or_else(|| record.fault("solution", "an answer in \\boxed{}", "none"))?
        }
    };
    Ok(Item {
        id,
        group: None,
        question: record.text("problem")?.trim().into(),
        image: None,
        choices: Vec::new(),
        answer: vec![answer.trim().into()],
        scorer: None,
    })
}

/// The problem files of a part by subject and number.
fn problems(folder: &Path) -> Result<Vec<(String, u64, PathBuf)>> {
    let mut found = Vec::new();
    for subject in entries(folder)? {
        if !subject.is_dir() {
            continue;
        }
        let name = subject
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for file in entries(&subject)? {
            if file.extension().is_some_and(|e| e == "json") {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                let number = stem.parse().map_err(|_| {
                    record::fault(&file, "the file's name", "a number and .json", &stem)
                })?;
                found.push((name.clone(), number, file));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io {
        file: folder.into(),
        action: "the folder cannot be read",
        source,
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries
        .map(|entry| entry.map(|e| e.path()).map_err(failed))
        .collect()
}
