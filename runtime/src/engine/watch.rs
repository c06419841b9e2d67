//! From a launch's tokens to texts, answers and events.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::generate::DecoderPlan;
use crate::package::TextCodec;
use crate::paths::{CachedPaths, CheckTaken, PathId, PathText, ReasoningPath, Stop, Watch};
use crate::reading::{AnswerReader, FoundAnswer};

/// What happens while a question is answered.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Keys, values and logits as they will be, before they are allocated.
    Planned(&'a DecoderPlan),
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
    /// The cache at one of [`super::AskOptions::show_kv_at`].
    Cached(CachedPaths<'a>),
    /// Paths were scored, and some perhaps dropped.
    Checked {
        /// What the check did.
        check: &'a CheckTaken,
        /// Every path as it is now, by number: those that it scored have its score last.
        paths: &'a [ReasoningPath],
    },
}

/// Turns a launch's tokens into texts as they come.
pub(super) struct Reader<'a> {
    pub(super) codec: &'a TextCodec,
    pub(super) stops: &'a [String],
    pub(super) reader: Option<&'a AnswerReader>,
    pub(super) on_event: &'a mut dyn FnMut(Event<'_>),
    /// The question's beginning.
    pub(super) clock: Instant,
    /// When the first token of any path was drawn.
    pub(super) first_token: Option<Duration>,
    /// Each path's text so far.
    pub(super) texts: Vec<PathText>,
    /// What finished paths answered.
    pub(super) answers: Vec<Option<String>>,
}

impl Reader<'_> {
    /// Shows what was held back of a path's text: nothing more will come.
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`] where a token cannot be decoded.
    pub(super) fn close(&mut self, path: PathId) -> Result<()> {
        let rest = self.texts[path].finish(self.codec, self.stops)?;
        if !rest.is_empty() {
            (self.on_event)(Event::Text { path, text: rest });
        }
        Ok(())
    }
}

impl Watch for Reader<'_> {
    fn token(&mut self, path: PathId, token: u32) -> Result<Stop> {
        self.first_token.get_or_insert_with(|| self.clock.elapsed());
        let (text, stopped) = self.texts[path].push(self.codec, token, self.stops)?;
        if !text.is_empty() {
            (self.on_event)(Event::Text { path, text });
        }
        (self.on_event)(Event::Token { path });
        Ok(if stopped {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn finished(&mut self, path: PathId) -> Result<Option<FoundAnswer>> {
        self.close(path)?;
        let answer = self
            .reader
            .and_then(|reader| reader.read(self.texts[path].text()));
        self.answers[path] = answer.as_ref().map(|answer| answer.text().to_string());
        Ok(answer)
    }

    fn cached(&mut self, paths: CachedPaths<'_>) {
        (self.on_event)(Event::Cached(paths));
    }

    fn checked(&mut self, check: &CheckTaken, paths: &[ReasoningPath]) {
        (self.on_event)(Event::Checked { check, paths });
    }
}
