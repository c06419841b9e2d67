//! One response as its tokens come: its text, its sections, and what they cost.

use std::time::Instant;

use super::loops::Loops;
use super::{Closing, Grammar, Parser, Piece, Place, Section, SectionFinish, SectionKind};
use crate::error::Result;
use crate::package::{TextCodec, TextStream};

/// What a token brought, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Brought {
    /// A section began.
    Opened(SectionKind),
    /// Its text went on.
    Text(SectionKind, String),
    /// The section at this place ended.
    Closed(usize),
}

/// A section under way, or ended.
#[derive(Debug, Clone)]
struct Draft {
    section: Section,
    begun: Instant,
    /// It has ended, its last tokens apart.
    closed: bool,
    logprob: LogProbs,
}

/// Log-probabilities of drawn tokens that hold a section's text, or ended it.
#[derive(Debug, Clone, Copy)]
struct LogProbs {
    count: usize,
    sum: f64,
    least: f64,
}

/// A response as its tokens come.
pub(super) struct Track<'g> {
    parser: Parser<'g>,
    stream: TextStream,
    /// Bytes of the stream's text that the parser has.
    given: usize,
    drafts: Vec<Draft>,
    /// Log-probability of each token that was drawn.
    logprobs: Vec<Option<f32>>,
    /// Tokens between sections, which go to the next: drawn and forced.
    pending: [usize; 2],
    loops: Loops,
    finished: bool,
}

impl<'g> Track<'g> {
    pub(super) fn new(grammar: &'g Grammar) -> Self {
        Self {
            parser: Parser::new(grammar),
            stream: TextStream::default(),
            given: 0,
            drafts: Vec::new(),
            logprobs: Vec::new(),
            pending: [0; 2],
            loops: Loops::default(),
            finished: false,
        }
    }

    /// The prompt ends with this text of the response.
    pub(super) fn prompted(&mut self, text: &str) {
        self.read(text);
    }

    /// Takes a token. `logprob`: its own, where it was drawn. `special`: its text, where it is a special token that stands in
    /// a tag.
    pub(super) fn push(
        &mut self,
        codec: &TextCodec,
        token: u32,
        logprob: Option<f32>,
        special: Option<&str>,
    ) -> Result<Vec<Brought>> {
        self.stream.push(codec, token)?;
        let new = self.stream.text()[self.given..].to_string();
        self.given = self.stream.text().len();
        let before = self.parser.place();
        let sections = self.drafts.len();
        let mut brought = self.read(&new);
        if let Some(text) = special {
            brought.extend(self.read(text));
        }
        self.count(before, sections, logprob, &brought);
        self.logprobs.push(logprob);
        Ok(brought)
    }

    /// Gives a text to the parser, and what it finds to the drafts.
    fn read(&mut self, text: &str) -> Vec<Brought> {
        let mut brought = Vec::new();
        let (drafts, at) = (
            &mut self.drafts,
            self.logprobs.len() - self.pending.iter().sum::<usize>(),
        );
        self.parser
            .push(text, &mut |piece| take(drafts, at, piece, &mut brought));
        brought
    }

    /// Counts the token that was taken.
    fn count(&mut self, before: Place, sections: usize, logprob: Option<f32>, brought: &[Brought]) {
        let forced = usize::from(logprob.is_none());
        let opened = self.drafts.len() > sections;
        let closed = brought.iter().any(|b| matches!(b, Brought::Closed(_)));
        let belongs = opened || closed || matches!(before, Place::In(_)) || before == Place::Done;
        let Some(draft) = self.drafts.last_mut().filter(|_| belongs) else {
            self.pending[forced] += 1;
            return;
        };
        let waited: usize = self.pending.iter().sum();
        draft.section.tokens += 1 + waited;
        draft.section.forced_tokens += forced + self.pending[1];
        self.pending = [0; 2];
        let end = self.logprobs.len() + 1;
        draft.section.range.end = end;
        draft.section.ms = draft.begun.elapsed().as_secs_f64() * 1e3;
        if let Some(logprob) = logprob {
            let kind = draft.section.kind;
            let text = brought
                .iter()
                .any(|b| matches!(b, Brought::Text(of, _) if *of == kind));
            // The token that may end it, or does.
            let ends = before == Place::In(kind) && (closed || !self.parser.held().is_empty());
            if text || ends {
                draft.logprob.take(f64::from(logprob));
            }
        }
    }

    /// The response has ended; `finish`: how its last section did, where it has not ended by itself.
    pub(super) fn finish(
        &mut self,
        codec: &TextCodec,
        finish: SectionFinish,
    ) -> Result<Vec<Brought>> {
        let mut brought = Vec::new();
        if std::mem::replace(&mut self.finished, true) {
            return Ok(brought);
        }
        let stand = self.stream.finish(codec)?;
        if stand >= self.given {
            let rest = self.stream.text()[self.given..].to_string();
            brought = self.read(&rest);
        }
        let (drafts, at) = (&mut self.drafts, self.logprobs.len());
        // Part of a closing tag is none of the section's text.
        self.parser
            .finish(&mut |piece| take(drafts, at, piece, &mut brought));
        let waited: usize = self.pending.iter().sum();
        if let Some(draft) = self.drafts.last_mut() {
            draft.section.tokens += waited;
            draft.section.forced_tokens += self.pending[1];
            draft.section.range.end = self.logprobs.len();
            self.pending = [0; 2];
            if draft.section.finish == SectionFinish::End {
                draft.section.finish = finish;
            }
        }
        Ok(brought)
    }

    /// What is left of a closing tag is taken for written.
    pub(super) fn complete(&mut self, rest: &str) -> Vec<Brought> {
        self.read(rest)
    }

    /// Notes how the section that runs is being closed, which its tag does not show.
    pub(super) fn closing(&mut self, finish: SectionFinish) {
        if let Some(draft) = self.drafts.last_mut().filter(|draft| !draft.closed) {
            draft.section.finish = finish;
        }
    }

    /// Whether the section that runs repeats itself with `token`.
    pub(super) fn loops(&mut self, token: u32, new_section: bool) -> bool {
        if new_section {
            self.loops.restart();
        }
        self.loops.push(token)
    }

    pub(super) fn parser(&self) -> &Parser<'g> {
        &self.parser
    }

    /// The text so far.
    pub(super) fn text(&self) -> &str {
        self.stream.text()
    }

    /// The text so far ends in white space.
    pub(super) fn ends_in_space(&self) -> bool {
        self.stream.text().ends_with(char::is_whitespace)
    }

    /// Tokens in all.
    pub(super) fn tokens(&self) -> usize {
        self.logprobs.len()
    }

    /// Log-probability of each token that was drawn; none of those that were forced.
    pub(super) fn logprobs(&self) -> &[Option<f32>] {
        &self.logprobs
    }

    /// Tokens of the section that runs.
    pub(super) fn section_tokens(&self) -> usize {
        self.drafts.last().map_or(0, |draft| draft.section.tokens)
    }

    /// The sections so far.
    pub(super) fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        self.drafts.iter().map(|draft| {
            let n = draft.logprob.count;
            Section {
                mean_logprob: (n > 0).then(|| draft.logprob.sum / n as f64),
                min_logprob: (n > 0).then_some(draft.logprob.least),
                ..draft.section.clone()
            }
        })
    }

    /// The text of the answer section, where there is one.
    pub(super) fn answer(&self) -> Option<&str> {
        let mut drafts = self.drafts.iter();
        let draft = drafts.find(|draft| draft.section.kind == SectionKind::Answer);
        draft.map(|draft| draft.section.text.as_str())
    }
}

impl LogProbs {
    fn take(&mut self, logprob: f64) {
        self.count += 1;
        self.sum += logprob;
        self.least = self.least.min(logprob);
    }
}

/// Takes what the parser found into the drafts.
fn take(drafts: &mut Vec<Draft>, at: usize, piece: Piece<'_>, brought: &mut Vec<Brought>) {
    match piece {
        Piece::Opened(kind) => {
            drafts.push(Draft {
                section: Section {
                    kind,
                    text: String::new(),
                    tokens: 0,
                    forced_tokens: 0,
                    ms: 0.0,
                    finish: SectionFinish::End,
                    mean_logprob: None,
                    min_logprob: None,
                    range: at..at,
                },
                begun: Instant::now(),
                closed: false,
                logprob: LogProbs {
                    count: 0,
                    sum: 0.0,
                    least: 0.0,
                },
            });
            brought.push(Brought::Opened(kind));
        }
        Piece::Text(kind, text) => {
            if let Some(draft) = drafts.last_mut() {
                draft.section.text.push_str(text);
            }
            brought.push(Brought::Text(kind, text.into()));
        }
        Piece::Closed(_, by) => {
            if let Some(draft) = drafts.last_mut() {
                draft.closed = true;
                if draft.section.finish == SectionFinish::End {
                    draft.section.finish = match by {
                        Closing::Tag => SectionFinish::Closed,
                        Closing::Omitted => SectionFinish::Omitted,
                        Closing::End => SectionFinish::End,
                    };
                }
            }
            if let Some(last) = drafts.len().checked_sub(1) {
                brought.push(Brought::Closed(last));
            }
        }
    }
}
