//! The runner: asks every arm every item, writes each result as it ends, and goes on where an earlier run stopped.
//!
//! It knows nothing of what an arm is: it asks a [`Respond`] for the arms that run, and derives the others from a sample.

mod desk;
mod engine;
mod options;
mod respondents;
mod server;
mod work;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use engine::EngineRespondent;
pub use options::Heads;
pub use respondents::Respondents;
pub use server::ServerRespondent;

use curt::AnswerKind;
use curt_workload::Item;

use crate::arm::Arm;
use crate::error::{Error, Result};
use crate::record::{Folder, Line, Record, Records, Run, Sample, Start, Writer};
use desk::{Desk, lock};
use work::{Work, work_left};

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
    /// Why the same question may get an answer later, where it may.
    pub unreachable: Option<Unreachable>,
}

/// Why there is no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// Nobody took the question: whether the answer would be right is not known.
    NotAsked,
    /// It was asked, and the answer did not come in time or broke off.
    NoAnswer,
}

/// Who answers. An item that cannot be answered is a record that says why; an error ends the run.
pub trait Respond: Send {
    /// Gets ready and says on what. `asked` are items that it may warm up with.
    ///
    /// # Errors
    /// Where it cannot answer at all.
    fn start(&mut self, asked: &[Asked<'_>]) -> Result<Start>;

    /// Gets ready beside one that has started.
    ///
    /// # Errors
    /// As [`Self::start`].
    fn join(&mut self, asked: &[Asked<'_>]) -> Result<()>;

    /// The prompt that an item is asked with, as token ids; none where these are not known.
    ///
    /// # Errors
    /// Where it cannot go on.
    fn prompt_ids(&mut self, asked: &Asked<'_>) -> Result<Vec<u32>>;

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
        /// Items of which results are missing, over all repeats.
        items: usize,
        /// What the user has to know of what it left.
        notes: &'a [String],
    },
    /// Those who answer get ready: questions are asked that are not recorded.
    GettingReady,
    /// They are ready.
    Ready {
        /// How long it took.
        took: Duration,
    },
    /// A result was written.
    Result(&'a Record),
    /// Every arm has answered an item.
    Item {
        /// How long it took.
        took: Duration,
        /// Items that are left, those that are being asked among them.
        left: usize,
    },
}

/// Runs `run` over `asked`, this shard's items in order, into `folder`: each of `respond` asks one item at a time. Returns the
/// writer, which still holds the folder: what is made of the records can be written beside them before another run may
/// begin.
///
/// # Errors
/// Those of [`Run::validate`], of [`Folder::open`] and of `respond`; [`Error::OtherRun`] where the records are of other items;
/// [`Error::ArmFails`] where an arm never answers; [`Error::Unanswered`] where questions are left that nobody took. What was
/// written stays, and `resume` goes on there.
pub fn run(
    run: &Run,
    asked: &[Asked<'_>],
    folder: &Folder,
    resume: bool,
    respond: &mut [&mut dyn Respond],
    watch: &mut (dyn FnMut(&Progress<'_>) + Send),
) -> Result<Writer> {
    run.validate()?;
    let jobs = run.jobs.unwrap_or(1);
    if respond.len() != jobs {
        return Err(Error::option("--jobs", jobs.to_string(), respond.len()));
    }
    let (writer, earlier) = folder.open(run, resume)?;
    let earlier = earlier.unwrap_or_else(|| Records::new(run.clone()));
    refuse_other_items(&earlier, asked, folder)?;
    let work = work_left(run, asked, &earlier);
    watch(&Progress::Begun {
        done: &earlier.results,
        total: run.expected_results(),
        items: work.len(),
        notes: &earlier.notes,
    });
    let mut desk = Desk::new(run, writer, watch, &earlier, work.len());
    drop(earlier);
    if !work.is_empty() {
        desk.see(&Progress::GettingReady);
        let clock = Instant::now();
        if let Some((first, others)) = respond.split_first_mut() {
            let start = first.start(asked)?;
            others.iter_mut().try_for_each(|other| other.join(asked))?;
            desk.write(&Line::Start(Box::new(start)))?;
        }
        desk.see(&Progress::Ready {
            took: clock.elapsed(),
        });
    }
    let desk = Mutex::new(desk);
    answer_all(respond, work, &desk)?;
    let mut desk = desk
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(first) = respond.first_mut() {
        desk.ask_again(&mut **first, asked)?;
    }
    desk.end()
}

/// Each of `respond` takes the next item until none is left or one has failed: the first failure is the run's.
fn answer_all(
    respond: &mut [&mut dyn Respond],
    work: Vec<Work<'_>>,
    desk: &Mutex<Desk<'_>>,
) -> Result<()> {
    let queue = Mutex::new(work.into_iter());
    let (failed, failure) = (AtomicBool::new(false), Mutex::new(None));
    std::thread::scope(|scope| {
        for respond in respond {
            let (queue, failed, failure) = (&queue, &failed, &failure);
            scope.spawn(move || {
                let _stops = StopsOthers(failed);
                while !failed.load(Ordering::Relaxed) {
                    // The queue is let go before the item is asked.
                    let next = lock(queue).next();
                    let Some(work) = next else { break };
                    if let Err(error) = work.answer(&mut **respond, desk) {
                        failed.store(true, Ordering::Relaxed);
                        lock(failure).get_or_insert(error);
                    }
                }
            });
        }
    });
    let failure = lock(&failure).take();
    failure.map_or(Ok(()), Err)
}

/// Lets nobody begin another item where a thread panics.
struct StopsOthers<'a>(&'a AtomicBool);

impl Drop for StopsOthers<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Refuses records of items that are not those of `asked`: they would be judged as if they were.
fn refuse_other_items(earlier: &Records, asked: &[Asked<'_>], folder: &Folder) -> Result<()> {
    let asked: HashMap<usize, &Item> = asked
        .iter()
        .map(|asked| (asked.index, asked.item))
        .collect();
    let differs = |index: usize, item: &str, group: Option<&Option<String>>| {
        let is = asked.get(&index);
        let same =
            is.is_some_and(|is| is.id == item && group.is_none_or(|group| *group == is.group));
        (!same).then(|| {
            let is = is.map_or("nothing".into(), |is| format!("{:?}", is.id));
            format!("item {index}: was {item:?} (group {group:?}), is {is}")
        })
    };
    let items = earlier
        .items
        .iter()
        .map(|item| (item.index, &item.item, None));
    let samples = earlier
        .samples
        .iter()
        .map(|sample| (sample.index, &sample.item, None));
    let results = earlier
        .results
        .iter()
        .map(|r| (r.index, &r.item, Some(&r.group)));
    let found =
        (items.chain(samples).chain(results)).find_map(|(i, item, group)| differs(i, item, group));
    match found {
        Some(difference) => Err(Error::OtherRun {
            dir: folder.dir().into(),
            differences: vec![difference],
        }),
        None => Ok(()),
    }
}
