//! What a question got: text, votes, and what they cost. A number that was not measured is absent.

use std::time::Duration;

use serde::Serialize;

use crate::kv::KvPlan;
use crate::metrics;
use crate::paths::{
    CheckTaken, FinishReason, Launched, PathId, PathScore, ReasoningPath, Vote, VoteRule,
};
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
    /// The question's images, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageFacts>,
    /// Token ids of the prompt, as template and tokenizer made them.
    pub prompt: Vec<u32>,
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

/// What was seen of an image, and what it cost. Times are wall time in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageFacts {
    /// Its file, or what it was called.
    pub name: String,
    /// Pixels in a row, upright.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Tiles that the vision graph saw, the whole image among them.
    pub tiles: usize,
    /// Image tokens that it takes in the prompt: one for each image feature.
    pub tokens: usize,
    /// Its features were known from before.
    pub cached: bool,
    /// Reading and decoding it, and finding what it is known by.
    pub decode_ms: f64,
    /// Bringing it to size, cutting and normalising it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_ms: Option<f64>,
    /// Loading the vision graph, where this image was the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<f64>,
    /// Running the vision graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encode_ms: Option<f64>,
    /// What there was and was not seen, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
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

/// What an answer is made of beside what the launch gave.
pub(crate) struct Course {
    pub(crate) notes: Vec<String>,
    /// The rule of the vote, where there is one.
    pub(crate) vote: Option<VoteRule>,
    pub(crate) seed: u64,
    pub(crate) prompt: Vec<u32>,
    pub(crate) images: Vec<ImageFacts>,
    /// Tokens of the prompt that were cached already.
    pub(crate) reused: usize,
    pub(crate) kv: KvPlan,
    pub(crate) logits_bytes: u64,
    pub(crate) placement: Placement,
    pub(crate) load: Duration,
    pub(crate) prefill: Duration,
    /// From the question to the first token.
    pub(crate) first_token: Option<Duration>,
    pub(crate) total: Duration,
}

impl Answer {
    /// The answer that `launched` comes to.
    pub(crate) fn of(course: Course, launched: Launched) -> Self {
        let times = PhaseTimes::of(&course, &launched);
        let paths: Vec<PathAnswer> = launched.paths.into_iter().map(PathAnswer::of).collect();
        let votes = match course.vote {
            Some(_) => launched.votes,
            None => Vec::new(),
        };
        // Without a vote, the first path that came to its end: a dropped one broke off.
        let speaker = votes.first().map(|v| v.paths[0]);
        let speaker = speaker.or_else(|| paths.iter().position(|path| path.finish.votes()));
        Self {
            answer: match course.vote {
                Some(_) => votes.first().map(|v| v.answer.clone()),
                None if paths.len() == 1 => paths[0].answer.clone(),
                None => None,
            },
            text: paths[speaker.unwrap_or(0)].text.clone(),
            tokens: TokenCounts::of(&course, &paths),
            times,
            votes,
            checks: launched.checks,
            notes: course.notes,
            images: course.images,
            prompt: course.prompt,
            paths,
            kv: course.kv,
            logits_bytes: course.logits_bytes,
            placement: course.placement,
            seed: course.seed,
            peak_resident_bytes: metrics::peak_resident_bytes(),
        }
    }
}

impl PathAnswer {
    fn of(path: ReasoningPath) -> Self {
        Self {
            id: path.id,
            mean_logprob: path.mean_logprob(),
            // A launch leaves none without.
            finish: path.finish.unwrap_or(FinishReason::Interrupted),
            dropped_at_tokens: path.scores.iter().find(|s| !s.kept).map(|s| s.at_tokens),
            text: path.text,
            answer: path.answer,
            scores: path.scores,
            tokens: path.tokens,
            logprobs: path.logprobs,
        }
    }
}

impl TokenCounts {
    fn of(course: &Course, paths: &[PathAnswer]) -> Self {
        let of = |votes: &[bool]| {
            let these = paths.iter().filter(|p| votes.contains(&p.finish.votes()));
            these.map(|p| p.tokens.len()).sum::<usize>()
        };
        Self {
            prompt: course.prompt.len(),
            reused: course.reused,
            prefilled: course.prompt.len() - course.reused,
            generated: of(&[true, false]),
            unused: of(&[false]),
        }
    }
}

impl PhaseTimes {
    fn of(course: &Course, launched: &Launched) -> Self {
        let of_checks = |part: fn(&CheckTaken) -> f64| {
            let sum = launched.checks.iter().map(part).sum::<f64>();
            (!launched.checks.is_empty()).then_some(sum)
        };
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        Self {
            load_ms: milliseconds(course.load),
            prefill_ms: milliseconds(course.prefill),
            fork_ms: milliseconds(launched.fork),
            decode_ms: milliseconds(launched.decode),
            check_ms: of_checks(|c| c.score_ms),
            compact_ms: of_checks(|c| c.compact_ms),
            vote_ms: course.vote.map(|_| milliseconds(launched.vote)),
            first_token_ms: milliseconds(course.first_token.unwrap_or_default()),
            total_ms: milliseconds(course.total),
        }
    }
}
