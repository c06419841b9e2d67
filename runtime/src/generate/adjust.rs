//! What changes logits before a token is drawn from them, as onnxruntime-genai does it: penalties and bans.

use super::Sampling;

/// What stands before a token that is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// The prompt's tokens.
    pub prompt: &'a [u32],
    /// The path's own.
    pub tokens: &'a [u32],
}

impl Before<'_> {
    /// Tokens in all.
    fn len(self) -> usize {
        self.prompt.len() + self.tokens.len()
    }

    /// The token at `at`, counted from the prompt's first.
    fn get(self, at: usize) -> u32 {
        match at.checked_sub(self.prompt.len()) {
            None => self.prompt[at],
            Some(at) => self.tokens[at],
        }
    }
}

/// The logit of a token that must not be drawn: the least that is finite, so that one is drawn where all are banned.
const BANNED: f32 = f32::MIN;

/// Fills `logits` with those of the `model` as `sampling` changes them for the token after `before`.
pub(super) fn adjust(
    sampling: &Sampling,
    eos_ids: &[u32],
    before: Before<'_>,
    model: &[f32],
    logits: &mut Vec<f32>,
) {
    logits.clear();
    logits.extend_from_slice(model);
    if sampling.repetition_penalty != 1.0 {
        penalize_repetition(logits, before, model, sampling.repetition_penalty);
    }
    if before.len() < sampling.min_length {
        for &id in eos_ids {
            ban(logits, id);
        }
    }
    if sampling.no_repeat_ngram_size > 0 {
        ban_repeated(logits, before, sampling.no_repeat_ngram_size);
    }
}

fn ban(logits: &mut [f32], token: u32) {
    if let Some(logit) = logits.get_mut(token as usize) {
        *logit = BANNED;
    }
}

/// Divides positive and multiplies negative logits of the tokens in `before`, of each once: from the model's own.
fn penalize_repetition(logits: &mut [f32], before: Before<'_>, model: &[f32], penalty: f32) {
    for &token in before.prompt.iter().chain(before.tokens) {
        let token = token as usize;
        if let (Some(&logit), Some(slot)) = (model.get(token), logits.get_mut(token)) {
            *slot = if logit > 0.0 {
                logit / penalty
            } else {
                logit * penalty
            };
        }
    }
}

/// Bans the tokens that would end a run of `size` tokens that is in `before` already.
fn ban_repeated(logits: &mut [f32], before: Before<'_>, size: usize) {
    let (len, beginning) = (before.len(), size - 1);
    for start in 0..(len + 1).saturating_sub(size) {
        let repeats =
            (0..beginning).all(|i| before.get(start + i) == before.get(len - beginning + i));
        if repeats {
            ban(logits, before.get(start + beginning));
        }
    }
}
