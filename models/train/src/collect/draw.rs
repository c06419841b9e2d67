//! Draw: the paths of items, graded, by several engines at once, in the items' order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use curt::{AskOptions, Engine, Event};
use curt_workload::{Item, Workload};

use super::rollouts::Rollouts;
use crate::dataset::PathLine;
use crate::error::{Error, Result};
use crate::features::{MeansPool, question};

/// What was drawn for one item.
pub(super) struct Drawn {
    /// Its paths.
    pub(super) lines: Vec<PathLine>,
    /// Numbers of a [`MeansPool`] at each check point.
    pub(super) means: Vec<Vec<f32>>,
}

/// How items are drawn.
pub(super) struct Draw<'a> {
    pub(super) workload: &'a Workload,
    /// For every question; each has its own seed.
    pub(super) ask: AskOptions,
    pub(super) seed: u64,
    pub(super) rollouts: Rollouts<'a>,
}

/// Draws `items`, each worker one at a time, and gives them to `take` in their order: what one worker has drawn waits for
/// the items before it. After a failure no worker begins another.
///
/// # Errors
/// The first in the items' order, of `draw` or of `take`. What comes before it is taken.
pub(super) fn in_order<W: Send, I: Sync, D: Send>(
    workers: &mut [W],
    items: &[I],
    draw: &(impl Fn(&mut W, &I) -> Result<D> + Sync),
    take: &mut dyn FnMut(D) -> Result<()>,
) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for worker in workers {
            let (sender, next, failed) = (sender.clone(), &next, &failed);
            scope.spawn(move || {
                let _stops = StopsOthers(failed);
                while !failed.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { break };
                    let drawn = draw(worker, item);
                    let failure = drawn.is_err();
                    if sender.send((number, drawn)).is_err() || failure {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        drop(sender);
        let _stops = StopsOthers(&failed);
        let mut waiting = BTreeMap::new();
        let mut taken = 0;
        for (number, drawn) in receiver {
            waiting.insert(number, drawn);
            while let Some(drawn) = waiting.remove(&taken) {
                drawn
                    .and_then(&mut *take)
                    .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                taken += 1;
            }
        }
        Ok(())
    })
}

/// Lets no worker begin another item where its thread panics.
struct StopsOthers<'a>(&'a AtomicBool);

impl Drop for StopsOthers<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Draw<'_> {
    /// Samples and grades the paths of one item.
    ///
    /// # Errors
    /// [`Error::Option`] for a response that ended before its paths part, and what runtime and scorer say.
    pub(super) fn one(
        &self,
        engine: &mut Engine,
        pool: &mut MeansPool,
        item: &Item,
    ) -> Result<Drawn> {
        let asked = question(item);
        let options = AskOptions {
            seed: item.seed(self.seed),
            answer_kind: Some(self.workload.answer_kind(item)),
            ..self.ask.clone()
        };
        let check_at = &options.show_kv_at;
        let mut means: Vec<Vec<f32>> = check_at.iter().map(|_| pool.zeros()).collect();
        let mut pooled = Ok(());
        let answer = engine.ask(&asked, &options, &mut |event| {
            if let Event::Cached(cached) = event
                && let Some(place) = check_at.iter().position(|&at| at == cached.at_tokens)
                && pooled.is_ok()
            {
                pooled = pool.pool(cached, &mut means[place]);
            }
        });
        let answer = answer.map_err(curt::Error::from)?;
        pooled?;
        if answer.paths.len() != options.paths {
            return Err(Error::option(
                "max_tokens",
                format!("enough for the reasoning of item {}", item.id),
                format!(
                    "a response that ended before its {} paths part",
                    options.paths
                ),
            ));
        }
        // Of a response with formats, all paths have the perception in common.
        let shared = answer.format.iter().flat_map(|f| &f.shared_tokens);
        let prompt: Vec<u32> = answer.prompt.iter().chain(shared).copied().collect();
        let continued = AskOptions {
            show_kv_at: Vec::new(),
            ..options
        };
        let lines = answer.paths.into_iter().map(|path| {
            Ok(PathLine {
                item: item.id.clone(),
                group: item.unit().into(),
                path: path.id,
                prompt: (path.id == 0).then(|| prompt.clone()),
                correct: self
                    .workload
                    .grade(item, path.answer.as_deref(), &path.text)?,
                rate: self
                    .rollouts
                    .rates(engine, item, &prompt, &path, &continued)?,
                finish: path.finish,
                same_as: path.answer.as_deref().and_then(|answer| {
                    let form = self.workload.answer_kind(item).canonical(answer);
                    (form != answer).then_some(form)
                }),
                answer: path.answer,
                tokens: path.tokens,
                logprobs: path.logprobs,
            })
        });
        Ok(Drawn {
            lines: lines.collect::<Result<_>>()?,
            means,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::time::Duration;

    use super::*;

    /// Far more than are begun before the others notice a failure, however slow the machine.
    const MANY: usize = 2000;

    /// Draws items with three workers, the even ones slowly; how many were begun, what was taken, and the outcome.
    fn run(
        items: usize,
        draw: impl Fn(usize) -> Result<usize> + Sync,
        mut take: impl FnMut(usize) -> Result<()>,
    ) -> (usize, Vec<usize>, std::thread::Result<Result<()>>) {
        let begun = AtomicUsize::new(0);
        let mut taken = Vec::new();
        let items: Vec<usize> = (0..items).collect();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let slowly = |_: &mut (), &item: &usize| {
                begun.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(if item % 2 == 0 { 10 } else { 1 }));
                draw(item)
            };
            in_order(&mut [(); 3], &items, &slowly, &mut |item| {
                taken.push(item);
                take(item)
            })
        }));
        (begun.into_inner(), taken, outcome)
    }

    fn bad<T>(item: usize) -> Result<T> {
        Err(Error::option("jobs", "none", item))
    }

    #[test]
    fn items_are_taken_in_order_whatever_their_time() {
        let (begun, taken, outcome) = run(20, Ok, |_| Ok(()));
        outcome.unwrap().unwrap();
        assert_eq!((begun, taken), (20, (0..20).collect()));
    }

    #[test]
    fn a_failure_comes_after_what_precedes_it_and_ends_the_rest() {
        let fails = |item| {
            if item == 4 || item == 5 {
                bad(item)
            } else {
                Ok(item)
            }
        };
        let (begun, taken, outcome) = run(MANY, fails, |_| Ok(()));
        let error = outcome.unwrap().unwrap_err().to_string();
        assert!(error.contains("got 4"), "{error}");
        assert_eq!(taken, [0, 1, 2, 3]);
        assert!(begun < MANY, "all were begun");

        let (begun, taken, outcome) =
            run(MANY, Ok, |item| if item == 2 { bad(item) } else { Ok(()) });
        assert!(outcome.unwrap().unwrap_err().to_string().contains("got 2"));
        assert_eq!(taken, [0, 1, 2]);
        assert!(begun < MANY, "all were begun");
    }

    #[test]
    fn a_panic_ends_the_rest() {
        let (begun, taken, outcome) = run(
            MANY,
            // Without the hook, which takes its time to print where it was.
            |item| match item {
                4 => resume_unwind(Box::new(item)),
                _ => Ok(item),
            },
            |_| Ok(()),
        );
        assert!(outcome.is_err());
        assert_eq!(taken, [0, 1, 2, 3]);
        assert!(begun < MANY, "all were begun");
    }
}
