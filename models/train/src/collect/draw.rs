//! Draw: the paths of items, graded, by several engines at once, in the items' order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use curt::{AskOptions, Engine, Event, Question};
use curt_workload::{Item, Workload};

use super::paths_file::PathLine;
use super::rollouts::Rollouts;
use crate::error::{Error, Result};
use crate::features::MeansPool;

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

impl Draw<'_> {
    /// Draws `items`, each engine one at a time, and gives them to `take` in their order: what one engine has drawn waits
    /// for the items before it.
    ///
    /// # Errors
    /// The first in the items' order, of drawing or of `take`. What comes before it is taken.
    pub(super) fn each(
        &self,
        engines: &mut [Engine],
        items: &[&Item],
        take: &mut dyn FnMut(Drawn) -> Result<()>,
    ) -> Result<()> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for engine in engines {
                let (sender, next, failed) = (sender.clone(), &next, &failed);
                scope.spawn(move || {
                    let mut pool = MeansPool::new(engine, self.ask.paths);
                    while !failed.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(number) else { break };
                        let drawn = self.one(engine, item, &mut pool);
                        let failure = drawn.is_err();
                        if sender.send((number, drawn)).is_err() || failure {
                            failed.store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
            drop(sender);
            let mut waiting = BTreeMap::new();
            let mut taken = 0;
            for (number, drawn) in receiver {
                waiting.insert(number, drawn);
                while let Some(drawn) = waiting.remove(&taken) {
                    take(drawn?)?;
                    taken += 1;
                }
            }
            Ok(())
        })
    }

    /// Samples and grades the paths of one item.
    fn one(&self, engine: &mut Engine, item: &Item, pool: &mut MeansPool) -> Result<Drawn> {
        if let Some(image) = &item.image {
            return Err(Error::option(
                "--workload",
                "items without images, since paths are collected from text alone",
                format!("{} with {}", item.id, image.display()),
            ));
        }
        let question = Question::Text(item.asked().into_owned());
        let options = AskOptions {
            seed: item.seed(self.seed),
            ..self.ask.clone()
        };
        let check_at = &options.show_kv_at;
        let mut means: Vec<Vec<f32>> = check_at.iter().map(|_| pool.zeros()).collect();
        let mut pooled = Ok(());
        let answer = engine.ask(&question, &options, &mut |event| {
            if let Event::Cached(cached) = event
                && let Some(place) = check_at.iter().position(|&at| at == cached.at_tokens)
                && pooled.is_ok()
            {
                pooled = pool.pool(cached, &mut means[place]);
            }
        })?;
        pooled?;
        let prompt = if self.rollouts.is_empty() {
            Vec::new()
        } else {
            engine.tokens(&question, &options)?
        };
        let continued = AskOptions {
            show_kv_at: Vec::new(),
            ..options
        };
        let lines = answer.paths.into_iter().map(|path| {
            Ok(PathLine {
                item: item.id.clone(),
                group: item.unit().into(),
                path: path.id,
                correct: self
                    .workload
                    .grade(item, path.answer.as_deref(), &path.text)?,
                rate: self
                    .rollouts
                    .rates(engine, item, &prompt, &path, &continued)?,
                finish: path.finish,
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
