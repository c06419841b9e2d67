//! Where all that answer hand in what they have: it is written, seen, and counted.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Asked, Given, Progress, Respond, Unreachable};
use crate::arm::Arm;
use crate::error::{Error, Result};
use crate::record::{Line, Record, Records, Run, Sample, Writer};

/// First results of an arm that may all fail before the run is given up.
const FIRST_FAILURES: usize = 10;
/// Times in a row that nobody answers before the run is given up.
const UNREACHABLE: usize = 5;

/// What the sample that arms are derived from is called beside them.
const SAMPLE: &str = "the sample of full paths";

/// Locks, also after a panic elsewhere, which ends the run by itself.
pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes what is handed in.
pub(super) struct Desk<'a> {
    run: &'a Run,
    writer: Writer,
    watch: &'a mut (dyn FnMut(&Progress<'_>) + Send),
    streaks: HashMap<String, Streak>,
    /// Results without an answer that may come later: they are asked again at the end, or by a resumed run.
    held_back: Vec<Given>,
    /// Items whose question stands in the records.
    told: HashSet<usize>,
    /// Items that are left.
    left: usize,
}

/// How an arm fares.
#[derive(Default)]
struct Streak {
    /// Whether it ever answered.
    answered: bool,
    /// Failures since.
    failures: usize,
    /// What the last one said.
    last: String,
}

impl Streak {
    fn count(&mut self, error: Option<&str>) {
        match error {
            Some(error) => {
                self.failures += 1;
                self.last = error.into();
            }
            None => {
                *self = Self {
                    answered: true,
                    ..Self::default()
                }
            }
        }
    }

    fn gives_up(&self, arm: &str) -> Error {
        Error::ArmFails {
            arm: arm.into(),
            failures: self.failures,
            last: self.last.clone(),
        }
    }
}

/// How the arms fared in an earlier run.
fn streaks(earlier: &Records) -> HashMap<String, Streak> {
    let mut streaks: HashMap<String, Streak> = HashMap::new();
    let samples = earlier.samples.iter().map(|sample| (SAMPLE, &sample.error));
    let results = earlier.results.iter().map(|r| (r.arm.as_str(), &r.error));
    for (arm, error) in samples.chain(results) {
        let streak = streaks.entry(arm.into()).or_default();
        streak.count(error.as_deref());
    }
    streaks
}

impl<'a> Desk<'a> {
    /// For a run of which `left` items are missing beside `earlier`.
    pub(super) fn new(
        run: &'a Run,
        writer: Writer,
        watch: &'a mut (dyn FnMut(&Progress<'_>) + Send),
        earlier: &Records,
        left: usize,
    ) -> Self {
        Self {
            run,
            writer,
            watch,
            streaks: streaks(earlier),
            held_back: Vec::new(),
            told: earlier.items.iter().map(|item| item.index).collect(),
            left,
        }
    }

    pub(super) fn see(&mut self, progress: &Progress<'_>) {
        (self.watch)(progress);
    }

    pub(super) fn write(&mut self, line: &Line) -> Result<()> {
        self.writer.append(line)
    }

    /// Whether the item at `index` does not stand in the records yet. Says so once: who asks writes it.
    pub(super) fn is_new(&mut self, index: usize) -> bool {
        self.told.insert(index)
    }

    pub(super) fn take_sample(&mut self, sample: &Sample) -> Result<()> {
        self.count(SAMPLE, sample.error.as_deref(), false)?;
        self.write(&Line::Sample(Box::new(sample.clone())))
    }

    /// The result that `arm` gave; `None` where its answer may come later.
    pub(super) fn take_given(&mut self, arm: &Arm, given: Given) -> Result<Option<Record>> {
        let unreachable = given.unreachable.is_some();
        self.count(&arm.name, given.record.error.as_deref(), unreachable)?;
        if unreachable {
            self.held_back.push(given);
            return Ok(None);
        }
        Ok(Some(given.record))
    }

    pub(super) fn take_result(&mut self, record: &Record) -> Result<()> {
        self.write(&Line::Result(Box::new(record.clone())))?;
        self.see(&Progress::Result(record));
        Ok(())
    }

    pub(super) fn item_done(&mut self, took: Duration) {
        self.left -= 1;
        let left = self.left;
        self.see(&Progress::Item { took, left });
    }

    /// Gives up where an arm has never answered, or nobody answers any more.
    fn count(&mut self, arm: &str, error: Option<&str>, unreachable: bool) -> Result<()> {
        let streak = self.streaks.entry(arm.into()).or_default();
        streak.count(error);
        let limit = if unreachable {
            UNREACHABLE
        } else {
            FIRST_FAILURES
        };
        if error.is_none() || streak.failures < limit || (streak.answered && !unreachable) {
            return Ok(());
        }
        Err(streak.gives_up(arm))
    }

    /// Asks once more what was held back. A question that was asked twice and not answered is a failed item; one that nobody
    /// took is none, and stays missing.
    pub(super) fn ask_again(
        &mut self,
        respond: &mut dyn Respond,
        asked: &[Asked<'_>],
    ) -> Result<()> {
        let run = self.run;
        for held in std::mem::take(&mut self.held_back) {
            let record = &held.record;
            let arm = run.arms.iter().find(|arm| arm.name == record.arm);
            let item = asked.iter().find(|asked| asked.index == record.index);
            let (Some(arm), Some(item)) = (arm, item) else {
                continue;
            };
            let never = self
                .streaks
                .get(&arm.name)
                .filter(|streak| !streak.answered);
            if let Some(streak) = never {
                return Err(streak.gives_up(&arm.name));
            }
            let given = respond.answer(arm, arm.paths, item, record.repeat)?;
            match given.unreachable {
                Some(Unreachable::NotAsked) => self.held_back.push(given),
                _ => {
                    self.count(&arm.name, given.record.error.as_deref(), false)?;
                    self.take_result(&given.record)?;
                }
            }
        }
        Ok(())
    }

    /// The writer, once every line is safe.
    ///
    /// # Errors
    /// [`Error::ArmFails`] for an arm that never answered, [`Error::Unanswered`] where questions are left that nobody took, and
    /// those of [`Writer::sync`].
    pub(super) fn end(mut self) -> Result<Writer> {
        self.writer.sync()?;
        let names = self.run.arms.iter().map(|arm| arm.name.as_str());
        for arm in std::iter::once(SAMPLE).chain(names) {
            let streak = self.streaks.get(arm);
            if let Some(streak) = streak.filter(|s| !s.answered && s.failures > 0) {
                return Err(streak.gives_up(arm));
            }
        }
        match self.held_back.pop() {
            Some(last) => Err(Error::Unanswered {
                arm: last.record.arm,
                questions: self.held_back.len() + 1,
                last: last.record.error.unwrap_or_default(),
            }),
            None => Ok(self.writer),
        }
    }
}
