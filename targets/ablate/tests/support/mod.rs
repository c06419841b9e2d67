//! A run without a model: answers that depend on the item, the repeat and the arm alone.

// Each test crate uses a part.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;

use curt::paths::FinishReason;
use curt_ablate::arm::{Arm, ArmFile};
use curt_ablate::record::{
    Folder, Machine, Measure, PathRecord, Readings, Record, Records, Run, Sample, SampleCheck,
    SampledPath, Start, Times, VERSION, rank, read_records,
};
use curt_ablate::run::{Asked, Given, Respond, Unreachable};
use curt_ablate::summary::Summary;
use curt_ablate::{Error, Result};
use curt_workload::Item;
use toml::Value;

/// Paths of a sample.
pub const PATHS: usize = 8;

pub fn items(count: usize) -> Vec<Item> {
    (0..count)
        .map(|index| Item {
            id: format!("item-{index}"),
            group: Some(format!("group-{}", index / 2)),
            question: format!("Question <{index}> & more?"),
            image: None,
            choices: Vec::new(),
            answer: vec!["7".into()],
            scorer: None,
        })
        .collect()
}

pub fn asked(items: &[Item]) -> Vec<Asked<'_>> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| Asked {
            index,
            item,
            kind: curt::AnswerKind::Text,
        })
        .collect()
}

/// The built-in arms that sample, with a made-up head, and greedy.
pub fn arms() -> Vec<Arm> {
    let mut options: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in [
        ("paths", PATHS as i64),
        ("keep", 2),
        ("check-at.1", 6),
        ("twice-keep.1", 4),
        ("twice-keep.2", 2),
        ("twice-at.1", 6),
        ("twice-at.2", 9),
    ] {
        options.insert(name.into(), Value::Integer(value));
    }
    options.insert("head.stop".into(), Value::String("head:stop".into()));
    ArmFile::built_in().unwrap().expand(&options).unwrap().0
}

pub fn run_of(items: usize, measure: Measure) -> Run {
    let mut arms = arms();
    if measure == Measure::Run {
        arms.retain(|arm| !arm.is_oracle());
    }
    Run {
        version: VERSION,
        curt: "0.0.0".into(),
        package: "made-up".into(),
        package_fingerprint: "aa".into(),
        workload: "made-up".into(),
        workload_digest: "bb".into(),
        part: "held_out".into(),
        items,
        limit: None,
        repeats: 2,
        seed: 0,
        measure,
        arms,
        heads: BTreeMap::from([("stop".into(), "cc".into())]),
        calibrations: BTreeMap::new(),
        threads: None,
        jobs: None,
        max_kv_bytes: None,
        attention: None,
        providers: BTreeMap::new(),
        onnxruntime: Some("0".into()),
        sampling: curt::SamplingDefaults::default(),
        baseline: "full".into(),
        candidate: "stop".into(),
        max_accuracy_drop: 1.0,
        latency_budget_ms: None,
        replicates: 200,
        shard: None,
    }
}

/// What the made-up model is like.
#[derive(Clone, Copy, PartialEq)]
pub enum Nature {
    /// Half of its paths are right, and scores say which, mostly.
    Mixed,
    AllRight,
    AllWrong,
    /// Nothing that a pattern finds.
    Silent,
    /// No item can be answered.
    Failing,
    /// Items from this place on cannot be answered.
    FailingFrom(usize),
}

pub struct MadeUp<'a> {
    pub run: &'a Run,
    pub nature: Nature,
    /// Questions it was asked: arm (empty for a sample), item, repeat.
    pub asked: Vec<(String, usize, u32)>,
    /// Ends the run, as a kill would, at this question.
    pub dies_at: Option<usize>,
    /// The questions, by count, that nobody answers.
    pub unreachable: Vec<usize>,
    /// An arm that nobody answers.
    pub dead_arm: Option<&'static str>,
    /// What is wrong where nobody answers.
    pub why: Unreachable,
}

impl<'a> MadeUp<'a> {
    pub fn new(run: &'a Run, nature: Nature) -> Self {
        Self {
            run,
            nature,
            asked: Vec::new(),
            dies_at: None,
            unreachable: Vec::new(),
            dead_arm: None,
            why: Unreachable::NotAsked,
        }
    }

    fn note(&mut self, arm: &str, index: usize, repeat: u32) -> Result<()> {
        if self.dies_at == Some(self.asked.len()) {
            return Err(Error::ArmFails {
                arm: arm.into(),
                failures: 0,
                last: "the end of this process".into(),
            });
        }
        self.asked.push((arm.into(), index, repeat));
        Ok(())
    }

    fn fails(&self, index: usize) -> Option<String> {
        let fails = match self.nature {
            Nature::Failing => true,
            Nature::FailingFrom(first) => index >= first,
            _ => false,
        };
        fails.then(|| "the prompt has 9 tokens and the model's context 8".into())
    }

    fn right(&self, draw: u64) -> bool {
        match self.nature {
            Nature::AllRight => true,
            Nature::AllWrong | Nature::Silent => false,
            _ => draw.is_multiple_of(2),
        }
    }
}

/// A number that its parts alone decide.
pub fn mix(parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(0x9e37_79b9_7f4a_7c15, |state: u64, &part| {
            let mut z = (state ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z ^= z >> 29;
            z.wrapping_mul(0x94d0_49bb_1331_11eb) ^ (z >> 32)
        })
}

impl Respond for MadeUp<'_> {
    fn start(&mut self, _: &[Asked<'_>]) -> Result<Start> {
        Ok(Start {
            at: "2026-11-24T00:00:00Z".into(),
            machine: Machine {
                cpu: "made up".into(),
                cores: 1,
                memory_mib: None,
                system: "none".into(),
            },
            onnxruntime: "0".into(),
            placement: None,
            rows_invariant: Some(true),
            load_ms: 1.0,
            cold_answer_ms: Some(2.0),
            mhz: None,
            idle_watts: BTreeMap::new(),
        })
    }

    fn join(&mut self, _: &[Asked<'_>]) -> Result<()> {
        Ok(())
    }

    fn prompt_ids(&mut self, asked: &Asked<'_>) -> Result<Vec<u32>> {
        Ok(vec![1, asked.index as u32])
    }

    fn sample(&mut self, asked: &Asked<'_>, repeat: u32) -> Result<Sample> {
        self.note("", asked.index, repeat)?;
        let points = self.run.check_points();
        let paths: Vec<SampledPath> = (0..PATHS as u64)
            .map(|path| {
                let draw = mix(&[asked.index as u64, u64::from(repeat), path]);
                let right = self.right(draw);
                let tokens = 5 + (draw >> 8) as usize % 20;
                SampledPath {
                    tokens,
                    finish: FinishReason::Eos,
                    answer: (self.nature != Nature::Silent).then(|| {
                        if right {
                            "7".into()
                        } else {
                            format!("{}", 8 + draw % 3)
                        }
                    }),
                    correct: right,
                    scores: points
                        .iter()
                        .map(|(at, _)| {
                            let noise = ((draw >> 20) % 1000) as f64 / 2000.0;
                            (tokens > *at).then_some(noise + if right { 0.4 } else { 0.0 })
                        })
                        .collect(),
                    text: Some("</pre><script>alert(1)</script>".into()),
                }
            })
            .collect();
        let error = self.fails(asked.index);
        let paths = if error.is_some() { Vec::new() } else { paths };
        let mut sample = Sample {
            index: asked.index,
            item: asked.item.id.clone(),
            repeat,
            prompt_tokens: 30,
            checks: points
                .into_iter()
                .map(|(at, signal)| SampleCheck {
                    signal,
                    at,
                    scored: PATHS,
                    score_ms: Some(0.1),
                    pairs: 0,
                    concordant: 0.0,
                })
                .collect(),
            paths,
            times: error.is_none().then_some(Times {
                total_ms: 40.0,
                first_token_ms: Some(5.0),
                prefill_ms: Some(4.0),
                fork_ms: Some(0.5),
                decode_ms: Some(30.0),
                check_ms: Some(0.4),
                compact_ms: Some(0.0),
            }),
            error,
            kv_bytes: Some(8000),
            kv_shared_bytes: None,
            machine: Readings::default(),
        };
        rank(&mut sample.checks, &sample.paths);
        Ok(sample)
    }

    fn answer(&mut self, arm: &Arm, paths: usize, asked: &Asked<'_>, repeat: u32) -> Result<Given> {
        self.note(&arm.name, asked.index, repeat)?;
        let draw = mix(&[asked.index as u64, u64::from(repeat), arm.name.len() as u64]);
        let error = self.fails(asked.index);
        let unreachable = self.unreachable.contains(&(self.asked.len() - 1))
            || self.dead_arm == Some(arm.name.as_str());
        let right = error.is_none() && self.right(draw);
        let answered = error.is_none() && self.nature != Nature::Silent;
        Ok(Given {
            record: Record {
                index: asked.index,
                item: asked.item.id.clone(),
                group: asked.item.group.clone(),
                arm: arm.name.clone(),
                repeat,
                answer: answered.then(|| if right { "7".into() } else { "8".into() }),
                correct: right,
                finished: paths,
                finished_correct: if right { paths } else { 0 },
                prompt_tokens: Some(30),
                tokens: BTreeMap::from([("launch".into(), 10 * paths)]),
                unused_tokens: Some(0),
                format: None,
                derived: None,
                times: Some(Times {
                    total_ms: 12.0,
                    decode_ms: Some(10.0),
                    ..Times::default()
                }),
                error: if unreachable {
                    Some("nobody answers".into())
                } else {
                    error
                },
                kv_bytes: None,
                machine: Readings::default(),
                paths: (0..paths)
                    .map(|_| PathRecord {
                        tokens: 10,
                        finish: FinishReason::Eos,
                        score: None,
                        answer: None,
                        correct: Some(right),
                        text: None,
                        cut_from_bytes: None,
                    })
                    .collect(),
            },
            unreachable: unreachable.then_some(self.why),
        })
    }
}

/// Records without what a clock says, in an order of their own.
pub fn timeless(mut records: Records) -> Records {
    records.starts.clear();
    records.items.sort_by_key(|item| item.index);
    records
        .samples
        .sort_by_key(|sample| (sample.repeat, sample.index));
    records
        .results
        .sort_by(|a, b| (a.repeat, a.index, &a.arm).cmp(&(b.repeat, b.index, &b.arm)));
    records
}

/// Runs all of `run` into `dir`.
pub fn execute(run: &Run, dir: &Path, resume: bool, made_up: &mut MadeUp<'_>) -> Result<()> {
    let items = items(run.items);
    let (shard, shards) = run.shard.unwrap_or((1, 1));
    let asked: Vec<_> = asked(&items)
        .into_iter()
        .filter(|a| a.index % shards == shard - 1)
        .collect();
    let folder = Folder::new(dir);
    curt_ablate::run::run(run, &asked, &folder, resume, &mut [made_up], &mut |_| {}).map(drop)
}

/// The figures of `run`, executed into `dir`.
pub fn whole(run: &Run, dir: &Path, nature: Nature) -> Summary {
    execute(run, dir, false, &mut MadeUp::new(run, nature)).unwrap();
    Summary::of(&read_records(dir).unwrap())
}

#[track_caller]
pub fn error_of<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

/// The lines of a finished run, as JSON.
pub fn lines_of(run: &Run) -> Vec<serde_json::Value> {
    let dir = tempfile::tempdir().unwrap();
    whole(run, dir.path(), Nature::Mixed);
    let text = std::fs::read_to_string(dir.path().join("records.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Writes `lines` as the records of `dir`.
pub fn write_lines(dir: &Path, lines: &[serde_json::Value]) -> std::path::PathBuf {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let file = dir.join("records.jsonl");
    std::fs::write(&file, text).unwrap();
    file
}

/// The first line of `kind`, of arm `arm` where one is named.
pub fn first<'a>(
    lines: &'a mut [serde_json::Value],
    kind: &str,
    arm: &str,
) -> &'a mut serde_json::Value {
    let wanted = |line: &&mut serde_json::Value| {
        line["kind"] == kind && (arm.is_empty() || line["arm"] == arm)
    };
    lines.iter_mut().find(wanted).unwrap()
}
