//! From logits to a token.

use std::cmp::Ordering;

use curt_kernels::{Softmax, exp_of_non_positive};

use super::adjust::{Before, adjust};
use super::{PathRandom, Sampling};
use crate::error::{Error, Result};

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
    /// Tokens that end a path.
    eos_ids: Vec<u32>,
    softmax: Softmax,
    /// Logits after penalties and masks, `[vocabulary]`; used only where there are any.
    adjusted: Vec<f32>,
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

/// Sets the logits of tokens that must not be drawn to −∞: `[vocabulary]`.
pub type Mask<'a> = &'a mut dyn FnMut(&mut [f32]);

impl Sampler {
    /// A sampler for a vocabulary in which `eos_ids` end a path.
    ///
    /// # Errors
    /// [`Error::Option`] for a parameter outside its range.
    pub fn new(sampling: Sampling, vocabulary: usize, eos_ids: &[u32]) -> Result<Self> {
        sampling.validate()?;
        Ok(Self {
            sampling,
            eos_ids: eos_ids.to_vec(),
            softmax: Softmax::best(),
            // A mask may come with any token, and no step allocates.
            adjusted: Vec::with_capacity(vocabulary),
            kept: Vec::with_capacity(vocabulary + 1),
        })
    }

    /// Draws the token that `path` takes at `step`.
    ///
    /// `logits`: `[vocabulary]`, of which `mask` may set some to −∞ before a token is drawn.
    ///
    /// # Errors
    /// [`Error::NonFiniteLogits`] where logits are NaN or infinite, or all are −infinite; [`Error::Option`] where `mask`
    /// leaves none.
    pub fn draw(
        &mut self,
        logits: &[f32],
        before: Before<'_>,
        mask: Option<Mask<'_>>,
        random: &mut PathRandom,
        (path, step): (usize, usize),
    ) -> Result<Sampled> {
        let (max, log_sum) = self.normalizer(logits, (path, step))?;
        let token = if mask.is_none() && !self.sampling.changes_logits() {
            self.pick(logits, max, random, path, step)
        } else {
            let mut adjusted = std::mem::take(&mut self.adjusted);
            adjust(&self.sampling, &self.eos_ids, before, logits, &mut adjusted);
            if let Some(mask) = mask {
                mask(&mut adjusted);
            }
            let (max, _) = self.softmax.max_and_faults(&adjusted);
            let token =
                (max > f32::NEG_INFINITY).then(|| self.pick(&adjusted, max, random, path, step));
            self.adjusted = adjusted;
            token.ok_or_else(|| Error::option("mask", "a token that path may take", "none"))?
        };
        Ok(sampled(logits, token, max, log_sum))
    }

    /// `token` as if it had been drawn.
    ///
    /// # Errors
    /// [`Error::NonFiniteLogits`] as [`Self::draw`].
    pub fn forced(&self, logits: &[f32], token: u32, key: (usize, usize)) -> Result<Sampled> {
        let (max, log_sum) = self.normalizer(logits, key)?;
        Ok(sampled(logits, token, max, log_sum))
    }

    /// The largest logit, and the logarithm of the sum of all relative to it.
    fn normalizer(&self, logits: &[f32], (path, step): (usize, usize)) -> Result<(f32, f64)> {
        let (max, faults) = self.softmax.max_and_faults(logits);
        if faults > 0 || max == f32::NEG_INFINITY {
            return Err(Error::NonFiniteLogits {
                path,
                step,
                count: if faults > 0 { faults } else { logits.len() },
                vocabulary: logits.len(),
            });
        }
        Ok((max, self.softmax.exp_sum(logits, max, 1.0).ln()))
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

fn sampled(logits: &[f32], token: u32, max: f32, log_sum: f64) -> Sampled {
    let logit = logits
        .get(token as usize)
        .copied()
        .unwrap_or(f32::NEG_INFINITY);
    Sampled {
        token,
        logprob: (f64::from(logit - max) - log_sum) as f32,
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
