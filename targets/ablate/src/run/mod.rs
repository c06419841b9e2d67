//! The runner: asks every arm every item, writes each result as it ends, and goes on where an earlier run stopped.
//!
//! It knows nothing of what an arm is: it asks a [`Respond`] for the arms that run, and derives the others from a sample.

mod engine;
mod options;
mod respondents;
mod server;

use std::collections::{HashMap, HashSet};

pub use engine::{EngineRespondent, Heads};
pub use options::{check_points, is_derived};
pub use respondents::Respondents;
pub use server::ServerRespondent;

use curt::AnswerKind;
use curt_workload::Item;

use crate::arm::Arm;
use crate::derive::{derive, fewer, launched};
use crate::error::{Error, Result};
use crate::record::{AskedItem, Folder, Line, Record, Records, Run, Sample, Start, Writer};

/// First results of an arm that may all fail before the run is given up.
const FIRST_FAILURES: usize = 10;
/// Times in a row that nobody answers before the run is given up.
const UNREACHABLE: usize = 5;

/// An item of the workload and its place there.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Place in the part, from 0.
    pub index: usize,
    /// The item.
    pub item: &'a Item,
    /// What its answers are, and so which of them a vote takes for the same.
    pub kind: AnswerKind,
}

/// What an arm gave.
#[derive(Debug)]
pub struct Given {
    /// The result.
    pub record: Record,
    /// Nobody answered: the same question may get an answer later.
    pub unreachable: bool,
}

/// Who answers. An item that cannot be answered is a record that says why; an error ends the run.
pub trait Respond {
    /// Gets ready and says on what. `asked` are items that it may warm up with.
    ///
    /// # Errors
    /// Where it cannot answer at all.
    fn start(&mut self, asked: &[Asked<'_>]) -> Result<Start>;

    /// Full paths of an item, scored by every signal of the run.
    ///
    /// # Errors
    /// Where it cannot go on.
    fn sample(&mut self, asked: &Asked<'_>, repeat: u32) -> Result<Sample>;

    /// What `arm` answers with `paths` paths.
    ///
    /// # Errors
    /// Where it cannot go on.
    fn answer(&mut self, arm: &Arm, paths: usize, asked: &Asked<'_>, repeat: u32) -> Result<Given>;
}

/// What the caller sees.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Where the run begins.
    Begun {
        /// Results that an earlier run has left.
        done: &'a [Record],
        /// Results in all.
        total: usize,
        /// What the user has to know of what it left.
        notes: &'a [String],
    },
    /// A result was written.
    Result(&'a Record),
}

/// What is known of an item and a repeat.
#[derive(Default)]
struct Known {
    sample: Option<Sample>,
    results: Vec<Record>,
}

/// Runs `run` over `asked`, this shard's items in order, into `folder`. Returns the writer, which still holds the folder: what
/// is made of the records can be written beside them before another run may begin.
///
/// # Errors
/// Those of [`Folder::open`], of `respond`, and [`Error::ArmFails`]. What was written stays, and `resume` goes on there.
pub fn run(
    run: &Run,
    asked: &[Asked<'_>],
    folder: &Folder,
    resume: bool,
    respond: &mut dyn Respond,
    watch: &mut dyn FnMut(&Progress<'_>),
) -> Result<Writer> {
    crate::arm::check_arms(&run.arms)?;
    let (writer, earlier) = folder.open(run, resume)?;
    let earlier = earlier.unwrap_or_else(|| Records::new(run.clone()));
    watch(&Progress::Begun {
        done: &earlier.results,
        total: run.expected_results(),
        notes: &earlier.notes,
    });
    let finished = earlier.results.len() >= run.expected_results();
    let told: HashSet<usize> = earlier.items.iter().map(|item| item.index).collect();
    let streaks = streaks(&earlier);
    let mut known: HashMap<(usize, u32), Known> = HashMap::new();
    for sample in earlier.samples {
        let key = (sample.index, sample.repeat);
        known.entry(key).or_default().sample = Some(sample);
    }
    for record in earlier.results {
        known
            .entry((record.index, record.repeat))
            .or_default()
            .results
            .push(record);
    }
    let mut runner = Runner {
        run,
        writer,
        respond,
        watch,
        streaks,
        held_back: Vec::new(),
        told,
    };
    if !finished {
        let start = runner.respond.start(asked)?;
        runner.writer.append(&Line::Start(Box::new(start)))?;
    }
    for repeat in 0..run.repeats {
        for asked in asked {
            let known = known.remove(&(asked.index, repeat)).unwrap_or_default();
            runner.item(asked, repeat, known)?;
        }
    }
    runner.end()?;
    Ok(runner.writer)
}

struct Runner<'a> {
    run: &'a Run,
    writer: Writer,
    respond: &'a mut dyn Respond,
    watch: &'a mut dyn FnMut(&Progress<'_>),
    streaks: HashMap<String, Streak>,
    /// Results that nobody gave, kept until their arm answers again: a run that ends before asks them anew.
    held_back: Vec<Record>,
    /// Items whose question stands in the records.
    told: HashSet<usize>,
}

/// How an arm fares.
#[derive(Default)]
struct Streak {
    /// Whether it ever answered.
    answered: bool,
    /// Failures since.
    failures: usize,
}

impl Streak {
    fn count(&mut self, failed: bool) {
        if failed {
            self.failures += 1;
        } else {
            *self = Self {
                answered: true,
                failures: 0,
            };
        }
    }
}

/// What [`Streak`]s call the sample that arms are derived from.
const SAMPLE: &str = "the sample of full paths";

/// How the arms fared in an earlier run.
fn streaks(earlier: &Records) -> HashMap<String, Streak> {
    let mut streaks: HashMap<String, Streak> = HashMap::new();
    let samples = earlier.samples.iter().map(|sample| (SAMPLE, &sample.error));
    let results = earlier.results.iter().map(|r| (r.arm.as_str(), &r.error));
    for (arm, error) in samples.chain(results) {
        let streak = streaks.entry(arm.into()).or_default();
        streak.count(error.is_some());
    }
    streaks
}

impl Runner<'_> {
    fn item(&mut self, asked: &Asked<'_>, repeat: u32, known: Known) -> Result<()> {
        let Known {
            mut sample,
            mut results,
        } = known;
        let run = self.run;
        let missing: Vec<&Arm> = order(run, asked.index, repeat)
            .into_iter()
            .filter(|arm| !results.iter().any(|record| record.arm == arm.name))
            .collect();
        if !missing.is_empty() && self.told.insert(asked.index) {
            self.writer.append(&Line::Item(Box::new(AskedItem {
                index: asked.index,
                item: asked.item.id.clone(),
                question: asked.item.asked().into_owned(),
                answer: asked.item.answer.clone(),
            })))?;
        }
        let derives = |arm: &&Arm| is_derived(run.measure, arm);
        if sample.is_none() && missing.iter().any(derives) {
            let new = self.respond.sample(asked, repeat)?;
            self.streak(SAMPLE, new.error.as_deref(), false)?;
            self.writer.append(&Line::Sample(Box::new(new.clone())))?;
            sample = Some(new);
        }
        for arm in missing {
            let record = match sample.as_ref().filter(|_| is_derived(run.measure, arm)) {
                Some(sample) => derive(arm, asked.item, &asked.kind, sample, &results)?,
                None => {
                    let paths = self.paths(arm, sample.as_ref(), &results)?;
                    let given = self.respond.answer(arm, paths, asked, repeat)?;
                    self.streak(&arm.name, given.record.error.as_deref(), given.unreachable)?;
                    if given.unreachable {
                        self.held_back.push(given.record);
                        continue;
                    }
                    self.let_go(&arm.name)?;
                    given.record
                }
            };
            self.write(&record)?;
            results.push(record);
        }
        Ok(())
    }

    /// Paths that an arm launches when it runs.
    fn paths(&self, arm: &Arm, sample: Option<&Sample>, results: &[Record]) -> Result<usize> {
        let Some(of) = arm.fewer_of() else {
            return Ok(arm.paths);
        };
        if let Some(sample) = sample {
            return launched(arm, sample, results);
        }
        let full = self
            .run
            .arms
            .iter()
            .find(|full| full.is_full() && full.paths >= arm.paths);
        let lengths: Vec<usize> = results
            .iter()
            .filter(|record| full.is_some_and(|full| full.name == record.arm))
            .flat_map(|record| record.paths.iter().map(|path| path.tokens))
            .collect();
        let failed = results
            .iter()
            .any(|record| record.arm == of && record.error.is_some());
        // The item that failed there will fail here, and says so itself.
        if failed || lengths.is_empty() {
            Ok(arm.paths)
        } else {
            fewer(arm, of, &lengths, results)
        }
    }

    fn write(&mut self, record: &Record) -> Result<()> {
        self.writer
            .append(&Line::Result(Box::new(record.clone())))?;
        (self.watch)(&Progress::Result(record));
        Ok(())
    }

    /// Writes the results of `arm` that were held back.
    fn let_go(&mut self, arm: &str) -> Result<()> {
        let held = std::mem::take(&mut self.held_back);
        let (free, kept): (Vec<_>, Vec<_>) = held.into_iter().partition(|record| record.arm == arm);
        self.held_back = kept;
        free.iter().try_for_each(|record| self.write(record))
    }

    /// What is held back at the end are failed items, unless their arm has never answered: another day it may.
    fn end(&mut self) -> Result<()> {
        for record in std::mem::take(&mut self.held_back) {
            match self.streaks.get(&record.arm) {
                Some(streak) if !streak.answered => {
                    return Err(Error::ArmFails {
                        arm: record.arm,
                        failures: streak.failures,
                        last: record.error.unwrap_or_default(),
                    });
                }
                _ => self.write(&record)?,
            }
        }
        self.writer.sync()
    }

    /// Gives up where an arm has never answered, or nobody answers any more.
    fn streak(&mut self, arm: &str, error: Option<&str>, unreachable: bool) -> Result<()> {
        let streak = self.streaks.entry(arm.into()).or_default();
        streak.count(error.is_some());
        let Some(error) = error else {
            return Ok(());
        };
        let limit = if unreachable {
            UNREACHABLE
        } else {
            FIRST_FAILURES
        };
        if streak.failures < limit || (streak.answered && !unreachable) {
            return Ok(());
        }
        Err(Error::ArmFails {
            arm: arm.into(),
            failures: streak.failures,
            last: error.into(),
        })
    }
}

/// The arms in the order they are asked: another begins for each item, so that none is always first; those that are paid
/// from another's tokens come last.
fn order(run: &Run, index: usize, repeat: u32) -> Vec<&Arm> {
    let mut order: Vec<&Arm> = run.arms.iter().collect();
    order.rotate_left((index + repeat as usize) % run.arms.len());
    order.sort_by_key(|arm| arm.fewer.is_some());
    order
}
