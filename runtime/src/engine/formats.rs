//! Formats: what is asked of a response's shape, resolved against the package, and the launches that it takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::settings::Settings;
use super::{AskOptions, CalibrationSource, Engine};
use crate::answer::FormatTaken;
use crate::error::{Error, Result};
use crate::format::{
    ANSWER_TOKENS, CALIBRATION_FILE, Calibration, Format, Grammar, Lengths, Origin, Pace,
    ResponseFormat, Rules, SectionEvent, SectionKind, Spelling, Steering, Wanted,
};
use crate::generate::{Decoder, Sampling};
use crate::package::Package;
use crate::paths::{self, Ending, FinishReason, Launch, Launched, PathId, Reading, Watch};

/// Most tokens of a section where neither options nor package say it: perception, reasoning, answer.
const CAPS: [usize; 3] = [192, 512, ANSWER_TOKENS];

/// How a question's responses are shaped.
pub(super) struct Shaped {
    pub(super) grammar: Grammar,
    pub(super) rules: Rules,
    /// The cascade's stages, where it is one.
    pub(super) calibration: Option<Arc<Calibration>>,
    pub(super) asked: Format,
    /// The paths in full.
    pub(super) paths: usize,
    /// Text of the response that stands at the prompt's end.
    pub(super) prompted: String,
}

/// What stays the same over the launches of one question.
pub(super) struct Round<'a> {
    pub(super) package: &'a Package,
    pub(super) decoder: &'a mut Decoder,
    pub(super) options: &'a AskOptions,
    pub(super) settings: &'a Settings,
    pub(super) reading: Reading<'a>,
    pub(super) eos_ids: &'a [u32],
    pub(super) prompt: &'a [u32],
}

/// What the launches gave together.
pub(super) struct Taken {
    pub(super) launched: Launched,
    pub(super) format: FormatTaken,
    /// Tokens that stood between the prompt and the last launch.
    pub(super) before: Vec<u32>,
}

impl Engine {
    /// How the responses to a question are shaped; `None` where they are texts.
    ///
    /// # Errors
    /// [`Error::Option`] for a format that the package does not have, and for options that need one; those of
    /// [`Calibration::open`].
    pub(super) fn shape(
        &mut self,
        options: &AskOptions,
        prompt: &[u32],
        clock: Instant,
    ) -> Result<Option<Shaped>> {
        let grammar = match &self.grammar {
            Some(grammar) => grammar.clone(),
            None => self.grammar.insert(Grammar::of(&self.package)).clone(),
        };
        let text_alone = options.format == Format::Auto && grammar.origin() == Origin::Assumed;
        for (field, cap) in options.section_caps.fields() {
            if cap == Some(0) {
                return Err(Error::option(field, "at least 1", 0));
            }
        }
        if text_alone {
            let given = [
                ("deadline_ms", options.deadline_ms.is_some()),
                ("perception_tokens", !options.section_caps.is_empty()),
            ];
            if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
                let expected = "a `format` (direct, perception, full) for this package, which has none of its own";
                return Err(Error::option(field, expected, "auto"));
            }
            return Ok(None);
        }
        let formats = match options.format {
            Format::Cascade => ResponseFormat::ALL.to_vec(),
            format => format.forced().into_iter().collect(),
        };
        if let Some(lacking) = formats.into_iter().find(|f| grammar.sections(*f).is_none()) {
            let expected = format!("a format of this package, whose responses have no {lacking}");
            return Err(Error::option("format", expected, options.format));
        }
        let calibration = self.calibration(options)?;
        let lengths = calibration.as_ref().map(|c| c.lengths);
        let prompted = prompted(&self.package, &grammar, prompt)?;
        Ok(Some(Shaped {
            rules: rules(options, &grammar, lengths, clock, self.token),
            grammar,
            calibration,
            asked: options.format,
            paths: options.paths,
            prompted,
        }))
    }

    /// The calibration that is asked for, or that the package brings.
    fn calibration(&mut self, options: &AskOptions) -> Result<Option<Arc<Calibration>>> {
        let of_package = self.package.dir().join(CALIBRATION_FILE);
        let file: PathBuf = match &options.calibration {
            Some(CalibrationSource::Made(made)) => return Ok(Some(Arc::clone(made))),
            Some(CalibrationSource::File(file)) => file.clone(),
            None if options.format == Format::Cascade => of_package,
            // Its lengths alone are of use, to a deadline.
            None if options.deadline_ms.is_some() && of_package.is_file() => of_package,
            None => return Ok(None),
        };
        if let Some(known) = self.calibrations.get(&file) {
            return Ok(Some(Arc::clone(known)));
        }
        let calibration = Arc::new(Calibration::open(&file, &self.package)?);
        self.calibrations.insert(file, Arc::clone(&calibration));
        Ok(Some(calibration))
    }

    /// The tokens that every response begins with, which are prefilled with the prompt.
    pub(super) fn begun(&mut self, shaped: &Shaped) -> Result<Vec<u32>> {
        let mut nobody = |_: PathId, _: SectionEvent<'_>| {};
        let steering = Steering::new(
            &shaped.grammar,
            self.package.text(),
            &mut self.spelling,
            shaped.first_rules(),
            &[],
            &shaped.prompted,
            &mut nobody,
        )?;
        Ok(steering.fixed())
    }
}

impl Shaped {
    /// The rules of the first launch.
    pub(super) fn first_rules(&self) -> Rules {
        let mut rules = self.rules.clone();
        let first = self.calibration.as_ref().and_then(|c| c.stages.first());
        if self.asked == Format::Cascade {
            rules.wanted = Wanted::Only(first.map_or(ResponseFormat::Full, |stage| stage.format));
            rules.reads_after = first.and_then(|stage| reads_after(stage.format));
        }
        rules.stops_at_reasoning = self.parts();
        rules
    }

    /// Whether paths part where the reasoning begins.
    pub(super) fn parts(&self) -> bool {
        let full = matches!(
            self.rules.wanted,
            Wanted::Any | Wanted::Only(ResponseFormat::Full)
        );
        self.paths > 1 && (full || self.asked == Format::Cascade)
    }

    /// What steers the launches.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub(super) fn steering<'a>(
        &'a self,
        round: &Round<'a>,
        spelling: &'a mut Spelling,
        sections: &'a mut dyn FnMut(PathId, SectionEvent<'_>),
    ) -> Result<Steering<'a>> {
        Steering::new(
            &self.grammar,
            round.package.text(),
            spelling,
            self.first_rules(),
            round.eos_ids,
            &self.prompted,
            sections,
        )
    }

    /// Runs the launches of any format but the cascade. `before`: what is prefilled after the prompt.
    ///
    /// # Errors
    /// Those of [`paths::launch`] and of the tokenizer.
    pub(super) fn run(
        &self,
        round: &mut Round<'_>,
        steering: &mut Steering<'_>,
        mut before: Vec<u32>,
        watch: &mut dyn Watch,
    ) -> Result<Taken> {
        let mut scouted = None;
        if self.parts() {
            steering.begin(&before, &[])?;
            if !steering.reasons(0) {
                let scout = scout(round, steering, &before, watch)?;
                if !scout.parts(steering) {
                    return Ok(self.alone(scout.launched, steering, before));
                }
                before.extend(&scout.launched.paths[0].tokens);
                round.feed_last(&before)?;
                scouted = Some(scout.launched);
            }
        }
        let logprobs = steering.logprobs(0).to_vec();
        self.last(round, steering, before, &logprobs, scouted, watch)
    }

    /// The launch after which nothing comes: every path from where they part to its end.
    pub(super) fn last(
        &self,
        round: &mut Round<'_>,
        steering: &mut Steering<'_>,
        before: Vec<u32>,
        logprobs: &[Option<f32>],
        earlier: Option<Launched>,
        watch: &mut dyn Watch,
    ) -> Result<Taken> {
        let choices = steering.read_outs(0).to_vec();
        steering.rules().stops_at_reasoning = false;
        steering.restart(self.paths)?;
        steering.begin(&before, logprobs)?;
        let mut launched = round.launch(self.paths, &before, false, steering, watch)?;
        if let Some(earlier) = earlier {
            launched.decode += earlier.decode;
            launched.fork += earlier.fork;
        }
        for path in 0..self.paths {
            let finish = launched.paths[path].finish;
            steering.finish(path, finish.unwrap_or(FinishReason::Interrupted))?;
        }
        let mut taken = self.alone(launched, steering, before);
        taken.format.read_outs.splice(0..0, choices);
        Ok(taken)
    }

    /// What a launch gave, to which nothing is added.
    pub(super) fn alone(
        &self,
        mut launched: Launched,
        steering: &Steering<'_>,
        before: Vec<u32>,
    ) -> Taken {
        let several = launched.paths.len() > 1;
        let mut format = FormatTaken {
            asked: self.asked,
            known: self.grammar.origin() != Origin::Assumed,
            formats: (0..launched.paths.len())
                .map(|path| steering.format(path))
                .collect(),
            sections: (0..launched.paths.len())
                .map(|path| steering.sections(path))
                .collect(),
            read_outs: steering.read_outs(0).to_vec(),
            shared: Vec::new(),
            shared_tokens: Vec::new(),
            confidence: None,
            escalations: Vec::new(),
            discarded: Default::default(),
        };
        if several {
            // What all paths have in common is told once.
            let own = before.len();
            format.shared_tokens.clone_from(&before);
            for (path, sections) in format.sections.iter_mut().enumerate() {
                let shared = sections.iter().take_while(|s| s.range.end <= own).count();
                let common: Vec<_> = sections.drain(..shared).collect();
                if path == 0 {
                    format.shared = common;
                }
                if let Some(first) = sections.first_mut() {
                    let common = own.saturating_sub(first.range.start);
                    first.tokens = first.tokens.saturating_sub(common);
                    first.forced_tokens = first.forced_tokens.saturating_sub(common);
                }
            }
        } else if let Some(path) = launched.paths.first_mut() {
            let logprobs = steering.logprobs(0).iter().take(before.len());
            path.logprobs
                .splice(0..0, logprobs.map(|logprob| logprob.unwrap_or(0.0)));
            path.tokens.splice(0..0, before.iter().copied());
            if path.finish != Some(FinishReason::Stop) {
                path.text = steering.text(0).to_string();
            }
        }
        Taken {
            launched,
            format,
            before,
        }
    }
}

/// One path that came to its end, or to where its reasoning begins.
pub(super) struct Scouted {
    pub(super) launched: Launched,
}

impl Scouted {
    /// Whether others go on from its end.
    pub(super) fn parts(&self, steering: &Steering<'_>) -> bool {
        let finish = self.launched.paths[0].finish;
        self.launched.broken.is_none()
            && finish == Some(FinishReason::Forced)
            && steering.reasons(0)
    }
}

/// Runs one greedy path, which has `before` behind it, as `steering` says.
pub(super) fn scout(
    round: &mut Round<'_>,
    steering: &mut Steering<'_>,
    before: &[u32],
    watch: &mut dyn Watch,
) -> Result<Scouted> {
    let launched = round.launch(1, before, true, steering, watch)?;
    let finish = launched.paths[0]
        .finish
        .unwrap_or(FinishReason::Interrupted);
    if finish != FinishReason::Forced {
        steering.finish(0, finish)?;
    }
    Ok(Scouted { launched })
}

impl Round<'_> {
    /// Launches `paths` paths that have `before` behind them, cached in row 0 after the prompt.
    fn launch(
        &mut self,
        paths: usize,
        before: &[u32],
        scouts: bool,
        steering: &mut Steering<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Launched> {
        let settings = self.settings;
        let context: Vec<u32> = self.prompt.iter().chain(before).copied().collect();
        let launch = Launch {
            paths,
            prompt: &context,
            sampling: if scouts {
                // The cheap formats are calibrated greedy, and what several paths share is not drawn.
                Sampling {
                    temperature: 0.0,
                    ..settings.sampling
                }
            } else {
                settings.sampling
            },
            seed: self.options.seed,
            max_tokens: settings.max_tokens.saturating_sub(before.len()).max(1),
            context_tokens: self.package.context_tokens(),
            eos_ids: self.eos_ids,
            reading: Some(self.reading),
            checks: if scouts { &[] } else { &settings.checks },
            show_kv_at: if scouts {
                &[]
            } else {
                &self.options.show_kv_at
            },
            ending: if scouts {
                Ending {
                    vote: settings.ending.vote,
                    ..Ending::default()
                }
            } else {
                settings.ending
            },
            cancel: &self.options.cancel,
        };
        paths::launch(self.decoder, &launch, steering, watch)
    }

    /// Runs the model on the last of `before`, which the launch that took it did not.
    pub(super) fn feed_last(&mut self, before: &[u32]) -> Result<()> {
        let cached = self.decoder.kv().len() - self.prompt.len();
        self.feed(&before[cached.min(before.len())..])
    }

    /// Runs the model on `tokens`, which follow what is cached.
    pub(super) fn feed(&mut self, tokens: &[u32]) -> Result<()> {
        if tokens.is_empty() {
            return Ok(());
        }
        self.decoder.prefill(tokens, &self.options.cancel)
    }

    /// Forgets what follows the first `kept` tokens after the prompt.
    pub(super) fn rewind(&mut self, kept: usize) -> Result<()> {
        self.decoder.keep_first_row();
        self.decoder.rewind(self.prompt.len() + kept)
    }
}

/// After which section the cascade reads what the model would choose, in a stage of this format.
pub(super) fn reads_after(format: ResponseFormat) -> Option<Option<SectionKind>> {
    match format {
        ResponseFormat::Direct => Some(None),
        ResponseFormat::Perception => Some(Some(SectionKind::Perception)),
        ResponseFormat::Full => None,
    }
}

fn rules(
    options: &AskOptions,
    grammar: &Grammar,
    lengths: Option<Lengths>,
    clock: Instant,
    token: Option<Duration>,
) -> Rules {
    let mut caps = CAPS;
    for (kind, (_, given)) in SectionKind::ALL
        .into_iter()
        .zip(options.section_caps.fields())
    {
        let of_package = grammar.tags(kind).and_then(|tags| tags.max_tokens);
        let cap = &mut caps[kind as usize];
        *cap = given.or(of_package).unwrap_or(*cap);
        // What reasons at length is bounded by the path's tokens alone, and so is an answer that has no end but its own.
        let unbounded = match kind {
            SectionKind::Answer => !grammar.tags_answers(),
            _ => grammar.origin() == Origin::Thinking,
        };
        if unbounded && given.is_none() {
            *cap = usize::MAX;
        }
    }
    let of_kind = |kind: SectionKind| match (kind, lengths) {
        (SectionKind::Perception, Some(l)) => l.perception,
        (SectionKind::Reasoning, Some(l)) => l.reasoning,
        (SectionKind::Answer, Some(l)) => l.answer,
        (kind, None) => caps[kind as usize].min(CAPS[kind as usize]),
    };
    Rules {
        wanted: match (options.format.forced(), grammar.origin()) {
            (Some(format), _) => Wanted::Only(format),
            (None, Origin::Thinking) => Wanted::Free,
            (None, _) => Wanted::Any,
        },
        caps,
        max_tokens: usize::MAX,
        expected: SectionKind::ALL.map(of_kind),
        pace: options
            .deadline_ms
            .map(|ms| Pace::new(clock + Duration::from_millis(ms), token)),
        stops_at_reasoning: false,
        reads_after: None,
    }
}

/// Text of the response that stands at the prompt's end already: the tag with which some templates have the model reason.
fn prompted(package: &Package, grammar: &Grammar, prompt: &[u32]) -> Result<String> {
    /// As many tokens as a tag and the white space after it may be.
    const LAST: usize = 8;
    let Some(tags) = grammar.tags(SectionKind::Reasoning) else {
        return Ok(String::new());
    };
    let codec = package.text();
    let mut text = String::new();
    for &id in &prompt[prompt.len().saturating_sub(LAST)..] {
        match codec.special_tokens().find(|(special, _)| *special == id) {
            Some((_, token)) => text.push_str(token),
            None => text.push_str(&codec.decode(&[id])?),
        }
    }
    Ok(if text.trim_end().ends_with(tags.open.trim()) {
        tags.open.clone()
    } else {
        String::new()
    })
}
