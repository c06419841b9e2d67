//! The figures of a run, made of its records alone. A figure that was not measured is absent.

mod accuracy;
mod cost;
mod latency;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use accuracy::{Accuracy, Difference};
pub use cost::{Energy, Tokens};
pub use latency::{Latency, LatencyModel};

use crate::record::{Machine, Record, Records, Run};
use crate::stats::{Design, quantile, units_needed};
use crate::verdict::{Evidence, Verdict};
use cost::{energy, failures, idle_watts, tokens};

/// Two-sided level of the intervals shown; the ends of the verdict are one-sided at the same.
pub const LEVEL: f64 = 0.95;

/// Share of the questions that may run at a fallen frequency before the run's times are void.
const THROTTLED_SHARE: f64 = 0.05;
/// A frequency below this share of the one after warm-up has fallen.
const FALLEN: f64 = 0.85;

/// The figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What was run.
    pub run: Run,
    /// Machines that it ran on.
    pub machines: Vec<Machine>,
    /// ONNX Runtime's versions.
    pub onnxruntime: Vec<String>,
    /// Days on which it was begun or taken up.
    pub dates: Vec<String>,
    /// Whether every item × arm × repeat is there.
    pub complete: bool,
    /// Items with a result.
    pub items: usize,
    /// Units of resampling: items, or groups of them.
    pub units: usize,
    /// Whether these are groups.
    pub grouped: bool,
    /// Whether derived tokens are exact; absent where nothing is derived or nobody probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_exact: Option<bool>,
    /// Why no time and no energy of this run counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_void: Option<String>,
    /// How derived times were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_model: Option<LatencyModel>,
    /// Loading, and the first answer of a process, in milliseconds: medians over the processes.
    pub cold_start: Option<ColdStart>,
    /// The arms, in the order of the run.
    pub arms: Vec<ArmSummary>,
    /// How well each signal told right paths from wrong ones.
    pub signals: Vec<SignalSummary>,
    /// The verdict on the candidate.
    pub verdict: Verdict,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

/// What the first question of a process pays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColdStart {
    /// Opening the package and loading its graph.
    pub load_ms: f64,
    /// The first question, from question to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_answer_ms: Option<f64>,
    /// Processes.
    pub starts: usize,
}

/// The figures of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// The arm.
    pub name: String,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Results, over items and repeats.
    pub results: usize,
    /// Of these, failed ones. They count as wrong.
    pub failed: usize,
    /// Failures by reason, the most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failures: Vec<(String, usize)>,
    /// Results that came to an end without an answer. They count as wrong.
    pub without_answer: usize,
    /// Accuracy of the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// Mean accuracy of the paths that finished, a question's mean each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub survivors: Option<f64>,
    /// Against the baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Generated tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Time from question to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Largest KV cache planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
    /// Most bytes of the process resident during any question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<u64>,
    /// Energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
}

/// How well a signal told right paths from wrong ones of the same question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalSummary {
    /// The signal, as arms name it.
    pub signal: String,
    /// Tokens at which it scored.
    pub at: usize,
    /// Pairs of a right and a wrong path of one question.
    pub pairs: u64,
    /// Questions with such a pair.
    pub questions: usize,
    /// Share of the pairs whose right path scored higher; ties count one half. Absent without pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auroc_within_question: Option<f64>,
}

impl Summary {
    /// The figures of `records`.
    pub fn of(records: &Records) -> Self {
        let run = &records.run;
        let times_void = times_void(records);
        let model = LatencyModel::fit(records);
        let units = accuracy::Units::of(&records.results);
        let by_arm: BTreeMap<&str, Vec<&Record>> =
            records
                .results
                .iter()
                .fold(BTreeMap::new(), |mut map, record| {
                    map.entry(record.arm.as_str())
                        .or_insert_with(Vec::new)
                        .push(record);
                    map
                });
        let of = |name: &str| by_arm.get(name).map_or(&[][..], Vec::as_slice);
        let baseline = of(&run.baseline);
        let figures = accuracy::figures(run, &units, &by_arm);
        let idle: f64 = idle_watts(records);
        let arms: Vec<ArmSummary> = run
            .arms
            .iter()
            .zip(figures)
            .map(|(arm, figures)| {
                let results = of(&arm.name);
                let done = || results.iter().filter(|record| record.error.is_none());
                ArmSummary {
                    name: arm.name.clone(),
                    about: arm.about.clone(),
                    results: results.len(),
                    failed: results.len() - done().count(),
                    failures: failures(results),
                    without_answer: done().filter(|record| record.answer.is_none()).count(),
                    accuracy: figures.accuracy,
                    survivors: mean(
                        done()
                            .filter(|r| r.finished > 0)
                            .map(|r| r.finished_correct as f64 / r.finished as f64),
                    ),
                    difference: figures.difference,
                    tokens: tokens(results, baseline, figures.tokens),
                    latency: if times_void.is_some() {
                        None
                    } else {
                        Latency::of(results, &records.samples, model.as_ref())
                    },
                    kv_bytes: done().filter_map(|record| record.kv_bytes).max(),
                    peak_resident_bytes: done()
                        .filter_map(|record| record.machine.peak_resident_bytes)
                        .max(),
                    energy: if times_void.is_some() {
                        None
                    } else {
                        energy(results, idle)
                    },
                }
            })
            .collect();
        let expected = records.run.expected_results();
        let derived = records
            .results
            .iter()
            .any(|record| record.derived.is_some());
        let mut summary = Self {
            machines: distinct(records.starts.iter().map(|start| start.machine.clone())),
            onnxruntime: distinct(records.starts.iter().map(|start| start.onnxruntime.clone())),
            dates: distinct(
                records
                    .starts
                    .iter()
                    .filter_map(|s| s.at.get(..10).map(str::to_string)),
            ),
            complete: records.results.len() == expected,
            items: records
                .results
                .iter()
                .map(|record| record.index)
                .collect::<BTreeSet<_>>()
                .len(),
            units: units.len(),
            grouped: units.grouped(),
            tokens_exact: derived
                .then(|| {
                    records
                        .starts
                        .iter()
                        .map(|s| s.rows_invariant)
                        .try_fold(true, |all, one| one.map(|one| all && one))
                })
                .flatten(),
            times_void,
            latency_model: if arms
                .iter()
                .any(|arm| arm.latency.as_ref().is_some_and(|l| l.modelled))
            {
                model
            } else {
                None
            },
            cold_start: cold_start(records),
            signals: signals(records),
            verdict: Verdict::of(&Evidence {
                candidate: &run.candidate,
                baseline: &run.baseline,
                difference: None,
                one_sided: None,
                largest_drop: run.max_accuracy_drop / 100.0,
                p95_ms: None,
                modelled: false,
                void: None,
                budget_ms: run.latency_budget_ms,
                items: 0,
                items_needed: None,
            }),
            notes: Vec::new(),
            run: run.clone(),
            arms,
        };
        summary.judge(&units, &by_arm);
        summary.note(expected, records.results.len());
        summary
    }

    /// The figures of an arm.
    pub fn arm(&self, name: &str) -> Option<&ArmSummary> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    fn judge(&mut self, units: &accuracy::Units, by_arm: &BTreeMap<&str, Vec<&Record>>) {
        let run = &self.run;
        let of = |name: &str| by_arm.get(name).map_or(&[][..], Vec::as_slice);
        let differences = units.differences(of(&run.candidate), of(&run.baseline));
        let items: f64 =
            differences.iter().map(|unit| unit.count).sum::<f64>() / f64::from(run.repeats.max(1));
        let items_per_unit =
            items / differences.iter().filter(|u| u.count > 0.0).count().max(1) as f64;
        let largest_drop = run.max_accuracy_drop / 100.0;
        let needed = units_needed(&differences, largest_drop, Design::default());
        let candidate = self.arm(&run.candidate);
        let difference = candidate.and_then(|arm| arm.difference.as_ref());
        let latency = candidate.and_then(|arm| arm.latency.as_ref());
        self.verdict = Verdict::of(&Evidence {
            candidate: &run.candidate,
            baseline: &run.baseline,
            difference: difference.map(|d| d.mean),
            one_sided: difference.and_then(|d| d.one_sided),
            largest_drop,
            p95_ms: latency.map(|l| l.p95_ms),
            modelled: latency.is_some_and(|l| l.modelled),
            void: self.times_void.as_deref(),
            budget_ms: run.latency_budget_ms,
            items: items.round() as u64,
            items_needed: needed.map(|units| (units * items_per_unit).ceil() as u64),
        });
    }

    fn note(&mut self, expected: usize, there: usize) {
        let mut notes = Vec::new();
        if there < expected {
            notes.push(format!("{there} of {expected} results are there: the run was not finished, its figures are of what was"));
        }
        if self.tokens_exact == Some(false) {
            notes.push(
                "on this machine a row's numbers depend on what else is in its batch: derived tokens and answers are \
                 approximate; --measure run executes every arm"
                    .into(),
            );
        }
        if self.machines.len() > 1 {
            notes.push(
                "the run was made on several kinds of machine: times are of all of them together"
                    .into(),
            );
        }
        if let Some(void) = &self.times_void {
            notes.push(format!("no time and no energy is shown: {void}"));
        }
        for signal in self.signals.iter().filter(|signal| signal.pairs == 0) {
            notes.push(format!(
                "{} at {} tokens cannot be judged: no question has both a right and a wrong path that it scored",
                signal.signal, signal.at
            ));
        }
        for arm in self.arms.iter().filter(|arm| arm.results > 0) {
            if let Some((reason, count)) = arm.failures.first() {
                notes.push(format!(
                    "{}: {} of {} failed and count as wrong; {count} of them: {reason}",
                    arm.name, arm.failed, arm.results
                ));
            }
            if arm.without_answer > 0 {
                notes.push(format!(
                    "{}: {} of {} gave no answer that the pattern finds; they count as wrong",
                    arm.name, arm.without_answer, arm.results
                ));
            }
        }
        match self
            .arm(&self.run.baseline)
            .and_then(|arm| arm.accuracy.as_ref())
            .map(|a| a.mean)
        {
            Some(1.0) => notes.push(
                "the baseline is right on every item: this workload can show a loss, but no gain"
                    .into(),
            ),
            Some(0.0) => notes.push(
                "the baseline is wrong on every item: this workload can show a gain, but no loss"
                    .into(),
            ),
            _ => {}
        }
        self.notes = notes;
    }
}

impl Run {
    /// Results that a finished run has: item × arm × repeat, of its shard.
    pub fn expected_results(&self) -> usize {
        let items = match self.shard {
            None => self.items,
            Some((shard, shards)) => (0..self.items)
                .filter(|index| index % shards == shard - 1)
                .count(),
        };
        items * self.arms.len() * self.repeats as usize
    }
}

fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.fold(Vec::new(), |mut seen, value| {
        if !seen.contains(&value) {
            seen.push(value);
        }
        seen
    })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| {
        (sum + value, count + 1)
    });
    (count > 0).then(|| sum / count as f64)
}

fn cold_start(records: &Records) -> Option<ColdStart> {
    let median = |mut values: Vec<f64>| quantile(&mut values, 0.5);
    Some(ColdStart {
        load_ms: median(records.starts.iter().map(|start| start.load_ms).collect())?,
        first_answer_ms: median(
            records
                .starts
                .iter()
                .filter_map(|start| start.cold_answer_ms)
                .collect(),
        ),
        starts: records.starts.len(),
    })
}

fn times_void(records: &Records) -> Option<String> {
    let warm = mean(records.starts.iter().filter_map(|start| start.mhz))?;
    let seen: Vec<f64> = (records.samples.iter().map(|sample| &sample.machine))
        .chain(
            records
                .results
                .iter()
                .filter(|r| r.derived.is_none())
                .map(|record| &record.machine),
        )
        .filter_map(|machine| machine.mhz)
        .collect();
    let fallen = seen.iter().filter(|&&mhz| mhz < FALLEN * warm).count();
    (fallen as f64 > THROTTLED_SHARE * seen.len() as f64).then(|| {
        format!(
            "the cores fell below {:.0} % of the {warm:.0} MHz they had after warm-up in {fallen} of {} questions: let the \
             machine cool, fix its clock, and run again",
            100.0 * FALLEN,
            seen.len()
        )
    })
}

fn signals(records: &Records) -> Vec<SignalSummary> {
    let mut found: Vec<(SignalSummary, f64)> = Vec::new();
    for check in records.samples.iter().flat_map(|sample| &sample.checks) {
        let at = found
            .iter()
            .position(|(s, _)| s.signal == check.signal && s.at == check.at);
        let at = at.unwrap_or_else(|| {
            let new = SignalSummary {
                signal: check.signal.clone(),
                at: check.at,
                pairs: 0,
                questions: 0,
                auroc_within_question: None,
            };
            found.push((new, 0.0));
            found.len() - 1
        });
        let (signal, concordant) = &mut found[at];
        signal.pairs += check.pairs;
        signal.questions += usize::from(check.pairs > 0);
        *concordant += check.concordant;
    }
    found
        .into_iter()
        .map(|(signal, concordant)| SignalSummary {
            auroc_within_question: (signal.pairs > 0).then(|| concordant / signal.pairs as f64),
            ..signal
        })
        .collect()
}
