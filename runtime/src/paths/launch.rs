//! Launch: fork the prompt, draw a token for each path at each step, and let paths leave as they end.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::generate::{Decoder, PathRandom, Sampler, Sampling};
use crate::session::CancelToken;

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
}

impl ReasoningPath {
    /// Mean log-probability of its tokens; `None` for none.
    pub fn mean_logprob(&self) -> Option<f64> {
        let n = self.logprobs.len();
        (n > 0).then(|| self.logprobs.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64)
    }
}

/// What to launch.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// Number of paths.
    pub paths: usize,
    /// The prompt's tokens, cached in row 0, read again for the repetition penalty.
    pub prompt: &'a [u32],
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// With a path's number, decides what it draws.
    pub seed: u64,
    /// Tokens a path may generate.
    pub max_tokens: usize,
    /// Tokens that end a path.
    pub eos_ids: &'a [u32],
    /// Cancels between tokens, and inside a step.
    pub cancel: &'a CancelToken,
}

/// What the caller of a launch says to a token.
pub type Stop = ControlFlow<()>;

/// What a launch took.
#[derive(Debug, Clone, Copy, Default)]
pub struct LaunchTimes {
    /// Copying the prompt's keys and values to each path's row.
    pub fork: Duration,
    /// Drawing tokens and running the model on them.
    pub decode: Duration,
}

/// Paths that still decode, by row.
struct Running {
    path: usize,
    next: u32,
}

/// Decodes `launch.paths` paths from the prompt cached in the decoder's row 0, until all have ended.
///
/// `on_token` sees each path's token as it is drawn and may end the path there. Returns the paths by number, and leaves
/// one row cached: that of the path that ended last, whose number comes with them. Nothing is allocated per step.
///
/// # Errors
/// [`Error::Option`] for no paths or no tokens, [`Error::Cancelled`], [`Error::NonFiniteLogits`], and those of
/// [`Decoder::step`].
pub fn launch(
    decoder: &mut Decoder,
    launch: &Launch<'_>,
    on_token: &mut dyn FnMut(PathId, u32) -> Result<Stop>,
) -> Result<(Vec<ReasoningPath>, PathId, LaunchTimes)> {
    if launch.paths == 0 {
        return Err(Error::option("--paths", "at least 1", 0));
    }
    if launch.max_tokens == 0 {
        return Err(Error::option("--max-tokens", "at least 1", 0));
    }
    let mut times = LaunchTimes::default();
    let clock = Instant::now();
    decoder.fork(launch.paths)?;
    times.fork = clock.elapsed();

    let mut sampler = Sampler::new(launch.sampling, decoder.vocabulary())?;
    let mut random = PathRandom::new(launch.seed);
    // A path ends at the latest where the cache does.
    let capacity = launch.max_tokens.min(decoder.kv().room() + 1);
    let mut paths: Vec<ReasoningPath> = (0..launch.paths)
        .map(|id| ReasoningPath {
            id,
            tokens: Vec::with_capacity(capacity),
            logprobs: Vec::with_capacity(capacity),
            finish: FinishReason::MaxTokens,
        })
        .collect();
    let mut running: Vec<Running> = (0..launch.paths)
        .map(|path| Running { path, next: 0 })
        .collect();
    let mut feed: Vec<u32> = Vec::with_capacity(launch.paths);
    let mut last = 0;

    let clock = Instant::now();
    for step in 0..launch.max_tokens {
        // From the last row to the first, so that a row that moves into a freed place has been dealt with.
        for row in (0..running.len()).rev() {
            if launch.cancel.is_cancelled() {
                return Err(cancelled(&paths));
            }
            let path = &mut paths[running[row].path];
            // The prompt's logits stand in row 0 and hold for every path.
            let logits = decoder.logits(if step == 0 { 0 } else { row });
            let before = launch.prompt.iter().chain(&path.tokens);
            let drawn = sampler.draw(logits, before, &mut random, (path.id, step))?;
            path.tokens.push(drawn.token);
            path.logprobs.push(drawn.logprob);
            running[row].next = drawn.token;
        }
        for row in (0..running.len()).rev() {
            let Running { path, next } = running[row];
            let stopped = on_token(path, next)?.is_break();
            let finish = if launch.eos_ids.contains(&next) {
                FinishReason::Eos
            } else if stopped {
                FinishReason::Stop
            } else if step + 1 == launch.max_tokens {
                FinishReason::MaxTokens
            } else {
                continue;
            };
            paths[path].finish = finish;
            last = path;
            running.swap_remove(row);
            if !running.is_empty() {
                decoder.drop_row(row)?;
            }
        }
        if running.is_empty() {
            break;
        }
        feed.clear();
        feed.extend(running.iter().map(|r| r.next));
        decoder
            .step(&feed, launch.cancel)
            .map_err(|error| match error {
                Error::Cancelled { .. } => cancelled(&paths),
                other => other,
            })?;
    }
    times.decode = clock.elapsed();
    Ok((paths, last, times))
}

fn cancelled(paths: &[ReasoningPath]) -> Error {
    Error::Cancelled {
        tokens: paths.iter().map(|p| p.tokens.len()).sum(),
    }
}
