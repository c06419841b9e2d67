//! The one door: a question in, an answer out.

mod ask_error;
mod cached;
mod caps;
mod cascade;
mod formats;
mod images;
mod notes;
mod options;
mod probe;
mod prompt;
mod providers;
mod prune;
mod settings;
mod trim;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use ask_error::AskError;
pub use caps::SectionCaps;
pub use options::{AskOptions, CalibrationSource, EngineOptions, ProviderProbe, Question, Voting};
pub use prune::PruneOptions;
pub use trim::Trim;
pub use watch::Event;

use cascade::Cascade;
use formats::{Round, Taken};
use images::Sight;
use providers::Opened;
use settings::Settings;
use watch::Events;

use crate::answer::{Answer, Course};
use crate::error::{Error, Result};
use crate::format::{Calibration, Format, Grammar, SectionEvent, Spelling};
use crate::generate::{CacheKey, CachedKeys, Decoder, DecoderPlan, MemoryLimits, Room};
use crate::head::{StopHead, find_head};
use crate::kv::{KvCache, KvLayout};
use crate::metrics;
use crate::package::{AttentionReport, EncodedPrompt, Package};
use crate::paths::{self, AllDrawn, Check, Launch, Launched, PathId, Reading, StopTexts};
use crate::session::{Placement, ProbeReport, load_library};

/// A loaded package that answers questions, one at a time.
pub struct Engine {
    package: Package,
    decoder: Decoder,
    /// What stands in row 0, keyed by content.
    cached: CachedKeys,
    sight: Sight,
    /// How keys and values are kept, and why.
    layout: KvLayout,
    attention: AttentionReport,
    /// Where the decoder's nodes run.
    placement: Placement,
    /// How they were chosen, where a probe did.
    probed: Option<ProbeReport>,
    /// Heads that were opened by name.
    heads: BTreeMap<PathBuf, Arc<StopHead>>,
    /// What responses may look like; found with the first question.
    grammar: Option<Grammar>,
    spelling: Spelling,
    /// Calibrations that were opened.
    calibrations: BTreeMap<PathBuf, Arc<Calibration>>,
    /// What a token took in the question before.
    token: Option<Duration>,
    load: Duration,
}

impl Engine {
    /// Opens the package in `dir` and loads its graph.
    ///
    /// # Errors
    /// Those of [`Package::open`], and [`Error::Session`] where library or graph cannot be loaded, [`Error::Cancelled`].
    pub fn open(dir: impl AsRef<Path>, options: &EngineOptions) -> Result<Self> {
        let clock = Instant::now();
        let package = Package::open_as(dir.as_ref(), options.dtype.as_deref())?;
        let (providers, probed) = match &options.probe {
            Some(probe) => {
                load_library(&options.library)?;
                let (providers, report) = probe::choose(&package, options, probe)?;
                (providers, Some(report))
            }
            None => (options.providers.clone(), None),
        };
        let options = &EngineOptions {
            providers,
            ..options.clone()
        };
        let Opened {
            decoder,
            layout,
            attention,
            placement,
        } = providers::open(&package, options)?;
        Ok(Self {
            package,
            decoder,
            cached: CachedKeys::default(),
            sight: Sight::new(options),
            layout,
            attention,
            placement,
            probed,
            heads: BTreeMap::new(),
            grammar: None,
            spelling: Spelling::default(),
            calibrations: BTreeMap::new(),
            token: None,
            load: clock.elapsed(),
        })
    }

    /// The package.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// Which attention runs.
    pub fn attention(&self) -> &AttentionReport {
        &self.attention
    }

    /// Which execution providers run the decoder, and why not others that were asked for.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// How the provider was chosen, where a probe did.
    pub fn probed(&self) -> Option<&ProbeReport> {
        self.probed.as_ref()
    }

    /// What is cached.
    pub fn kv(&self) -> &KvCache {
        self.decoder.kv()
    }

    /// The checks that `options` come to for this package. Heads that they name are read once.
    ///
    /// # Errors
    /// [`Error::Option`] for options at odds with each other; those of [`StopHead::open`].
    pub fn checks(&mut self, options: &AskOptions) -> Result<Vec<Check>> {
        if options.checks.is_empty() {
            let (package, heads) = (&self.package, &mut self.heads);
            return options
                .prune
                .resolve(options.paths, |name| open_head(heads, package, name));
        }
        if !options.prune.is_off() {
            let got = format!("these and {} checks in full", options.checks.len());
            return Err(Error::option(
                "prune",
                "nothing where `checks` are given",
                got,
            ));
        }
        Ok(options.checks.clone())
    }

    /// Answers `question`. `on_event` sees what happens, as it happens.
    ///
    /// # Errors
    /// [`Error::Option`] for an empty question, or options outside their range or at odds with each other;
    /// [`Error::Context`] and [`Error::Capacity`] where it does not fit; [`Error::Cancelled`]; and what package,
    /// session and sampler say. What had been generated by then is [`AskError::partial`]. The engine can be asked again
    /// after any of them.
    pub fn ask(
        &mut self,
        question: &Question,
        options: &AskOptions,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> std::result::Result<Answer, AskError> {
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
    ) -> std::result::Result<Answer, AskError> {
        let clock = Instant::now();
        if options.cancel.is_cancelled() {
            return Err(Error::Cancelled { tokens: 0 }.into());
        }
        let checks = self.checks(options)?;
        let stops = StopTexts::new(self.package.text(), &options.stop)?;
        let (encoded, seen) = self.prompt(question, options)?;
        let EncodedPrompt {
            tokens: prompt,
            system_moved,
        } = encoded;
        let shaped = self.shape(options, &prompt, clock)?;
        let settings = Settings::resolve(&self.package, options, checks, shaped.is_some())?;
        let begun = match &shaped {
            Some(shaped) => self.begun(shaped)?,
            None => Vec::new(),
        };
        let most_tokens = self.room(&prompt)?.min(settings.max_tokens);
        let context: Vec<u32> = prompt.iter().chain(&begun).copied().collect();
        let keys = self.keys(&context, &seen);
        let reused = self.reusable(&keys, options.reuse).min(prompt.len());
        let room = Room {
            rows: options.paths,
            prompt_tokens: prompt.len(),
            prefill_tokens: context.len() - reused,
            capacity_tokens: prompt.len() + most_tokens.max(begun.len() + 1),
        };
        let plan = match self.plan(room, options.max_kv_bytes) {
            // What has seen the images is not needed any more; a limit of its own on keys and values it does not help.
            Err(Error::Capacity { .. })
                if options.max_kv_bytes.is_none() && self.sight.release() =>
            {
                self.plan(room, options.max_kv_bytes)?
            }
            planned => planned?,
        };
        on_event(Event::Planned(&plan));

        let phase = Instant::now();
        self.cached.truncate(reused);
        self.decoder
            .restart(plan.kv, reused, options.max_kv_bytes)?;
        self.prefill(&context, reused, &seen, options)?;
        let prefill = phase.elapsed();
        on_event(Event::Prefilled {
            tokens: prompt.len() - reused,
            reused,
        });

        let eos_ids = self.package.eos_ids();
        let reading = Reading {
            codec: self.package.text(),
            stops: &stops,
            answers: settings.reader.as_ref(),
        };
        let on_event = RefCell::new(on_event);
        let mut events = Events::new(&on_event, clock, shaped.is_some());
        let (mut launched, format, before) = match &shaped {
            None => {
                let launch = Launch {
                    paths: options.paths,
                    prompt: &prompt,
                    sampling: settings.sampling,
                    seed: options.seed,
                    max_tokens: settings.max_tokens,
                    context_tokens: self.package.context_tokens(),
                    eos_ids: &eos_ids,
                    reading: Some(reading),
                    checks: &settings.checks,
                    show_kv_at: &options.show_kv_at,
                    ending: settings.ending,
                    cancel: &options.cancel,
                };
                let launched =
                    paths::launch(&mut self.decoder, &launch, &mut AllDrawn, &mut events)?;
                (launched, None, Vec::new())
            }
            Some(shaped) => {
                let mut round = Round {
                    package: &self.package,
                    decoder: &mut self.decoder,
                    options,
                    settings: &settings,
                    reading,
                    eos_ids: &eos_ids,
                    prompt: &prompt,
                };
                let mut sections = |path: PathId, section: SectionEvent<'_>| {
                    on_event.borrow_mut()(Event::Section {
                        path,
                        section: &section,
                    });
                };
                let mut steering = shaped.steering(&round, &mut self.spelling, &mut sections)?;
                let taken = if shaped.asked == Format::Cascade {
                    Cascade::new(shaped).run(
                        &mut round,
                        &mut steering,
                        begun,
                        &mut events,
                        &mut |escalation| on_event.borrow_mut()(Event::Escalated(escalation)),
                    )?
                } else {
                    shaped.run(&mut round, &mut steering, begun, &mut events)?
                };
                let Taken {
                    launched,
                    format,
                    before,
                } = taken;
                (launched, Some(format), before)
            }
        };
        let broken = launched.broken.take();
        if broken.is_none() {
            self.remember(&keys[..prompt.len()], reused, &before, &launched);
        }
        let steps = launched.paths.iter().map(|path| path.tokens.len()).max();
        if let Some(steps) = steps.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 1) {
            self.token = Some(launched.decode / steps);
        }
        let mut notes = notes::notes(
            &self.package,
            &self.attention,
            &self.placement,
            options,
            &settings,
            most_tokens,
            system_moved,
        );
        let total = clock.elapsed();
        notes.extend(notes::of_format(options, format.as_ref(), total));
        let course = Course {
            notes,
            vote: settings.vote,
            seed: options.seed,
            prompt,
            images: seen.into_iter().map(|seen| seen.facts).collect(),
            reused,
            kv: plan.kv,
            logits_bytes: plan.logits_bytes,
            placement: self.placement.clone(),
            probe: self.probed.clone(),
            attention: self.attention.clone(),
            load: self.load,
            prefill,
            first_token: events.first_token,
            total,
            format,
        };
        let answer = Answer::of(course, launched);
        match broken {
            None => Ok(answer),
            Some(error) => Err(AskError {
                error,
                partial: Some(Box::new(answer)),
            }),
        }
    }

    /// Tokens that the context leaves for a path.
    fn room(&self, prompt: &[u32]) -> Result<usize> {
        let context_tokens = self.package.context_tokens();
        match context_tokens.saturating_sub(prompt.len()) {
            0 => Err(Error::Context {
                prompt_tokens: prompt.len(),
                context_tokens,
            }),
            room => Ok(room),
        }
    }

    /// Plans `room` within `max_kv_bytes`, or without that within what the system has and what the decoder holds and would
    /// give up for it.
    fn plan(&self, room: Room, max_kv_bytes: Option<u64>) -> Result<DecoderPlan> {
        let available = || {
            let free = metrics::available_bytes()?;
            Some(free.saturating_add(self.decoder.resident_bytes()))
        };
        let limits = MemoryLimits {
            kv_bytes: max_kv_bytes,
            bytes: match max_kv_bytes {
                Some(_) => None,
                None => available(),
            },
        };
        DecoderPlan::new(&self.package, self.layout, room, limits)
    }

    /// Positions of `prompt` whose keys and values are cached. At least one is left to run: its logits are needed.
    fn reusable(&self, prompt: &[CacheKey], reuse: bool) -> usize {
        if !reuse {
            return 0;
        }
        let common = self.cached.in_common(prompt.iter().copied());
        common.min(prompt.len() - 1)
    }

    /// Notes what prompt and launch have left in row 0 after the `reused` positions, for the next question to begin with.
    /// `before`: what stood between prompt and launch; one path has it among its own tokens.
    fn remember(
        &mut self,
        prompt: &[CacheKey],
        reused: usize,
        before: &[u32],
        launched: &Launched,
    ) {
        // What the question was settled without still has rows.
        self.decoder.keep_first_row();
        let fed = self.decoder.kv().len() - prompt.len();
        let path = &launched.paths[launched.cached].tokens;
        let before = if launched.paths.len() == 1 {
            &[][..]
        } else {
            before
        };
        self.cached.extend(prompt[reused..].iter().copied());
        self.cached
            .extend(before.iter().chain(path).copied().take(fed));
    }
}

/// The head `name` of `package`, read from its file the first time.
fn open_head(
    heads: &mut BTreeMap<PathBuf, Arc<StopHead>>,
    package: &Package,
    name: &str,
) -> Result<Arc<StopHead>> {
    let file = find_head(name, package.dir())?;
    if let Some(head) = heads.get(&file) {
        return Ok(Arc::clone(head));
    }
    let head = Arc::new(StopHead::open(&file, package)?);
    heads.insert(file, Arc::clone(&head));
    Ok(head)
}
