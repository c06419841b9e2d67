//! Search: the check point and the few layers that suffice, from cross-validation.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dataset::Data;
use crate::error::{Error, Result};
use crate::features::{Inputs, KvColumns, Store, Table};
use crate::fit::{FitOptions, Shape};
use crate::measure::{Paired, mean};
use crate::replays::{Kept, affordable, keeping};
use crate::study::{Ranking, Study};

/// Layers read while check points are compared: evenly spaced, since which layers matter is asked later.
const SURVEY_LAYERS: usize = 8;

/// Layers that are tried beside those already chosen: the best alone.
const CANDIDATES: usize = 8;

/// Most layers of a head.
const MOST_LAYERS: usize = 4;

/// AUROC that a further layer must add: less costs more reading than it ranks better.
const LEAST_GAIN: f64 = 0.003;

/// A check point as it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckPoint {
    /// In generated tokens.
    pub at_tokens: usize,
    /// Mean AUROC within a question.
    pub auroc: f64,
    /// What keeping as many as the budget allows does; `None` where the prefixes alone cost more.
    pub at_budget: Option<Kept>,
    /// What keeping a quarter does.
    pub quarter: Kept,
    /// Bytes of the cache that one path's score reads.
    pub bytes_read: usize,
}

/// A set of layers as it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerSet {
    /// Layers, ascending.
    pub layers: Vec<usize>,
    /// Mean AUROC within a question.
    pub auroc: f64,
}

/// Where features come from, and how networks are fitted.
pub struct Search<'a> {
    /// The paths.
    pub data: &'a Data,
    /// The prompt's tokens of each question.
    pub prompts: &'a [Vec<u32>],
    /// Means by check point.
    pub stores: &'a mut BTreeMap<usize, Store>,
    /// Folds.
    pub study: &'a Study<'a>,
    /// How networks are fitted.
    pub fit: FitOptions,
}

impl Search<'_> {
    /// Cross-validates a head of `inputs` that is trained at all of `at_tokens`.
    ///
    /// # Errors
    /// Those of [`Study::rank`] and [`Table::gather`].
    pub fn rank(&mut self, inputs: &Inputs, at_tokens: &[usize]) -> Result<Ranking> {
        let fit = self.fit;
        self.rank_with(inputs, at_tokens, &fit)
    }

    /// As [`Self::rank`], fitted otherwise.
    ///
    /// # Errors
    /// As [`Self::rank`].
    pub fn rank_with(
        &mut self,
        inputs: &Inputs,
        at_tokens: &[usize],
        fit: &FitOptions,
    ) -> Result<Ranking> {
        let table = self.table(inputs, at_tokens)?;
        let shape = Shape {
            attend: None,
            dense: table.width,
            hidden: fit.hidden,
        };
        self.study.rank(&table, None, shape, fit)
    }

    /// Gathers `inputs` at `at_tokens`.
    ///
    /// # Errors
    /// Those of [`Table::gather`].
    pub fn table(&mut self, inputs: &Inputs, at_tokens: &[usize]) -> Result<Table> {
        let mut points: Vec<(usize, Option<&mut Store>)> = Vec::new();
        for (&at, store) in self.stores.iter_mut() {
            if at_tokens.contains(&at) {
                points.push((at, inputs.kv.is_some().then_some(store)));
            }
        }
        if points.is_empty() {
            points.extend(at_tokens.iter().map(|&at| (at, None)));
        }
        Table::gather(self.data, self.prompts, inputs, &mut points)
    }

    /// Finds out what a check at `at_tokens` by a head of `inputs` is worth.
    ///
    /// # Errors
    /// Those of [`Self::rank`]; [`Error::Option`] for a check point that no path passes.
    pub fn check_point(
        &mut self,
        inputs: &Inputs,
        at_tokens: usize,
        budget_share: f64,
        bytes_per_value: usize,
    ) -> Result<CheckPoint> {
        let ranking = self.rank(inputs, &[at_tokens])?;
        let of = &self.study.questions;
        let scores = ranking.scores.get(&at_tokens).ok_or_else(|| {
            Error::option(
                "check_at",
                "a check point that paths of the data pass",
                at_tokens,
            )
        })?;
        let kept = |keep| keeping(self.data, of, scores, at_tokens, keep);
        let affordable = affordable(self.data, of, at_tokens, budget_share);
        let values = inputs.kv.as_ref().map_or(0, |kv| {
            kv.layers.len() * kv.kv_heads * kv.head_dim * at_tokens
        });
        Ok(CheckPoint {
            at_tokens,
            auroc: ranking.auroc(),
            at_budget: affordable.map(kept).transpose()?,
            quarter: kept((self.data.settings.paths / 4).max(1))?,
            bytes_read: values * bytes_per_value,
        })
    }

    /// Finds the few layers that suffice for a head of `inputs` at `at_tokens`: the best alone, then the one that adds
    /// most, and so on while that is worth it.
    ///
    /// Returns the set, and every set that was tried.
    ///
    /// # Errors
    /// Those of [`Self::rank`].
    pub fn layers(
        &mut self,
        inputs: &Inputs,
        at_tokens: &[usize],
        layers: usize,
        on_found: &mut dyn FnMut(&LayerSet),
    ) -> Result<(Vec<usize>, Vec<LayerSet>)> {
        let mut tried = Vec::new();
        let mut chosen: Vec<usize> = Vec::new();
        let mut best = 0.0;
        let mut candidates: Vec<usize> = (0..layers).collect();
        while chosen.len() < MOST_LAYERS {
            let mut round = Vec::new();
            for &layer in candidates.iter().filter(|l| !chosen.contains(l)) {
                let mut set = chosen.clone();
                set.push(layer);
                set.sort_unstable();
                let with = inputs.with_layers(set.clone());
                let found = LayerSet {
                    auroc: self.rank(&with, at_tokens)?.auroc(),
                    layers: set,
                };
                on_found(&found);
                round.push((found.auroc, layer));
                tried.push(found);
            }
            round.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            if chosen.is_empty() {
                candidates = round.iter().take(CANDIDATES).map(|r| r.1).collect();
            }
            match round.first() {
                Some(&(auroc, layer)) if auroc > best + LEAST_GAIN => {
                    best = auroc;
                    chosen.push(layer);
                    chosen.sort_unstable();
                }
                _ => break,
            }
        }
        Ok((chosen, tried))
    }
}

/// The check point whose votes are right most often within the budget, the earlier of two alike; `None` where no check
/// point leaves anything of it.
pub fn choose(points: &[CheckPoint]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for point in points {
        if let Some(kept) = point.at_budget
            && best.is_none_or(|(_, right)| kept.vote_right > right)
        {
            best = Some((point.at_tokens, kept.vote_right));
        }
    }
    best.map(|(at, _)| at)
}

/// Prefix lengths to compare: every fourth token up to 32, then a quarter more each time, up to three quarters of a path.
pub fn default_grid(path_tokens: f64) -> Vec<usize> {
    let end = 0.75 * path_tokens;
    let mut grid = Vec::new();
    let mut at = 8.0;
    while at <= end {
        grid.push(at as usize);
        at = if at < 32.0 {
            at + 4.0
        } else {
            (at * 1.25).round()
        };
    }
    if grid.is_empty() {
        grid.push((end as usize).max(1));
    }
    grid
}

/// Evenly spaced layers, the last among them.
pub fn survey_layers(layers: usize) -> Vec<usize> {
    let count = layers.min(SURVEY_LAYERS);
    (1..=count).map(|i| i * layers / count - 1).collect()
}

/// Two rankings of the same questions compared.
pub fn compare(a: &Ranking, b: &Ranking, seed: u64) -> Paired {
    Paired::of(&a.all_within(), &b.all_within(), seed)
}

/// Mean tokens of a path, over questions.
pub fn path_tokens(data: &Data, of: &[usize]) -> f64 {
    mean(
        of.iter()
            .flat_map(|&q| &data.questions[q].paths)
            .map(|p| p.tokens.len() as f64),
    )
}

impl Inputs {
    /// The same, from other layers.
    pub fn with_layers(&self, layers: Vec<usize>) -> Self {
        Self {
            kv: self.kv.as_ref().map(|kv| KvColumns {
                layers,
                ..kv.clone()
            }),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_and_layers() {
        assert_eq!(default_grid(40.0), [8, 12, 16, 20, 24, 28]);
        assert_eq!(default_grid(184.0).last(), Some(&124));
        assert_eq!(default_grid(4.0), [3]);
        assert_eq!(survey_layers(4), [0, 1, 2, 3]);
        assert_eq!(survey_layers(30), [2, 6, 10, 14, 17, 21, 25, 29]);
    }

    #[test]
    fn the_best_vote_within_the_budget_wins() {
        let point = |at_tokens, vote: Option<f64>| {
            let kept = |vote_right| Kept {
                keep: 2,
                token_share: 0.5,
                survivors_right: 0.5,
                vote_right,
            };
            CheckPoint {
                at_tokens,
                auroc: 0.9,
                at_budget: vote.map(kept),
                quarter: kept(0.0),
                bytes_read: 0,
            }
        };
        let points = [
            point(8, Some(0.5)),
            point(12, Some(0.7)),
            point(16, Some(0.7)),
            point(20, None),
        ];
        assert_eq!(choose(&points), Some(12));
        assert_eq!(choose(&points[3..]), None);
    }
}
