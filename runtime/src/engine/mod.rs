//! The one door: a question in, an answer out.

mod options;
mod settings;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

pub use options::{AskOptions, EngineOptions, Question};
pub use watch::Event;

use settings::Settings;
use watch::Reader;

use crate::answer::{Answer, PathAnswer, PhaseTimes, TokenCounts};
use crate::error::{Error, Result};
use crate::generate::{
    CachedKeys, Decoder, DecoderPlan, MemoryLimits, Room, RowInvariance, Sampling,
    probe_row_invariance,
};
use crate::kv::{KvCache, KvPlan};
use crate::metrics;
use crate::package::{Message, Package, Role};
use crate::paths::{self, CachedPaths, CheckTaken, FinishReason, Launch, PathText, Signal};
use crate::session::CancelToken;

/// A loaded package that answers questions, one at a time.
pub struct Engine {
    package: Package,
    decoder: Decoder,
    /// What stands in row 0, keyed by content.
    cached: CachedKeys,
    load: Duration,
}

impl Engine {
    /// Opens the package in `dir` and loads its graph.
    ///
    /// # Errors
    /// Those of [`Package::open`], and [`Error::Session`] where library or graph cannot be
    /// loaded, [`Error::Cancelled`].
    pub fn open(dir: impl AsRef<Path>, options: &EngineOptions) -> Result<Self> {
        let clock = Instant::now();
        let package = Package::open(dir.as_ref())?;
        // A cache for the first question is planned with it; until then one position.
        let graph = package.graph();
        let plan = KvPlan::new(graph.geometry(), graph.layout(), 1, 1, None)?;
        let decoder = Decoder::open(&package, plan, &options.session())?;
        Ok(Self {
            package,
            decoder,
            cached: CachedKeys::default(),
            load: clock.elapsed(),
        })
    }

    /// The package.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// What is cached.
    pub fn kv(&self) -> &KvCache {
        self.decoder.kv()
    }

    /// Answers `question`. `on_event` sees what happens, as it happens.
    ///
    /// # Errors
    /// [`Error::Option`] for an empty question, or options outside their range or at odds with each other;
    /// [`Error::Context`] and [`Error::Capacity`] where it does not fit; [`Error::Cancelled`]; and what package,
    /// session and sampler say. The engine can be asked again after any of them.
    pub fn ask(
        &mut self,
        question: &Question,
        options: &AskOptions,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Answer> {
        let answered = self.answer(question, options, on_event);
        if answered.is_err() {
            // What the rows hold after a failure is not worth knowing.
            self.cached.truncate(0);
        }
        answered
    }

    fn answer(
        &mut self,
        question: &Question,
        options: &AskOptions,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Answer> {
        let clock = Instant::now();
        if options.cancel.is_cancelled() {
            return Err(Error::Cancelled { tokens: 0 });
        }
        let settings = Settings::resolve(&self.package, options)?;
        let prompt = self.tokens(question, options)?;
        let room = self
            .package
            .context_tokens()
            .checked_sub(prompt.len())
            .filter(|&room| room > 0)
            .ok_or(Error::Context {
                prompt_tokens: prompt.len(),
                context_tokens: self.package.context_tokens(),
            })?;
        let max_tokens = settings.max_tokens.min(room);
        let reused = self.reusable(&prompt, options.reuse);
        let plan = DecoderPlan::new(
            self.package.graph(),
            Room {
                rows: options.paths,
                prefill_tokens: prompt.len() - reused,
                capacity_tokens: prompt.len() + max_tokens,
            },
            MemoryLimits {
                kv_bytes: options.max_kv_bytes,
                bytes: self.available_bytes(),
            },
        )?;
        on_event(Event::Planned(&plan));

        let phase = Instant::now();
        self.cached.truncate(reused);
        self.decoder
            .restart(plan.kv, reused, options.max_kv_bytes)?;
        self.decoder.prefill(&prompt[reused..], &options.cancel)?;
        let prefill = phase.elapsed();
        on_event(Event::Prefilled {
            tokens: prompt.len() - reused,
            reused,
        });

        let eos_ids = self.package.eos_ids();
        let launch = Launch {
            paths: options.paths,
            prompt: &prompt,
            sampling: settings.sampling,
            seed: options.seed,
            max_tokens,
            eos_ids: &eos_ids,
            checks: &options.checks,
            show_kv_at: &options.show_kv_at,
            ending: settings.ending,
            cancel: &options.cancel,
        };
        let mut reader = Reader {
            codec: self.package.text(),
            stops: &options.stop,
            reader: settings.reader.as_ref(),
            on_event,
            clock,
            first_token: None,
            texts: (0..options.paths).map(|_| PathText::default()).collect(),
            answers: vec![None; options.paths],
        };
        let launched = paths::launch(&mut self.decoder, &launch, &mut reader)?;
        self.cached.extend(prompt[reused..].iter().copied());
        let fed = self.decoder.kv().len() - prompt.len();
        let cached = &launched.paths[launched.cached];
        self.cached.extend(cached.tokens[..fed].iter().copied());
        // What a failed check left behind is gone with its launch; the next question begins with one row.
        self.decoder.keep_first_row();

        let mut answers = Vec::with_capacity(options.paths);
        for path in launched.paths {
            if !path.finish.votes() {
                reader.close(path.id)?;
            }
            let cut_by_context =
                path.finish == FinishReason::MaxTokens && max_tokens < settings.max_tokens;
            answers.push(PathAnswer {
                id: path.id,
                text: reader.texts[path.id].text().to_string(),
                answer: reader.answers[path.id].take(),
                mean_logprob: path.mean_logprob(),
                finish: if cut_by_context {
                    FinishReason::Context
                } else {
                    path.finish
                },
                dropped_at_tokens: path.scores.iter().find(|s| !s.kept).map(|s| s.at_tokens),
                scores: path.scores,
                tokens: path.tokens,
                logprobs: path.logprobs,
            });
        }
        let votes = match options.vote {
            Some(_) => launched.votes,
            None => Vec::new(),
        };
        // Without a vote, the first path that came to its end: a dropped one broke off.
        let speaker = votes.first().map(|v| v.paths[0]);
        let speaker = speaker.or_else(|| answers.iter().position(|a| a.finish.votes()));
        let speaker = speaker.unwrap_or(0);
        let tokens = |wanted: &dyn Fn(FinishReason) -> bool| {
            let these = answers.iter().filter(|a| wanted(a.finish));
            these.map(|a| a.tokens.len()).sum::<usize>()
        };
        let check_ms = |part: &dyn Fn(&CheckTaken) -> f64| {
            let sum = launched.checks.iter().map(part).sum::<f64>();
            (!launched.checks.is_empty()).then_some(sum)
        };
        Ok(Answer {
            answer: match options.vote {
                Some(_) => votes.first().map(|v| v.answer.clone()),
                None if options.paths == 1 => answers[0].answer.clone(),
                None => None,
            },
            text: answers[speaker].text.clone(),
            tokens: TokenCounts {
                prompt: prompt.len(),
                reused,
                prefilled: prompt.len() - reused,
                generated: tokens(&|_| true),
                unused: tokens(&|finish| !finish.votes()),
            },
            times: PhaseTimes {
                load_ms: milliseconds(self.load),
                prefill_ms: milliseconds(prefill),
                fork_ms: milliseconds(launched.fork),
                decode_ms: milliseconds(launched.decode),
                check_ms: check_ms(&|c| c.score_ms),
                compact_ms: check_ms(&|c| c.compact_ms),
                vote_ms: options.vote.map(|_| milliseconds(launched.vote)),
                first_token_ms: milliseconds(reader.first_token.unwrap_or_default()),
                total_ms: milliseconds(clock.elapsed()),
            },
            votes,
            checks: launched.checks,
            notes: notes(options, settings.sampling, max_tokens),
            paths: answers,
            kv: plan.kv,
            logits_bytes: plan.logits_bytes,
            placement: self.decoder.placement().clone(),
            seed: options.seed,
            peak_resident_bytes: metrics::peak_resident_bytes(),
        })
    }

    /// The cache of known paths, as it stood while they were drawn: each of `paths`, whole, continues `prompt`. `visit` sees
    /// it when `at_tokens` tokens of each are cached, ascending. Forgets what is cached.
    ///
    /// # Errors
    /// [`Error::Context`] and [`Error::Capacity`] where it does not fit; [`Error::Session`]; those of `visit`.
    pub fn rebuild(
        &mut self,
        prompt: &[u32],
        paths: &[&[u32]],
        at_tokens: &[usize],
        visit: &mut dyn FnMut(CachedPaths<'_>) -> Result<()>,
    ) -> Result<()> {
        // Beyond the last token but one of the longest path, no path is left to see.
        let longest = paths.iter().map(|path| path.len()).max().unwrap_or(0);
        let most = at_tokens.last().copied().unwrap_or(0);
        let most = most.min(longest.saturating_sub(1));
        let context_tokens = self.package.context_tokens();
        if prompt.len() + most > context_tokens {
            return Err(Error::Context {
                prompt_tokens: prompt.len() + most,
                context_tokens,
            });
        }
        let graph = self.package.graph();
        let plan = KvPlan::new(
            graph.geometry(),
            graph.layout(),
            paths.len(),
            prompt.len() + most,
            None,
        )?;
        self.cached.truncate(0);
        let cancel = CancelToken::new();
        self.decoder.restart(plan, 0, None)?;
        self.decoder.prefill(prompt, &cancel)?;
        let rebuilt = paths::rebuild(&mut self.decoder, paths, at_tokens, &cancel, visit);
        self.decoder.keep_first_row();
        rebuilt
    }

    /// The prompt as token ids.
    ///
    /// # Errors
    /// [`Error::Option`] for an empty question or an unknown id; those of the template and the tokenizer.
    pub fn tokens(&self, question: &Question, options: &AskOptions) -> Result<Vec<u32>> {
        let tokens = match question {
            Question::Tokens(tokens) => tokens.clone(),
            Question::Messages(messages) => self.encode(messages)?,
            Question::Text(text) => {
                if text.trim().is_empty() {
                    return Err(Error::option("question", "some text", "an empty question"));
                }
                let prompt = options.prompt.as_ref().or(self.package.prompt());
                let system = options
                    .system
                    .as_ref()
                    .or_else(|| prompt.and_then(|p| p.system.as_ref()));
                let mut messages = Vec::new();
                if let Some(system) = system {
                    messages.push(Message::new(Role::System, system));
                }
                for turn in prompt.map_or(&[][..], |p| &p.turns) {
                    messages.push(Message::new(Role::User, &turn.user));
                    messages.push(Message::new(Role::Assistant, &turn.assistant));
                }
                messages.push(Message::new(Role::User, text));
                self.encode(&messages)?
            }
        };
        if tokens.is_empty() {
            return Err(Error::option("question", "at least one token", "none"));
        }
        let vocabulary = self.decoder.vocabulary();
        if let Some(unknown) = tokens.iter().find(|&&t| t as usize >= vocabulary) {
            return Err(Error::option(
                "question",
                format!("token ids below {vocabulary}"),
                unknown,
            ));
        }
        Ok(tokens)
    }

    /// Whether rows depend on their batch, for this package, library and machine. Forgets what is cached.
    ///
    /// # Errors
    /// Those of [`Self::ask`] for a question of 16 paths.
    pub fn probe_row_invariance(&mut self) -> Result<RowInvariance> {
        const BATCHES: [usize; 6] = [1, 2, 3, 5, 8, 16];
        const STEPS: usize = 8;
        let graph = self.package.graph();
        let prompt: Vec<u32> = (0..24u32)
            .map(|i| (i * 37 + 11) % graph.vocabulary() as u32)
            .collect();
        let plan = KvPlan::new(
            graph.geometry(),
            graph.layout(),
            16,
            prompt.len() + STEPS,
            metrics::available_bytes(),
        )?;
        self.cached.truncate(0);
        self.decoder.restart(plan, 0, None)?;
        probe_row_invariance(&mut self.decoder, &prompt, &BATCHES, STEPS)
    }

    fn encode(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let text = self.package.render(messages)?;
        self.package.text().encode(&text)
    }

    /// Bytes that a plan may take: what the system has, and what the decoder holds and would give up for it.
    fn available_bytes(&self) -> Option<u64> {
        let free = metrics::available_bytes()?;
        Some(free.saturating_add(self.decoder.resident_bytes()))
    }

    /// Tokens of `prompt` whose keys and values are cached. At least one is left to run: its logits are needed.
    fn reusable(&self, prompt: &[u32], reuse: bool) -> usize {
        if !reuse {
            return 0;
        }
        let common = self.cached.in_common(prompt.iter().copied());
        common.min(prompt.len() - 1)
    }
}

/// What was asked for and is not quite what was done.
fn notes(options: &AskOptions, sampling: Sampling, max_tokens: usize) -> Vec<String> {
    let mut notes = Vec::new();
    for check in &options.checks {
        if check.at_tokens >= max_tokens {
            notes.push(format!(
                "the check at {} tokens was not reached: the context leaves room for {max_tokens} tokens of a path",
                check.at_tokens
            ));
        }
        if let Signal::Head(head) = &check.signal
            && head.header().sampling != sampling
        {
            let of = &head.header().sampling;
            notes.push(format!(
                "head {:?} was trained on paths drawn otherwise: temperature {}, top-k {}, top-p {}, min-p {}, repetition \
                 penalty {}",
                head.header().name, of.temperature, of.top_k, of.top_p, of.min_p, of.repetition_penalty
            ));
        }
        if let Signal::Head(head) = &check.signal
            && !head.header().check_at_tokens.contains(&check.at_tokens)
        {
            notes.push(format!(
                "head {:?} was trained at {:?} tokens and scores at {} here",
                head.header().name,
                head.header().check_at_tokens,
                check.at_tokens
            ));
        }
    }
    notes
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
