//! Whether a row's logits depend on which other rows are in its batch.
//!
//! Where they do not, a path is the same whatever was dropped beside it, and arms of an ablation share their paths.

use serde::Serialize;

use super::Decoder;
use crate::error::Result;
use crate::session::CancelToken;

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowInvariance {
    /// Numbers of rows tried.
    pub batches: Vec<usize>,
    /// Steps decoded at each.
    pub steps: usize,
    /// Every logit of row 0 was the same to the last bit at every number of rows.
    pub invariant: bool,
    /// Largest difference of a logit.
    pub max_difference: f32,
}

/// Decodes the same tokens in row 0 at several numbers of rows, beside rows that differ, and compares the logits.
///
/// `prompt` must not be empty; the decoder's plan must have `batches`' largest number of rows and room for the prompt
/// and `steps`. Leaves row 0 alone with the prompt cached.
///
/// # Errors
/// As [`Decoder::prefill`], [`Decoder::fork`] and [`Decoder::step`].
pub fn probe_row_invariance(
    decoder: &mut Decoder,
    prompt: &[u32],
    batches: &[usize],
    steps: usize,
) -> Result<RowInvariance> {
    let cancel = CancelToken::new();
    decoder.rewind(0)?;
    decoder.prefill(prompt, &cancel)?;
    let vocabulary = decoder.vocabulary() as u32;
    let mut first: Vec<f32> = Vec::new();
    let mut max_difference = 0.0f32;
    let mut invariant = true;
    for (b, &rows) in batches.iter().enumerate() {
        decoder.fork(rows, &cancel)?;
        for step in 0..steps {
            // Row 0 repeats the prompt's tokens; the others take tokens that differ from it and from each other.
            let tokens: Vec<u32> = (0..rows)
                .map(|row| {
                    let token = prompt[step % prompt.len()];
                    token.wrapping_add(row as u32 * 7) % vocabulary
                })
                .collect();
            decoder.step(&tokens, &cancel)?;
            let logits = decoder.logits(0);
            if b == 0 {
                first.extend_from_slice(logits);
                continue;
            }
            let reference = &first[step * logits.len()..][..logits.len()];
            for (&a, &b) in reference.iter().zip(logits) {
                invariant &= a.to_bits() == b.to_bits();
                max_difference = max_difference.max((a - b).abs());
            }
        }
        decoder.rewind(prompt.len())?;
        decoder.keep_first_row();
    }
    Ok(RowInvariance {
        batches: batches.to_vec(),
        steps,
        invariant,
        max_difference,
    })
}
