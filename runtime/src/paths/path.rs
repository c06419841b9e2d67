//! A path: what it has taken, and how it ended.

use serde::{Deserialize, Serialize};

/// A path's number: 0 to N−1, in the order of launch. With the seed it decides what the path draws.
pub type PathId = usize;

/// Why a path ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it.
    Eos,
    /// A stop text appeared.
    Stop,
    /// It reached the number of tokens allowed.
    MaxTokens,
    /// It reached the end of the model's context before that.
    Context,
    /// What forced its tokens ended it.
    Forced,
    /// Its answer section is complete.
    Answered,
    /// A check dropped it.
    Dropped,
    /// The question was settled without it.
    Decided,
    /// The question broke off, by an error or because somebody cancelled it.
    Interrupted,
}

impl FinishReason {
    /// Whether the path came to its own end, and votes.
    pub fn votes(self) -> bool {
        !matches!(self, Self::Dropped | Self::Decided | Self::Interrupted)
    }
}

/// What a check said of a path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PathScore {
    /// Which check, from 0.
    pub check: usize,
    /// Generated tokens that it had seen.
    pub at_tokens: usize,
    /// The score, in \[0, 1\]: larger is better.
    pub score: f64,
    /// Whether the path went on.
    pub kept: bool,
}

/// One sampled trajectory from the prompt to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct ReasoningPath {
    /// Its number.
    pub id: PathId,
    /// Generated tokens, the one that ended it included.
    pub tokens: Vec<u32>,
    /// Log-probability of each under the model itself.
    pub logprobs: Vec<f32>,
    /// Why it ended; `None` while it runs.
    pub finish: Option<FinishReason>,
    /// Its text once it has ended, where the launch reads texts.
    pub text: String,
    /// What the answer pattern finds in its text, where it came to its own end.
    pub answer: Option<String>,
    /// What each check said that it came to.
    pub scores: Vec<PathScore>,
}

impl ReasoningPath {
    /// A path that has taken nothing, with room for so many tokens and scores.
    pub(super) fn new(id: PathId, tokens: usize, scores: usize) -> Self {
        Self {
            id,
            tokens: Vec::with_capacity(tokens),
            logprobs: Vec::with_capacity(tokens),
            finish: None,
            text: String::new(),
            answer: None,
            scores: Vec::with_capacity(scores),
        }
    }

    /// Mean log-probability of its tokens; `None` for none.
    pub fn mean_logprob(&self) -> Option<f64> {
        let n = self.logprobs.len();
        (n > 0).then(|| self.logprobs.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64)
    }
}
