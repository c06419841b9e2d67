//! GSM8K: github.com/openai/grade-school-math, `grade_school_math/data/{train,test}.jsonl`.

use std::path::Path;

use curt::reading::Number;

use super::record::{self, Record};
use super::{Item, Parts, Result};
use crate::workload::Part;

pub const MANIFEST: &str = r#"# Imported from the layout of GSM8K.
name = "gsm8k"
scorer = "numeric"

[prompt]
system = "Solve the problem step by step. End with 'The answer is N.'"
# A mark: the number that follows is the answer, however it is written.
answer_pattern = '(?i)answer(?: is|:)+|####'
answer_kind = "number"

[prompt.sampling]
temperature = 0.7
max_tokens = 320
"#;

/// Stands before the answer in a worked solution.
const MARK: &str = "####";

pub fn read(input: &Path) -> Result<Parts> {
    let mut parts = Parts::default();
    for (part, prefix, file) in files(input)? {
        for (number, (place, value)) in record::json_lines(&file)?.into_iter().enumerate() {
            let record = Record::new(&file, place, &value)?;
            let solution = record.text("answer")?;
            let answer = solution.rsplit_once(MARK).map(|(_, answer)| answer.trim());
            let answer = answer.filter(|a| !a.is_empty()).ok_or_else(|| {
                record.fault(
                    "answer",
                    "a last line \"#### N\"",
                    format!("{:?}", last_line(solution)),
                )
            })?;
            if Number::read(answer).is_none() {
                return Err(record.fault(
                    "answer",
                    "a last line \"#### N\" with one number (a comma stands before each three digits: 1,234)",
                    format!("{:?}", last_line(solution)),
                ));
            }
            parts.part(part).push(record.sourced(Item {
                id: format!("{prefix}-{number}"),
                group: None,
                question: record.text("question")?.trim().into(),
                image: None,
                choices: Vec::new(),
                answer: vec![answer.into()],
                scorer: None,
            }));
        }
    }
    Ok(parts)
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

/// The JSONL files of `input`: the file itself, held out, or a folder's `train.jsonl` and `test.jsonl`.
pub fn files(input: &Path) -> Result<Vec<(Part, &'static str, std::path::PathBuf)>> {
    if !input.is_dir() {
        return Ok(vec![(Part::HeldOut, "test", input.into())]);
    }
    let named = [(Part::Train, "train"), (Part::HeldOut, "test")];
    let found: Vec<_> = named
        .into_iter()
        .map(|(part, name)| (part, name, input.join(format!("{name}.jsonl"))))
        .filter(|(_, _, file)| file.is_file())
        .collect();
    if found.is_empty() {
        return Err(record::fault(
            input,
            "the folder",
            "train.jsonl or test.jsonl",
            "neither",
        ));
    }
    Ok(found)
}
