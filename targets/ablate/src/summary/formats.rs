//! Which formats responses had, and what the read-out knew before.

use std::collections::{BTreeMap, HashMap};

use curt::Format;
use curt::format::ResponseFormat;
use serde::{Deserialize, Serialize};

use crate::record::{Record, Run};

/// Shares of the responses, \[0, 1\].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FormatShares {
    /// In direct.
    pub direct: f64,
    /// In perception.
    pub perception: f64,
    /// In full.
    pub full: f64,
    /// In none of them.
    pub none: f64,
}

impl FormatShares {
    /// Those of the results that have a format.
    pub(super) fn of(results: &[&Record]) -> Option<Self> {
        let formats: Vec<Option<ResponseFormat>> = results
            .iter()
            .filter_map(|record| Some(record.format.as_ref()?.used))
            .collect();
        let share = |wanted: Option<ResponseFormat>| {
            let count = formats.iter().filter(|format| **format == wanted).count();
            count as f64 / formats.len() as f64
        };
        (!formats.is_empty()).then(|| Self {
            direct: share(Some(ResponseFormat::Direct)),
            perception: share(Some(ResponseFormat::Perception)),
            full: share(Some(ResponseFormat::Full)),
            none: share(None),
        })
    }
}

/// How well the read-out told which questions are right when they are answered directly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadOutSummary {
    /// The arm that read it.
    pub arm: String,
    /// The arm that answered directly.
    pub direct: String,
    /// Share of the pairs of a right and a wrong question of which the right one had the larger margin; ties count one half.
    pub auroc: f64,
    /// Questions that both answered.
    pub items: usize,
}

impl ReadOutSummary {
    /// Of the first arm that read it, where another answered all directly.
    pub(super) fn of(run: &Run, by_arm: &BTreeMap<&str, Vec<&Record>>) -> Option<Self> {
        let results = |name: &str| by_arm.get(name).map_or(&[][..], Vec::as_slice);
        let mut arms = run.arms.iter();
        let direct = arms.find(|arm| arm.format == Some(Format::Direct))?;
        let right: HashMap<(usize, u32), bool> = results(&direct.name)
            .iter()
            .filter(|record| record.error.is_none())
            .map(|record| ((record.index, record.repeat), record.correct))
            .collect();
        run.arms.iter().find_map(|arm| {
            // Controls see something else than the arm that answers.
            if arm.image != direct.image {
                return None;
            }
            let read = results(&arm.name).iter().filter_map(|record| {
                let margin = record.format.as_ref()?.margin?;
                let right = right.get(&(record.index, record.repeat))?;
                Some((margin, *right))
            });
            let read: Vec<(f64, bool)> = read.collect();
            Some(Self {
                arm: arm.name.clone(),
                direct: direct.name.clone(),
                auroc: auroc(&read)?,
                items: read.len(),
            })
        })
    }
}

/// The probability that a right one scores above a wrong one: from ranks, ties in the middle (Mann and Whitney 1947).
fn auroc(scores: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let right = sorted.iter().filter(|(_, right)| *right).count() as f64;
    let wrong = sorted.len() as f64 - right;
    let mut ranks = 0.0;
    let mut start = 0;
    while start < sorted.len() {
        let same = sorted[start..]
            .iter()
            .take_while(|s| s.0 == sorted[start].0)
            .count();
        let rank = start as f64 + (same as f64 + 1.0) / 2.0;
        let here = sorted[start..start + same]
            .iter()
            .filter(|(_, right)| *right);
        ranks += rank * here.count() as f64;
        start += same;
    }
    (right > 0.0 && wrong > 0.0).then(|| (ranks - right * (right + 1.0) / 2.0) / (right * wrong))
}

#[cfg(test)]
mod tests {
    use super::auroc;

    #[test]
    fn pairs_are_counted_and_ties_are_half() {
        let of = |scores: &[(f64, bool)]| auroc(scores);
        assert_eq!(of(&[(0.0, false), (1.0, true)]), Some(1.0));
        assert_eq!(of(&[(1.0, false), (0.0, true)]), Some(0.0));
        assert_eq!(of(&[(1.0, false), (1.0, true)]), Some(0.5));
        let scores = [(3.0, true), (2.0, false), (2.0, true), (1.0, false)];
        assert_eq!(of(&scores), Some(3.5 / 4.0));
        assert_eq!(of(&[(1.0, true)]), None);
    }
}
