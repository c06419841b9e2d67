//! What a question got: text, votes, and what they cost. A number that was not measured is absent.

use std::time::Duration;

use serde::Serialize;

use crate::format::{Features, Format, ReadOut, ResponseFormat, Section};
use crate::kv::KvPlan;
use crate::metrics;
use crate::package::AttentionReport;
use crate::paths::{
    CheckTaken, FinishReason, Launched, PathId, PathScore, ReasoningPath, Vote, VoteRule,
};
use crate::session::{Placement, ProbeReport};

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
    /// The response's format, where it has one, and how it came to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatAnswer>,
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
    /// How the provider was chosen, where a probe did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeReport>,
    /// Whether paths shared one copy of the prompt's keys and values.
    pub attention: AttentionReport,
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
    /// Its sections, where the response has a format. Of several paths, those that are its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the model itself; 0 of those that the model was not asked for, which a format
    /// forces. Not part of the JSON: its mean is.
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

/// The format of an answer, and how it came to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormatAnswer {
    /// What was asked for.
    pub asked: Format,
    /// What the response has; `None` where it is none of the three: sections are missing or out of order.
    pub used: Option<ResponseFormat>,
    /// Whether the package says that its model was trained to write sections. Else they were forced on it.
    pub known: bool,
    /// What the model would have chosen, or chose, where formats part. Empty where a format was forced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_outs: Vec<ReadOut>,
    /// Calibrated P(the answer is right) of the cascade, where it was accepted for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Answers of the cascade that were not accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
    /// Sections that several paths have in common.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<Section>,
    /// Tokens that stand between the prompt and what is each path's own, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_tokens: Vec<u32>,
}

impl FormatAnswer {
    /// P(direct), read from the prefill: what the model would have chosen. `None` where nothing was to be chosen.
    pub fn read_out(&self) -> Option<&ReadOut> {
        self.read_outs.iter().find(|read| read.after.is_none())
    }
}

/// An answer of the cascade that was not accepted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Escalation {
    /// Its format.
    pub from: ResponseFormat,
    /// The format that was tried next.
    pub to: ResponseFormat,
    /// Why.
    pub reason: EscalationReason,
    /// Calibrated P(it is right); `None` of no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// What that would have had to be.
    pub threshold: f64,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What its confidence is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
    /// Tokens that were discarded with it.
    pub tokens: usize,
    /// Tokens of its response that what follows goes on from.
    #[serde(skip_serializing_if = "is_zero")]
    pub kept_tokens: usize,
    /// What it took, in milliseconds.
    pub ms: f64,
}

/// Why an answer of the cascade was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationReason {
    /// Its confidence is below the threshold.
    BelowThreshold,
    /// It has no answer.
    NoAnswer,
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
    /// Generated, over all paths: drawn or forced, shared or discarded.
    pub generated: usize,
    /// Of these, tokens that were not drawn: tags of sections.
    #[serde(skip_serializing_if = "is_zero")]
    pub forced: usize,
    /// Of these, tokens that several paths have in common.
    #[serde(skip_serializing_if = "is_zero")]
    pub shared: usize,
    /// Of these, tokens of answers that the cascade did not accept.
    #[serde(skip_serializing_if = "is_zero")]
    pub discarded: usize,
    /// Of these, by paths that did not vote: dropped, or cut when the question was settled.
    pub unused: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
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
    pub(crate) probe: Option<ProbeReport>,
    pub(crate) attention: AttentionReport,
    pub(crate) load: Duration,
    pub(crate) prefill: Duration,
    /// From the question to the first token.
    pub(crate) first_token: Option<Duration>,
    pub(crate) total: Duration,
    /// Where the response has a format.
    pub(crate) format: Option<FormatTaken>,
}

/// What is known of a response's format beside its paths.
#[derive(Default)]
pub(crate) struct FormatTaken {
    pub(crate) asked: Format,
    pub(crate) known: bool,
    /// Of each path.
    pub(crate) formats: Vec<Option<ResponseFormat>>,
    /// Of each path: its own.
    pub(crate) sections: Vec<Vec<Section>>,
    pub(crate) read_outs: Vec<ReadOut>,
    pub(crate) shared: Vec<Section>,
    pub(crate) shared_tokens: Vec<u32>,
    pub(crate) confidence: Option<f64>,
    pub(crate) escalations: Vec<Escalation>,
    /// Tokens that were discarded, and how many of these were not drawn.
    pub(crate) discarded: (usize, usize),
}

impl Answer {
    /// The answer that `launched` comes to.
    pub(crate) fn of(mut course: Course, launched: Launched) -> Self {
        let times = PhaseTimes::of(&course, &launched);
        let mut paths: Vec<PathAnswer> = launched.paths.into_iter().map(PathAnswer::of).collect();
        if let Some(format) = &mut course.format {
            for (path, sections) in paths.iter_mut().zip(format.sections.drain(..)) {
                path.sections = sections;
            }
        }
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
            format: course
                .format
                .map(|format| FormatAnswer::of(format, speaker.unwrap_or(0))),
            checks: launched.checks,
            notes: course.notes,
            images: course.images,
            prompt: course.prompt,
            paths,
            kv: course.kv,
            logits_bytes: course.logits_bytes,
            placement: course.placement,
            probe: course.probe,
            attention: course.attention,
            seed: course.seed,
            peak_resident_bytes: metrics::peak_resident_bytes(),
        }
    }
}

impl FormatAnswer {
    fn of(taken: FormatTaken, speaker: usize) -> Self {
        Self {
            asked: taken.asked,
            used: taken.formats.get(speaker).copied().flatten(),
            known: taken.known,
            read_outs: taken.read_outs,
            confidence: taken.confidence,
            escalations: taken.escalations,
            shared: taken.shared,
            shared_tokens: taken.shared_tokens,
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
            sections: Vec::new(),
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
        let format = course.format.as_ref();
        let shared = format.map_or(0, |format| format.shared_tokens.len());
        let (discarded, discarded_forced) = format.map_or((0, 0), |format| format.discarded);
        let common = format.map_or(&[][..], |format| &format.shared);
        let sections = paths.iter().flat_map(|path| &path.sections).chain(common);
        Self {
            prompt: course.prompt.len(),
            reused: course.reused,
            prefilled: course.prompt.len() - course.reused,
            generated: of(&[true, false]) + shared + discarded,
            forced: sections.map(|s| s.forced_tokens).sum::<usize>() + discarded_forced,
            shared,
            discarded,
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
