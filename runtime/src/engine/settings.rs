//! Options, prompt file, package and defaults, joined in that order.

use super::AskOptions;
use crate::error::{Error, Result};
use crate::generate::Sampling;
use crate::package::{Package, SamplingDefaults};
use crate::paths::{Ending, Policy};
use crate::reading::AnswerReader;

/// Tokens a path may generate where nobody says how many.
const DEFAULT_MAX_TOKENS: usize = 512;

/// Temperature of several paths where nobody says which: greedy paths would all be the same.
const DEFAULT_TEMPERATURE_OF_SEVERAL: f32 = 0.7;

/// Options, prompt and package joined.
pub(super) struct Settings {
    pub(super) sampling: Sampling,
    pub(super) max_tokens: usize,
    pub(super) reader: Option<AnswerReader>,
    pub(super) ending: Ending,
}

impl Settings {
    /// # Errors
    /// [`Error::Option`] for options outside their range or at odds with each other.
    pub(super) fn resolve(package: &Package, options: &AskOptions) -> Result<Self> {
        if options.paths == 0 {
            return Err(Error::option("paths", "at least 1", 0));
        }
        let prompt = options.prompt.as_ref().or(package.prompt());
        let chosen = options
            .sampling
            .or(prompt.map(|p| p.sampling).unwrap_or_default())
            .or(package.sampling());
        let several = options.paths > 1;
        let sampling = Sampling::from(chosen.or(SamplingDefaults {
            temperature: several.then_some(DEFAULT_TEMPERATURE_OF_SEVERAL),
            ..SamplingDefaults::default()
        }));
        sampling.check()?;
        if several && sampling.is_greedy() {
            return Err(Error::option(
                "temperature",
                "a number above 0 (and `top_k` above 1) for several paths: greedy paths are all the same",
                sampling.temperature,
            ));
        }
        let max_tokens = chosen.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
        if max_tokens == 0 {
            return Err(Error::option("max_tokens", "at least 1", 0));
        }
        if options.stop.iter().any(String::is_empty) {
            return Err(Error::option("stop", "some text", "an empty text"));
        }
        let pattern = options
            .answer_pattern
            .as_ref()
            .or_else(|| prompt.and_then(|p| p.answer_pattern.as_ref()));
        let kind = options
            .answer_kind
            .as_ref()
            .or_else(|| prompt.and_then(|p| p.answer_kind.as_ref()));
        let reader = pattern
            .map(|pattern| AnswerReader::new(pattern, kind.cloned()))
            .transpose()?;
        if options.vote.is_some() && reader.is_none() {
            return Err(Error::option(
                "answer_pattern",
                "a regular expression that finds the answer in a path's text, since a vote is asked for",
                "none, from the command line or the prompt file",
            ));
        }
        if options.vote.is_none() && (options.early_vote || options.first_finished.is_some()) {
            return Err(Error::option(
                "vote",
                "a vote, since `early_vote` and `first_finished` end it",
                "none",
            ));
        }
        let ending = Ending {
            early_vote: options.early_vote,
            first_finished: options.first_finished,
            vote: options.vote.unwrap_or_default(),
        };
        Policy::new(&options.checks, ending).validate(options.paths)?;
        if let Some(late) = options.checks.iter().find(|c| c.at_tokens >= max_tokens) {
            return Err(Error::option(
                "check_at",
                format!("check points before the last token ({max_tokens} are allowed)"),
                late.at_tokens,
            ));
        }
        Ok(Self {
            sampling,
            max_tokens,
            reader,
            ending,
        })
    }
}
