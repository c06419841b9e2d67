//! The figures of a run, made of its records alone. A figure that was not measured is absent.

mod accuracy;
mod cost;
mod formats;
mod latency;
mod machine;

use std::collections::{BTreeMap, BTreeSet};

use curt::paths::SignalName;
use serde::{Deserialize, Serialize};

pub use accuracy::{Accuracy, Difference};
pub use cost::{Energy, Tokens};
pub use formats::{FormatShares, ReadOutSummary};
pub use latency::{Latency, LatencyModel};
pub use machine::ColdStart;

use crate::record::{Machine, Measure, Record, Records, Run};
use crate::stats::{Design, units_needed};
use crate::verdict::{Evidence, Verdict};
use cost::{energy, failures, tokens};
use machine::{cold_start, times_void};

/// Two-sided level of the intervals shown; the ends of the verdict are one-sided at the same.
pub const LEVEL: f64 = 0.95;

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
    /// Loading, and the first answer of a process, in milliseconds: medians over the processes; and the most memory.
    pub cold_start: Option<ColdStart>,
    /// The arms, in the order of the run.
    pub arms: Vec<ArmSummary>,
    /// How well each signal told right paths from wrong ones.
    pub signals: Vec<SignalSummary>,
    /// How well the read-out told questions that are right when they are answered directly from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_out: Option<ReadOutSummary>,
    /// The verdict on the candidate.
    pub verdict: Verdict,
    /// Of candidate, baseline and limits, what was named after the run was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_afterwards: Vec<String>,
    /// What a reader has to know.
    pub notes: Vec<String>,
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
    /// Wrong results that came to an end without an answer.
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
    /// The candidate less this arm, where that is neither the candidate, nor the baseline, nor an oracle. A family of its
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_less_this: Option<Difference>,
    /// Generated tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Formats of the responses, where they have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formats: Option<FormatShares>,
    /// Time from question to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Largest KV cache planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
    /// Energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
}

/// How well a signal told right paths from wrong ones of the same question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalSummary {
    /// The signal, as arms name it.
    pub signal: SignalName,
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
        // Sums hang on the order in which items ended.
        let ordered = records.in_order();
        let records = &*ordered;
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
                    without_answer: done()
                        .filter(|record| record.answer.is_none() && !record.correct)
                        .count(),
                    accuracy: figures.accuracy,
                    survivors: mean(
                        done()
                            .filter(|r| r.finished > 0)
                            .map(|r| r.finished_correct as f64 / r.finished as f64),
                    ),
                    difference: figures.difference,
                    candidate_less_this: figures.candidate_less_this,
                    tokens: tokens(results, baseline, figures.tokens),
                    formats: FormatShares::of(results),
                    latency: if times_void.is_some() {
                        None
                    } else {
                        Latency::of(results, &records.samples, model.as_ref())
                    },
                    kv_bytes: done().filter_map(|record| record.kv_bytes).max(),
                    energy: if times_void.is_some() {
                        None
                    } else {
                        energy(results, records)
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
            read_out: ReadOutSummary::of(run, &by_arm),
            verdict: judge(
                run,
                &arms,
                &units,
                &by_arm,
                times_void.as_deref(),
                model.as_ref(),
            ),
            chosen_afterwards: chosen_afterwards(records),
            notes: Vec::new(),
            times_void,
            run: run.clone(),
            arms,
        };
        summary.note(expected, records);
        summary
    }

    /// The figures of an arm.
    pub fn arm(&self, name: &str) -> Option<&ArmSummary> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    fn note(&mut self, expected: usize, records: &Records) {
        let mut notes = Vec::new();
        let there = records.results.len();
        if there < expected {
            notes.extend(missing(&self.arms, expected, records));
        }
        if self.tokens_exact == Some(false) {
            notes.push(
                "on this machine a row's numbers depend on what else is in its batch: derived tokens and answers are \
                 approximate; --measure run executes every arm"
                    .into(),
            );
        }
        if let Some(jobs) = self.run.jobs.filter(|&jobs| jobs > 1) {
            notes.push(format!(
                "{jobs} items were asked side by side (--jobs): times are those of questions that slowed each other, and hold \
                 for no budget; energy is not known"
            ));
        }
        if self.machines.len() > 1 {
            notes.push(
                "the run was made on several kinds of machine: times are of all of them together"
                    .into(),
            );
        }
        let unmodelled = |arm: &ArmSummary| arm.results > arm.failed && arm.latency.is_none();
        if self.run.measure == Measure::Replay
            && self.times_void.is_none()
            && self.latency_model.is_none()
            && self.arms.iter().any(unmodelled)
        {
            notes.push(
                "derived arms have no times: what a step costs and what a row of it can be told apart only where an arm of \
                 one path ran as well; `greedy` must be among the arms, or --measure run"
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
        let cut = |record: &Record| {
            record
                .paths
                .iter()
                .filter_map(|path| path.cut_from_bytes)
                .max()
        };
        for arm in &self.arms {
            let of_arm = records
                .results
                .iter()
                .filter(|record| record.arm == arm.name);
            let cut: Vec<usize> = of_arm.filter_map(cut).collect();
            if let Some(longest) = cut.iter().max() {
                notes.push(format!(
                    "{}: in {} of {} results an answer is longer than is recorded, the longest {longest} bytes; all of it was \
                     graded",
                    arm.name,
                    cut.len(),
                    arm.results
                ));
            }
        }
        for arm in &self.arms {
            if let Some(shares) = arm.formats.as_ref().filter(|shares| shares.none > 0.0) {
                notes.push(format!(
                    "{}: {:.1} % of the responses have none of the formats",
                    arm.name,
                    100.0 * shares.none
                ));
            }
        }
        if let Some(read) = &self.read_out {
            notes.push(format!(
                "the read-out P(direct) of `{}` tells questions that `{}` gets right from those it does not: AUROC {:.3} over {} \
                 questions",
                read.arm, read.direct, read.auroc, read.items
            ));
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

/// What is not there of a run whose results should be `expected` many.
fn missing(arms: &[ArmSummary], expected: usize, records: &Records) -> Vec<String> {
    let there = records.results.len();
    let of_each = expected / arms.len().max(1);
    let lacking = arms.iter().filter(|arm| arm.results < of_each);
    let lacking: Vec<String> = lacking
        .map(|arm| format!("{} of {of_each} of {}", of_each - arm.results, arm.name))
        .collect();
    let mut notes = vec![format!(
        "{there} of {expected} results are there: the run was not finished or lines were taken out, and the figures are of \
         what is there; missing are {}",
        lacking.join(", ")
    )];
    let mut of_item: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    for record in &records.results {
        *of_item.entry((record.index, record.repeat)).or_default() += 1;
    }
    let partly = of_item
        .values()
        .filter(|count| **count < arms.len())
        .count();
    // Each process that was broken off leaves as many as it asked side by side.
    let left = records.run.jobs.unwrap_or(1) * records.starts.len().max(1);
    if partly > left {
        notes.push(format!(
            "{partly} questions have results of some arms alone, and runs that were broken off here leave {left} at most: lines \
             were taken out, and no comparison of arms holds"
        ));
    }
    notes
}

/// The verdict on the candidate, of what the arms show.
fn judge(
    run: &Run,
    arms: &[ArmSummary],
    units: &accuracy::Units,
    by_arm: &BTreeMap<&str, Vec<&Record>>,
    void: Option<&str>,
    model: Option<&LatencyModel>,
) -> Verdict {
    let of = |name: &str| by_arm.get(name).map_or(&[][..], Vec::as_slice);
    let differences = units.differences(of(&run.candidate), of(&run.baseline));
    let items: f64 =
        differences.iter().map(|unit| unit.count).sum::<f64>() / f64::from(run.repeats.max(1));
    let items_per_unit = items / differences.iter().filter(|u| u.count > 0.0).count().max(1) as f64;
    let largest_drop = run.max_accuracy_drop / 100.0;
    let needed = units_needed(&differences, largest_drop, Design::default());
    let candidate = arms.iter().find(|arm| arm.name == run.candidate);
    let difference = candidate.and_then(|arm| arm.difference.as_ref());
    let latency = candidate.and_then(|arm| arm.latency.as_ref());
    let baseline = arms.iter().find(|arm| arm.name == run.baseline);
    let all_failed = |arm: &&ArmSummary| arm.results > 0 && arm.failed == arm.results;
    let mut judged = candidate.into_iter().chain(baseline).filter(all_failed);
    Verdict::of(&Evidence {
        candidate: &run.candidate,
        baseline: &run.baseline,
        difference: difference.map(|d| d.mean),
        one_sided: difference.and_then(|d| d.one_sided),
        largest_drop,
        all_failed: judged.find_map(|arm| {
            let (reason, _) = arm.failures.first()?;
            Some((arm.name.as_str(), arm.failed, reason.as_str()))
        }),
        baseline_failed: baseline
            .filter(|_| run.baseline != run.candidate)
            .map_or(0, |arm| arm.failed),
        unpaired: unpaired(of(&run.candidate), of(&run.baseline)),
        p95_ms: latency.map(|l| l.p95_ms),
        model_error: latency
            .filter(|l| l.modelled)
            .and(model)
            .map(|model| model.median_error),
        untimed: latency.map_or(0, |l| l.untimed),
        void,
        budget_ms: run.latency_budget_ms,
        items: items.round() as u64,
        items_needed: needed.map(|units| (units * items_per_unit).ceil() as u64),
    })
}

/// Questions that one of the two arms has a result of, and the other has none.
fn unpaired(candidate: &[&Record], baseline: &[&Record]) -> usize {
    let keys = |results: &[&Record]| -> BTreeSet<(usize, u32)> {
        results.iter().map(|r| (r.index, r.repeat)).collect()
    };
    let (candidate, baseline) = (keys(candidate), keys(baseline));
    candidate.symmetric_difference(&baseline).count()
}

/// Of candidate, baseline and limits, what differs from the run as it was begun.
fn chosen_afterwards(records: &Records) -> Vec<String> {
    let (run, begun) = (&records.run, &records.begun);
    let named = [
        ("candidate", run.candidate != begun.candidate),
        ("baseline", run.baseline != begun.baseline),
        (
            "drop allowed",
            run.max_accuracy_drop != begun.max_accuracy_drop,
        ),
        (
            "latency budget",
            run.latency_budget_ms != begun.latency_budget_ms,
        ),
    ];
    named
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name.into())
        .collect()
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
