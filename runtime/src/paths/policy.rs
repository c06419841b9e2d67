//! What decides which paths go on, and when the question is settled.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::Serialize;

use super::VoteRule;
use crate::error::{Error, Result};
use crate::head::StopHead;

/// What a check scores paths by.
#[derive(Debug, Clone)]
pub enum Signal {
    /// A stop head.
    Head(Arc<StopHead>),
    /// Mean log-probability of the prefix's last tokens, as a probability per token. DeepConf's kind of signal
    /// (arXiv 2508.15260) without its sampling of 20 alternatives; see [`Self::confidence`].
    Confidence {
        /// Tokens averaged over; `None`: the whole prefix.
        window_tokens: Option<NonZeroUsize>,
    },
    /// A number drawn for each path from the seed: what any other signal must beat.
    Random,
}

impl Signal {
    /// The name used in answers and records.
    pub fn name(&self) -> &str {
        match self {
            Signal::Head(head) => &head.header().name,
            Signal::Confidence { .. } => "confidence",
            Signal::Random => "random",
        }
    }

    /// Whether its scores are probabilities that a path is right.
    pub fn is_calibrated(&self) -> bool {
        matches!(self, Signal::Head(head) if head.header().calibration.is_some())
    }

    /// e to the mean of the last `window_tokens` log-probabilities, in \[0, 1\]; 0 of none.
    pub fn confidence(logprobs: &[f32], window_tokens: Option<NonZeroUsize>) -> f64 {
        let window = window_tokens.map_or(logprobs.len(), NonZeroUsize::get);
        let recent = &logprobs[logprobs.len().saturating_sub(window)..];
        match recent.len() {
            0 => 0.0,
            n => (recent.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64).exp(),
        }
    }
}

/// Which of the paths at a check go on. Those that have finished vote in any case, and are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All: the check only scores.
    All,
    /// The K best.
    Top(usize),
    /// The best, as many as this share of the paths launched (the retention ratio γ), rounded, at least one.
    Ratio(f64),
    /// Those that score at least this; the best of them where none does and no path has answered yet.
    AtLeast(f64),
}

impl Keep {
    /// Most paths that go on, of `running`, where `launched` were.
    pub fn at_most(self, running: usize, launched: usize) -> usize {
        match self {
            Keep::All | Keep::AtLeast(_) => running,
            Keep::Top(k) => running.min(k),
            Keep::Ratio(r) => running.min(((r * launched as f64).round() as usize).max(1)),
        }
    }

    fn check(self, paths: usize) -> Result<()> {
        match self {
            Keep::All => Ok(()),
            Keep::Top(k) if k == 0 || k > paths => Err(Error::option(
                "--keep",
                format!("1 to {paths}, the number of paths"),
                k,
            )),
            Keep::Ratio(r) if !(r > 0.0 && r <= 1.0) => Err(Error::option(
                "--keep-ratio",
                "a number above 0, at most 1",
                r,
            )),
            Keep::AtLeast(s) if !(0.0..=1.0).contains(&s) => {
                Err(Error::option("--keep-at-least", "a score from 0 to 1", s))
            }
            _ => Ok(()),
        }
    }
}

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

/// The part of a plan that needs no model: what a live run and a replay of recorded paths have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Check points in generated tokens, never descending, and who goes on.
    pub checks: Vec<(usize, Keep)>,
    /// When the question is settled, and how.
    pub ending: Ending,
}

impl Policy {
    /// What of `checks` needs no model, and `ending`.
    pub fn new(checks: &[Check], ending: Ending) -> Self {
        Self {
            checks: checks.iter().map(|c| (c.at_tokens, c.keep)).collect(),
            ending,
        }
    }

    /// # Errors
    /// [`Error::Option`] for a value that cannot be honoured with `paths` paths.
    pub fn check(&self, paths: usize) -> Result<()> {
        for pair in self.checks.windows(2) {
            if pair[0].0 > pair[1].0 {
                return Err(Error::option(
                    "--check-at",
                    "check points in ascending order",
                    format!("{} before {}", pair[0].0, pair[1].0),
                ));
            }
        }
        for &(at_tokens, keep) in &self.checks {
            if at_tokens == 0 {
                return Err(Error::option("--check-at", "at least 1 token", 0));
            }
            keep.check(paths)?;
        }
        match self.ending.first_finished {
            Some(m) if m == 0 || m > paths => Err(Error::option(
                "--first-finished",
                format!("1 to {paths}, the number of paths"),
                m,
            )),
            _ => Ok(()),
        }
    }
}
