//! Check: score the paths that run from what is cached of them.

use super::{Check, PathId, ReasoningPath, Signal};
use crate::error::Result;
use crate::generate::PathRandom;
use crate::head::{HeadBuffers, PathPrefix};
use crate::kv::KvCache;

/// Set apart from the seed, so that a random signal does not follow what the paths drew.
const RANDOM_SIGNAL: u64 = 0x9e37_79b9_7f4a_7c15;

/// The checks of a launch and what they work in.
pub(super) struct Checks<'a> {
    checks: &'a [Check],
    buffers: Vec<Option<HeadBuffers>>,
    random: PathRandom,
    scores: Vec<f64>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(checks: &'a [Check], paths: usize, seed: u64) -> Result<Self> {
        Ok(Self {
            checks,
            buffers: checks
                .iter()
                .map(|check| match &check.signal {
                    Signal::Head(head) => head.buffers(paths).map(Some),
                    _ => Ok(None),
                })
                .collect::<Result<_>>()?,
            random: PathRandom::new(seed ^ RANDOM_SIGNAL),
            scores: Vec::with_capacity(paths),
        })
    }

    /// Scores the path of each row, `rows[row]`, into `scored`.
    pub(super) fn score(
        &mut self,
        index: usize,
        kv: &KvCache,
        prompt: &[u32],
        rows: &[PathId],
        paths: &[ReasoningPath],
        scored: &mut Vec<(PathId, f64)>,
    ) -> Result<()> {
        scored.clear();
        match &self.checks[index].signal {
            Signal::Head(head) => {
                let prefixes: Vec<PathPrefix<'_>> = rows
                    .iter()
                    .enumerate()
                    .map(|(row, &path)| PathPrefix {
                        row,
                        tokens: &paths[path].tokens,
                        logprobs: &paths[path].logprobs,
                    })
                    .collect();
                if let Some(buffers) = &mut self.buffers[index] {
                    head.score(kv, prompt, &prefixes, buffers, &mut self.scores)?;
                }
                scored.extend(rows.iter().copied().zip(self.scores.iter().copied()));
            }
            Signal::Confidence { window_tokens } => scored.extend(rows.iter().map(|&path| {
                let logprobs = &paths[path].logprobs;
                (path, Signal::confidence(logprobs, *window_tokens))
            })),
            Signal::Random => {
                let at = self.checks[index].at_tokens;
                for &path in rows {
                    scored.push((path, self.random.uniform(path, at)));
                }
            }
        }
        Ok(())
    }
}
