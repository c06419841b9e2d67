//! Where a launch's tokens come from: the plan, or the model within what the plan leaves it.

use std::time::Instant;

use super::{Branch, Item, Steering, Wanted};
use crate::error::Result;
use crate::format::{Place, ReadOut, SectionFinish, SectionKind};
use crate::paths::{AnswerPlace, FinishReason, Next, PathId, TokenSource};

/// The read-out of a choice between the answer and something else.
fn read_out(branches: &[Branch], logits: &[f32], at_tokens: usize) -> Option<ReadOut> {
    let of = |answer: bool| {
        let mut branches = branches.iter();
        branches.find(|b| (b.kind == SectionKind::Answer) == answer)
    };
    ReadOut::of(logits, of(true)?.first, of(false)?.first, at_tokens)
}

impl TokenSource for Steering<'_> {
    fn next(&mut self, path: PathId, _tokens: &[u32]) -> Next {
        let steered = &self.paths[path];
        match steered.plan.front() {
            Some(Item::Token(token)) => Next::Spanned(*token),
            Some(Item::OneOf(_) | Item::Choice(_)) => Next::Masked,
            // Before the answer, nothing ends a response.
            None => match steered.track.parser().place() {
                Place::In(SectionKind::Perception | SectionKind::Reasoning)
                    if self.rules.wanted != Wanted::Free =>
                {
                    Next::Masked
                }
                _ => Next::Drawn,
            },
        }
    }

    fn mask(&mut self, path: PathId, _tokens: &[u32], logits: &mut [f32]) {
        let keep = |logits: &mut [f32], kept: &[(u32, f64)]| {
            let kept: Vec<(usize, f32)> = kept
                .iter()
                .filter_map(|&(id, bias)| {
                    let logit = *logits.get(id as usize)?;
                    Some((id as usize, logit + bias as f32))
                })
                .collect();
            logits.fill(f32::NEG_INFINITY);
            for (id, logit) in kept {
                logits[id] = logit;
            }
        };
        match self.paths[path].plan.front() {
            Some(Item::OneOf(ids)) => {
                let kept: Vec<(u32, f64)> = ids.iter().map(|&id| (id, 0.0)).collect();
                keep(logits, &kept);
            }
            Some(Item::Choice(branches)) => {
                let at_tokens = self.paths[path].track.tokens();
                let mut read = read_out(branches, logits, at_tokens);
                let free = self.rules.wanted == Wanted::Any;
                let other = branches
                    .iter()
                    .find(|b| free && b.kind != SectionKind::Answer);
                let bias = match (&self.rules.pace, other) {
                    (Some(pace), Some(other)) => {
                        pace.bias(self.expected(other.kind), Instant::now())
                    }
                    _ => 0.0,
                };
                // What does not fit leaves one: an infinite bias would leave no number to draw by.
                let fits = bias.is_finite();
                let sections = self.paths[path].track.parser().sections();
                let allowed = self.following(path, sections.last().copied());
                let kept: Vec<(u32, f64)> = branches
                    .iter()
                    .filter(|branch| allowed.contains(&branch.kind))
                    .filter(|branch| {
                        fits || allowed.len() == 1 || branch.kind == SectionKind::Answer
                    })
                    .map(|branch| {
                        let answers = branch.kind == SectionKind::Answer;
                        (branch.first, if answers && fits { bias } else { 0.0 })
                    })
                    .collect();
                keep(logits, &kept);
                if let Some(read) = &mut read {
                    read.deadline_bias = if fits { bias } else { f64::MAX };
                    read.after = self.paths[path].track.parser().sections().last().copied();
                    self.paths[path].read_outs.push(*read);
                }
            }
            Some(Item::Token(_)) => {}
            None => {
                for &id in self.eos_ids {
                    if let Some(logit) = logits.get_mut(id as usize) {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }

    fn taken(
        &mut self,
        path: PathId,
        tokens: &[u32],
        logprob: f32,
    ) -> Result<Option<FinishReason>> {
        let Some(&token) = tokens.last() else {
            return Ok(None);
        };
        let forced = matches!(self.paths[path].plan.front(), Some(Item::Token(_)));
        let began = self.push(path, token, (!forced).then_some(logprob))?;
        let loops = self.paths[path].track.loops(token, began);
        if let Some(pace) = &mut self.rules.pace {
            pace.took(tokens.len(), Instant::now());
        }
        let place = self.paths[path].track.parser().place();
        if place == Place::Done {
            return Ok(Some(FinishReason::Answered));
        }
        if let Place::In(kind) = place
            && self.paths[path].plan.is_empty()
        {
            if kind == SectionKind::Answer && self.is_closing(path, kind) {
                let close = self.grammar.closing(kind).unwrap_or_default();
                let held = self.paths[path].track.parser().held().len();
                let rest = close.get(held..).unwrap_or_default();
                let brought = self.paths[path].track.complete(rest);
                self.show(path, brought);
                return Ok(Some(FinishReason::Answered));
            }
            if kind == SectionKind::Reasoning && began && self.rules.stops_at_reasoning {
                return Ok(Some(FinishReason::Forced));
            }
            if let Some(finish) = self.must_close(path, kind, loops) {
                self.paths[path].track.closing(finish);
                if kind == SectionKind::Answer {
                    return Ok(Some(FinishReason::MaxTokens));
                }
                self.paths[path].hurried |=
                    matches!(finish, SectionFinish::MaxTokens | SectionFinish::Deadline);
                self.close(path, kind)?;
            }
        }
        self.plan(path)?;
        Ok(None)
    }

    fn ended(&mut self, path: PathId, finish: FinishReason) -> Result<AnswerPlace<'_>> {
        self.finish(path, finish)?;
        let answer = self.paths[path].track.answer();
        Ok(match answer {
            None => AnswerPlace::Text,
            Some(answer) if self.grammar.tags_answers() => AnswerPlace::Is(answer),
            Some(answer) => AnswerPlace::Within(answer),
        })
    }
}
