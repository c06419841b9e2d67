//! Monte-Carlo rates: how often a prefix, sampled on, comes out right.

use std::collections::BTreeMap;

use curt::answer::PathAnswer;
use curt::{AskOptions, Engine, Question};
use curt_workload::{Item, Workload};
use sha2::{Digest, Sha256};

use super::CollectOptions;
use crate::error::Result;
use crate::features::images;

/// How prefixes are sampled on.
pub(super) struct Rollouts<'a> {
    workload: &'a Workload,
    prefix_tokens: &'a [usize],
    rollouts: usize,
}

impl<'a> Rollouts<'a> {
    pub(super) fn new(workload: &'a Workload, options: &'a CollectOptions) -> Self {
        Self {
            workload,
            prefix_tokens: &options.prefix_tokens,
            rollouts: options.rollouts,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.prefix_tokens.is_empty()
    }

    /// The share of right continuations of `path` at each prefix length that it passes.
    ///
    /// `prompt`: the item's tokens. `drawn_with`: what the path itself was drawn with.
    ///
    /// # Errors
    /// What the runtime and the scorer say.
    pub(super) fn rates(
        &self,
        engine: &mut Engine,
        item: &Item,
        prompt: &[u32],
        path: &PathAnswer,
        drawn_with: &AskOptions,
    ) -> Result<Option<BTreeMap<usize, f64>>> {
        if self.is_empty() {
            return Ok(None);
        }
        let reader = self.workload.reader(item);
        let mut rates = BTreeMap::new();
        for &length in self
            .prefix_tokens
            .iter()
            .take_while(|&&l| l < path.tokens.len())
        {
            let prefix = &path.tokens[..length];
            let mut options = AskOptions {
                paths: self.rollouts,
                seed: of_prefix(drawn_with.seed, path.id, length),
                ..drawn_with.clone()
            };
            options.sampling.max_tokens = options.sampling.max_tokens.map(|n| n - length);
            let continued = Question::Tokens([prompt, prefix].concat()).about(images(item));
            let answer = engine
                .ask(&continued, &options, &mut |_| {})
                .map_err(curt::Error::from)?;
            let mut right = 0;
            for continuation in &answer.paths {
                // The answer may begin in the prefix.
                let tokens = [prefix, &continuation.tokens].concat();
                let text = engine.package().text().decode(&tokens)?;
                let found = reader.as_ref().and_then(|reader| reader.read(&text));
                let found = found.as_ref().map(|found| found.text());
                right += usize::from(self.workload.grade(item, found, &text)?);
            }
            rates.insert(length, right as f64 / self.rollouts as f64);
        }
        Ok(Some(rates))
    }
}

/// A seed for the continuations of one prefix, apart from those of every other.
fn of_prefix(seed: u64, path: usize, length: usize) -> u64 {
    let mut hash = Sha256::new();
    for number in [seed, path as u64, length as u64] {
        hash.update(number.to_le_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_le_bytes(first)
}
