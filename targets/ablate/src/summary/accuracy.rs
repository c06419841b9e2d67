//! Accuracy, and the paired difference to the baseline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LEVEL;
use crate::record::{Record, Run};
use crate::stats::{
    Design, Interval, PairedCounts, Resampling, UnitTotal, holm, mcnemar_exact, score_interval,
    smallest_drop, wilson,
};

/// Fewer units than this that differ, and the percentiles of a bootstrap have next to nothing to stand on: the interval
/// is then widened to the score interval. A rule of thumb, on the cautious side.
const FEW_DIFFERING: u64 = 10;

/// Accuracy of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Share of right answers.
    pub mean: f64,
    /// Interval at 95 %: Wilson's where each unit has one result, else a bootstrap over units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// An arm against the baseline, on the items that both have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Accuracy of the arm less that of the baseline.
    pub mean: f64,
    /// Interval at 95 %, two-sided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Ends of the one-sided intervals at 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_sided: Option<Interval>,
    /// Items that the arm has right and the baseline wrong, in repeat 0.
    pub gained: u64,
    /// Items that the arm has wrong and the baseline right, in repeat 0.
    pub lost: u64,
    /// Two-sided p of the exact McNemar test on these.
    pub p: f64,
    /// The same, adjusted by Holm over all arms of the run that are held against the baseline.
    pub p_holm: f64,
    /// Smallest true drop that this sample would have shown at 80 % power (one-sided, 5 %).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_drop: Option<f64>,
}

/// Accuracy, difference and token interval of an arm.
pub(super) struct Figures {
    pub(super) accuracy: Option<Accuracy>,
    pub(super) difference: Option<Difference>,
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
    let baseline = of(&run.baseline);
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
            vec![UnitTotal::default(); units.len()]
        } else {
            units.differences(results, baseline)
        });
    }
    let resampled = Resampling::of_columns(&columns, run.replicates, run.seed);
    let two_sided = (1.0 - LEVEL) / 2.0;
    let mut figures: Vec<Figures> = run
        .arms
        .iter()
        .zip(resampled.chunks(3).zip(columns.chunks(3)))
        .map(|(arm, (resampled, columns))| Figures {
            accuracy: resampled[0].as_ref().map(|r| accuracy(r, &columns[0])),
            tokens: resampled[1].as_ref().and_then(|r| r.interval(two_sided)),
            difference: resampled[2]
                .as_ref()
                .map(|r| difference(r, &columns[2], of(&arm.name), baseline)),
        })
        .collect();
    let compared: Vec<f64> = figures
        .iter()
        .filter_map(|f| f.difference.as_ref())
        .map(|d| d.p)
        .collect();
    let adjusted = holm(&compared);
    for (difference, p) in figures
        .iter_mut()
        .filter_map(|f| f.difference.as_mut())
        .zip(adjusted)
    {
        difference.p_holm = p;
    }
    figures
}

fn accuracy(resampled: &Resampling, units: &[UnitTotal]) -> Accuracy {
    let single = units.iter().all(|unit| unit.count <= 1.0);
    let (right, all) = units
        .iter()
        .fold((0.0, 0.0), |(s, c), u| (s + u.sum, c + u.count));
    Accuracy {
        mean: resampled.mean(),
        interval: if single {
            wilson(right as u64, all as u64, LEVEL)
        } else {
            resampled.interval((1.0 - LEVEL) / 2.0)
        },
    }
}

fn difference(
    resampled: &Resampling,
    units: &[UnitTotal],
    arm: &[&Record],
    baseline: &[&Record],
) -> Difference {
    let before: BTreeMap<usize, bool> = baseline
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
    let p = mcnemar_exact(gained, lost);
    Difference {
        mean: resampled.mean(),
        interval: interval(resampled, units, (1.0 - LEVEL) / 2.0),
        one_sided: interval(resampled, units, 1.0 - LEVEL),
        gained,
        lost,
        p,
        p_holm: p,
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
    let score = score_interval(counts, tail)?;
    Some(Interval {
        low: percentiles.low.min(score.low),
        high: percentiles.high.max(score.high),
    })
}
