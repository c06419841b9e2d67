//! What happens while a question is answered.

use std::time::{Duration, Instant};

use crate::generate::DecoderPlan;
use crate::paths::{CachedPaths, CheckTaken, PathId, ReasoningPath, Watch};

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
    /// A path has taken a token.
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

/// Hands on what happens in a launch as events.
pub(super) struct Events<'a> {
    on_event: &'a mut dyn FnMut(Event<'_>),
    /// The question's beginning.
    clock: Instant,
    /// From there to the first token of any path.
    pub(super) first_token: Option<Duration>,
}

impl<'a> Events<'a> {
    pub(super) fn new(on_event: &'a mut dyn FnMut(Event<'_>), clock: Instant) -> Self {
        Self {
            on_event,
            clock,
            first_token: None,
        }
    }
}

impl Watch for Events<'_> {
    fn text(&mut self, path: PathId, text: &str) {
        (self.on_event)(Event::Text { path, text });
    }

    fn token(&mut self, path: PathId, _token: u32) {
        self.first_token.get_or_insert_with(|| self.clock.elapsed());
        (self.on_event)(Event::Token { path });
    }

    fn cached(&mut self, paths: CachedPaths<'_>) {
        (self.on_event)(Event::Cached(paths));
    }

    fn checked(&mut self, check: &CheckTaken, paths: &[ReasoningPath]) {
        (self.on_event)(Event::Checked { check, paths });
    }
}
