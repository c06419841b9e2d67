//! The plan of a path: which tokens come next, where a format says it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{ANSWER_TOKENS, Branch, Item, Steering, Wanted};
use crate::error::Result;
use crate::format::pace::Pace;
use crate::format::{Origin, Place, ResponseFormat, SectionFinish, SectionKind};
use crate::paths::PathId;

impl<'a> Steering<'a> {
    /// Plans what must come next, where nothing is planned.
    pub(super) fn plan(&mut self, path: PathId) -> Result<()> {
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
    pub(super) fn jump(&mut self, path: PathId, kind: SectionKind) -> Result<()> {
        if !self.is_closing(path, kind) || kind == SectionKind::Answer {
            return Ok(());
        }
        self.close(path, kind)
    }

    /// Whether the closing tag of `kind` has begun: packages whose model knows the tags write `</` nowhere else.
    pub(super) fn is_closing(&self, path: PathId, kind: SectionKind) -> bool {
        let held = self.paths[path].track.parser().held();
        let close = self.grammar.closing(kind).unwrap_or_default();
        self.grammar.origin() == Origin::Package
            && held.len() > 1
            && close.starts_with(&held.to_ascii_lowercase())
    }

    /// Plans the closing tag of the section that runs, and what follows.
    pub(super) fn close(&mut self, path: PathId, kind: SectionKind) -> Result<()> {
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
    pub(super) fn choices(&self, path: PathId, last: Option<SectionKind>) -> Vec<SectionKind> {
        if self.rules.reads_after == Some(last) {
            self.any(last)
        } else {
            self.following(path, last)
        }
    }

    /// The sections that may follow `last`.
    pub(super) fn following(&self, path: PathId, last: Option<SectionKind>) -> Vec<SectionKind> {
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
    pub(super) fn must_close(
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
    pub(super) fn expected(&self, kind: SectionKind) -> usize {
        self.rules.expected[kind as usize] + self.rules.expected[SectionKind::Answer as usize]
    }
}
