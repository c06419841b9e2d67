//! Launch, check, resume: take a token for each path at each step, and let paths leave as they end or are dropped.

use std::time::{Duration, Instant};

use super::check::Checks;
use super::{
    AnswerPlace, CachedPaths, CheckTaken, Fate, FinishReason, Launch, Launched, Next, PathId,
    PathScore, PathText, Policy, ReasoningPath, Schedule, TokenSource, Watch,
};
use crate::error::{Error, Result};
use crate::generate::{Before, Decoder, PathRandom, Sampled, Sampler};

/// Runs `launch.paths` paths from the prompt cached in the decoder's row 0, until all have ended, were dropped, or the
/// question is settled. `source` says where each token comes from. A check at L tokens sees the L-th token cached, and
/// leaves the logits after it as they are.
///
/// Leaves one row cached. Nothing is allocated per step, but for texts.
///
/// # Errors
/// [`Error::Option`] for no paths or no tokens or a policy that does not fit, [`Error::Context`], and [`Error::Shape`] for
/// more rows than the cache was planned for. What happens later is [`Launched::broken`]: [`Error::Cancelled`],
/// [`Error::NonFiniteLogits`], [`Error::Check`], [`Error::Tokenizer`], and those of [`Decoder::step`].
pub fn launch(
    decoder: &mut Decoder,
    launch: &Launch<'_>,
    source: &mut dyn TokenSource,
    watch: &mut dyn Watch,
) -> Result<Launched> {
    let policy = launch.validate()?;
    let clock = Instant::now();
    decoder.fork(launch.paths, launch.cancel)?;
    let fork = clock.elapsed();

    let mut course = Course::new(decoder, launch, policy)?;
    let clock = Instant::now();
    let broken = course.run(decoder, source, watch).err();
    if broken.is_some() {
        course.break_off(watch);
        decoder.keep_first_row();
    }
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
        broken,
    })
}

/// A path that decodes; its row is its place in the list.
#[derive(Clone, Copy)]
struct Running {
    path: PathId,
    next: Sampled,
    /// The path ends with `next`, since its source says so.
    last: bool,
    /// Row of the last step whose logits are this path's.
    logits_row: usize,
}

/// A launch under way.
struct Course<'a> {
    launch: &'a Launch<'a>,
    schedule: Schedule,
    checks: Checks<'a>,
    sampler: Sampler,
    random: PathRandom,
    paths: Vec<ReasoningPath>,
    /// Each path's text so far, where texts are read.
    texts: Vec<PathText>,
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
        let capacity = launch.most_tokens().min(decoder.kv().room() + 1);
        let scores = launch.checks.len();
        let unread = Sampled {
            token: 0,
            logprob: 0.0,
        };
        Ok(Self {
            schedule: Schedule::new(n, policy),
            checks: Checks::new(launch.checks, n, launch.seed)?,
            sampler: Sampler::new(launch.sampling, decoder.vocabulary(), launch.eos_ids)?,
            random: PathRandom::new(launch.seed),
            paths: (0..n)
                .map(|id| ReasoningPath::new(id, capacity, scores))
                .collect(),
            texts: match launch.reading {
                Some(_) => (0..n).map(|_| PathText::default()).collect(),
                None => Vec::new(),
            },
            running: (0..n)
                .map(|path| Running {
                    path,
                    next: unread,
                    last: false,
                    // The prompt's logits stand in row 0 and hold for every path.
                    logits_row: 0,
                })
                .collect(),
            cached: 0,
            taken: Vec::with_capacity(scores),
            feed: Vec::with_capacity(n),
            kept: Vec::with_capacity(n),
            order: Vec::with_capacity(n),
            moved: Vec::with_capacity(n),
            rows: Vec::with_capacity(n),
            scored: Vec::with_capacity(n),
            launch,
        })
    }

    fn run(
        &mut self,
        decoder: &mut Decoder,
        source: &mut dyn TokenSource,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        // Tokens that each running path has taken.
        let mut taken = 0;
        while taken < self.launch.most_tokens() {
            self.next_tokens(decoder, taken, source)?;
            self.take(decoder, source, watch)?;
            taken += 1;
            if self.settled(watch)? {
                break;
            }
            self.feed.clear();
            self.feed.extend(self.running.iter().map(|r| r.next.token));
            while let Some(token) = self.spanned(taken, source) {
                self.feed.push(token);
                self.take(decoder, source, watch)?;
                taken += 1;
                if self.settled(watch)? {
                    return Ok(());
                }
            }
            let cancel = self.launch.cancel;
            let stepped = if self.feed.len() > self.running.len() {
                decoder.prefill(&self.feed, cancel)
            } else {
                decoder.step(&self.feed, cancel)
            };
            stepped.map_err(|error| match error {
                Error::Cancelled { .. } => self.cancelled(),
                other => other,
            })?;
            for (row, running) in self.running.iter_mut().enumerate() {
                running.logits_row = row;
            }
            if self.launch.show_kv_at.contains(&taken) {
                self.show(decoder, taken, watch);
            }
            while let Some(index) = self.schedule.due(taken) {
                self.check(decoder, index, watch)?;
                // A second check at the same token finds nobody where the first dropped all.
                if self.settled(watch)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The next token of the one path that runs, where it needs no logits and nobody looks at the cache before it.
    fn spanned(&mut self, taken: usize, source: &mut dyn TokenSource) -> Option<u32> {
        let [running] = &mut self.running[..] else {
            return None;
        };
        let looked_at =
            self.launch.show_kv_at.contains(&taken) || self.schedule.due(taken).is_some();
        if looked_at || taken >= self.launch.most_tokens() {
            return None;
        }
        let path = &self.paths[running.path];
        let Next::Spanned(token) = source.next(path.id, &path.tokens) else {
            return None;
        };
        running.last = false;
        running.next = Sampled {
            token,
            logprob: 0.0,
        };
        Some(token)
    }

    /// Marks the paths that still run when something broke the launch off, and shows what was held back of their texts.
    fn break_off(&mut self, watch: &mut dyn Watch) {
        for path in self.paths.iter_mut().filter(|p| p.finish.is_none()) {
            path.finish = Some(FinishReason::Interrupted);
            let (Some(reading), Some(text)) = (self.launch.reading, self.texts.get_mut(path.id))
            else {
                continue;
            };
            // It may be the decoder that failed: what it gave before stays.
            if let Ok(rest) = text.finish(reading.codec, reading.stops)
                && !rest.is_empty()
            {
                watch.text(path.id, rest);
            }
            path.text = text.text().to_string();
        }
    }

    /// Finds each running path's next token: drawn, or forced.
    fn next_tokens(
        &mut self,
        decoder: &Decoder,
        step: usize,
        source: &mut dyn TokenSource,
    ) -> Result<()> {
        for row in 0..self.running.len() {
            if self.launch.cancel.is_cancelled() {
                return Err(self.cancelled());
            }
            let running = &mut self.running[row];
            let path = &self.paths[running.path];
            let logits = decoder.logits(running.logits_row);
            let before = Before {
                prompt: self.launch.prompt,
                tokens: &path.tokens,
            };
            let key = (path.id, step);
            let next = source.next(path.id, &path.tokens);
            running.last = matches!(next, Next::Last(_));
            running.next = match next {
                Next::Forced(token) | Next::Last(token) | Next::Spanned(token) => {
                    self.sampler.forced(logits, token, key)?
                }
                Next::Drawn => self
                    .sampler
                    .draw(logits, before, None, &mut self.random, key)?,
                Next::Masked => {
                    let mut mask = |logits: &mut [f32]| source.mask(path.id, &path.tokens, logits);
                    self.sampler
                        .draw(logits, before, Some(&mut mask), &mut self.random, key)?
                }
            };
        }
        Ok(())
    }

    /// Gives each running path its next token, and lets those leave that it ended.
    fn take(
        &mut self,
        decoder: &mut Decoder,
        source: &mut dyn TokenSource,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        self.kept.clear();
        for row in 0..self.running.len() {
            let Running {
                path, next, last, ..
            } = self.running[row];
            self.paths[path].tokens.push(next.token);
            self.paths[path].logprobs.push(next.logprob);
            let stopped = self.read(path, next.token, watch)?;
            watch.token(path, next.token);
            let ended = source.taken(path, &self.paths[path].tokens, next.logprob)?;
            let taken = self.paths[path].tokens.len();
            let finish = if self.launch.eos_ids.contains(&next.token) {
                FinishReason::Eos
            } else if stopped {
                FinishReason::Stop
            } else if let Some(ended) = ended {
                ended
            } else if last {
                FinishReason::Forced
            } else if taken == self.launch.max_tokens {
                FinishReason::MaxTokens
            } else if taken == self.launch.most_tokens() {
                FinishReason::Context
            } else {
                self.kept.push(row);
                continue;
            };
            self.close(path, finish, watch)?;
            let path = &mut self.paths[path];
            let reader = self.launch.reading.and_then(|reading| reading.answers);
            let place = source.ended(path.id, finish)?;
            let answer = reader.and_then(|reader| match place {
                AnswerPlace::Text => reader.read(&path.text),
                AnswerPlace::Within(part) => reader.read(part),
                AnswerPlace::Is(answer) if answer.trim().is_empty() => None,
                AnswerPlace::Is(answer) => Some(reader.kind().found(answer.trim())),
            });
            path.answer = answer.as_ref().map(|answer| answer.text().to_string());
            self.schedule.finished(path.id, answer);
        }
        self.keep_rows(decoder)
    }

    /// Reads a token into the path's text. Says whether a stop text has ended it.
    fn read(&mut self, path: PathId, token: u32, watch: &mut dyn Watch) -> Result<bool> {
        let Some(reading) = self.launch.reading else {
            return Ok(false);
        };
        let (text, stopped) = self.texts[path].push(reading.codec, token, reading.stops)?;
        if !text.is_empty() {
            watch.text(path, text);
        }
        Ok(stopped)
    }

    /// Ends a path, and shows what was held back of its text.
    fn close(&mut self, path: PathId, finish: FinishReason, watch: &mut dyn Watch) -> Result<()> {
        if let Some(reading) = self.launch.reading {
            let text = &mut self.texts[path];
            let rest = text.finish(reading.codec, reading.stops)?;
            if !rest.is_empty() {
                watch.text(path, rest);
            }
            self.paths[path].text = text.text().to_string();
        }
        self.paths[path].finish = Some(finish);
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
        for place in 0..self.scored.len() {
            let (path, score) = self.scored[place];
            let kept = self.schedule.fates()[path] == Fate::Running;
            self.paths[path].scores.push(PathScore {
                check: index,
                at_tokens: check.at_tokens,
                score,
                kept,
            });
            if !kept {
                self.close(path, FinishReason::Dropped, watch)?;
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

    /// Whether nothing is left to do; paths that still ran have ended then.
    fn settled(&mut self, watch: &mut dyn Watch) -> Result<bool> {
        if self.running.is_empty() {
            return Ok(true);
        }
        if !self.schedule.settle() {
            return Ok(false);
        }
        self.cached = self.running[0].path;
        for row in 0..self.running.len() {
            self.close(self.running[row].path, FinishReason::Decided, watch)?;
        }
        Ok(true)
    }

    fn cancelled(&self) -> Error {
        Error::Cancelled {
            tokens: self.paths.iter().map(|p| p.tokens.len()).sum(),
        }
    }
}
