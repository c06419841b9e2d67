//! From logits to a token.

use std::cmp::Ordering;

use curt_kernels::{Softmax, exp_of_non_positive};
use serde::{Deserialize, Serialize};

use super::PathRandom;
use crate::error::{Error, Result};
use crate::package::SamplingDefaults;

/// How tokens are drawn. Filters apply in this order, as in Hugging Face transformers: repetition penalty, temperature,
/// top-k, top-p, min-p.
///
/// Head files hold it as it is here; `models/FORMAT.md` describes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits. 0: the most probable token, always.
    pub temperature: f32,
    /// Keep the k most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most probable tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as probable as the most probable; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that stand in the prompt or the path; 1 changes none.
    pub repetition_penalty: f32,
}

impl Default for Sampling {
    /// Greedy.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
        }
    }
}

impl From<SamplingDefaults> for Sampling {
    /// What is said, and for the rest what changes nothing: greedy, all tokens, no penalty.
    fn from(said: SamplingDefaults) -> Self {
        let neutral = Self::default();
        Self {
            temperature: said.temperature.unwrap_or(neutral.temperature),
            top_k: said.top_k.map_or(neutral.top_k, |k| k as usize),
            top_p: said.top_p.unwrap_or(neutral.top_p),
            min_p: said.min_p.unwrap_or(neutral.min_p),
            repetition_penalty: said
                .repetition_penalty
                .unwrap_or(neutral.repetition_penalty),
        }
    }
}

impl Sampling {
    /// Whether every path would be the same.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    /// # Errors
    /// [`Error::Option`] for a value outside its range.
    pub fn check(&self) -> Result<()> {
        let checks = [
            (
                "temperature",
                "0, or a number from 0.0001 up",
                self.temperature,
                self.temperature == 0.0
                    || (self.temperature >= 1e-4 && self.temperature.is_finite()),
            ),
            (
                "top_p",
                "a number above 0, at most 1",
                self.top_p,
                self.top_p > 0.0 && self.top_p <= 1.0,
            ),
            (
                "min_p",
                "a number from 0 to 1",
                self.min_p,
                (0.0..=1.0).contains(&self.min_p),
            ),
            (
                "repetition_penalty",
                "a number from 0.01 to 100",
                self.repetition_penalty,
                (0.01..=100.0).contains(&self.repetition_penalty),
            ),
        ];
        for (option, expected, got, fine) in checks {
            if !fine {
                return Err(Error::option(option, expected, got));
            }
        }
        Ok(())
    }
}

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of its probability under the model itself: temperature 1, no filter, no penalty.
    pub logprob: f32,
}

/// Draws tokens; its buffers are allocated once.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    softmax: Softmax,
    /// Logits after the penalty, `[vocabulary]`; used only where there is one.
    penalised: Vec<f32>,
    /// Kept tokens, most probable first.
    kept: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    logit: f32,
    token: u32,
    /// Relative to the most probable token's.
    weight: f32,
}

/// Most probable first; equal logits by id.
fn by_logit(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

impl Sampler {
    /// A sampler for a vocabulary.
    ///
    /// # Errors
    /// [`Error::Option`] for a parameter outside its range.
    pub fn new(sampling: Sampling, vocabulary: usize) -> Result<Self> {
        sampling.check()?;
        Ok(Self {
            sampling,
            softmax: Softmax::best(),
            penalised: match sampling.repetition_penalty {
                1.0 => Vec::new(),
                _ => vec![0.0; vocabulary],
            },
            kept: Vec::with_capacity(vocabulary + 1),
        })
    }

    /// Draws the token that `path` takes at `step`.
    ///
    /// `logits`: `[vocabulary]`. `before`: the prompt and the path's own tokens, read for the repetition penalty.
    ///
    /// # Errors
    /// [`Error::NonFiniteLogits`] where logits are NaN or infinite, or all are −infinite.
    pub fn draw<'a>(
        &mut self,
        logits: &[f32],
        before: impl Iterator<Item = &'a u32>,
        random: &mut PathRandom,
        (path, step): (usize, usize),
    ) -> Result<Sampled> {
        let (max, faults) = self.softmax.max_and_faults(logits);
        if faults > 0 || max == f32::NEG_INFINITY {
            return Err(Error::NonFiniteLogits {
                path,
                step,
                count: if faults > 0 { faults } else { logits.len() },
                vocabulary: logits.len(),
            });
        }
        let log_sum = self.softmax.exp_sum(logits, max, 1.0).ln();
        let token = if self.sampling.repetition_penalty == 1.0 {
            self.pick(logits, max, random, path, step)
        } else {
            let mut penalised = std::mem::take(&mut self.penalised);
            penalise(
                logits,
                before,
                self.sampling.repetition_penalty,
                &mut penalised,
            );
            let (max, _) = self.softmax.max_and_faults(&penalised);
            let token = self.pick(&penalised, max, random, path, step);
            self.penalised = penalised;
            token
        };
        let logit = logits
            .get(token as usize)
            .copied()
            .unwrap_or(f32::NEG_INFINITY);
        Ok(Sampled {
            token,
            logprob: (f64::from(logit - max) - log_sum) as f32,
        })
    }

    fn pick(
        &mut self,
        logits: &[f32],
        max: f32,
        random: &mut PathRandom,
        path: usize,
        step: usize,
    ) -> u32 {
        let Sampling {
            temperature,
            top_k,
            top_p,
            min_p,
            ..
        } = self.sampling;
        if self.sampling.is_greedy() {
            return logits.iter().position(|&x| x == max).unwrap_or(0) as u32;
        }
        let scale = 1.0 / temperature;
        let uniform = random.uniform(path, step);
        if top_k == 0 && top_p >= 1.0 && min_p == 0.0 {
            return self.draw_from_all(logits, max, scale, uniform);
        }
        self.kept.clear();
        match top_k {
            0 if top_p < 1.0 => self.keep_nucleus(logits, max, scale, top_p),
            0 => self.keep_weighing(logits, max, scale, min_p),
            k => {
                self.select(logits, max, scale, k.min(logits.len()));
                let total: f64 = self.kept.iter().map(|c| f64::from(c.weight)).sum();
                self.cut(f64::from(top_p) * total);
            }
        }
        let most = self.kept.first().map_or(0.0, |c| c.weight);
        self.kept.retain(|c| c.weight >= min_p * most);
        draw_from_kept(&self.kept, uniform)
    }

    /// Inverse of the distribution over all tokens, in the order of their ids.
    fn draw_from_all(&self, logits: &[f32], max: f32, scale: f32, uniform: f64) -> u32 {
        const BLOCK: usize = 1024;
        let target = uniform * self.softmax.exp_sum(logits, max, scale);
        let mut sum = 0.0;
        let mut last = 0;
        for (b, block) in logits.chunks(BLOCK).enumerate() {
            let block_sum = self.softmax.exp_sum(block, max, scale);
            if sum + block_sum <= target {
                sum += block_sum;
                continue;
            }
            for (i, &logit) in block.iter().enumerate() {
                let weight = f64::from(exp_of_non_positive((logit - max) * scale));
                if weight > 0.0 {
                    last = b * BLOCK + i;
                    sum += weight;
                    if sum > target {
                        return last as u32;
                    }
                }
            }
        }
        // Rounding left the target just above the sum: the last token that has any weight.
        last as u32
    }

    /// Keeps the most probable tokens that together reach `top_p` of all weight.
    fn keep_nucleus(&mut self, logits: &[f32], max: f32, scale: f32, top_p: f32) {
        let wanted = f64::from(top_p) * self.softmax.exp_sum(logits, max, scale);
        // A nucleus is small as a rule: look for it among few tokens, then among more.
        let mut among = 64.min(logits.len());
        loop {
            self.select(logits, max, scale, among);
            if self.cut(wanted) || among == logits.len() {
                return;
            }
            among = (among * 8).min(logits.len());
        }
    }

    /// Keeps tokens of at least `least` times the weight of the most probable, that one first.
    fn keep_weighing(&mut self, logits: &[f32], max: f32, scale: f32, least: f32) {
        for (token, &logit) in logits.iter().enumerate() {
            let weight = exp_of_non_positive((logit - max) * scale);
            if weight >= least {
                self.kept.push(Candidate {
                    logit,
                    token: token as u32,
                    weight,
                });
            }
        }
        self.kept.sort_unstable_by(by_logit);
    }

    /// Drops what comes after the kept tokens have reached `wanted`. False where all of them do not.
    fn cut(&mut self, wanted: f64) -> bool {
        let mut sum = 0.0;
        for i in 0..self.kept.len() {
            sum += f64::from(self.kept[i].weight);
            if sum >= wanted {
                self.kept.truncate(i + 1);
                return true;
            }
        }
        false
    }

    /// Fills `kept` with the `k` most probable tokens, most probable first.
    fn select(&mut self, logits: &[f32], max: f32, scale: f32, k: usize) {
        let candidate = |(token, &logit): (usize, &f32)| Candidate {
            logit,
            token: token as u32,
            weight: 0.0,
        };
        self.kept.clear();
        if k < logits.len() {
            // Collect what may be among the k, and cut down when that becomes many: the threshold rises quickly, and
            // most logits are compared once.
            let most = (2 * k).max(256);
            let mut threshold = f32::NEG_INFINITY;
            for entry in logits.iter().enumerate() {
                if *entry.1 > threshold || self.kept.len() < k {
                    self.kept.push(candidate(entry));
                    if self.kept.len() == most {
                        self.kept.select_nth_unstable_by(k - 1, by_logit);
                        self.kept.truncate(k);
                        threshold = self.kept[k - 1].logit;
                    }
                }
            }
            if self.kept.len() > k {
                self.kept.select_nth_unstable_by(k - 1, by_logit);
                self.kept.truncate(k);
            }
        } else {
            self.kept.extend(logits.iter().enumerate().map(candidate));
        }
        self.kept.sort_unstable_by(by_logit);
        for c in &mut self.kept {
            c.weight = exp_of_non_positive((c.logit - max) * scale);
        }
    }
}

/// Applies the penalty once to each token in `before`.
fn penalise<'a>(
    logits: &[f32],
    before: impl Iterator<Item = &'a u32>,
    penalty: f32,
    penalised: &mut Vec<f32>,
) {
    penalised.clear();
    penalised.extend_from_slice(logits);
    for &token in before {
        if let (Some(&logit), Some(slot)) = (
            logits.get(token as usize),
            penalised.get_mut(token as usize),
        ) {
            *slot = if logit > 0.0 {
                logit / penalty
            } else {
                logit * penalty
            };
        }
    }
}

fn draw_from_kept(kept: &[Candidate], uniform: f64) -> u32 {
    let total: f64 = kept.iter().map(|c| f64::from(c.weight)).sum();
    let target = uniform * total;
    let mut sum = 0.0;
    for c in kept {
        sum += f64::from(c.weight);
        if sum > target {
            return c.token;
        }
    }
    kept.iter()
        .rev()
        .find(|c| c.weight > 0.0)
        .map_or(0, |c| c.token)
}
