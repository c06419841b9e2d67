//! What decides which paths go on, and when the question is settled.

use super::{Keep, Signal, VoteRule};
use crate::error::{Error, Result};

/// A check: when, by what, and who goes on.
#[derive(Debug, Clone)]
pub struct Check {
    /// Generated tokens of a path that are cached when it is scored.
    pub at_tokens: usize,
    /// What it is scored by.
    pub signal: Signal,
    /// Which paths go on.
    pub keep: Keep,
}

/// When a question is settled, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ending {
    /// Stop as soon as the paths that still run cannot change the winner.
    pub early_vote: bool,
    /// Stop when so many paths have finished: short-m@k (arXiv 2505.17813).
    pub first_finished: Option<usize>,
    /// How finished answers are combined.
    pub vote: VoteRule,
}

/// Which paths go on and when the question is settled, without heads or a model. A live run and a replay of recorded paths
/// follow the same policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Check points in generated tokens, never descending, and who goes on.
    pub checks: Vec<(usize, Keep)>,
    /// When the question is settled, and how.
    pub ending: Ending,
}

impl Policy {
    /// The policy of `checks`, without their signals, and `ending`.
    pub fn new(checks: &[Check], ending: Ending) -> Self {
        Self {
            checks: checks.iter().map(|c| (c.at_tokens, c.keep)).collect(),
            ending,
        }
    }

    /// # Errors
    /// [`Error::Option`] for a value that cannot be honoured with `paths` paths.
    pub fn validate(&self, paths: usize) -> Result<()> {
        for pair in self.checks.windows(2) {
            if pair[0].0 > pair[1].0 {
                return Err(Error::option(
                    "check_at",
                    "check points in ascending order",
                    format!("{} before {}", pair[0].0, pair[1].0),
                ));
            }
        }
        for &(at_tokens, keep) in &self.checks {
            if at_tokens == 0 {
                return Err(Error::option("check_at", "at least 1 token", 0));
            }
            keep.validate(paths)?;
        }
        match self.ending.first_finished {
            Some(m) if m == 0 || m > paths => Err(Error::option(
                "first_finished",
                format!("1 to {paths}, the number of paths"),
                m,
            )),
            _ => Ok(()),
        }
    }
}
