//! Accuracy, and the paired difference to the baseline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LEVEL;
use crate::arm::Arm;
use crate::record::{Record, Run};
use crate::stats::{
    Design, Interval, PairedCounts, Resampling, UnitTotal, holm, mcnemar_exact, score_interval,
    sign_flip_exact, smallest_drop, wilson_of_share,
};

/// Fewer units than this that differ, and the percentiles of a bootstrap have next to nothing to stand on: the interval
/// is then widened to a score interval. A rule of thumb, on the cautious side.
const FEW_DIFFERING: u64 = 10;

/// Accuracy of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Share of right answers.
    pub mean: f64,
    /// Interval at 95 %: Wilson's where each unit has one result, else a bootstrap over units, widened to Wilson's over
    /// units where few of them have a right answer, or few a wrong one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// One arm less another, on the items that both have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Accuracy of the one less that of the other.
    pub mean: f64,
    /// Interval at 95 %, two-sided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Ends of the one-sided intervals at 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_sided: Option<Interval>,
    /// Items that the one has right and the other wrong, in repeat 0.
    pub gained: u64,
    /// Items that the one has wrong and the other right, in repeat 0.
    pub lost: u64,
    /// Two-sided p: of the sign-flip test over groups where items have groups, else [`Self::p_mcnemar`].
    pub p: f64,
    /// `p`, adjusted by Holm over the comparisons of its family.
    pub p_holm: f64,
    /// Two-sided p of the exact McNemar test on `gained` and `lost`, which takes items for independent.
    pub p_mcnemar: f64,
    /// Smallest true drop that this sample would have shown at 80 % power (one-sided, 5 %).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_drop: Option<f64>,
}

/// Accuracy, differences and token interval of an arm.
pub(super) struct Figures {
    pub(super) accuracy: Option<Accuracy>,
    pub(super) difference: Option<Difference>,
    pub(super) candidate_less_this: Option<Difference>,
    pub(super) tokens: Option<Interval>,
}

/// What is resampled: an item with all its repeats, or its group where items have one.
pub(super) struct Units {
    /// Unit of each item.
    of_item: BTreeMap<usize, usize>,
    units: usize,
    grouped: bool,
}

impl Units {
    pub(super) fn of(results: &[Record]) -> Self {
        let items: BTreeMap<usize, Option<&str>> = results
            .iter()
            .map(|r| (r.index, r.group.as_deref()))
            .collect();
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        let mut units = 0;
        let of_item: BTreeMap<usize, usize> = items
            .iter()
            .map(|(&item, group)| {
                let mut next = || {
                    units += 1;
                    units - 1
                };
                let unit = match group {
                    Some(group) => *groups.entry(group).or_insert_with(next),
                    None => next(),
                };
                (item, unit)
            })
            .collect();
        Self {
            grouped: units < of_item.len(),
            of_item,
            units,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.units
    }

    pub(super) fn grouped(&self) -> bool {
        self.grouped
    }

    fn totals(&self, values: impl Iterator<Item = (usize, f64)>) -> Vec<UnitTotal> {
        let mut totals = vec![UnitTotal::default(); self.units];
        for (item, value) in values {
            let unit = &mut totals[self.of_item[&item]];
            unit.sum += value;
            unit.count += 1.0;
        }
        totals
    }

    /// Of each unit, right answers of `arm` less those of `baseline`, over the items and repeats that both have.
    pub(super) fn differences(&self, arm: &[&Record], baseline: &[&Record]) -> Vec<UnitTotal> {
        let before: BTreeMap<(usize, u32), bool> = baseline
            .iter()
            .map(|r| ((r.index, r.repeat), r.correct))
            .collect();
        self.totals(arm.iter().filter_map(|record| {
            let before = before.get(&(record.index, record.repeat))?;
            Some((
                record.index,
                f64::from(u8::from(record.correct)) - f64::from(u8::from(*before)),
            ))
        }))
    }
}

/// The figures of every arm of `run`, in order. All are resampled with the same draws.
pub(super) fn figures(
    run: &Run,
    units: &Units,
    by_arm: &BTreeMap<&str, Vec<&Record>>,
) -> Vec<Figures> {
    let of = |name: &str| by_arm.get(name).map_or(&[][..], Vec::as_slice);
    let (baseline, candidate) = (of(&run.baseline), of(&run.candidate));
    // What the candidate is held against beside the baseline: all that it could be replaced by.
    let is_control = |arm: &Arm| {
        run.candidate != run.baseline
            && ![&run.candidate, &run.baseline].contains(&&arm.name)
            && !arm.is_oracle()
    };
    let none = || vec![UnitTotal::default(); units.len()];
    let mut columns = Vec::new();
    for arm in &run.arms {
        let results = of(&arm.name);
        let correct = results
            .iter()
            .map(|r| (r.index, f64::from(u8::from(r.correct))));
        let tokens = results
            .iter()
            .filter_map(|r| Some((r.index, r.generated()? as f64)));
        columns.push(units.totals(correct));
        columns.push(units.totals(tokens));
        columns.push(if arm.name == run.baseline {
            none()
        } else {
            units.differences(results, baseline)
        });
        columns.push(if is_control(arm) {
            units.differences(candidate, results)
        } else {
            none()
        });
    }
    let resampled = Resampling::of_columns(&columns, run.replicates, run.seed);
    let two_sided = (1.0 - LEVEL) / 2.0;
    let grouped = units.grouped();
    let mut figures: Vec<Figures> = run
        .arms
        .iter()
        .zip(resampled.chunks(4).zip(columns.chunks(4)))
        .map(|(arm, (resampled, columns))| {
            let results = of(&arm.name);
            Figures {
                accuracy: resampled[0].as_ref().map(|r| accuracy(r, &columns[0])),
                tokens: resampled[1].as_ref().and_then(|r| r.interval(two_sided)),
                difference: resampled[2]
                    .as_ref()
                    .map(|r| difference(r, &columns[2], grouped, results, baseline)),
                candidate_less_this: resampled[3]
                    .as_ref()
                    .map(|r| difference(r, &columns[3], grouped, candidate, results)),
            }
        })
        .collect();
    adjust(figures.iter_mut().filter_map(|f| f.difference.as_mut()));
    adjust(
        figures
            .iter_mut()
            .filter_map(|f| f.candidate_less_this.as_mut()),
    );
    figures
}

/// Fills in the adjusted p of one family.
fn adjust<'a>(family: impl Iterator<Item = &'a mut Difference>) {
    let family: Vec<&mut Difference> = family.collect();
    let p: Vec<f64> = family.iter().map(|d| d.p).collect();
    for (difference, p) in family.into_iter().zip(holm(&p)) {
        difference.p_holm = p;
    }
}

fn accuracy(resampled: &Resampling, units: &[UnitTotal]) -> Accuracy {
    let kept: Vec<&UnitTotal> = units.iter().filter(|unit| unit.count > 0.0).collect();
    let having = |some: fn(&UnitTotal) -> bool| kept.iter().filter(|u| some(u)).count() as u64;
    let single = kept.iter().all(|unit| unit.count <= 1.0);
    let few = having(|u| u.sum > 0.0).min(having(|u| u.sum < u.count)) < FEW_DIFFERING;
    let percentiles = resampled.interval((1.0 - LEVEL) / 2.0);
    let score = wilson_of_share(resampled.mean(), kept.len() as u64, LEVEL);
    Accuracy {
        mean: resampled.mean(),
        interval: match (percentiles, score) {
            (_, score) if single => score,
            (Some(percentiles), Some(score)) if few => Some(union(percentiles, score)),
            (percentiles, _) => percentiles,
        },
    }
}

/// `grouped`: whether units are groups of items. `arm` and `other`: the results whose differences `units` are.
fn difference(
    resampled: &Resampling,
    units: &[UnitTotal],
    grouped: bool,
    arm: &[&Record],
    other: &[&Record],
) -> Difference {
    let before: BTreeMap<usize, bool> = other
        .iter()
        .filter(|r| r.repeat == 0)
        .map(|r| (r.index, r.correct))
        .collect();
    let (mut gained, mut lost) = (0, 0);
    for record in arm.iter().filter(|r| r.repeat == 0) {
        match before.get(&record.index) {
            Some(false) if record.correct => gained += 1,
            Some(true) if !record.correct => lost += 1,
            _ => {}
        }
    }
    let p_mcnemar = mcnemar_exact(gained, lost);
    let p = if grouped {
        // Sums of ones: whole numbers.
        sign_flip_exact(&units.iter().map(|u| u.sum as i64).collect::<Vec<_>>())
    } else {
        p_mcnemar
    };
    Difference {
        mean: resampled.mean(),
        interval: interval(resampled, units, (1.0 - LEVEL) / 2.0),
        one_sided: interval(resampled, units, 1.0 - LEVEL),
        gained,
        lost,
        p,
        p_holm: p,
        p_mcnemar,
        smallest_drop: smallest_drop(units, Design::default()),
    }
}

/// The bootstrap's percentiles, widened to the score interval over units where few of them differ.
fn interval(resampled: &Resampling, units: &[UnitTotal], tail: f64) -> Option<Interval> {
    let percentiles = resampled.interval(tail)?;
    let count = |differs: fn(f64) -> bool| {
        units
            .iter()
            .filter(|u| u.count > 0.0 && differs(u.sum))
            .count() as u64
    };
    let counts = PairedCounts {
        gained: count(|sum| sum > 0.0),
        lost: count(|sum| sum < 0.0),
        pairs: count(|_| true),
    };
    if counts.gained + counts.lost >= FEW_DIFFERING {
        return Some(percentiles);
    }
    Some(union(percentiles, score_interval(counts, tail)?))
}

fn union(a: Interval, b: Interval) -> Interval {
    Interval {
        low: a.low.min(b.low),
        high: a.high.max(b.high),
    }
}
