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
    /// For a question, less what the machine draws idle in that time; absent where nobody watched it idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_question_net: Option<f64>,
    /// For a right answer, idle not subtracted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_correct: Option<f64>,
    /// For a right answer, less what the machine draws idle in that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_correct_net: Option<f64>,
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

/// Energy of the results that ran themselves: a sample's is that of every arm's checks together.
pub(super) fn energy(results: &[&Record], records: &Records) -> Option<Energy> {
    let measured: Vec<&&Record> = results
        .iter()
        .filter(|record| record.derived.is_none() && !record.machine.joules.is_empty())
        .collect();
    let joules = |record: &Record| record.machine.joules.values().sum::<f64>();
    let net: Vec<(f64, bool)> = measured
        .iter()
        .filter_map(|record| {
            Some((
                joules(record) - idle_joules(record, records)?,
                record.correct,
            ))
        })
        .collect();
    let per_correct = |results: &[(f64, bool)]| {
        let correct = results.iter().filter(|(_, correct)| *correct).count();
        let total: f64 = results.iter().map(|(joules, _)| joules).sum();
        (correct > 0).then(|| total / correct as f64)
    };
    let raw: Vec<(f64, bool)> = measured
        .iter()
        .map(|record| (joules(record), record.correct))
        .collect();
    Some(Energy {
        rails: distinct(
            measured
                .iter()
                .flat_map(|record| record.machine.joules.keys().cloned()),
        ),
        per_question: mean(raw.iter().map(|(joules, _)| *joules))?,
        per_question_net: mean(net.iter().map(|(joules, _)| *joules)),
        per_correct: per_correct(&raw),
        per_correct_net: per_correct(&net),
    })
}

/// What the machine would have drawn idle while it answered `record`, in joules; `None` where nobody watched it idle.
fn idle_joules(record: &Record, records: &Records) -> Option<f64> {
    if !record.machine.idle_joules.is_empty() {
        return Some(record.machine.idle_joules.values().sum());
    }
    // A reading of an earlier version does not say whose it is: it is known where there was but one process.
    match &records.starts[..] {
        [start] if !start.idle_watts.is_empty() => {
            Some(start.idle_watts.values().sum::<f64>() * record.times?.total_ms / 1e3)
        }
        _ => None,
    }
}
