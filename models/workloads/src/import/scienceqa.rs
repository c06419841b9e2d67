//! ScienceQA: github.com/lupantech/ScienceQA, `data/scienceqa/problems.json` and the images beside it.

use std::path::Path;

use super::record::{self, Record};
use super::{Item, Parts, Result};
use crate::workload::Part;

pub const MANIFEST: &str = r#"# Imported from the layout of ScienceQA. A question's hint stands before it.
name = "scienceqa"
scorer = "choice"

[prompt]
system = "Choose the right answer. End with 'The answer is X.', where X is its letter."
# A mark: the choice that follows is the answer, by its letter or in full.
answer_pattern = '(?i)answer(?: is|:)+'
answer_kind = "letter"

[prompt.sampling]
temperature = 0.7
max_tokens = 256
"#;

const FILE: &str = "problems.json";

pub fn read(input: &Path) -> Result<Parts> {
    let file = if input.is_dir() {
        input.join(FILE)
    } else {
        input.into()
    };
    let folder = file.parent().unwrap_or(Path::new(".")).to_path_buf();
    let value = record::json(&file)?;
    let whole = Record::new(&file, "the file".into(), &value)?;
    let mut parts = Parts::default();
    for (number, value) in whole.fields {
        let record = Record::new(&file, format!("problem {}", number.escape_debug()), value)?;
        let part = match record.text("split")? {
            "train" => Part::Train,
            "test" => Part::HeldOut,
            // Held back for choosing between models, by those who made the set: neither part.
            "val" => continue,
            other => return Err(record.fault("split", "train, val or test", format!("{other:?}"))),
        };
        parts
            .part(part)
            .push(record.sourced(item(number, &record, &folder)?));
    }
    Ok(parts)
}

fn item(number: &str, record: &Record<'_>, folder: &Path) -> Result<Item> {
    let listed = record.list("choices")?;
    let choices: Option<Vec<String>> = listed
        .iter()
        .map(|c| c.as_str().map(|c| c.trim().into()))
        .collect();
    let choices =
        choices.ok_or_else(|| record.fault("choices", "texts", "something else among them"))?;
    let right = record.number("answer")?;
    let letter = ('A'..='Z')
        .zip(&choices)
        .nth(usize::try_from(right).unwrap_or(usize::MAX))
        .map(|(letter, _)| letter)
        .ok_or_else(|| {
            record.fault(
                "answer",
                format!("the number of one of {} choices, from 0", choices.len()),
                right,
            )
        })?;
    let question = record.text("question")?.trim();
    let split = record.text("split")?;
    let image = record.text_if_any("image")?.map(|name| {
        let below = Path::new(split).join(number).join(name);
        // Unpacked as the set's own script does, else straight into the folder.
        let unpacked = folder.join("images").join(&below);
        if unpacked.is_file() {
            unpacked
        } else {
            folder.join(below)
        }
    });
    Ok(Item {
        id: number.into(),
        group: None,
        question: match record.text_if_any("hint")? {
            Some(hint) => format!("{}\n{question}", hint.trim()),
            None => question.into(),
        },
        image,
        choices,
        answer: vec![letter.into()],
        scorer: None,
    })
}
