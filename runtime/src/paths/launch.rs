//! What to launch, and what a launch gave.

use std::time::Duration;

use super::{Check, CheckTaken, Ending, PathId, Policy, ReasoningPath, StopTexts, Vote};
use crate::error::{Error, Result};
use crate::generate::Sampling;
use crate::package::TextCodec;
use crate::reading::AnswerReader;
use crate::session::CancelToken;

/// What to launch.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// Number of paths.
    pub paths: usize,
    /// The prompt's tokens, cached in row 0, read again by the sampler's penalties and by heads.
    pub prompt: &'a [u32],
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// With a path's number, decides what it draws.
    pub seed: u64,
    /// Tokens a path may generate.
    pub max_tokens: usize,
    /// Tokens the model can attend to, prompt and path together.
    pub context_tokens: usize,
    /// Tokens that end a path.
    pub eos_ids: &'a [u32],
    /// How tokens become texts and answers. `None`: they stay tokens, and nothing votes.
    pub reading: Option<Reading<'a>>,
    /// When paths are scored, by what, and who goes on.
    pub checks: &'a [Check],
    /// Generated tokens of a path, ascending, at which the cache is shown, before a check there drops any.
    pub show_kv_at: &'a [usize],
    /// When the question is settled, and how.
    pub ending: Ending,
    /// Cancels between tokens, and inside a step.
    pub cancel: &'a CancelToken,
}

/// How a path's tokens become a text and an answer.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// From tokens to text.
    pub codec: &'a TextCodec,
    /// Texts that end a path; they are not part of its text.
    pub stops: &'a StopTexts,
    /// Reads the answer in a finished path's text.
    pub answers: Option<&'a AnswerReader>,
}

/// What a launch gave.
#[derive(Debug)]
pub struct Launched {
    /// The paths, by number. All have ended.
    pub paths: Vec<ReasoningPath>,
    /// The path whose row, row 0, is still cached.
    pub cached: PathId,
    /// What each check did, those that found no path running left out.
    pub checks: Vec<CheckTaken>,
    /// Votes of the finished paths, from the winner down.
    pub votes: Vec<Vote>,
    /// Copying the prompt's keys and values to each path's row.
    pub fork: Duration,
    /// Drawing tokens and running the model on them; checks are not in it.
    pub decode: Duration,
    /// Counting the votes.
    pub vote: Duration,
    /// What broke it off: paths that ran then are [`super::FinishReason::Interrupted`], and what the cache holds is unknown.
    pub broken: Option<Error>,
}

impl Launched {
    /// The launch, where nothing broke it off.
    ///
    /// # Errors
    /// What broke it off.
    pub fn whole(self) -> Result<Self> {
        match self.broken {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

impl Launch<'_> {
    /// # Errors
    /// [`Error::Option`] for what no launch can honour, [`Error::Context`] where the prompt leaves no room.
    pub(super) fn validate(&self) -> Result<Policy> {
        if self.paths == 0 {
            return Err(Error::option("paths", "at least 1", 0));
        }
        if self.max_tokens == 0 {
            return Err(Error::option("max_tokens", "at least 1", 0));
        }
        if self.prompt.len() >= self.context_tokens {
            return Err(Error::Context {
                prompt_tokens: self.prompt.len(),
                context_tokens: self.context_tokens,
            });
        }
        validate_ascending("show_kv_at", self.show_kv_at)?;
        let policy = Policy::new(self.checks, self.ending);
        policy.validate(self.paths)?;
        Ok(policy)
    }

    /// Most tokens of a path.
    pub(super) fn most_tokens(&self) -> usize {
        self.max_tokens.min(self.context_tokens - self.prompt.len())
    }
}

/// # Errors
/// [`Error::Option`] for lengths that do not ascend from 1 token up.
pub(crate) fn validate_ascending(field: &'static str, at_tokens: &[usize]) -> Result<()> {
    if at_tokens.first() == Some(&0) || at_tokens.windows(2).any(|w| w[0] >= w[1]) {
        let expected = "lengths from 1 token up, ascending, each once";
        return Err(Error::option(field, expected, format!("{at_tokens:?}")));
    }
    Ok(())
}
