//! Items asked side by side: the same results, and nothing that only one at a time can know.

use crate::support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use curt_ablate::record::{Folder, Measure, Run, read_records};
use curt_ablate::run::{Asked, Given, Progress, Respond, run};
use curt_ablate::{Error, Result};
use support::{MadeUp, Nature, asked, error_of, items, run_of, timeless, whole};

/// One who takes his time, and counts how many are at work at once.
struct Slow<'a> {
    made_up: MadeUp<'a>,
    at_work: &'a AtomicUsize,
    most: &'a AtomicUsize,
}

impl Slow<'_> {
    fn work<T>(&mut self, work: impl FnOnce(&mut MadeUp<'_>) -> T) -> T {
        let now = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        let done = work(&mut self.made_up);
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        done
    }
}

impl Respond for Slow<'_> {
    fn start(&mut self, asked: &[Asked<'_>]) -> Result<curt_ablate::record::Start> {
        self.made_up.start(asked)
    }

    fn join(&mut self, asked: &[Asked<'_>]) -> Result<()> {
        self.made_up.join(asked)
    }

    fn prompt_ids(&mut self, asked: &Asked<'_>) -> Result<Vec<u32>> {
        self.made_up.prompt_ids(asked)
    }

    fn sample(&mut self, asked: &Asked<'_>, repeat: u32) -> Result<curt_ablate::record::Sample> {
        self.work(|made_up| made_up.sample(asked, repeat))
    }

    fn answer(
        &mut self,
        arm: &curt_ablate::arm::Arm,
        paths: usize,
        asked: &Asked<'_>,
        repeat: u32,
    ) -> Result<Given> {
        self.work(|made_up| made_up.answer(arm, paths, asked, repeat))
    }
}

#[test]
fn items_side_by_side_give_the_same_results() {
    let one = tempfile::tempdir().unwrap();
    let settings = run_of(12, Measure::Replay);
    whole(&settings, one.path(), Nature::Mixed);
    let several = tempfile::tempdir().unwrap();
    let side_by_side = Run {
        jobs: Some(3),
        ..settings.clone()
    };
    let (at_work, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut slow: Vec<Slow<'_>> = (0..3)
        .map(|_| Slow {
            made_up: MadeUp::new(&side_by_side, Nature::Mixed),
            at_work: &at_work,
            most: &most,
        })
        .collect();
    let mut respond: Vec<&mut dyn Respond> =
        slow.iter_mut().map(|s| s as &mut dyn Respond).collect();
    let items = items(12);
    let mut left = Vec::new();
    run(
        &side_by_side,
        &asked(&items),
        &Folder::new(several.path()),
        false,
        &mut respond,
        &mut |progress| {
            if let Progress::Item { left: now, .. } = progress {
                left.push(*now);
            }
        },
    )
    .unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 3, "never three at once");
    assert_eq!(left, (0..24).rev().collect::<Vec<_>>());
    assert!(slow.iter().all(|slow| !slow.made_up.asked.is_empty()));
    let records = read_records(several.path()).unwrap();
    assert_eq!(records.starts.len(), 1);
    let mut same = timeless(records);
    assert_eq!(same.run.jobs, Some(3));
    (same.run, same.begun) = (settings.clone(), settings);
    assert_eq!(same, timeless(read_records(one.path()).unwrap()));
}

#[test]
fn a_run_is_taken_up_with_as_many_jobs_as_it_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let settings = run_of(2, Measure::Replay);
    whole(&settings, dir.path(), Nature::Mixed);
    let items = items(2);
    let side_by_side = Run {
        jobs: Some(2),
        ..settings
    };
    let begin = |respond: &mut [&mut dyn Respond]| {
        let folder = Folder::new(dir.path());
        error_of(run(
            &side_by_side,
            &asked(&items),
            &folder,
            true,
            respond,
            &mut |_| {},
        ))
    };
    let (mut a, mut b) = (
        MadeUp::new(&side_by_side, Nature::Mixed),
        MadeUp::new(&side_by_side, Nature::Mixed),
    );
    let error = begin(&mut [&mut a, &mut b]);
    assert!(error.contains("jobs: was null, is 2"), "{error}");
    let error = begin(&mut [&mut a]);
    assert!(error.contains("--jobs: expected 2, got 1"), "{error}");
}

#[test]
fn a_failure_of_one_ends_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Run {
        jobs: Some(2),
        ..run_of(2000, Measure::Run)
    };
    let items = items(2000);
    let mut dies = MadeUp::new(&settings, Nature::Mixed);
    dies.dies_at = Some(3);
    let mut lives = MadeUp::new(&settings, Nature::Mixed);
    let folder = Folder::new(dir.path());
    let error = run(
        &settings,
        &asked(&items),
        &folder,
        false,
        &mut [&mut dies, &mut lives],
        &mut |_| {},
    )
    .unwrap_err();
    assert!(matches!(error, Error::ArmFails { .. }), "{error}");
    assert!(
        lives.asked.len() < 2000 * settings.arms.len(),
        "all were asked"
    );
    // What was written is whole.
    read_records(dir.path()).unwrap();
}
