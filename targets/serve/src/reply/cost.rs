//! What an answer cost.

use curt::Answer;
use curt::format::SectionKind;
use serde_json::{Value, json};

use super::choice::{sections, speaker};

/// Tokens, as OpenAI counts them. Of several paths, all are counted.
pub(super) fn usage(answer: &Answer) -> Value {
    let tokens = &answer.tokens;
    let before = sections(answer, speaker(answer)).filter(|s| s.kind != SectionKind::Answer);
    json!({
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.generated,
        "total_tokens": tokens.prompt + tokens.generated,
        "prompt_tokens_details": {"cached_tokens": tokens.reused},
        "completion_tokens_details": {"reasoning_tokens": before.map(|s| s.tokens).sum::<usize>()},
    })
}

/// Everything that was measured, as `curt ask --json` has it, without token ids.
pub(super) fn block(answer: &Answer, queue_ms: f64) -> Value {
    // Numbers, texts and lists of them: nothing that JSON could not hold.
    let mut block = serde_json::to_value(answer).unwrap_or_default();
    if let Some(fields) = block.as_object_mut() {
        fields.remove("prompt");
        fields.remove("text");
        fields.insert("queue_ms".into(), json!(queue_ms));
    }
    if let Some(format) = block.get_mut("format").and_then(Value::as_object_mut) {
        format.remove("shared_tokens");
    }
    for (path, own) in block["paths"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .zip(&answer.paths)
    {
        path["tokens"] = own.tokens.len().into();
    }
    block
}
