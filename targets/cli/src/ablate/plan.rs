//! From the command line to what is run.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use curt::Package;
use curt::head::StopHead;
use curt_ablate::record::{Measure, Run, VERSION};
use curt_ablate::run::{Asked, Heads};
use curt_workload::Workload;
use sha2::{Digest, Sha256};

use super::{Args, Measured, Part};

/// Replicates of the bootstrap: the ends of a 95 % interval are then known to about 2 % of its width.
const REPLICATES: u64 = 10_000;

/// What is run.
pub struct Plan {
    pub run: Run,
    pub heads: Heads,
    /// What the user should know before it begins.
    pub notes: Vec<String>,
}

/// Joins options, workload and package.
pub fn plan(args: &Args, workload: &Workload, package: &Package) -> Result<Plan> {
    let measure = match args.measure {
        Measured::Replay => Measure::Replay,
        Measured::Run => Measure::Run,
    };
    let chosen = args.arms.choose(package, measure == Measure::Replay)?;
    let part = part(args.part);
    let there = workload.part(part).len();
    let items = args.limit.map_or(there, |limit| limit.min(there));
    if items == 0 {
        bail!(
            "{}: expected at least one item in its {} part, got none",
            workload.name(),
            part_name(args.part)
        );
    }
    let votes = chosen.arms.iter().any(|arm| arm.paths > 1);
    // Sections say where the answer stands.
    let votes = votes && package.formats().is_none();
    if votes && workload.prompt().answer_pattern.is_none() {
        bail!(
            "{}: expected an answer_pattern in its prompt, since arms of several paths vote on what it finds; got none",
            workload.name()
        );
    }
    let mut heads = Heads::new();
    let mut digests = BTreeMap::new();
    for (name, file) in &chosen.heads {
        let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        digests.insert(name.clone(), hex(&Sha256::digest(bytes)));
        heads.insert(name.clone(), Arc::new(StopHead::open(file, package)?));
    }
    let mut calibrations = BTreeMap::new();
    for file in &chosen.calibrations {
        let bytes = std::fs::read(file).with_context(|| format!("reading {file}"))?;
        calibrations.insert(file.clone(), hex(&Sha256::digest(bytes)));
    }
    if package.formats().is_some()
        && measure == Measure::Replay
        && let Some(arm) = chosen
            .arms
            .iter()
            .find(|arm| arm.is_sampled() && arm.paths > 1)
    {
        bail!(
            "--measure: expected run, since the paths of arm {} part after a perception that they share; got replay",
            arm.name
        );
    }
    let notes = chosen
        .skipped
        .iter()
        .map(|skipped| {
            format!(
                "arm {} is left out: it needs {}",
                skipped.arm,
                skipped.remedy()
            )
        })
        .collect();
    let run = Run {
        version: VERSION,
        curt: env!("CARGO_PKG_VERSION").into(),
        package: package
            .dir()
            .canonicalize()
            .ok()
            .as_deref()
            .unwrap_or(package.dir())
            .file_name()
            .map_or_else(
                || "package".into(),
                |name| name.to_string_lossy().into_owned(),
            ),
        package_fingerprint: package.fingerprint()?,
        workload: workload.name().into(),
        workload_digest: workload.digest().into(),
        part: part_name(args.part).into(),
        items,
        limit: args.limit,
        repeats: args.repeat,
        seed: args.seed,
        measure,
        arms: chosen.arms,
        heads: digests,
        calibrations,
        threads: threads(args),
        jobs: Some(args.jobs.get()).filter(|&jobs| jobs > 1),
        max_kv_bytes: args.max_kv_bytes,
        // Known once it has loaded.
        attention: None,
        providers: BTreeMap::new(),
        onnxruntime: None,
        sampling: super::sampling(args),
        baseline: chosen.baseline,
        candidate: chosen.candidate,
        max_accuracy_drop: args.max_accuracy_drop,
        latency_budget_ms: args.latency_budget_ms,
        replicates: REPLICATES,
        shard: args.shard,
    };
    run.validate()?;
    Ok(Plan { run, heads, notes })
}

/// Threads of each engine, where they are not left to it: the cores, shared among the jobs.
fn threads(args: &Args) -> Option<usize> {
    let jobs = args.jobs.get();
    if args.threads.is_some() || jobs == 1 {
        return args.threads;
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Some((cores / jobs).max(1))
}

/// The items of the run's shard, in order.
pub fn asked<'a>(run: &Run, args: &Args, workload: &'a Workload) -> Vec<Asked<'a>> {
    let items = workload
        .part(part(args.part))
        .iter()
        .take(run.items)
        .enumerate();
    items
        .filter(|(index, _)| run.has(*index))
        .map(|(index, item)| Asked {
            index,
            item,
            kind: workload.answer_kind(item),
        })
        .collect()
}

/// `--shard I/N`
pub fn shard(text: &str) -> Result<(usize, usize), String> {
    let parsed = text
        .split_once('/')
        .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((shard, shards)) if shard >= 1 && shard <= shards => Ok((shard, shards)),
        _ => Err("expected I/N with I from 1 to N".into()),
    }
}

fn part(part: Part) -> curt_workload::Part {
    match part {
        Part::Train => curt_workload::Part::Train,
        Part::HeldOut => curt_workload::Part::HeldOut,
    }
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::HeldOut => "held_out",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
