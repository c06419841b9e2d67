//! What was run, by whom and on what: the first lines of the records.

use std::collections::BTreeMap;

use curt::SamplingDefaults;
use curt::paths::SignalName;
use curt::session::Placement;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::VERSION;
use crate::arm::{Arm, validate_arms};
use crate::error::{Error, Result};

/// Most items of a run.
pub(super) const MOST_ITEMS: usize = u32::MAX as usize;
/// Most results of a run: their sums of bounded counts stay below 2⁶³.
pub(super) const MOST_RESULTS: u64 = 1 << 32;
/// Most items that are asked side by side.
pub(super) const MOST_JOBS: usize = 1024;
/// Most shards of a run.
pub(super) const MOST_SHARDS: usize = 1 << 16;
/// Most replicates of the bootstrap, which keeps one number for each in every column.
pub(super) const MOST_REPLICATES: u64 = 20_000;

/// How arms are measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Full paths are sampled once, and every arm that samples is derived from them; its times are modelled.
    #[default]
    Replay,
    /// Every arm runs.
    Run,
}

/// What was run. Resuming and merging compare it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`VERSION`].
    pub version: u32,
    /// Version of curt.
    pub curt: String,
    /// Name of the package's folder.
    pub package: String,
    /// Digest of its files.
    pub package_fingerprint: String,
    /// Name of the workload.
    pub workload: String,
    /// Digest of its meaning.
    pub workload_digest: String,
    /// Part of the workload.
    pub part: String,
    /// Items of the part that are run, over all shards.
    pub items: usize,
    /// Most items, where fewer than all were asked for.
    pub limit: Option<usize>,
    /// Times that each item is asked, each with a seed of its own.
    pub repeats: u32,
    /// Seed of repeat 0; repeat r has seed + r.
    pub seed: u64,
    /// How arms are measured.
    pub measure: Measure,
    /// The arms, in order.
    pub arms: Vec<Arm>,
    /// Digest of each stop head's file, by the name that arms use.
    pub heads: BTreeMap<String, String>,
    /// Digest of each calibration's file, by the name that arms use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calibrations: BTreeMap<String, String>,
    /// Threads inside one operator, where they were set.
    pub threads: Option<usize>,
    /// Items asked side by side, where they were several: each answer then shared the machine with others, so that its
    /// times are longer than those of a question asked alone, and no energy is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
    /// Most bytes of KV cache, where they were set: an item that needs more fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_kv_bytes: Option<u64>,
    /// `shared` where paths had one copy of their prompt's keys and values; else each had its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// Nodes of the graph that each execution provider ran, where others than the CPU were asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, usize>,
    /// Version of ONNX Runtime, whose kernels decide the last digits of a logit. Records written before 2026-11-27 have
    /// neither this nor `max_kv_bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onnxruntime: Option<String>,
    /// Sampling that the command line set; the rest is the workload's prompt's or the package's.
    #[serde(deserialize_with = "sampling")]
    pub sampling: SamplingDefaults,
    /// The arm that the others are held against.
    pub baseline: String,
    /// The arm whose verdict is asked for.
    pub candidate: String,
    /// Largest drop of accuracy that is accepted, in points.
    pub max_accuracy_drop: f64,
    /// Largest p95 of the time from question to answer that is accepted, in milliseconds.
    pub latency_budget_ms: Option<f64>,
    /// Replicates of the bootstrap.
    pub replicates: u64,
    /// This part of the run and how many there are, from 1.
    pub shard: Option<(usize, usize)>,
}

/// Reads [`Run::sampling`]. Records of 2026-11-27 and before hold its numbers as fractions: `"max_tokens": 160.0`.
fn sampling<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<SamplingDefaults, D::Error> {
    let mut said = serde_json::Map::deserialize(from)?;
    for value in said.values_mut() {
        if let Some(number) = value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0) {
            *value = (number as u64).into();
        }
    }
    serde_json::from_value(said.into()).map_err(D::Error::custom)
}

/// A process that wrote records, and its machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// When, as RFC 3339.
    pub at: String,
    /// What it ran on.
    pub machine: Machine,
    /// Version of ONNX Runtime.
    pub onnxruntime: String,
    /// Whether a row's numbers depend on what else is in its batch; if they do not, a replay's tokens are exact.
    pub rows_invariant: Option<bool>,
    /// Opening the package and loading its graph.
    pub load_ms: f64,
    /// The first question of the process, from question to answer, before any warm-up.
    pub cold_answer_ms: Option<f64>,
    /// Highest frequency of the cores that the process may use after warming up, in MHz.
    pub mhz: Option<f64>,
    /// What became of each execution provider, where others than the CPU were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Power while nothing runs, in watts, by rail.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub idle_watts: BTreeMap<String, f64>,
}

/// The machine, without names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Operating system and architecture.
    pub system: String,
}

impl Run {
    /// Whether `arm` is derived from a sample rather than run.
    pub fn derives(&self, arm: &Arm) -> bool {
        self.measure == Measure::Replay && arm.is_sampled()
    }

    /// What scores a [`super::Sample`], so that every derived arm can be made of it: each signal at each of its check points, in
    /// ascending order.
    pub fn check_points(&self) -> Vec<(usize, SignalName)> {
        let mut points: Vec<(usize, SignalName)> = Vec::new();
        let derived = self.arms.iter().filter(|arm| self.derives(arm));
        for check in derived
            .flat_map(|arm| &arm.checks)
            .filter(|check| check.signal != SignalName::Oracle)
        {
            let point = (check.at, check.signal.clone());
            if !points.contains(&point) {
                points.push(point);
            }
        }
        points.sort();
        points
    }

    /// Paths of a [`super::Sample`]: as many as the largest derived arm launches; `None` where no arm is derived.
    pub fn sample_paths(&self) -> Option<usize> {
        let derived = self.arms.iter().filter(|arm| self.derives(arm));
        derived.map(|arm| arm.paths).max()
    }

    /// Whether the item at `index` is one of this run's shard.
    pub fn has(&self, index: usize) -> bool {
        let of_shard = |(shard, shards): (usize, usize)| index % shards.max(1) + 1 == shard;
        index < self.items && self.shard.is_none_or(of_shard)
    }

    /// Results that a finished run has: item × arm × repeat, of its shard.
    pub fn expected_results(&self) -> usize {
        let items = match self.shard {
            None => self.items,
            // Every `shards`-th item, beginning with this shard's first.
            Some((shard, shards)) => {
                (self.items + shards.max(1)).saturating_sub(shard) / shards.max(1)
            }
        };
        items
            .saturating_mul(self.arms.len())
            .saturating_mul(self.repeats as usize)
    }

    /// Refuses a run that cannot be: records are read, and arms run, only under one that can.
    ///
    /// # Errors
    /// [`Error::Option`], which names the field as the command line does.
    pub fn validate(&self) -> Result<()> {
        let within = |option: &str, least: u64, most: u64, got: u64| {
            if (least..=most).contains(&got) {
                return Ok(());
            }
            Err(Error::option(option, format!("{least} to {most}"), got))
        };
        if self.version != VERSION {
            return Err(Error::option("version", VERSION.to_string(), self.version));
        }
        within("items", 1, MOST_ITEMS as u64, self.items as u64)?;
        within("--repeat", 1, u64::from(u32::MAX), u64::from(self.repeats))?;
        within("replicates", 1, MOST_REPLICATES, self.replicates)?;
        if let Some((shard, shards)) = self.shard {
            within("--shard", 1, MOST_SHARDS as u64, shards as u64)?;
            within("--shard", 1, shards as u64, shard as u64)?;
        }
        within("--jobs", 1, MOST_JOBS as u64, self.jobs.unwrap_or(1) as u64)?;
        validate_arms(&self.arms)?;
        let results = self.expected_results() as u64;
        within("items × arms × repeats", 0, MOST_RESULTS, results)?;
        for (option, name) in [
            ("--baseline", &self.baseline),
            ("--candidate", &self.candidate),
        ] {
            if !self.arms.iter().any(|arm| arm.name == *name) {
                let names: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
                return Err(Error::option(
                    option,
                    format!("one of {}", names.join(", ")),
                    name,
                ));
            }
        }
        let drop = self.max_accuracy_drop;
        if !(drop > 0.0 && drop <= 100.0) {
            return Err(Error::option(
                "--max-accuracy-drop",
                "points above 0, at most 100 (no sample can show that nothing at all is lost)",
                drop,
            ));
        }
        match self.latency_budget_ms {
            Some(budget) if !(budget > 0.0 && budget.is_finite()) => Err(Error::option(
                "--latency-budget-ms",
                "milliseconds above 0",
                budget,
            )),
            Some(_) if self.jobs.is_some_and(|jobs| jobs > 1) => Err(Error::option(
                "--latency-budget-ms",
                "--jobs 1, since items that are asked side by side slow each other",
                format!("--jobs {}", self.jobs.unwrap_or(1)),
            )),
            _ => Ok(()),
        }
    }
}
