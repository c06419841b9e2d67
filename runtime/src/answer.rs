//! What a question got: text, votes, and what they cost. A number that was not measured is absent.

use serde::Serialize;

use crate::kv::KvPlan;
use crate::paths::{CheckTaken, FinishReason, PathId, PathScore, Vote};
use crate::session::Placement;

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// What the vote chose; of a single path, what the answer pattern finds in it. Several paths without a vote have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The whole text of the path that speaks for the answer: the lowest-numbered that gave it.
    pub text: String,
    /// Votes from the winner down; empty without a vote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// What each check did; one that found no path running is not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckTaken>,
    /// What was asked for and is not quite what was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Every path, by number.
    pub paths: Vec<PathAnswer>,
    /// Tokens by phase.
    pub tokens: TokenCounts,
    /// Times by phase.
    pub times: PhaseTimes,
    /// The KV cache as it was planned.
    pub kv: KvPlan,
    /// Bytes of logits of the largest step, as planned.
    pub logits_bytes: u64,
    /// Which execution providers ran the graph.
    pub placement: Placement,
    /// What the paths were drawn with.
    pub seed: u64,
    /// Most bytes of the process that were ever resident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<u64>,
}

/// One path's part in an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PathAnswer {
    /// Its number.
    pub id: PathId,
    /// Its text, without special tokens.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the model itself. Not part of the JSON: its mean is.
    #[serde(skip)]
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// What the answer pattern finds in its text; `None` where it was not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What each check said that it came to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<PathScore>,
    /// Tokens it had generated when a check dropped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_at_tokens: Option<usize>,
    /// Mean log-probability of its tokens under the model itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_logprob: Option<f64>,
}

/// Tokens by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TokenCounts {
    /// Of the prompt.
    pub prompt: usize,
    /// Of the prompt, found in the cache from the question before.
    pub reused: usize,
    /// Of the prompt, run through the model.
    pub prefilled: usize,
    /// Generated, over all paths.
    pub generated: usize,
    /// Of these, by paths that did not vote: dropped, or cut when the question was settled.
    pub unused: usize,
}

/// Wall time by phase, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PhaseTimes {
    /// Opening the package and loading the graph: once, before the first question.
    pub load_ms: f64,
    /// Running the prompt, or the part of it that was not cached.
    pub prefill_ms: f64,
    /// Copying the prompt's keys and values to each path.
    pub fork_ms: f64,
    /// Drawing tokens, running the model on them and reading answers.
    pub decode_ms: f64,
    /// Scoring paths, over all checks; not part of `decode_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_ms: Option<f64>,
    /// Moving kept rows together and giving back memory, over all checks; not part of `decode_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compact_ms: Option<f64>,
    /// Counting votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vote_ms: Option<f64>,
    /// From the question to the first token of any path.
    pub first_token_ms: f64,
    /// From the question to the answer.
    pub total_ms: f64,
}
