//! What happens while a question is answered.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::answer::Escalation;
use crate::format::SectionEvent;
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
    /// A path's text goes on, where it is no response with sections.
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
    /// A section of a path's response begins, goes on or has ended.
    Section {
        /// The path.
        path: PathId,
        /// What happens.
        section: &'a SectionEvent<'a>,
    },
    /// An answer of the cascade was not accepted: what comes is path 0's anew, but for its perception where it had one.
    Escalated(&'a Escalation),
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
pub(super) struct Events<'a, 'f> {
    on_event: &'a RefCell<&'f mut dyn FnMut(Event<'_>)>,
    /// The question's beginning.
    clock: Instant,
    /// Texts are told section by section.
    sections: bool,
    /// From there to the first token of any path.
    pub(super) first_token: Option<Duration>,
}

impl<'a, 'f> Events<'a, 'f> {
    pub(super) fn new(
        on_event: &'a RefCell<&'f mut dyn FnMut(Event<'_>)>,
        clock: Instant,
        sections: bool,
    ) -> Self {
        Self {
            on_event,
            clock,
            sections,
            first_token: None,
        }
    }
}

impl Watch for Events<'_, '_> {
    fn text(&mut self, path: PathId, text: &str) {
        if !self.sections {
            (self.on_event.borrow_mut())(Event::Text { path, text });
        }
    }

    fn token(&mut self, path: PathId, _token: u32) {
        self.first_token.get_or_insert_with(|| self.clock.elapsed());
        (self.on_event.borrow_mut())(Event::Token { path });
    }

    fn cached(&mut self, paths: CachedPaths<'_>) {
        (self.on_event.borrow_mut())(Event::Cached(paths));
    }

    fn checked(&mut self, check: &CheckTaken, paths: &[ReasoningPath]) {
        (self.on_event.borrow_mut())(Event::Checked { check, paths });
    }
}
