//! What an arm's answers cost: tokens and energy; and how it failed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{distinct, mean};
use crate::record::{Record, Records};
use crate::stats::Interval;

/// Tokens of a question, means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// Generated, over all paths.
    pub generated: f64,
    /// Interval of that mean at [`super::LEVEL`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// As a share of the baseline's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_baseline: Option<f64>,
    /// By phase.
    pub by_phase: BTreeMap<String, f64>,
    /// By paths that did not vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<f64>,
    /// Of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<f64>,
}

/// Energy in joules, over all rails that the machine shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// The rails.
    pub rails: Vec<String>,
    /// For a question.
    pub per_question: f64,
    /// For a question, less what the machine draws idle in that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_question_net: Option<f64>,
    /// For a right answer, idle not subtracted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_correct: Option<f64>,
}

pub(super) fn failures(results: &[&Record]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for error in results.iter().filter_map(|record| record.error.as_deref()) {
        *counts.entry(error).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts
        .into_iter()
        .map(|(e, n)| (e.to_string(), n))
        .collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts
}

pub(super) fn tokens(
    results: &[&Record],
    baseline: &[&Record],
    interval: Option<Interval>,
) -> Option<Tokens> {
    let generated = |results: &[&Record]| {
        mean(
            results
                .iter()
                .filter_map(|r| r.generated())
                .map(|n| n as f64),
        )
    };
    let per_query = generated(results)?;
    let known: Vec<&&Record> = results
        .iter()
        .filter(|record| record.generated().is_some())
        .collect();
    let mut by_phase: BTreeMap<String, f64> = BTreeMap::new();
    for record in &known {
        for (phase, &count) in &record.tokens {
            *by_phase.entry(phase.clone()).or_default() += count as f64 / known.len() as f64;
        }
    }
    Some(Tokens {
        generated: per_query,
        interval,
        of_baseline: generated(baseline)
            .filter(|&b| b > 0.0)
            .map(|b| per_query / b),
        by_phase,
        unused: mean(
            known
                .iter()
                .filter_map(|record| record.unused_tokens)
                .map(|n| n as f64),
        ),
        prompt: mean(
            known
                .iter()
                .filter_map(|record| record.prompt_tokens)
                .map(|n| n as f64),
        ),
    })
}

pub(super) fn idle_watts(records: &Records) -> f64 {
    let watts = records
        .starts
        .iter()
        .map(|start| start.idle_watts.values().sum::<f64>());
    mean(watts).unwrap_or(0.0)
}

pub(super) fn energy(results: &[&Record], idle_watts: f64) -> Option<Energy> {
    let measured: Vec<&&Record> = results
        .iter()
        .filter(|record| !record.machine.joules.is_empty())
        .collect();
    let joules = |record: &Record| record.machine.joules.values().sum::<f64>();
    let total: f64 = measured.iter().map(|record| joules(record)).sum();
    let correct = measured.iter().filter(|record| record.correct).count();
    let net = measured
        .iter()
        .filter_map(|record| Some(joules(record) - idle_watts * record.times?.total_ms / 1e3));
    Some(Energy {
        rails: distinct(
            measured
                .iter()
                .flat_map(|record| record.machine.joules.keys().cloned()),
        ),
        per_question: mean(measured.iter().map(|record| joules(record)))?,
        per_question_net: if idle_watts > 0.0 { mean(net) } else { None },
        per_correct: (correct > 0).then(|| total / correct as f64),
    })
}
