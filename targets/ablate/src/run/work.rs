//! An item and what of it is missing.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use super::desk::{Desk, lock};
use super::{Asked, Respond};
use crate::arm::Arm;
use crate::derive::{derive, fewer, launched};
use crate::error::Result;
use crate::record::{AskedItem, Line, Record, Records, Run, Sample};

/// An item of a repeat, what earlier runs know of it, and the arms that have not answered it.
pub(super) struct Work<'a> {
    run: &'a Run,
    asked: Asked<'a>,
    repeat: u32,
    sample: Option<Sample>,
    results: Vec<Record>,
    missing: Vec<&'a Arm>,
}

/// What of `run` is missing beside `earlier`, in order.
pub(super) fn work_left<'a>(run: &'a Run, asked: &[Asked<'a>], earlier: &Records) -> Vec<Work<'a>> {
    let mut samples: HashMap<(usize, u32), &Sample> = HashMap::new();
    for sample in &earlier.samples {
        samples.insert((sample.index, sample.repeat), sample);
    }
    let mut results: HashMap<(usize, u32), Vec<&Record>> = HashMap::new();
    for record in &earlier.results {
        let known = results.entry((record.index, record.repeat)).or_default();
        known.push(record);
    }
    let mut work = Vec::new();
    for repeat in 0..run.repeats {
        for asked in asked {
            let key = (asked.index, repeat);
            let known = results.get(&key).map_or(&[][..], Vec::as_slice);
            let missing: Vec<&Arm> = order(run, asked.index, repeat)
                .into_iter()
                .filter(|arm| !known.iter().any(|record| record.arm == arm.name))
                .collect();
            if !missing.is_empty() {
                work.push(Work {
                    run,
                    asked: asked.clone(),
                    repeat,
                    sample: samples.get(&key).map(|sample| (*sample).clone()),
                    results: known.iter().map(|record| (*record).clone()).collect(),
                    missing,
                });
            }
        }
    }
    work
}

/// The arms in the order they are asked: another begins for each item, so that none is always first; those that are paid
/// from another's tokens come last.
fn order(run: &Run, index: usize, repeat: u32) -> Vec<&Arm> {
    let mut order: Vec<&Arm> = run.arms.iter().collect();
    order.rotate_left((index + repeat as usize) % run.arms.len());
    order.sort_by_key(|arm| arm.fewer.is_some());
    order
}

impl Work<'_> {
    /// Asks the arms that are missing, and writes what each gave as soon as it is there.
    pub(super) fn answer(
        mut self,
        respond: &mut dyn Respond,
        desk: &Mutex<Desk<'_>>,
    ) -> Result<()> {
        let clock = Instant::now();
        let (run, asked, repeat) = (self.run, self.asked.clone(), self.repeat);
        // Let go before the prompt is made.
        let new = lock(desk).is_new(asked.index);
        if new {
            let item = AskedItem {
                index: asked.index,
                item: asked.item.id.clone(),
                question: asked.item.asked().into_owned(),
                answer: asked.item.answer.clone(),
                prompt_ids: respond.prompt_ids(&asked)?,
            };
            lock(desk).write(&Line::Item(Box::new(item)))?;
        }
        if self.sample.is_none() && self.missing.iter().any(|arm| run.derives(arm)) {
            let sample = respond.sample(&asked, repeat)?;
            lock(desk).take_sample(&sample)?;
            self.sample = Some(sample);
        }
        for arm in std::mem::take(&mut self.missing) {
            let record = match self.sample.as_ref().filter(|_| run.derives(arm)) {
                Some(sample) => derive(arm, asked.item, &asked.kind, sample, &self.results)?,
                None => {
                    let given = respond.answer(arm, self.paths(arm)?, &asked, repeat)?;
                    match lock(desk).take_given(arm, given)? {
                        Some(record) => record,
                        None => continue,
                    }
                }
            };
            lock(desk).take_result(&record)?;
            self.results.push(record);
        }
        lock(desk).item_done(clock.elapsed());
        Ok(())
    }

    /// Paths that an arm launches when it runs.
    fn paths(&self, arm: &Arm) -> Result<usize> {
        let Some(of) = arm.fewer_of() else {
            return Ok(arm.paths);
        };
        if let Some(sample) = &self.sample {
            return launched(arm, sample, &self.results);
        }
        let arms = &self.run.arms;
        let full = arms
            .iter()
            .find(|full| full.is_full() && full.paths >= arm.paths);
        let lengths: Vec<usize> = self
            .results
            .iter()
            .filter(|record| full.is_some_and(|full| full.name == record.arm))
            .flat_map(|record| record.paths.iter().map(|path| path.tokens))
            .collect();
        let mut paid_by = self.results.iter().filter(|record| record.arm == of);
        let failed = paid_by.any(|record| record.error.is_some());
        // The item that failed there will fail here, and says so itself.
        if failed || lengths.is_empty() {
            Ok(arm.paths)
        } else {
            fewer(arm, of, &lengths, &self.results)
        }
    }
}
