//! How tokens are drawn, as numbers.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::package::SamplingDefaults;

/// How tokens are drawn. Logits change and filters apply in this order, as in onnxruntime-genai and Hugging Face
/// transformers: minimum length, repetition penalty, repeated n-grams, temperature, top-k, top-p, min-p.
///
/// Head files hold it as it is here; `models/FORMAT.md` describes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits. 0: the most probable token, always.
    pub temperature: f32,
    /// Keep the k most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most probable tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as probable as the most probable; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that stand in the prompt or the path; 1 changes none.
    pub repetition_penalty: f32,
    /// No token is drawn that would repeat so many tokens of prompt and path in a row; 0 allows all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub no_repeat_ngram_size: usize,
    /// No token that ends a path is drawn before prompt and path together have so many tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_length: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Default for Sampling {
    /// Greedy.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            min_length: 0,
        }
    }
}

impl From<SamplingDefaults> for Sampling {
    /// What is said, and for the rest what changes nothing: greedy, all tokens, no penalty.
    fn from(said: SamplingDefaults) -> Self {
        let neutral = Self::default();
        Self {
            temperature: said.temperature.unwrap_or(neutral.temperature),
            top_k: said.top_k.map_or(neutral.top_k, |k| k as usize),
            top_p: said.top_p.unwrap_or(neutral.top_p),
            min_p: said.min_p.unwrap_or(neutral.min_p),
            repetition_penalty: said
                .repetition_penalty
                .unwrap_or(neutral.repetition_penalty),
            no_repeat_ngram_size: said
                .no_repeat_ngram_size
                .map_or(neutral.no_repeat_ngram_size, |n| n as usize),
            min_length: said.min_length.unwrap_or(neutral.min_length),
        }
    }
}

impl Sampling {
    /// Whether every path would be the same.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    /// Whether logits are other than the model's before a token is drawn from them.
    pub(super) fn changes_logits(&self) -> bool {
        self.repetition_penalty != 1.0 || self.no_repeat_ngram_size > 0 || self.min_length > 0
    }

    /// # Errors
    /// [`Error::Option`] for a value outside its range.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            (
                "temperature",
                "0, or a number from 0.0001 up",
                self.temperature,
                self.temperature == 0.0
                    || (self.temperature >= 1e-4 && self.temperature.is_finite()),
            ),
            (
                "top_p",
                "a number above 0, at most 1",
                self.top_p,
                self.top_p > 0.0 && self.top_p <= 1.0,
            ),
            (
                "min_p",
                "a number from 0 to 1",
                self.min_p,
                (0.0..=1.0).contains(&self.min_p),
            ),
            (
                "repetition_penalty",
                "a number from 0.01 to 100",
                self.repetition_penalty,
                (0.01..=100.0).contains(&self.repetition_penalty),
            ),
        ];
        for (option, expected, got, fine) in checks {
            if !fine {
                return Err(Error::option(option, expected, got));
            }
        }
        Ok(())
    }
}
