//! Options, prompt file, package and defaults, joined in that order.

use super::{AskOptions, Voting};
use crate::error::{Error, Result};
use crate::generate::Sampling;
use crate::package::{Package, SamplingDefaults};
use crate::paths::{Check, Ending, Policy, VoteRule, validate_ascending};
use crate::reading::AnswerReader;

/// Tokens a path may generate where nobody says how many.
const DEFAULT_MAX_TOKENS: usize = 512;

/// Temperature of several paths where nobody says which: greedy paths would all be the same.
const DEFAULT_TEMPERATURE_OF_SEVERAL: f32 = 0.7;

/// The answer pattern that takes all.
const WHOLE: &str = "(?s)(.+)";

/// Options, prompt and package joined.
pub(super) struct Settings {
    pub(super) sampling: Sampling,
    pub(super) max_tokens: usize,
    pub(super) reader: Option<AnswerReader>,
    /// How the answers are combined, where they are.
    pub(super) vote: Option<VoteRule>,
    pub(super) ending: Ending,
    pub(super) checks: Vec<Check>,
}

impl Settings {
    /// `checks`: those that the options come to. `sections`: an answer is a section of the response, where no pattern need find
    /// it.
    ///
    /// # Errors
    /// [`Error::Option`] for options outside their range or at odds with each other.
    pub(super) fn resolve(
        package: &Package,
        options: &AskOptions,
        checks: Vec<Check>,
        sections: bool,
    ) -> Result<Self> {
        if options.paths == 0 {
            return Err(Error::option("paths", "at least 1", 0));
        }
        let prompt = options.prompt.as_ref().or(package.prompt());
        let chosen = options
            .sampling
            .or(prompt.map(|p| p.sampling).unwrap_or_default())
            .or(package.sampling());
        let sampling = sampling(chosen, options.paths)?;
        let max_tokens = chosen.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
        if max_tokens == 0 {
            return Err(Error::option("max_tokens", "at least 1", 0));
        }
        let pattern = options
            .answer_pattern
            .as_deref()
            .or_else(|| prompt.and_then(|p| p.answer_pattern.as_deref()))
            .or(sections.then_some(WHOLE));
        let kind = options
            .answer_kind
            .as_ref()
            .or_else(|| prompt.and_then(|p| p.answer_kind.as_ref()));
        let reader = pattern
            .map(|pattern| AnswerReader::new(pattern, kind.cloned()))
            .transpose()?;
        let vote = vote(options, reader.is_some())?;
        let ending = Ending {
            early_vote: options.early_vote,
            first_finished: options.first_finished,
            vote: vote.unwrap_or_default(),
        };
        Policy::new(&checks, ending).validate(options.paths)?;
        validate_ascending("show_kv_at", &options.show_kv_at)?;
        let points = checks.iter().map(|check| ("check_at", check.at_tokens));
        let shown = options.show_kv_at.iter().map(|&at| ("show_kv_at", at));
        for (field, at_tokens) in points.chain(shown) {
            if at_tokens >= max_tokens {
                let expected = format!("tokens before the last ({max_tokens} are allowed)");
                return Err(Error::option(field, expected, at_tokens));
            }
        }
        Ok(Self {
            sampling,
            max_tokens,
            reader,
            vote,
            ending,
            checks,
        })
    }
}

/// How `paths` paths are drawn.
fn sampling(chosen: SamplingDefaults, paths: usize) -> Result<Sampling> {
    let several = paths > 1;
    let sampling = Sampling::from(chosen.or(SamplingDefaults {
        temperature: several.then_some(DEFAULT_TEMPERATURE_OF_SEVERAL),
        ..SamplingDefaults::default()
    }));
    sampling.validate()?;
    if several && sampling.is_greedy() {
        return Err(Error::option(
            "temperature",
            "a number above 0 (and `top_k` above 1) for several paths: greedy paths are all the same",
            sampling.temperature,
        ));
    }
    Ok(sampling)
}

/// The rule by which the paths vote, where they do.
fn vote(options: &AskOptions, pattern_known: bool) -> Result<Option<VoteRule>> {
    let vote = match options.vote {
        Voting::Off => None,
        Voting::Auto => (options.paths > 1 && pattern_known).then(VoteRule::default),
        Voting::By(_) if !pattern_known => {
            return Err(Error::option(
                "answer_pattern",
                "a regular expression that finds the answer in a path's text, since a vote is asked for",
                "none, from the options or the prompt file",
            ));
        }
        Voting::By(rule) => Some(rule),
    };
    if vote.is_none() && (options.early_vote || options.first_finished.is_some()) {
        return Err(Error::option(
            "vote",
            "a vote, since `early_vote` and `first_finished` end it (several paths vote where `answer_pattern` is known)",
            "none",
        ));
    }
    Ok(vote)
}
