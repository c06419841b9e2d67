//! What the machine says of a run as a whole: its start, its memory, and whether its clock fell.

use serde::{Deserialize, Serialize};

use crate::record::{Readings, Records};
use crate::stats::quantile;

/// Share of the questions that may run at a fallen frequency before the run's times are void.
const THROTTLED_SHARE: f64 = 0.05;
/// A frequency below this share of the one after warm-up has fallen.
const FALLEN: f64 = 0.85;

/// What a process pays beside its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColdStart {
    /// Opening the package and loading its graph.
    pub load_ms: f64,
    /// The first question, from question to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_answer_ms: Option<f64>,
    /// Processes.
    pub starts: usize,
    /// Most bytes resident while a question was answered, over all arms: what an allocator keeps of a large arm stays
    /// resident under a small one, so that no arm has a figure of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<u64>,
}

pub(super) fn cold_start(records: &Records) -> Option<ColdStart> {
    let median = |mut values: Vec<f64>| quantile(&mut values, 0.5);
    let starts = &records.starts;
    Some(ColdStart {
        load_ms: median(starts.iter().map(|start| start.load_ms).collect())?,
        first_answer_ms: median(starts.iter().filter_map(|s| s.cold_answer_ms).collect()),
        starts: starts.len(),
        peak_resident_bytes: readings(records)
            .filter_map(|readings| readings.peak_resident_bytes)
            .max(),
    })
}

/// Readings of all questions that were answered, each once.
fn readings(records: &Records) -> impl Iterator<Item = &Readings> {
    let ran = records.results.iter().filter(|r| r.derived.is_none());
    (records.samples.iter().map(|sample| &sample.machine)).chain(ran.map(|record| &record.machine))
}

/// Why the times of a run do not count, where its clock fell. Each question is held against the frequency at the start of
/// its own process.
pub(super) fn times_void(records: &Records) -> Option<String> {
    // A reading of an earlier version does not say whose it is: it is judged where there was but one process.
    let only = match &records.starts[..] {
        [start] => start.mhz,
        _ => None,
    };
    let seen: Vec<(f64, f64)> = readings(records)
        .filter_map(|readings| Some((readings.mhz?, readings.warm_mhz.or(only)?)))
        .collect();
    let fallen: Vec<&(f64, f64)> = seen
        .iter()
        .filter(|(mhz, warm)| *mhz < FALLEN * warm)
        .collect();
    if fallen.len() as f64 <= THROTTLED_SHARE * seen.len() as f64 {
        return None;
    }
    let (mhz, warm) = fallen
        .iter()
        .min_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)))?;
    Some(format!(
        "the cores fell below {:.0} % of the clock they had after warm-up in {} of {} questions, at worst to {mhz:.0} of \
         {warm:.0} MHz: let the machine cool, fix its clock, and run again",
        100.0 * FALLEN,
        fallen.len(),
        seen.len()
    ))
}
