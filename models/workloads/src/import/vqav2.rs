//! VQA v2: visualqa.org/download.html, the balanced real images.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::record::{self, Record};
use super::{Item, Parts, Result, Sourced};
use crate::workload::Part;

pub const MANIFEST: &str = r#"# Imported from the layout of VQA v2. An answer is right when three of the ten people gave it, or, where no answer was
# given three times, when most gave it. The group of a question is its image.
name = "vqav2"
scorer = { kind = "exact", ignore_case = true }

[prompt]
system = "Answer the question about the image. End with 'Answer: ' and one word or a short phrase, a number in digits."
answer_pattern = '(?i)answer:\s*([^\n]+)'
answer_kind = "ignore_case"

[prompt.sampling]
temperature = 0.7
max_tokens = 128
"#;

/// As many people must have given an answer for it to count in full in the published measure.
const AGREEING: usize = 3;
/// Folders below the one named that are looked into: Questions, Annotations, Images/mscoco/val2014.
const DEPTH: usize = 3;

pub fn read(input: &Path) -> Result<Parts> {
    let mut parts = Parts::default();
    let folders = folders(input, DEPTH);
    let find = |name: &str| {
        folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    };
    let mut found = false;
    for (part, split) in [(Part::Train, "train2014"), (Part::HeldOut, "val2014")] {
        let names = [
            format!("v2_OpenEnded_mscoco_{split}_questions.json"),
            format!("v2_mscoco_{split}_annotations.json"),
        ];
        match names.each_ref().map(|name| find(name)) {
            [Some(questions), Some(annotations)] => {
                found = true;
                let images = folders.iter().find(|folder| folder.ends_with(split));
                let images = images.cloned().unwrap_or_else(|| input.join(split));
                *parts.part(part) = items(&questions, &annotations, split, &images)?;
            }
            [None, None] => {}
            [questions, _] => {
                let [first, second] = &names;
                let (there, missing) = if questions.is_some() {
                    (first, second)
                } else {
                    (second, first)
                };
                return Err(record::fault(
                    input,
                    "the folder",
                    missing,
                    format!("{there} alone"),
                ));
            }
        }
    }
    if !found {
        let expected =
            "v2_OpenEnded_mscoco_val2014_questions.json and v2_mscoco_val2014_annotations.json";
        return Err(record::fault(input, "the folder", expected, "neither"));
    }
    Ok(parts)
}

fn items(questions: &Path, annotations: &Path, split: &str, images: &Path) -> Result<Vec<Sourced>> {
    let (asked, answered) = (record::json(questions)?, record::json(annotations)?);
    let mut answers = HashMap::new();
    let whole = Record::new(annotations, "the file".into(), &answered)?;
    for (number, value) in whole.list("annotations")?.iter().enumerate() {
        let record = Record::new(annotations, format!("annotation {number}"), value)?;
        answers.insert(record.number("question_id")?, right_answers(&record)?);
    }
    let whole = Record::new(questions, "the file".into(), &asked)?;
    let mut items = Vec::new();
    for (number, value) in whole.list("questions")?.iter().enumerate() {
        let record = Record::new(questions, format!("question {number}"), value)?;
        let id = record.number("question_id")?;
        let image = record.number("image_id")?;
        let answer = answers
            .remove(&id)
            .ok_or_else(|| record.fault("question_id", format!("an annotation of {id}"), "none"))?;
        items.push(record.sourced(Item {
            id: id.to_string(),
            group: Some(format!("image-{image}")),
            question: record.text("question")?.trim().into(),
            image: Some(images.join(format!("COCO_{split}_{image:012}.jpg"))),
            choices: Vec::new(),
            answer,
            scorer: None,
        }));
    }
    Ok(items)
}

fn right_answers(record: &Record<'_>) -> Result<Vec<String>> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for (number, value) in record.list("answers")?.iter().enumerate() {
        let place = format!("{}: answer {number}", record.place);
        let answer = Record::new(record.file, place, value)?
            .text("answer")?
            .trim();
        match counts.iter_mut().find(|(known, _)| known == answer) {
            Some((_, count)) => *count += 1,
            None => counts.push((answer.into(), 1)),
        }
    }
    counts.retain(|(answer, count)| *count >= AGREEING && !answer.is_empty());
    if counts.is_empty() {
        return Ok(vec![record.text("multiple_choice_answer")?.trim().into()]);
    }
    Ok(counts.into_iter().map(|(answer, _)| answer).collect())
}

/// The folder and those below it.
fn folders(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    if depth > 0 {
        let below = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut below: Vec<PathBuf> = below
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        below.sort();
        found.extend(below.iter().flat_map(|path| folders(path, depth - 1)));
    }
    found
}
