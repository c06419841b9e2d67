//! Steering: which tokens of a response are forced, masked or drawn, so that it has a format and comes to an answer.
//!
//! Deterministic spans are forced, the choice between two sections is masked to the tokens in which their tags part, and the
//! rest is drawn. A section that reaches its cap, repeats itself, or for which no time or tokens are left, is closed, and what
//! follows is opened, so that there is an answer in any case.

mod plan;
mod source;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::pace::Pace;
use super::spelling::Spelling;
use super::track::{Brought, Track};
use super::{Grammar, ReadOut, ResponseFormat, Section, SectionFinish, SectionKind};
use crate::error::Result;
use crate::package::TextCodec;
use crate::paths::{FinishReason, PathId};

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
}
