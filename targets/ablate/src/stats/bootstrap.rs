//! The bootstrap over units: items, or groups of items where they belong together.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::quantile::sorted_quantile;
use super::{Interval, normal_quantile};

/// What one unit adds to a mean: a sum and what it is divided by. A unit without observations adds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UnitTotal {
    /// Sum of the unit's observations.
    pub sum: f64,
    /// Number of observations.
    pub count: f64,
}

/// The means of a sample and of its resamples: units drawn with replacement, as many as there are.
///
/// Counter-based: the draws of replicate `r` are the ChaCha8 stream `r` under the seed, so every figure that is computed
/// from the same units under the same seed is paired with every other, and none depends on the order of computation.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampling {
    mean: f64,
    /// Means of the replicates, sorted. A replicate that drew no observation has none.
    replicates: Vec<f64>,
    units: usize,
}

impl Resampling {
    /// Resamples each of `columns` with the same draws. All have one entry a unit. `None` for a column without
    /// observations.
    pub fn of_columns(columns: &[Vec<UnitTotal>], replicates: u64, seed: u64) -> Vec<Option<Self>> {
        let units = columns.first().map_or(0, Vec::len);
        let mut drawn = vec![0u32; units];
        let mut means: Vec<Vec<f64>> = columns
            .iter()
            .map(|_| Vec::with_capacity(replicates as usize))
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for replicate in 0..replicates {
            random.set_stream(replicate);
            random.set_word_pos(0);
            for index in &mut drawn {
                // Multiply and shift: the bias is at most units / 2³².
                *index = ((u64::from(random.next_u32()) * units as u64) >> 32) as u32;
            }
            for (column, means) in columns.iter().zip(&mut means) {
                means.extend(mean(drawn.iter().map(|&index| column[index as usize])));
            }
        }
        columns
            .iter()
            .zip(means)
            .map(|(column, mut replicates)| {
                replicates.sort_by(f64::total_cmp);
                Some(Self {
                    mean: mean(column.iter().copied())?,
                    replicates,
                    units: column.iter().filter(|unit| unit.count > 0.0).count(),
                })
            })
            .collect()
    }

    /// Mean of the sample itself.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The percentile interval whose ends each leave out `tail` of the replicates: `tail` 0.05 gives the two ends of the
    /// one-sided 95 % intervals. `None` for fewer than two units.
    pub fn interval(&self, tail: f64) -> Option<Interval> {
        if self.units < 2 {
            return None;
        }
        Some(Interval {
            low: sorted_quantile(&self.replicates, tail)?,
            high: sorted_quantile(&self.replicates, 1.0 - tail)?,
        })
    }
}

fn mean(units: impl Iterator<Item = UnitTotal>) -> Option<f64> {
    let (sum, count) = units.fold((0.0, 0.0), |(sum, count), unit| {
        (sum + unit.sum, count + unit.count)
    });
    (count > 0.0).then(|| sum / count)
}

/// Standard deviation between units of the ratio of totals, as in a ratio estimator: residuals `sum − mean·count`,
/// relative to the mean count of a unit. `None` for fewer than two units.
pub(super) fn between_units(units: &[UnitTotal]) -> Option<f64> {
    let kept: Vec<&UnitTotal> = units.iter().filter(|unit| unit.count > 0.0).collect();
    if kept.len() < 2 {
        return None;
    }
    let mean = mean(kept.iter().map(|unit| **unit))?;
    let mean_count = kept.iter().map(|unit| unit.count).sum::<f64>() / kept.len() as f64;
    let squares: f64 = kept
        .iter()
        .map(|unit| ((unit.sum - mean * unit.count) / mean_count).powi(2))
        .sum();
    Some((squares / (kept.len() - 1) as f64).sqrt())
}

/// Two-sided normal multiple of a power calculation: quantile of the one-sided level plus that of the power.
pub(super) fn multiple(alpha: f64, power: f64) -> f64 {
    normal_quantile(1.0 - alpha) + normal_quantile(power)
}
