//! The one door: a question in, an answer out.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::answer::{Answer, PathAnswer, PhaseTimes, TokenCounts};
use crate::error::{Error, Result};
use crate::generate::{Decoder, DecoderOptions, RowInvariance, Sampling, probe_row_invariance};
use crate::kv::{KvCache, KvPlan};
use crate::metrics;
use crate::package::{Message, Package, PromptFile, Role, SamplingDefaults};
use crate::paths::{
    self, Ballot, FinishReason, Launch, PathId, PathText, VoteRule, find_answer, majority,
};
use crate::session::{CancelToken, SessionOptions};

/// Tokens a path may generate where nobody says how many.
const DEFAULT_MAX_TOKENS: usize = 512;

/// Temperature of several paths where nobody says which: greedy paths would all be the same.
const DEFAULT_TEMPERATURE_OF_SEVERAL: f32 = 0.7;

/// How an engine is opened.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// Threads inside one operator. `None`: as many as the machine has cores available to this process.
    pub threads: Option<usize>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// A question. The prompt of [`AskOptions`], or else the package's own, goes around it.
    Text(String),
    /// A whole conversation, the model to speak next. Nothing is added.
    Messages(Vec<Message>),
    /// A rendered and encoded prompt.
    Tokens(Vec<u32>),
}

impl From<&str> for Question {
    fn from(text: &str) -> Self {
        Question::Text(text.into())
    }
}

/// How a question is answered.
#[derive(Debug, Clone)]
pub struct AskOptions {
    /// What goes around the question; `None`: the package's own prompt.
    pub prompt: Option<PromptFile>,
    /// System text, in place of the prompt's.
    pub system: Option<String>,
    /// Number of paths.
    pub paths: usize,
    /// Combine the paths' answers. Needs an answer pattern.
    pub vote: Option<VoteRule>,
    /// Regular expression that finds the answer in a path's text, in place of the prompt's.
    pub answer_pattern: Option<String>,
    /// Sampling, before the prompt's and the package's.
    pub sampling: SamplingDefaults,
    /// With a path's number, decides what it draws.
    pub seed: u64,
    /// Texts that end a path; they are not part of its text.
    pub stop: Vec<String>,
    /// Most bytes of KV cache. `None`: what the system says is available.
    pub max_kv_bytes: Option<u64>,
    /// Start from what the last question left in the cache, where the prompts begin alike. A prompt that is run in two
    /// parts can round differently: the f32 packages here answer the same, one with int8 activations can fall the other
    /// way at a near-tie. Without it, a question does not depend on the one before.
    pub reuse: bool,
    /// Cancels this question.
    pub cancel: CancelToken,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self {
            prompt: None,
            system: None,
            paths: 1,
            vote: None,
            answer_pattern: None,
            sampling: SamplingDefaults::default(),
            seed: 0,
            stop: Vec::new(),
            max_kv_bytes: None,
            reuse: true,
            cancel: CancelToken::new(),
        }
    }
}

/// What happens while a question is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The KV cache as it will be, before it is allocated.
    Planned(&'a KvPlan),
    /// The prompt is cached.
    Prefilled {
        /// Tokens run through the model.
        tokens: usize,
        /// Tokens found in the cache.
        reused: usize,
    },
    /// A path's text goes on.
    Text {
        /// The path.
        path: PathId,
        /// What is new.
        text: &'a str,
    },
    /// A path has drawn a token.
    Token {
        /// The path.
        path: PathId,
    },
}

/// A loaded package that answers questions, one at a time.
pub struct Engine {
    package: Package,
    decoder: Decoder,
    /// Tokens whose keys and values stand in row 0.
    cached: Vec<u32>,
    load: Duration,
}

impl Engine {
    /// Opens the package in `dir` and loads its graph.
    ///
    /// # Errors
    /// Those of [`Package::open`], and [`Error::Library`] or [`Error::Session`] where the graph cannot be loaded.
    pub fn open(dir: impl AsRef<Path>, options: &EngineOptions) -> Result<Self> {
        let clock = Instant::now();
        let package = Package::open(dir.as_ref())?;
        // A cache for the first question is planned with it; until then one position.
        let graph = package.graph();
        let plan = KvPlan::new(graph.geometry(), graph.layout(), 1, 1, None)?;
        let options = DecoderOptions {
            session: SessionOptions {
                threads: options.threads,
            },
        };
        let decoder = Decoder::open(&package, plan, &options)?;
        Ok(Self {
            package,
            decoder,
            cached: Vec::new(),
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
            self.cached.clear();
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
        let graph = self.package.graph();
        // What the present cache holds can be given up for the new one.
        let held = self.decoder.kv().plan().bytes;
        let available = || metrics::available_bytes().map(|bytes| bytes.saturating_add(held));
        let plan = KvPlan::new(
            graph.geometry(),
            graph.layout(),
            options.paths,
            prompt.len() + max_tokens,
            options.max_kv_bytes.or_else(available),
        )?;
        on_event(Event::Planned(&plan));

        let phase = Instant::now();
        let reused = self.reusable(&prompt, options.reuse);
        self.cached.truncate(reused);
        self.decoder
            .restart(&self.package, plan, reused, options.max_kv_bytes)?;
        self.decoder.prefill(&prompt[reused..], &options.cancel)?;
        let prefill = phase.elapsed();
        on_event(Event::Prefilled {
            tokens: prompt.len() - reused,
            reused,
        });

        let mut first_token = None;
        let mut texts: Vec<PathText> = (0..options.paths).map(|_| PathText::default()).collect();
        let eos_ids = self.package.eos_ids();
        let codec = self.package.text();
        let launched = Launch {
            paths: options.paths,
            prompt: &prompt,
            sampling: settings.sampling,
            seed: options.seed,
            max_tokens,
            eos_ids: &eos_ids,
            cancel: &options.cancel,
        };
        let (paths, last, times) =
            paths::launch(&mut self.decoder, &launched, &mut |path, token| {
                first_token.get_or_insert_with(|| clock.elapsed());
                let (text, stopped) = texts[path].push(codec, token, &options.stop)?;
                if !text.is_empty() {
                    on_event(Event::Text { path, text });
                }
                on_event(Event::Token { path });
                Ok(if stopped {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
        self.cached.clone_from(&prompt);
        let fed = self.decoder.kv().len() - prompt.len();
        self.cached.extend_from_slice(&paths[last].tokens[..fed]);

        let phase = Instant::now();
        let mut answers = Vec::with_capacity(paths.len());
        for (path, text) in paths.into_iter().zip(&mut texts) {
            let rest = text.finish(codec, &options.stop)?;
            if !rest.is_empty() {
                on_event(Event::Text {
                    path: path.id,
                    text: rest,
                });
            }
            let cut_by_context =
                path.finish == FinishReason::MaxTokens && max_tokens < settings.max_tokens;
            answers.push(PathAnswer {
                id: path.id,
                answer: settings
                    .pattern
                    .as_ref()
                    .and_then(|p| find_answer(p, text.text())),
                text: text.text().to_string(),
                mean_logprob: path.mean_logprob(),
                finish: if cut_by_context {
                    FinishReason::Context
                } else {
                    path.finish
                },
                tokens: path.tokens,
                logprobs: path.logprobs,
            });
        }
        let votes = match options.vote {
            Some(VoteRule::Majority) => majority(&ballots(&answers)),
            None => Vec::new(),
        };
        let vote = options.vote.map(|_| milliseconds(phase.elapsed()));
        let speaker = votes.first().map_or(0, |v| v.paths[0]);
        Ok(Answer {
            answer: match options.vote {
                Some(_) => votes.first().map(|v| v.answer.clone()),
                None if options.paths == 1 => answers[0].answer.clone(),
                None => None,
            },
            text: answers[speaker].text.clone(),
            votes,
            tokens: TokenCounts {
                prompt: prompt.len(),
                reused,
                prefilled: prompt.len() - reused,
                generated: answers.iter().map(|a| a.tokens.len()).sum(),
            },
            times: PhaseTimes {
                load_ms: milliseconds(self.load),
                prefill_ms: milliseconds(prefill),
                fork_ms: milliseconds(times.fork),
                decode_ms: milliseconds(times.decode),
                vote_ms: vote,
                first_token_ms: milliseconds(first_token.unwrap_or_default()),
                total_ms: milliseconds(clock.elapsed()),
            },
            paths: answers,
            kv: plan,
            seed: options.seed,
            peak_resident_bytes: metrics::peak_resident_bytes(),
        })
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
                    return Err(Error::option("QUESTION", "some text", "an empty question"));
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
            return Err(Error::option("QUESTION", "at least one token", "none"));
        }
        let vocabulary = self.decoder.vocabulary();
        if let Some(unknown) = tokens.iter().find(|&&t| t as usize >= vocabulary) {
            return Err(Error::option(
                "QUESTION",
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
        self.cached.clear();
        self.decoder.restart(&self.package, plan, 0, None)?;
        probe_row_invariance(&mut self.decoder, &prompt, &BATCHES, STEPS)
    }

    fn encode(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let text = self.package.render(messages)?;
        self.package.text().encode(&text)
    }

    /// Tokens of `prompt` whose keys and values are cached. At least one is left to run: its logits are needed.
    fn reusable(&self, prompt: &[u32], reuse: bool) -> usize {
        if !reuse {
            return 0;
        }
        let common = self
            .cached
            .iter()
            .zip(prompt)
            .take_while(|(a, b)| a == b)
            .count();
        common.min(prompt.len() - 1)
    }
}

/// Options, prompt and package joined.
struct Settings {
    sampling: Sampling,
    max_tokens: usize,
    pattern: Option<Regex>,
}

impl Settings {
    fn resolve(package: &Package, options: &AskOptions) -> Result<Self> {
        if options.paths == 0 {
            return Err(Error::option("--paths", "at least 1", 0));
        }
        let prompt = options.prompt.as_ref().or(package.prompt());
        let chosen = options
            .sampling
            .or(prompt.map(|p| p.sampling).unwrap_or_default())
            .or(package.sampling());
        let several = options.paths > 1;
        let default = Sampling::default();
        let sampling = Sampling {
            temperature: chosen.temperature.unwrap_or(if several {
                DEFAULT_TEMPERATURE_OF_SEVERAL
            } else {
                default.temperature
            }),
            top_k: chosen.top_k.map_or(default.top_k, |k| k as usize),
            top_p: chosen.top_p.unwrap_or(default.top_p),
            min_p: chosen.min_p.unwrap_or(default.min_p),
            repetition_penalty: chosen
                .repetition_penalty
                .unwrap_or(default.repetition_penalty),
        };
        sampling.check()?;
        if several && sampling.is_greedy() {
            return Err(Error::option(
                "--temperature",
                "a number above 0 (and --top-k above 1) for several paths: greedy paths are all the same",
                sampling.temperature,
            ));
        }
        let max_tokens = chosen.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
        if max_tokens == 0 {
            return Err(Error::option("--max-tokens", "at least 1", 0));
        }
        if options.stop.iter().any(String::is_empty) {
            return Err(Error::option("--stop", "some text", "an empty text"));
        }
        let pattern = options
            .answer_pattern
            .as_ref()
            .or_else(|| prompt.and_then(|p| p.answer_pattern.as_ref()));
        let pattern = match pattern {
            None => None,
            Some(pattern) => Some(
                Regex::new(pattern)
                    .map_err(|e| Error::option("--answer-pattern", "a regular expression", e))?,
            ),
        };
        if options.vote.is_some() && pattern.is_none() {
            return Err(Error::option(
                "--answer-pattern",
                "a regular expression that finds the answer in a path's text, since a vote is asked for",
                "none, from the command line or the prompt file",
            ));
        }
        Ok(Self {
            sampling,
            max_tokens,
            pattern,
        })
    }
}

fn ballots(answers: &[PathAnswer]) -> Vec<Ballot> {
    answers
        .iter()
        .map(|a| Ballot {
            path: a.id,
            answer: a.answer.clone(),
            score: None,
        })
        .collect()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
