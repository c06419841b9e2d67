//! Steering: which tokens of a response are forced, masked or drawn, so that it has a format and comes to an answer.
//!
//! Deterministic spans are forced, the choice between two sections is masked to the tokens in which their tags part, and the
//! rest is drawn. A section that reaches its cap, repeats itself, or for which no time or tokens are left, is closed, and what
//! follows is opened, so that there is an answer in any case.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::pace::Pace;
use super::spelling::Spelling;
use super::track::{Brought, Track};
use super::{Grammar, Origin, Place, ReadOut, ResponseFormat, Section, SectionFinish, SectionKind};
use crate::error::Result;
use crate::package::TextCodec;
use crate::paths::{AnswerPlace, FinishReason, Next, PathId, TokenSource};

/// What the answer needs of a path's tokens, whatever else it says.
pub const ANSWER_TOKENS: usize = 32;

/// Which formats a response may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Any: the model chooses.
    Any,
    /// This one.
    Only(ResponseFormat),
    /// What the model writes is read, and nothing forced but what a budget needs.
    Free,
}

/// What steering goes by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Which formats may come.
    pub wanted: Wanted,
    /// Most tokens of perception, reasoning and answer, tags included.
    pub caps: [usize; 3],
    /// Most tokens of the response.
    pub max_tokens: usize,
    /// Tokens that a section is expected to have: the deadline's choices go by them.
    pub expected: [usize; 3],
    /// When the answer must be there, and how fast tokens come.
    pub pace: Option<Pace>,
    /// End a path where its reasoning begins, which others go on with.
    pub stops_at_reasoning: bool,
    /// After which section what the model would choose is read, though it is forced: one step more.
    pub reads_after: Option<Option<SectionKind>>,
}

/// What happens to sections while a response grows.
#[derive(Debug, Clone, PartialEq)]
pub enum SectionEvent<'a> {
    /// A section begins.
    Began(SectionKind),
    /// Its text goes on.
    Text(SectionKind, &'a str),
    /// It has ended; tokens that its closing tag shares with what follows are not counted yet.
    Ended(&'a Section),
}

/// How the next tokens come.
#[derive(Debug, Clone)]
enum Item {
    /// This token.
    Token(u32),
    /// One of these: a tag's last token, and perhaps what it is fused with.
    OneOf(Arc<[u32]>),
    /// The token in which tags part.
    Choice(Vec<Branch>),
}

/// One side of a choice.
#[derive(Debug, Clone)]
struct Branch {
    kind: SectionKind,
    /// Its first token.
    first: u32,
    /// What follows.
    rest: VecDeque<Item>,
}

/// One path under way.
struct Steered<'g> {
    track: Track<'g>,
    plan: VecDeque<Item>,
    /// The section that runs is being closed for lack of time or tokens: the answer comes next.
    hurried: bool,
    read_outs: Vec<ReadOut>,
}

/// Steers the paths of a launch.
pub struct Steering<'a> {
    grammar: &'a Grammar,
    codec: &'a TextCodec,
    spelling: &'a mut Spelling,
    rules: Rules,
    eos_ids: &'a [u32],
    /// Special tokens that stand in a tag.
    specials: Vec<(u32, String)>,
    /// Text of the response that the prompt ends with.
    prompted: String,
    paths: Vec<Steered<'a>>,
    /// Tokens that every path began with, and what the sections in them took where they were drawn, in milliseconds.
    begun: usize,
    took_ms: [f64; 3],
    watch: &'a mut dyn FnMut(PathId, SectionEvent<'_>),
}

impl<'a> Steering<'a> {
    /// Steers one path that has taken nothing. `prompted`: the text of the response that stands at the prompt's end already.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn new(
        grammar: &'a Grammar,
        codec: &'a TextCodec,
        spelling: &'a mut Spelling,
        rules: Rules,
        eos_ids: &'a [u32],
        prompted: &str,
        watch: &'a mut dyn FnMut(PathId, SectionEvent<'_>),
    ) -> Result<Self> {
        let tags: Vec<&str> = SectionKind::ALL
            .into_iter()
            .filter_map(|kind| grammar.tags(kind))
            .flat_map(|tags| [tags.open.trim(), tags.close.trim()])
            .collect();
        let specials = codec
            .special_tokens()
            .filter(|(_, token)| tags.contains(token))
            .map(|(id, token)| (id, token.to_string()))
            .collect();
        let mut steering = Self {
            grammar,
            codec,
            spelling,
            rules,
            eos_ids,
            specials,
            prompted: prompted.into(),
            paths: Vec::new(),
            begun: 0,
            took_ms: [0.0; 3],
            watch,
        };
        steering.restart(1)?;
        Ok(steering)
    }

    /// What it goes by. Holds from [`Self::restart`] on.
    pub fn rules(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// Begins anew with so many paths.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn restart(&mut self, paths: usize) -> Result<()> {
        for section in self.sections(0) {
            self.took_ms[section.kind as usize] = section.ms;
        }
        self.begun = 0;
        self.paths.clear();
        if let Some(pace) = &mut self.rules.pace {
            pace.restart();
        }
        for path in 0..paths {
            let mut track = Track::new(self.grammar);
            track.prompted(&self.prompted);
            self.paths.push(Steered {
                track,
                plan: VecDeque::new(),
                hurried: false,
                read_outs: Vec::new(),
            });
            self.plan(path)?;
        }
        Ok(())
    }

    /// The tokens that every response begins with: they may be prefilled with the prompt, and then be [`Self::begin`].
    pub fn fixed(&self) -> Vec<u32> {
        let plan = self.paths.iter().flat_map(|steered| &steered.plan);
        plan.map_while(|item| match item {
            Item::Token(token) => Some(*token),
            Item::OneOf(_) | Item::Choice(_) => None,
        })
        .collect()
    }

    /// Gives every path these tokens, which are cached already; `logprobs` of those that were drawn.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn begin(&mut self, tokens: &[u32], logprobs: &[Option<f32>]) -> Result<()> {
        for path in 0..self.paths.len() {
            for (place, &token) in tokens.iter().enumerate() {
                self.push(path, token, logprobs.get(place).copied().flatten())?;
            }
            self.plan(path)?;
        }
        self.begun += tokens.len();
        Ok(())
    }

    /// What a path's choices were.
    pub fn read_outs(&self, path: PathId) -> &[ReadOut] {
        self.paths.get(path).map_or(&[], |path| &path.read_outs)
    }

    /// Log-probabilities of a path's tokens, those it began with among them; none of those that were forced.
    pub fn logprobs(&self, path: PathId) -> &[Option<f32>] {
        self.paths
            .get(path)
            .map_or(&[], |path| path.track.logprobs())
    }

    /// The sections of a path so far.
    pub fn sections(&self, path: PathId) -> Vec<Section> {
        let path = self.paths.get(path);
        let mut sections: Vec<Section> =
            path.map_or(Vec::new(), |path| path.track.sections().collect());
        for section in &mut sections {
            if section.range.end <= self.begun {
                section.ms = self.took_ms[section.kind as usize];
            }
        }
        sections
    }

    /// The text of a path's response, tags and all.
    pub fn text(&self, path: PathId) -> &str {
        self.paths.get(path).map_or("", |path| path.track.text())
    }

    /// Whether there is time for a response to go on to `format`.
    pub fn fits(&self, format: ResponseFormat) -> bool {
        let sections = self.grammar.sections(format).unwrap_or_default();
        let tokens: usize = sections
            .iter()
            .map(|kind| self.rules.expected[*kind as usize])
            .sum();
        let pace = self.rules.pace.as_ref();
        pace.is_none_or(|pace| pace.fits(tokens, Instant::now()))
    }

    /// The format of a path's response; `None` where it has none.
    pub fn format(&self, path: PathId) -> Option<ResponseFormat> {
        self.paths.get(path)?.track.parser().format()
    }

    /// Whether a path's reasoning has begun.
    pub fn reasons(&self, path: PathId) -> bool {
        let path = self.paths.get(path);
        path.is_some_and(|path| {
            path.track
                .parser()
                .sections()
                .contains(&SectionKind::Reasoning)
        })
    }

    /// A path has ended.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn finish(&mut self, path: PathId, finish: FinishReason) -> Result<()> {
        let Some(steered) = self.paths.get_mut(path) else {
            return Ok(());
        };
        let how = match finish {
            FinishReason::Answered => SectionFinish::Closed,
            // Without a tag, it is the end that closes an answer.
            FinishReason::Eos if !self.grammar.tags_answers() => SectionFinish::Closed,
            FinishReason::MaxTokens => SectionFinish::MaxTokens,
            _ => SectionFinish::End,
        };
        let brought = steered.track.finish(self.codec, how)?;
        self.show(path, brought);
        Ok(())
    }

    /// Takes a token into a path's text and sections. Whether a section began with it.
    fn push(&mut self, path: PathId, token: u32, logprob: Option<f32>) -> Result<bool> {
        let special = self.specials.iter().find(|(id, _)| *id == token);
        let special = special.map(|(_, text)| text.as_str());
        let steered = &mut self.paths[path];
        match steered.plan.pop_front() {
            Some(Item::Choice(branches)) => {
                if let Some(branch) = branches.into_iter().find(|b| b.first == token) {
                    steered.plan = branch.rest;
                }
            }
            // What was begun elsewhere is not what was planned here.
            Some(Item::Token(planned)) if planned != token => steered.plan.clear(),
            _ => {}
        }
        let brought = steered.track.push(self.codec, token, logprob, special)?;
        let began = brought.iter().any(|b| matches!(b, Brought::Opened(_)));
        self.show(path, brought);
        Ok(began)
    }

    fn show(&mut self, path: PathId, brought: Vec<Brought>) {
        for brought in brought {
            match brought {
                Brought::Opened(kind) => (self.watch)(path, SectionEvent::Began(kind)),
                Brought::Text(kind, text) => (self.watch)(path, SectionEvent::Text(kind, &text)),
                Brought::Closed(place) => {
                    if let Some(section) = self.paths[path].track.sections().nth(place) {
                        (self.watch)(path, SectionEvent::Ended(&section));
                    }
                }
            }
        }
    }

    /// Plans what must come next, where nothing is planned.
    fn plan(&mut self, path: PathId) -> Result<()> {
        if !self.paths[path].plan.is_empty() {
            return Ok(());
        }
        match self.paths[path].track.parser().place() {
            Place::After(last) if self.rules.wanted != Wanted::Free => self.open_next(path, last),
            // The prompt begins to reason, and nobody wants it to.
            Place::In(SectionKind::Reasoning)
                if self.rules.wanted == Wanted::Only(ResponseFormat::Direct) =>
            {
                self.close(path, SectionKind::Reasoning)
            }
            Place::In(kind) => self.jump(path, kind),
            Place::After(_) | Place::Done => Ok(()),
        }
    }

    /// Plans the tag of the section that follows `last`, or the choice between two.
    fn open_next(&mut self, path: PathId, last: Option<SectionKind>) -> Result<()> {
        let track = &self.paths[path].track;
        let held = track.parser().held().to_string();
        let between = match last {
            Some(_) if held.is_empty() && !track.ends_in_space() => self.grammar.between(),
            _ => "",
        };
        if last.is_none()
            && self.rules.wanted == Wanted::Only(ResponseFormat::Direct)
            && let (None, Some(tags)) = (
                self.grammar.tags(SectionKind::Answer),
                self.grammar.tags(SectionKind::Reasoning),
            )
        {
            // Models that reason before every answer take an empty reasoning for none (Qwen3's own way).
            let between = self.grammar.between();
            let empty = format!(
                "{}\n\n{}{between}",
                tags.open.trim_end(),
                tags.close.trim_start()
            );
            self.paths[path].plan = self.spell("", &[(SectionKind::Answer, empty)])?;
            return Ok(());
        }
        let kinds = self.choices(path, last);
        let tails = kinds.iter().map(|kind| match self.opening(*kind) {
            // An answer without tags begins by itself.
            None => (*kind, String::new()),
            Some(open)
                if open
                    .to_ascii_lowercase()
                    .starts_with(&held.to_ascii_lowercase()) =>
            {
                (*kind, format!("{between}{}", &open[held.len()..]))
            }
            Some(open) => (*kind, format!("{between}{open}")),
        });
        let tails: Vec<(SectionKind, String)> = tails.collect();
        self.paths[path].plan = self.spell(&held, &tails)?;
        Ok(())
    }

    /// In a section whose closing tag has begun and can be nothing else: plans the rest of it, and what follows.
    fn jump(&mut self, path: PathId, kind: SectionKind) -> Result<()> {
        if !self.is_closing(path, kind) || kind == SectionKind::Answer {
            return Ok(());
        }
        self.close(path, kind)
    }

    /// Whether the closing tag of `kind` has begun: packages whose model knows the tags write `</` nowhere else.
    fn is_closing(&self, path: PathId, kind: SectionKind) -> bool {
        let held = self.paths[path].track.parser().held();
        let close = self.grammar.closing(kind).unwrap_or_default();
        self.grammar.origin() == Origin::Package
            && held.len() > 1
            && close.starts_with(&held.to_ascii_lowercase())
    }

    /// Plans the closing tag of the section that runs, and what follows.
    fn close(&mut self, path: PathId, kind: SectionKind) -> Result<()> {
        let Some(tags) = self.grammar.tags(kind) else {
            return Ok(());
        };
        let held = self.paths[path].track.parser().held();
        let trimmed = tags.close.trim_start();
        let (before, rest) = if !held.is_empty()
            && trimmed
                .to_ascii_lowercase()
                .starts_with(&held.to_ascii_lowercase())
        {
            (held.to_string(), trimmed[held.len()..].to_string())
        } else if self.paths[path].track.ends_in_space() {
            (String::new(), trimmed.to_string())
        } else {
            (String::new(), tags.close.clone())
        };
        let between = self.grammar.between();
        let kinds = self.choices(path, Some(kind));
        let tails: Vec<(SectionKind, String)> = kinds
            .iter()
            .map(|next| {
                let open = self.opening(*next).unwrap_or_default();
                (*next, format!("{rest}{between}{open}"))
            })
            .collect();
        self.paths[path].plan = self.spell(&before, &tails)?;
        Ok(())
    }

    /// A section's opening tag as it is written.
    fn opening(&self, kind: SectionKind) -> Option<&'a str> {
        let grammar = self.grammar;
        grammar.tags(kind).map(|tags| tags.open.as_str())
    }

    /// The sections that may follow `last`, and those that are read beside them.
    fn choices(&self, path: PathId, last: Option<SectionKind>) -> Vec<SectionKind> {
        if self.rules.reads_after == Some(last) {
            self.any(last)
        } else {
            self.following(path, last)
        }
    }

    /// The sections that may follow `last`.
    fn following(&self, path: PathId, last: Option<SectionKind>) -> Vec<SectionKind> {
        if self.paths[path].hurried {
            return vec![SectionKind::Answer];
        }
        let Wanted::Only(format) = self.rules.wanted else {
            return self.any(last);
        };
        let sections = self.grammar.sections(format).unwrap_or_default();
        let place = match last {
            None => Some(0),
            Some(last) => sections
                .iter()
                .position(|kind| *kind == last)
                .map(|at| at + 1),
        };
        let next = place.and_then(|place| sections.get(place)).copied();
        vec![next.unwrap_or(SectionKind::Answer)]
    }

    /// The sections that may follow `last` in some format.
    fn any(&self, last: Option<SectionKind>) -> Vec<SectionKind> {
        use SectionKind::{Answer, Perception, Reasoning};
        match last {
            None if self.grammar.has(Perception) => vec![Answer, Perception],
            None | Some(Perception) if self.grammar.has(Reasoning) => vec![Answer, Reasoning],
            _ => vec![Answer],
        }
    }

    /// The tokens of the tails up to where they part, and the choice there.
    fn spell(&mut self, before: &str, tails: &[(SectionKind, String)]) -> Result<VecDeque<Item>> {
        let mut spelt = Vec::new();
        for (kind, tail) in tails {
            let ids = match tail.as_str() {
                "" => Arc::from([]),
                tail => self.spelling.tail(self.codec, before, tail)?,
            };
            let mut items: VecDeque<Item> = ids.iter().map(|&id| Item::Token(id)).collect();
            let fuses = self
                .opening(*kind)
                .is_some_and(|open| !open.ends_with(char::is_whitespace));
            if let Some(&last) = ids.last().filter(|_| fuses && ids.len() > 1) {
                let alike = self.spelling.openers(self.codec, last);
                if alike.len() > 1 {
                    items.pop_back();
                    items.push_back(Item::OneOf(alike));
                }
            }
            spelt.push((*kind, ids, items));
        }
        let Some((_, first, items)) = spelt.first() else {
            return Ok(VecDeque::new());
        };
        let [_, (_, second, _)] = &spelt[..] else {
            return Ok(items.clone());
        };
        let common = first
            .iter()
            .zip(second.iter())
            .take_while(|(a, b)| a == b)
            .count();
        let mut plan: VecDeque<Item> = first[..common].iter().map(|&id| Item::Token(id)).collect();
        let branches: Vec<Branch> = spelt
            .iter()
            .filter_map(|(kind, ids, items)| {
                Some(Branch {
                    kind: *kind,
                    first: *ids.get(common)?,
                    rest: items.iter().skip(common + 1).cloned().collect(),
                })
            })
            .collect();
        // Tags of which one begins with the other, or an answer without one: the model is free.
        if branches.len() == spelt.len() {
            plan.push_back(Item::Choice(branches));
        }
        Ok(plan)
    }

    /// Whether the section that runs must be closed, and why.
    fn must_close(
        &mut self,
        path: PathId,
        kind: SectionKind,
        loops: bool,
    ) -> Option<SectionFinish> {
        let track = &self.paths[path].track;
        // Its closing tag, and the next one's opening.
        let tags = SectionKind::ALL
            .into_iter()
            .filter_map(|k| self.grammar.tags(k));
        let tags = tags
            .map(|t| t.open.len() + t.close.len())
            .max()
            .unwrap_or(0);
        let reserve = ANSWER_TOKENS + tags.div_ceil(2);
        let is_answer = kind == SectionKind::Answer;
        if loops {
            Some(SectionFinish::Loop)
        } else if track.section_tokens() >= self.rules.caps[kind as usize] {
            Some(SectionFinish::Cap)
        } else if is_answer {
            None
        } else if self.rules.max_tokens > 2 * reserve
            && track.tokens() + reserve >= self.rules.max_tokens
        {
            Some(SectionFinish::MaxTokens)
        } else {
            let answer = self.rules.expected[SectionKind::Answer as usize] + tags.div_ceil(2);
            let late = |pace: &Pace| !pace.fits(answer, Instant::now());
            self.rules.pace.as_ref().filter(|pace| late(pace))?;
            Some(SectionFinish::Deadline)
        }
    }

    /// Tokens that a choice other than the answer is expected to take, the answer after it included.
    fn expected(&self, kind: SectionKind) -> usize {
        self.rules.expected[kind as usize] + self.rules.expected[SectionKind::Answer as usize]
    }
}

/// The read-out of a choice between the answer and something else.
fn read_out(branches: &[Branch], logits: &[f32], at_tokens: usize) -> Option<ReadOut> {
    let of = |answer: bool| {
        let mut branches = branches.iter();
        branches.find(|b| (b.kind == SectionKind::Answer) == answer)
    };
    ReadOut::of(logits, of(true)?.first, of(false)?.first, at_tokens)
}

impl TokenSource for Steering<'_> {
    fn next(&mut self, path: PathId, _tokens: &[u32]) -> Next {
        let steered = &self.paths[path];
        match steered.plan.front() {
            Some(Item::Token(token)) => Next::Spanned(*token),
            Some(Item::OneOf(_) | Item::Choice(_)) => Next::Masked,
            // Before the answer, nothing ends a response.
            None => match steered.track.parser().place() {
                Place::In(SectionKind::Perception | SectionKind::Reasoning)
                    if self.rules.wanted != Wanted::Free =>
                {
                    Next::Masked
                }
                _ => Next::Drawn,
            },
        }
    }

    fn mask(&mut self, path: PathId, _tokens: &[u32], logits: &mut [f32]) {
        let keep = |logits: &mut [f32], kept: &[(u32, f64)]| {
            let kept: Vec<(usize, f32)> = kept
                .iter()
                .filter_map(|&(id, bias)| {
                    let logit = *logits.get(id as usize)?;
                    Some((id as usize, logit + bias as f32))
                })
                .collect();
            logits.fill(f32::NEG_INFINITY);
            for (id, logit) in kept {
                logits[id] = logit;
            }
        };
        match self.paths[path].plan.front() {
            Some(Item::OneOf(ids)) => {
                let kept: Vec<(u32, f64)> = ids.iter().map(|&id| (id, 0.0)).collect();
                keep(logits, &kept);
            }
            Some(Item::Choice(branches)) => {
                let at_tokens = self.paths[path].track.tokens();
                let mut read = read_out(branches, logits, at_tokens);
                let free = self.rules.wanted == Wanted::Any;
                let other = branches
                    .iter()
                    .find(|b| free && b.kind != SectionKind::Answer);
                let bias = match (&self.rules.pace, other) {
                    (Some(pace), Some(other)) => {
                        pace.bias(self.expected(other.kind), Instant::now())
                    }
                    _ => 0.0,
                };
                // What does not fit leaves one: an infinite bias would leave no number to draw by.
                let fits = bias.is_finite();
                let sections = self.paths[path].track.parser().sections();
                let allowed = self.following(path, sections.last().copied());
                let kept: Vec<(u32, f64)> = branches
                    .iter()
                    .filter(|branch| allowed.contains(&branch.kind))
                    .filter(|branch| {
                        fits || allowed.len() == 1 || branch.kind == SectionKind::Answer
                    })
                    .map(|branch| {
                        let answers = branch.kind == SectionKind::Answer;
                        (branch.first, if answers && fits { bias } else { 0.0 })
                    })
                    .collect();
                keep(logits, &kept);
                if let Some(read) = &mut read {
                    read.deadline_bias = if fits { bias } else { f64::MAX };
                    read.after = self.paths[path].track.parser().sections().last().copied();
                    self.paths[path].read_outs.push(*read);
                }
            }
            Some(Item::Token(_)) => {}
            None => {
                for &id in self.eos_ids {
                    if let Some(logit) = logits.get_mut(id as usize) {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }

    fn taken(
        &mut self,
        path: PathId,
        tokens: &[u32],
        logprob: f32,
    ) -> Result<Option<FinishReason>> {
        let Some(&token) = tokens.last() else {
            return Ok(None);
        };
        let forced = matches!(self.paths[path].plan.front(), Some(Item::Token(_)));
        let began = self.push(path, token, (!forced).then_some(logprob))?;
        let loops = self.paths[path].track.loops(token, began);
        if let Some(pace) = &mut self.rules.pace {
            pace.took(tokens.len(), Instant::now());
        }
        let place = self.paths[path].track.parser().place();
        if place == Place::Done {
            return Ok(Some(FinishReason::Answered));
        }
        if let Place::In(kind) = place
            && self.paths[path].plan.is_empty()
        {
            if kind == SectionKind::Answer && self.is_closing(path, kind) {
                let close = self.grammar.closing(kind).unwrap_or_default();
                let held = self.paths[path].track.parser().held().len();
                let rest = close.get(held..).unwrap_or_default();
                let brought = self.paths[path].track.complete(rest);
                self.show(path, brought);
                return Ok(Some(FinishReason::Answered));
            }
            if kind == SectionKind::Reasoning && began && self.rules.stops_at_reasoning {
                return Ok(Some(FinishReason::Forced));
            }
            if let Some(finish) = self.must_close(path, kind, loops) {
                self.paths[path].track.closing(finish);
                if kind == SectionKind::Answer {
                    return Ok(Some(FinishReason::MaxTokens));
                }
                self.paths[path].hurried |=
                    matches!(finish, SectionFinish::MaxTokens | SectionFinish::Deadline);
                self.close(path, kind)?;
            }
        }
        self.plan(path)?;
        Ok(None)
    }

    fn ended(&mut self, path: PathId, finish: FinishReason) -> Result<AnswerPlace<'_>> {
        self.finish(path, finish)?;
        let answer = self.paths[path].track.answer();
        Ok(match answer {
            None => AnswerPlace::Text,
            Some(answer) if self.grammar.tags_answers() => AnswerPlace::Is(answer),
            Some(answer) => AnswerPlace::Within(answer),
        })
    }
}
