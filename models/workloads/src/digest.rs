//! What a workload means, as one number.

use std::path::Path;

use curt::PromptFile;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::read::MOST_IMAGE_BYTES;
use crate::scorer::Scorer;
use crate::{Item, Result};

/// Stands before everything else: another way of writing things down gets another number here, and so other digests.
const VERSION: &str = "curt workload 1\n";

/// SHA-256 in hexadecimal over [`VERSION`] and then, a line of JSON each, the prompt, the default scorer, and every item
/// of the two parts. What is absent is left out.
pub fn of(
    prompt: &PromptFile,
    scorer: &Scorer,
    train: &[Item],
    held_out: &[Item],
) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    let mut line = |value: Value| hash.update(format!("{value}\n"));
    line(prompt_value(prompt));
    line(scorer.value());
    for (part, items) in [("train", train), ("held_out", held_out)] {
        for item in items {
            line(item_value(part, item)?);
        }
    }
    Ok(hex(&hash.finalize()))
}

fn prompt_value(prompt: &PromptFile) -> Value {
    // Taken apart, so that a field added to the prompt file must be thought of here. The example question is the demo's.
    let PromptFile {
        system,
        answer_pattern,
        answer_kind,
        question: _,
        turns,
        sampling,
    } = prompt;
    let turns: Vec<Value> = turns.iter().map(|t| json!([t.user, t.assistant])).collect();
    present([
        ("system", json!(system)),
        ("answer_pattern", json!(answer_pattern)),
        ("answer_kind", json!(answer_kind)),
        ("turns", json!(turns)),
        ("temperature", json!(sampling.temperature)),
        ("top_k", json!(sampling.top_k)),
        ("top_p", json!(sampling.top_p)),
        ("min_p", json!(sampling.min_p)),
        ("repetition_penalty", json!(sampling.repetition_penalty)),
        ("max_tokens", json!(sampling.max_tokens)),
    ])
}

fn item_value(part: &str, item: &Item) -> Result<Value> {
    let image = item.image.as_deref().map(image_digest).transpose()?;
    Ok(present([
        ("part", json!(part)),
        ("id", json!(item.id)),
        ("group", json!(item.group)),
        ("question", json!(item.question)),
        ("image", json!(image)),
        ("choices", json!(item.choices)),
        ("answer", json!(item.answer)),
        (
            "scorer",
            item.scorer.as_ref().map_or(Value::Null, Scorer::value),
        ),
    ]))
}

fn present<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let there = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(Map::from_iter(
        there.map(|(name, value)| (name.to_string(), value)),
    ))
}

fn image_digest(file: &Path) -> Result<String> {
    let bytes = curt::files::read(file, MOST_IMAGE_BYTES, "the image cannot be read")?;
    Ok(hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
