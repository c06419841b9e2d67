//! Arms that curt itself answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use curt::answer::{Answer, FormatAnswer, PathAnswer, PhaseTimes, TokenCounts};
use curt::{AskOptions, Engine, Question};
use curt_workload::{Item, Workload};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::options::{Heads, arm_options, sample_options};
use super::{Asked, Given, Respond};
use crate::arm::{Arm, ImageShown};
use crate::ask::{is_of_the_item, question};
use crate::derive::phases;
use crate::error::{Error, Result};
use crate::measure::{Meter, machine};
use crate::record::{
    FormatRecord, Measure, PathRecord, Readings, Record, Run, Sample, SampleCheck, SampledPath,
    Start, Times, rank,
};

/// Questions asked before any is recorded, so that pages, caches and clocks are as they will stay.
const WARM_UP: usize = 3;

/// How long the machine is watched doing nothing, where it shows its power.
const IDLE: Duration = Duration::from_secs(3);

/// The engine of a package as it answers the arms of a run.
pub struct EngineRespondent<'a> {
    engine: Engine,
    load_ms: f64,
    run: &'a Run,
    workload: &'a Workload,
    heads: Heads,
    base: AskOptions,
    meter: Meter,
}

impl<'a> EngineRespondent<'a> {
    /// `base`: what every question is asked with, sampling included. `load_ms`: what opening the engine took.
    pub fn new(
        engine: Engine,
        load_ms: f64,
        run: &'a Run,
        workload: &'a Workload,
        heads: Heads,
        base: AskOptions,
    ) -> Self {
        Self {
            engine,
            load_ms,
            run,
            workload,
            heads,
            base: AskOptions {
                prompt: Some(workload.prompt().clone()),
                // A result must not depend on the question before.
                reuse: false,
                ..base
            },
            meter: Meter::new(Path::new("/")),
        }
    }

    /// Asks, the item's image `shown` so. The answer, or why this item has none.
    fn ask(
        &mut self,
        item: &Item,
        shown: ImageShown,
        mut options: AskOptions,
    ) -> Result<(std::result::Result<Answer, String>, Readings)> {
        options.answer_kind = Some(self.workload.answer_kind(item));
        let question = match question(item, shown, &options) {
            Ok(question) => question,
            Err(error) if is_of_the_item(&error) => {
                return Ok((Err(error.to_string()), Readings::default()));
            }
            Err(error) => return Err(error.into()),
        };
        let begun = self.meter.begin();
        let answer = self.engine.ask(&question, &options, &mut |_| {});
        let mut readings = self.meter.end(begun);
        if self.run.jobs.is_some_and(|jobs| jobs > 1) {
            // The machine's energy is that of all who were answering.
            readings.joules.clear();
            readings.idle_joules.clear();
        }
        match answer {
            Ok(answer) => Ok((Ok(answer), readings)),
            Err(failed) if is_of_the_item(&failed.error) => Ok((Err(failed.to_string()), readings)),
            Err(failed) => Err(failed.error.into()),
        }
    }

    /// Asks questions that are not recorded. What the first took, in milliseconds, where it was answered.
    fn warm_up(&mut self, asked: &[Asked<'_>]) -> Result<Option<f64>> {
        let ran = self.run.arms.iter().find(|arm| arm.server.is_none());
        let options = match ran {
            Some(arm) if self.run.measure == Measure::Run => arm_options(
                arm,
                arm.paths,
                &self.heads,
                &self.base,
                self.run.seed,
                self.formats(),
            )?,
            _ => sample_options(self.run, &self.heads, &self.base, self.run.seed)?,
        };
        let mut cold_answer_ms = None;
        for (number, asked) in asked.iter().take(WARM_UP).enumerate() {
            let (answer, _) = self.ask(asked.item, ImageShown::Whole, options.clone())?;
            if let (0, Ok(answer)) = (number, answer) {
                cold_answer_ms = Some(answer.times.total_ms);
            }
        }
        Ok(cold_answer_ms)
    }

    /// Whether the package's responses have formats.
    fn formats(&self) -> bool {
        self.engine.package().formats().is_some()
    }

    fn seed(&self, item: &Item, repeat: u32) -> u64 {
        item.seed(self.run.seed.wrapping_add(u64::from(repeat)))
    }

    fn grade(&self, item: &Item, answer: Option<&str>, text: &str) -> Result<bool> {
        self.workload.grade(item, answer, text).map_err(Error::from)
    }

    fn sampled(&self, item: &Item, path: &PathAnswer, checks: usize) -> Result<SampledPath> {
        let mut scores = vec![None; checks];
        for score in &path.scores {
            scores[score.check] = Some(score.score);
        }
        Ok(SampledPath {
            tokens: path.tokens.len(),
            finish: path.finish,
            correct: self.grade(item, path.answer.as_deref(), &path.text)?,
            answer: path.answer.clone(),
            scores,
            text: Some(path.text.clone()),
        })
    }

    fn path_record(&self, item: &Item, path: &PathAnswer) -> Result<PathRecord> {
        let correct = if path.finish.votes() {
            Some(self.grade(item, path.answer.as_deref(), &path.text)?)
        } else {
            None
        };
        Ok(PathRecord {
            tokens: path.tokens.len(),
            finish: path.finish,
            score: path.scores.last().map(|score| score.score),
            answer: path.answer.clone(),
            correct,
            text: Some(path.text.clone()),
            cut_from_bytes: None,
        })
    }
}

impl Respond for EngineRespondent<'_> {
    fn start(&mut self, asked: &[Asked<'_>]) -> Result<Start> {
        let cold_answer_ms = self.warm_up(asked)?;
        let mhz = self.meter.mhz();
        let rows = self.engine.probe_row_invariance()?;
        Ok(Start {
            // A clock before 1970 has no such text.
            at: OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .unwrap_or_default(),
            machine: machine(Path::new("/")),
            onnxruntime: curt::session::library_info()?.version.clone(),
            rows_invariant: Some(rows.invariant),
            placement: Some(self.engine.placement())
                .filter(|placement| placement.providers.len() > 1)
                .cloned(),
            load_ms: self.load_ms,
            cold_answer_ms,
            mhz,
            idle_watts: self.meter.idle_watts(IDLE),
        })
    }

    fn join(&mut self, asked: &[Asked<'_>]) -> Result<()> {
        self.warm_up(asked)?;
        self.meter.mhz();
        Ok(())
    }

    fn prompt_ids(&mut self, asked: &Asked<'_>) -> Result<Vec<u32>> {
        // How many tokens an image takes shows when it is seen.
        if asked.item.image.is_some() {
            return Ok(Vec::new());
        }
        let question = Question::Text(asked.item.asked().into_owned());
        match self.engine.tokens(&question, &self.base) {
            Ok(ids) => Ok(ids),
            // It fails again when it is asked, on the record.
            Err(error) if is_of_the_item(&error) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn sample(&mut self, asked: &Asked<'_>, repeat: u32) -> Result<Sample> {
        let options = sample_options(
            self.run,
            &self.heads,
            &self.base,
            self.seed(asked.item, repeat),
        )?;
        let mut sample = Sample {
            index: asked.index,
            item: asked.item.id.clone(),
            repeat,
            error: None,
            prompt_tokens: 0,
            checks: self
                .run
                .check_points()
                .into_iter()
                .map(|(at, signal)| SampleCheck {
                    signal,
                    at,
                    scored: 0,
                    score_ms: None,
                    pairs: 0,
                    concordant: 0.0,
                })
                .collect(),
            paths: Vec::new(),
            times: None,
            kv_bytes: None,
            kv_shared_bytes: None,
            machine: Readings::default(),
        };
        let checks = options.checks.len();
        let (answer, readings) = self.ask(asked.item, ImageShown::Whole, options)?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                sample.error = Some(error);
                return Ok(sample);
            }
        };
        for taken in &answer.checks {
            let check = &mut sample.checks[taken.check];
            check.scored = taken.scored;
            check.score_ms = Some(taken.score_ms);
        }
        sample.paths = answer
            .paths
            .iter()
            .map(|path| self.sampled(asked.item, path, checks))
            .collect::<Result<_>>()?;
        rank(&mut sample.checks, &sample.paths);
        sample.prompt_tokens = answer.tokens.prompt;
        sample.times = Some(times(&answer.times));
        let kv = answer.kv;
        sample.kv_bytes = Some(kv.bytes);
        let shared = kv.bytes_per_token * kv.shared_tokens as u64;
        sample.kv_shared_bytes = (shared > 0).then_some(shared);
        sample.machine = readings;
        Ok(sample)
    }

    fn answer(&mut self, arm: &Arm, paths: usize, asked: &Asked<'_>, repeat: u32) -> Result<Given> {
        let options = arm_options(
            arm,
            paths,
            &self.heads,
            &self.base,
            self.seed(asked.item, repeat),
            self.formats(),
        )?;
        let mut record = Record::unanswered(arm, asked.index, asked.item, repeat);
        let (answer, readings) = self.ask(asked.item, arm.image, options)?;
        match answer {
            Err(error) => record.error = Some(error),
            Ok(answer) => {
                record.correct = self.grade(asked.item, answer.answer.as_deref(), &answer.text)?;
                // Several paths without a vote have said nothing together.
                record.correct &= answer.answer.is_some() || paths == 1;
                record.answer = answer.answer;
                record.paths = answer
                    .paths
                    .iter()
                    .map(|path| self.path_record(asked.item, path))
                    .collect::<Result<_>>()?;
                record.finished = answer
                    .paths
                    .iter()
                    .filter(|path| path.finish.votes())
                    .count();
                record.finished_correct = record
                    .paths
                    .iter()
                    .filter(|path| path.correct == Some(true))
                    .count();
                record.prompt_tokens = Some(answer.tokens.prompt);
                let tokens: Vec<usize> =
                    answer.paths.iter().map(|path| path.tokens.len()).collect();
                record.tokens = match &answer.format {
                    Some(format) => by_section(format, &answer.paths, &answer.tokens),
                    None => phases(arm, &tokens),
                };
                record.format = answer.format.as_ref().map(format_record);
                record.unused_tokens = Some(answer.tokens.unused);
                record.times = Some(times(&answer.times));
                record.kv_bytes = Some(answer.kv.bytes);
                record.machine = readings;
            }
        }
        Ok(Given {
            record,
            unreachable: None,
        })
    }
}

/// Phase of tokens of answers that the cascade did not accept.
const DISCARDED: &str = "discarded";

/// Tokens by section, over all paths.
fn by_section(
    format: &FormatAnswer,
    paths: &[PathAnswer],
    tokens: &TokenCounts,
) -> BTreeMap<String, usize> {
    let mut by_section = BTreeMap::new();
    let own = paths.iter().flat_map(|path| &path.sections);
    for section in own.chain(&format.shared) {
        let phase = section.kind.name().to_string();
        *by_section.entry(phase).or_default() += section.tokens;
    }
    if tokens.discarded > 0 {
        by_section.insert(DISCARDED.into(), tokens.discarded);
    }
    // Tags that several paths share, and what stands in no section.
    let told: usize = by_section.values().sum();
    if tokens.generated > told {
        by_section.insert("other".into(), tokens.generated - told);
    }
    by_section
}

fn format_record(format: &FormatAnswer) -> FormatRecord {
    let read = format.read_out();
    FormatRecord {
        used: format.used,
        margin: read.map(|read| read.margin),
        off_grammar: read.map(|read| read.off_grammar),
        confidence: format.confidence,
        escalations: format.escalations.len(),
    }
}

fn times(phases: &PhaseTimes) -> Times {
    Times {
        total_ms: phases.total_ms,
        first_token_ms: Some(phases.first_token_ms),
        prefill_ms: Some(phases.prefill_ms),
        fork_ms: Some(phases.fork_ms),
        decode_ms: Some(phases.decode_ms),
        check_ms: phases.check_ms,
        compact_ms: phases.compact_ms,
    }
}
