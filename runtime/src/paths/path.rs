//! One path: its number, what it drew, why it ended, what checks said of it.

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
    /// A check dropped it.
    Dropped,
    /// The question was settled without it.
    Decided,
}

impl FinishReason {
    /// Whether the path came to its own end, and votes.
    pub fn votes(self) -> bool {
        !matches!(self, Self::Dropped | Self::Decided)
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
    /// Why it ended.
    pub finish: FinishReason,
    /// What each check said that it came to.
    pub scores: Vec<PathScore>,
}

impl ReasoningPath {
    /// Mean log-probability of its tokens; `None` for none.
    pub fn mean_logprob(&self) -> Option<f64> {
        let n = self.logprobs.len();
        (n > 0).then(|| self.logprobs.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64)
    }
}
