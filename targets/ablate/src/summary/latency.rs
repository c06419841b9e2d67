//! Times: measured where an arm ran, and else modelled from the work that it would have been.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{Record, Records, Sample, Times};
use crate::stats::quantile;

/// A model of decode time: each step costs [`step_ms`](Self::step_ms), and each row in it [`row_ms`](Self::row_ms) more. The
/// two are fitted to the questions that ran, by least squares of the relative error. An arm that did not run gets the
/// decode time of its sample, times the model's time for the arm over the model's time for the sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencyModel {
    /// Milliseconds for a decode step.
    pub step_ms: f64,
    /// Milliseconds more for each of its rows.
    pub row_ms: f64,
    /// Median of |modelled − measured| / measured decode time.
    pub median_error: f64,
    /// Questions that it was fitted to.
    pub questions: usize,
}

/// Time from question to answer of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Whether it is modelled rather than measured.
    pub modelled: bool,
    /// Results, failed ones among them, of which no time is known: they are in none of these figures.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub untimed: usize,
    /// Median, in milliseconds. A failed result counts with the time until it failed.
    pub p50_ms: f64,
    /// 95th percentile, in milliseconds.
    pub p95_ms: f64,
    /// Median time to the first token, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_p50_ms: Option<f64>,
    /// 95th percentile of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_p95_ms: Option<f64>,
    /// Mean time of scoring a question's paths, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_ms: Option<f64>,
    /// That as a share of the time from question to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_share: Option<f64>,
    /// Deciles of the time from question to answer, from the least to the most, in milliseconds.
    pub deciles_ms: Vec<f64>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Steps and rows of paths of these lengths that decode in lockstep, none dropped.
fn decode_work(tokens: impl Iterator<Item = usize>) -> (usize, usize) {
    tokens.fold((0, 0), |(steps, rows), n| {
        (steps.max(n.saturating_sub(1)), rows + n.saturating_sub(1))
    })
}

impl LatencyModel {
    /// Fits the model to `records`; `None` where they do not determine it: samples of several paths alone do not tell a
    /// step from its rows, it takes an arm of one path that ran itself.
    pub fn fit(records: &Records) -> Option<Self> {
        let samples = records.samples.iter().filter_map(|sample| {
            let (steps, rows) = decode_work(sample.paths.iter().map(|path| path.tokens));
            Some((steps as f64, rows as f64, sample.times?.decode_ms?))
        });
        let singles = records
            .results
            .iter()
            .filter(|r| r.derived.is_none() && r.paths.len() == 1)
            .filter_map(|r| {
                let (steps, rows) = decode_work(r.paths.iter().map(|path| path.tokens));
                Some((steps as f64, rows as f64, r.times?.decode_ms?))
            });
        let known = |points: &(f64, f64, f64)| points.0 > 0.0 && points.2 > 0.0;
        let singles: Vec<(f64, f64, f64)> = singles.filter(known).collect();
        if singles.is_empty() {
            return None;
        }
        let points: Vec<(f64, f64, f64)> = samples.filter(known).chain(singles).collect();
        let (mut ss, mut sr, mut rr, mut s, mut r) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(steps, rows, ms) in &points {
            let (x, y) = (steps / ms, rows / ms);
            ss += x * x;
            sr += x * y;
            rr += y * y;
            s += x;
            r += y;
        }
        let determinant = ss * rr - sr * sr;
        // Two columns that are all but one leave nothing to tell them apart.
        if determinant <= 1e-9 * ss * rr {
            return None;
        }
        let step_ms = (rr * s - sr * r) / determinant;
        let row_ms = (ss * r - sr * s) / determinant;
        // No time is negative: at that limit the other column alone is the least-squares answer.
        let (step_ms, row_ms) = match (step_ms < 0.0, row_ms < 0.0) {
            (true, _) => (0.0, r / rr),
            (_, true) => (s / ss, 0.0),
            _ => (step_ms, row_ms),
        };
        let mut errors: Vec<f64> = points
            .iter()
            .map(|&(steps, rows, ms)| ((step_ms * steps + row_ms * rows - ms) / ms).abs())
            .collect();
        Some(Self {
            step_ms,
            row_ms,
            questions: points.len(),
            median_error: quantile(&mut errors, 0.5)?,
        })
    }

    fn decode_ms(&self, steps: usize, rows: usize) -> f64 {
        self.step_ms * steps as f64 + self.row_ms * rows as f64
    }

    /// What a derived record would have taken, given what its sample took.
    fn times(&self, record: &Record, sample: &Sample) -> Option<Times> {
        let work = record.derived.as_ref()?;
        let sampled = sample.times?;
        let fork_ms = sampled.fork_ms? * work.launched as f64 / sample.paths.len().max(1) as f64;
        let (steps, rows) = decode_work(sample.paths.iter().map(|path| path.tokens));
        let whole = self.decode_ms(steps, rows);
        // Scaled from what this very sample took, so that a slow moment of the machine stays one.
        let share = (whole > 0.0).then(|| self.decode_ms(work.steps, work.row_steps) / whole)?;
        let decode_ms = sampled.decode_ms? * share;
        let elsewhere = sampled.total_ms
            - sampled.fork_ms?
            - sampled.decode_ms?
            - sampled.check_ms.unwrap_or(0.0)
            - sampled.compact_ms.unwrap_or(0.0);
        Some(Times {
            total_ms: elsewhere + fork_ms + decode_ms + work.check_ms.unwrap_or(0.0),
            first_token_ms: sampled
                .first_token_ms
                .map(|first| first - sampled.fork_ms.unwrap_or(0.0) + fork_ms),
            prefill_ms: sampled.prefill_ms,
            fork_ms: Some(fork_ms),
            decode_ms: Some(decode_ms),
            check_ms: work.check_ms,
            compact_ms: None,
        })
    }
}

impl Latency {
    /// Times of an arm's `results`. A modelled time of one makes the arm's modelled.
    pub(super) fn of(
        results: &[&Record],
        samples: &[Sample],
        model: Option<&LatencyModel>,
    ) -> Option<Self> {
        let (times, modelled) = times(results, samples, model);
        let mut totals: Vec<f64> = times.iter().map(|t| t.total_ms).collect();
        let mut firsts: Vec<f64> = times.iter().filter_map(|t| t.first_token_ms).collect();
        let checks: Vec<f64> = times.iter().filter_map(|t| t.check_ms).collect();
        let check_ms =
            (!checks.is_empty()).then(|| checks.iter().sum::<f64>() / checks.len() as f64);
        let mean = totals.iter().sum::<f64>() / totals.len() as f64;
        Some(Self {
            modelled,
            untimed: results.len() - times.len(),
            p50_ms: quantile(&mut totals, 0.5)?,
            p95_ms: quantile(&mut totals, 0.95)?,
            first_token_p50_ms: quantile(&mut firsts, 0.5),
            first_token_p95_ms: quantile(&mut firsts, 0.95),
            check_ms,
            check_share: check_ms.filter(|_| mean > 0.0).map(|ms| ms / mean),
            deciles_ms: (0..=10)
                .filter_map(|i| quantile(&mut totals, f64::from(i) / 10.0))
                .collect(),
        })
    }
}

/// Times of each result that has or can be given one, and whether any is modelled.
fn times(
    results: &[&Record],
    samples: &[Sample],
    model: Option<&LatencyModel>,
) -> (Vec<Times>, bool) {
    let by_item: BTreeMap<(usize, u32), &Sample> =
        samples.iter().map(|s| ((s.index, s.repeat), s)).collect();
    let mut modelled = false;
    let times = results
        .iter()
        .filter_map(|record| {
            if record.times.is_some() {
                return record.times;
            }
            let times = model?.times(record, by_item.get(&(record.index, record.repeat))?);
            modelled |= times.is_some();
            times
        })
        .collect();
    (times, modelled)
}
