//! Launch, check, resume: fork the prompt, draw a token for each path at each step, and let paths leave as they end or
//! are dropped.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::check::Checks;
use super::{
    Check, Ending, Fate, FinishReason, PathId, PathScore, Policy, ReasoningPath, Schedule, Vote,
};
use crate::error::{Error, Result};
use crate::generate::{Decoder, PathRandom, Sampler, Sampling};
use crate::kv::KvCache;
use crate::reading::FoundAnswer;
use crate::session::CancelToken;

/// What to launch.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// Number of paths.
    pub paths: usize,
    /// The prompt's tokens, cached in row 0, read again for the repetition penalty and by heads.
    pub prompt: &'a [u32],
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// With a path's number, decides what it draws.
    pub seed: u64,
    /// Tokens a path may generate.
    pub max_tokens: usize,
    /// Tokens that end a path.
    pub eos_ids: &'a [u32],
    /// When paths are scored, by what, and who goes on.
    pub checks: &'a [Check],
    /// Generated tokens of a path at which the cache is shown, before a check there drops any.
    pub show_kv_at: &'a [usize],
    /// When the question is settled, and how.
    pub ending: Ending,
    /// Cancels between tokens, and inside a step.
    pub cancel: &'a CancelToken,
}

/// The cache when `at_tokens` tokens of each path are in it.
#[derive(Clone, Copy)]
pub struct CachedPaths<'a> {
    /// Positions of the prompt, before those of the paths.
    pub prompt_tokens: usize,
    /// Generated tokens cached of each path.
    pub at_tokens: usize,
    /// The path of each row. Those that have no more tokens than this, or were dropped before, have left.
    pub rows: &'a [PathId],
    /// Keys and values.
    pub kv: &'a KvCache,
}

impl std::fmt::Debug for CachedPaths<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedPaths")
            .field("prompt_tokens", &self.prompt_tokens)
            .field("at_tokens", &self.at_tokens)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// What the caller of a launch says to a token.
pub type Stop = ControlFlow<()>;

/// Sees what happens during a launch.
pub trait Watch {
    /// A path has drawn a token; may end the path there.
    ///
    /// # Errors
    /// Any, which ends the launch.
    fn token(&mut self, path: PathId, token: u32) -> Result<Stop>;

    /// A path has ended by itself: its answer, which votes.
    ///
    /// # Errors
    /// Any, which ends the launch.
    fn finished(&mut self, path: PathId) -> Result<Option<FoundAnswer>>;

    /// So many tokens of each path are cached as [`Launch::show_kv_at`] names.
    fn cached(&mut self, _paths: CachedPaths<'_>) {}

    /// A check is over.
    fn checked(&mut self, _check: &CheckTaken, _paths: &[ReasoningPath]) {}
}

impl<F: FnMut(PathId, u32) -> Result<Stop>> Watch for F {
    fn token(&mut self, path: PathId, token: u32) -> Result<Stop> {
        self(path, token)
    }

    fn finished(&mut self, _path: PathId) -> Result<Option<FoundAnswer>> {
        Ok(None)
    }
}

/// What a check took and did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckTaken {
    /// Which check, from 0.
    pub check: usize,
    /// Generated tokens of each path that it saw.
    pub at_tokens: usize,
    /// Paths that it scored.
    pub scored: usize,
    /// Of these, those that went on.
    pub kept: usize,
    /// What it scored them by.
    pub signal: String,
    /// Whether its scores are probabilities that a path is right.
    pub calibrated: bool,
    /// Scoring, in milliseconds.
    pub score_ms: f64,
    /// Moving kept rows together and giving back the memory of the others, in milliseconds.
    pub compact_ms: f64,
    /// Bytes of KV cache given back.
    pub released_bytes: u64,
}

/// What a launch gave.
#[derive(Debug)]
pub struct Launched {
    /// The paths, by number.
    pub paths: Vec<ReasoningPath>,
    /// The path whose row, row 0, is still cached.
    pub cached: PathId,
    /// What each check did, those that found no path running left out.
    pub checks: Vec<CheckTaken>,
    /// Votes of the finished paths, from the winner down.
    pub votes: Vec<Vote>,
    /// Copying the prompt's keys and values to each path's row.
    pub fork: Duration,
    /// Drawing tokens and running the model on them; checks are not in it.
    pub decode: Duration,
    /// Counting the votes.
    pub vote: Duration,
}

/// A path that decodes; its row is its place in the list.
#[derive(Clone, Copy)]
struct Running {
    path: PathId,
    next: u32,
    /// Row of the last step whose logits are this path's.
    logits_row: usize,
}

/// Decodes `launch.paths` paths from the prompt cached in the decoder's row 0, until all have ended, were dropped, or the
/// question is settled. A check at L tokens sees the L-th token cached, and leaves the logits after it as they are.
///
/// Leaves one row cached. Nothing is allocated per step.
///
/// # Errors
/// [`Error::Option`] for no paths or no tokens or a policy that does not fit, [`Error::Cancelled`],
/// [`Error::NonFiniteLogits`], [`Error::Check`], and those of [`Decoder::step`].
pub fn launch(
    decoder: &mut Decoder,
    launch: &Launch<'_>,
    watch: &mut dyn Watch,
) -> Result<Launched> {
    if launch.paths == 0 {
        return Err(Error::option("paths", "at least 1", 0));
    }
    if launch.max_tokens == 0 {
        return Err(Error::option("max_tokens", "at least 1", 0));
    }
    let policy = Policy::new(launch.checks, launch.ending);
    policy.validate(launch.paths)?;
    let clock = Instant::now();
    decoder.fork(launch.paths, launch.cancel)?;
    let fork = clock.elapsed();

    let mut course = Course::new(decoder, launch, policy)?;
    let clock = Instant::now();
    course.run(decoder, watch)?;
    let elapsed = clock.elapsed();
    let checked: f64 = course
        .taken
        .iter()
        .map(|c| c.score_ms + c.compact_ms)
        .sum::<f64>();
    let clock = Instant::now();
    let votes = course.schedule.votes();
    let vote = clock.elapsed();
    Ok(Launched {
        votes,
        paths: course.paths,
        cached: course.cached,
        checks: course.taken,
        fork,
        decode: elapsed.saturating_sub(Duration::from_secs_f64(checked / 1e3)),
        vote,
    })
}

/// A launch under way.
struct Course<'a> {
    launch: &'a Launch<'a>,
    schedule: Schedule,
    checks: Checks<'a>,
    sampler: Sampler,
    random: PathRandom,
    paths: Vec<ReasoningPath>,
    running: Vec<Running>,
    /// The path of row 0 when nothing runs any more.
    cached: PathId,
    taken: Vec<CheckTaken>,
    // Buffers, made once.
    feed: Vec<u32>,
    kept: Vec<usize>,
    order: Vec<usize>,
    moved: Vec<Running>,
    rows: Vec<PathId>,
    scored: Vec<(PathId, f64)>,
}

impl<'a> Course<'a> {
    fn new(decoder: &Decoder, launch: &'a Launch<'a>, policy: Policy) -> Result<Self> {
        let n = launch.paths;
        // A path ends at the latest where the cache does.
        let capacity = launch.max_tokens.min(decoder.kv().room() + 1);
        Ok(Self {
            schedule: Schedule::new(n, policy),
            checks: Checks::new(launch.checks, n, launch.seed)?,
            sampler: Sampler::new(launch.sampling, decoder.vocabulary())?,
            random: PathRandom::new(launch.seed),
            paths: (0..n)
                .map(|id| ReasoningPath {
                    id,
                    tokens: Vec::with_capacity(capacity),
                    logprobs: Vec::with_capacity(capacity),
                    finish: FinishReason::MaxTokens,
                    scores: Vec::with_capacity(launch.checks.len()),
                })
                .collect(),
            running: (0..n)
                .map(|path| Running {
                    path,
                    next: 0,
                    // The prompt's logits stand in row 0 and hold for every path.
                    logits_row: 0,
                })
                .collect(),
            cached: 0,
            taken: Vec::with_capacity(launch.checks.len()),
            feed: Vec::with_capacity(n),
            kept: Vec::with_capacity(n),
            order: Vec::with_capacity(n),
            moved: Vec::with_capacity(n),
            rows: Vec::with_capacity(n),
            scored: Vec::with_capacity(n),
            launch,
        })
    }

    fn run(&mut self, decoder: &mut Decoder, watch: &mut dyn Watch) -> Result<()> {
        for step in 0..self.launch.max_tokens {
            self.draw(decoder, step)?;
            self.end(decoder, step, watch)?;
            if self.settled() {
                break;
            }
            self.feed.clear();
            self.feed.extend(self.running.iter().map(|r| r.next));
            decoder
                .step(&self.feed, self.launch.cancel)
                .map_err(|error| match error {
                    Error::Cancelled { .. } => self.cancelled(),
                    other => other,
                })?;
            for (row, running) in self.running.iter_mut().enumerate() {
                running.logits_row = row;
            }
            if self.launch.show_kv_at.contains(&(step + 1)) {
                self.show(decoder, step + 1, watch);
            }
            while let Some(index) = self.schedule.due(step + 1) {
                self.check(decoder, index, watch)?;
                // A second check at the same token finds nobody where the first dropped all.
                if self.settled() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Shows what is cached of the paths.
    fn show(&mut self, decoder: &Decoder, at_tokens: usize, watch: &mut dyn Watch) {
        self.rows.clear();
        self.rows.extend(self.running.iter().map(|r| r.path));
        watch.cached(CachedPaths {
            prompt_tokens: self.launch.prompt.len(),
            at_tokens,
            rows: &self.rows,
            kv: decoder.kv(),
        });
    }

    /// Draws each running path's next token.
    fn draw(&mut self, decoder: &Decoder, step: usize) -> Result<()> {
        for row in 0..self.running.len() {
            if self.launch.cancel.is_cancelled() {
                return Err(self.cancelled());
            }
            let running = &mut self.running[row];
            let path = &mut self.paths[running.path];
            let logits = decoder.logits(running.logits_row);
            let before = self.launch.prompt.iter().chain(&path.tokens);
            let key = (path.id, step);
            let drawn = self.sampler.draw(logits, before, &mut self.random, key)?;
            path.tokens.push(drawn.token);
            path.logprobs.push(drawn.logprob);
            running.next = drawn.token;
        }
        Ok(())
    }

    /// Lets the paths leave that their last token ended.
    fn end(&mut self, decoder: &mut Decoder, step: usize, watch: &mut dyn Watch) -> Result<()> {
        self.kept.clear();
        for row in 0..self.running.len() {
            let Running { path, next, .. } = self.running[row];
            let stopped = watch.token(path, next)?.is_break();
            let finish = if self.launch.eos_ids.contains(&next) {
                FinishReason::Eos
            } else if stopped {
                FinishReason::Stop
            } else if step + 1 == self.launch.max_tokens {
                FinishReason::MaxTokens
            } else {
                self.kept.push(row);
                continue;
            };
            self.paths[path].finish = finish;
            let answer = watch.finished(path)?;
            self.schedule.finished(path, answer);
        }
        self.keep_rows(decoder)
    }

    /// Scores the running paths and drops those that do not go on.
    fn check(&mut self, decoder: &mut Decoder, index: usize, watch: &mut dyn Watch) -> Result<()> {
        let check = &self.launch.checks[index];
        self.rows.clear();
        self.rows.extend(self.running.iter().map(|r| r.path));
        let clock = Instant::now();
        self.checks.score(
            index,
            decoder.kv(),
            self.launch.prompt,
            &self.rows,
            &self.paths,
            &mut self.scored,
        )?;
        let score = clock.elapsed();
        self.schedule.check(&self.scored);
        for &(path, score) in &self.scored {
            let kept = self.schedule.fates()[path] == Fate::Running;
            let path = &mut self.paths[path];
            path.scores.push(PathScore {
                check: index,
                at_tokens: check.at_tokens,
                score,
                kept,
            });
            if !kept {
                path.finish = FinishReason::Dropped;
            }
        }
        self.kept.clear();
        for (row, running) in self.running.iter().enumerate() {
            if self.schedule.fates()[running.path] == Fate::Running {
                self.kept.push(row);
            }
        }
        let kept = self.kept.len();
        let clock = Instant::now();
        let released_bytes = if kept < self.rows.len() {
            self.keep_rows(decoder)?;
            decoder.release_dropped()
        } else {
            0
        };
        self.taken.push(CheckTaken {
            check: index,
            at_tokens: check.at_tokens,
            scored: self.rows.len(),
            kept,
            signal: check.signal.name().into(),
            calibrated: check.signal.is_calibrated(),
            score_ms: score.as_secs_f64() * 1e3,
            compact_ms: clock.elapsed().as_secs_f64() * 1e3,
            released_bytes,
        });
        if let Some(taken) = self.taken.last() {
            watch.checked(taken, &self.paths);
        }
        Ok(())
    }

    /// Keeps the rows in `self.kept`, ascending, and the paths with them.
    fn keep_rows(&mut self, decoder: &mut Decoder) -> Result<()> {
        if self.kept.len() == self.running.len() {
            return Ok(());
        }
        if self.kept.is_empty() {
            self.cached = self.running[0].path;
            self.running.clear();
            decoder.keep_first_row();
            return Ok(());
        }
        decoder.keep_rows(&self.kept, &mut self.order)?;
        self.moved.clear();
        self.moved
            .extend(self.order.iter().map(|&row| self.running[row]));
        std::mem::swap(&mut self.running, &mut self.moved);
        Ok(())
    }

    /// Whether nothing is left to do; paths that still ran are then marked.
    fn settled(&mut self) -> bool {
        if self.running.is_empty() {
            return true;
        }
        if !self.schedule.settle() {
            return false;
        }
        self.cached = self.running[0].path;
        for running in &self.running {
            self.paths[running.path].finish = FinishReason::Decided;
        }
        true
    }

    fn cancelled(&self) -> Error {
        Error::Cancelled {
            tokens: self.paths.iter().map(|p| p.tokens.len()).sum(),
        }
    }
}
