//! The cascade: direct, then perception, then full, until an answer's calibrated confidence clears its threshold.

use std::time::Instant;

use super::formats::{Round, Shaped, Taken, reads_after, scout};
use crate::answer::{Escalation, EscalationReason};
use crate::error::Result;
use crate::format::{CascadeStage, Features, ResponseFormat, Steering, Wanted};
use crate::paths::Watch;

/// A cascade under way.
pub(super) struct Cascade<'a> {
    shaped: &'a Shaped,
    escalations: Vec<Escalation>,
    /// Tokens of answers that were not accepted.
    discarded: usize,
    /// Of these, tokens that were not drawn.
    discarded_forced: usize,
}

impl<'a> Cascade<'a> {
    pub(super) fn new(shaped: &'a Shaped) -> Self {
        Self {
            shaped,
            escalations: Vec::new(),
            discarded: 0,
            discarded_forced: 0,
        }
    }

    /// Runs the stages, and full where none is accepted. `before`: what is prefilled after the prompt, for the first.
    pub(super) fn run(
        &mut self,
        round: &mut Round<'_>,
        steering: &mut Steering<'_>,
        mut before: Vec<u32>,
        watch: &mut dyn Watch,
        escalated: &mut dyn FnMut(&Escalation),
    ) -> Result<Taken> {
        let stages: &[CascadeStage] = self.shaped.calibration.as_ref().map_or(&[], |c| &c.stages);
        let mut logprobs: Vec<Option<f32>> = Vec::new();
        let mut read_outs = Vec::new();
        for (place, stage) in stages.iter().enumerate() {
            let clock = Instant::now();
            if place > 0 {
                steering.rules().wanted = Wanted::Only(stage.format);
                steering.rules().reads_after = reads_after(stage.format);
                steering.restart(1)?;
                before = steering.fixed();
                round.feed(&before)?;
            }
            steering.begin(&before, &[])?;
            let scouted = scout(round, steering, &before, watch)?;
            read_outs.extend_from_slice(steering.read_outs(0));
            let sections = steering.sections(0);
            let features = Features::of(steering.read_outs(0), &sections);
            let confidence = features.map(|features| stage.confidence(features));
            let next = stages
                .get(place + 1)
                .map_or(ResponseFormat::Full, |next| next.format);
            let reason = match confidence {
                None => Some(EscalationReason::NoAnswer),
                Some(p) if p >= stage.threshold => None,
                Some(_) => Some(EscalationReason::BelowThreshold),
            };
            let fits = steering.fits(next);
            let broken = scouted.launched.broken.is_some();
            let Some(reason) = reason.filter(|_| !broken && fits) else {
                let mut taken = self.shaped.alone(scouted.launched, steering, before);
                taken.format.read_outs = read_outs;
                taken.format.confidence = confidence;
                return Ok(self.told(taken));
            };
            let path = &scouted.launched.paths[0];
            let tokens: Vec<u32> = before.iter().chain(&path.tokens).copied().collect();
            // Full goes on from the perception, up to where the answer was chosen.
            let kept = match (stage.format, steering.read_outs(0).last()) {
                (ResponseFormat::Perception, Some(read)) => read.at_tokens.min(tokens.len()),
                _ => 0,
            };
            let escalation = Escalation {
                from: stage.format,
                to: next,
                reason,
                confidence,
                threshold: stage.threshold,
                answer: path.answer.clone(),
                features,
                tokens: tokens.len() - kept,
                kept_tokens: kept,
                ms: clock.elapsed().as_secs_f64() * 1e3,
            };
            escalated(&escalation);
            let drawn = steering.logprobs(0);
            let forced = drawn.iter().skip(kept).filter(|logprob| logprob.is_none());
            self.discarded += escalation.tokens;
            self.discarded_forced += forced.count();
            self.escalations.push(escalation);
            logprobs = drawn[..kept.min(drawn.len())].to_vec();
            before = tokens[..kept].to_vec();
            round.rewind(kept)?;
        }
        if !stages.is_empty() {
            steering.rules().wanted = Wanted::Only(ResponseFormat::Full);
            steering.rules().reads_after = None;
            steering.rules().stops_at_reasoning = self.shaped.parts();
            steering.restart(1)?;
            steering.begin(&before, &logprobs)?;
            let fixed = steering.fixed();
            round.feed(&fixed)?;
            before.extend(&fixed);
            steering.begin(&fixed, &[])?;
        } else {
            steering.begin(&before, &[])?;
        }
        let mut earlier = None;
        if self.shaped.parts() && !steering.reasons(0) {
            let scouted = scout(round, steering, &before, watch)?;
            if !scouted.parts(steering) {
                let mut taken = self.shaped.alone(scouted.launched, steering, before);
                taken.format.read_outs = read_outs;
                return Ok(self.told(taken));
            }
            before.extend(&scouted.launched.paths[0].tokens);
            round.feed_last(&before)?;
            earlier = Some(scouted.launched);
        }
        let logprobs = steering.logprobs(0).to_vec();
        let shaped = self.shaped;
        let mut taken = shaped.last(round, steering, before, &logprobs, earlier, watch)?;
        taken.format.read_outs = read_outs;
        Ok(self.told(taken))
    }

    /// What the launches gave, and what went before.
    fn told(&mut self, mut taken: Taken) -> Taken {
        taken.format.escalations = std::mem::take(&mut self.escalations);
        taken.format.discarded = (self.discarded, self.discarded_forced);
        taken
    }
}
