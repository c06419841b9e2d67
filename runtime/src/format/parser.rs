//! From a text, in whatever pieces it comes, to its sections.
//!
//! Works on text and not on tokens, so that a tag may be fused with what stands beside it. Any split of a text into pieces
//! gives the same sections.

use super::{Grammar, ResponseFormat, SectionKind};

/// Most bytes that are kept of a text outside sections, where it may turn out to be an answer whose opening tag was left out.
const STRAY_BYTES: usize = 4096;

/// What a parser has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A section begins.
    Opened(SectionKind),
    /// Its text goes on. The white space around it is left out.
    Text(SectionKind, &'a str),
    /// It ends.
    Closed(SectionKind, Closing),
}

/// By what a section ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Its closing tag.
    Tag,
    /// The opening tag of a later section.
    Omitted,
    /// The text's end.
    End,
}

/// What is wrong with a text as a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A section comes twice, or after one that it stands before.
    Order,
    /// Text outside sections.
    Stray,
}

/// Where in a response the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Outside sections, after this one.
    After(Option<SectionKind>),
    /// Inside a section.
    In(SectionKind),
    /// After the answer.
    Done,
}

/// Finds the sections of one response as its text comes.
#[derive(Debug, Clone)]
pub struct Parser<'g> {
    grammar: &'g Grammar,
    place: Place,
    /// Text that may be the beginning of a tag.
    held: String,
    /// White space that belongs to the section if text of it follows.
    space: String,
    /// Whether the section has text.
    begun: bool,
    /// Text outside sections since the last of them.
    stray: String,
    /// More text stands there than is kept.
    stray_full: bool,
    sections: Vec<SectionKind>,
    faults: Vec<Fault>,
}

impl<'g> Parser<'g> {
    /// A parser at the beginning of a response.
    pub fn new(grammar: &'g Grammar) -> Self {
        Self {
            grammar,
            place: Place::After(None),
            held: String::new(),
            space: String::new(),
            begun: false,
            stray: String::new(),
            stray_full: false,
            sections: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Takes the text that follows.
    pub fn push(&mut self, text: &str, found: &mut dyn FnMut(Piece<'_>)) {
        self.held.push_str(text);
        while self.step(found) {}
    }

    /// The text has ended.
    pub fn finish(&mut self, found: &mut dyn FnMut(Piece<'_>)) {
        let rest = std::mem::take(&mut self.held);
        match self.place {
            Place::In(kind) => {
                self.body(kind, &rest, found);
                self.close(kind, Closing::End, found);
                self.place = Place::Done;
            }
            Place::After(_) if !self.grammar.tags_answers() && !rest.trim().is_empty() => {
                self.open(SectionKind::Answer, found);
                self.body(SectionKind::Answer, &rest, found);
                self.close(SectionKind::Answer, Closing::End, found);
                self.place = Place::Done;
            }
            Place::After(_) | Place::Done => self.outside(&rest),
        }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Text that has come and may yet be the beginning of a tag.
    pub fn held(&self) -> &str {
        &self.held
    }

    /// The sections so far, in the order in which they began.
    pub fn sections(&self) -> &[SectionKind] {
        &self.sections
    }

    /// What is wrong with the text, each once.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The response's format: `None` where sections are missing or out of order, or text stands outside them.
    pub fn format(&self) -> Option<ResponseFormat> {
        if !self.faults.is_empty() {
            return None;
        }
        self.grammar.format(&self.sections)
    }

    /// Goes on by one tag, or to where a tag may begin. Whether there is more to do.
    fn step(&mut self, found: &mut dyn FnMut(Piece<'_>)) -> bool {
        match self.place {
            Place::In(kind) => self.inside(kind, found),
            Place::After(_) if !self.grammar.tags_answers() => self.before_untagged(found),
            Place::After(_) => self.before(found),
            Place::Done => {
                let rest = std::mem::take(&mut self.held);
                self.outside(&rest);
                false
            }
        }
    }

    /// In a section: its closing tag, or the opening tag of a later one.
    fn inside(&mut self, kind: SectionKind, found: &mut dyn FnMut(Piece<'_>)) -> bool {
        let grammar = self.grammar;
        let later = SectionKind::ALL.into_iter().filter(|later| *later > kind);
        let tags = grammar.closing(kind).map(|tag| (tag, None)).into_iter();
        let tags = tags.chain(later.filter_map(|k| Some((grammar.opening(k)?, Some(k)))));
        match first_of(&self.held, tags) {
            Found::Tag { at, len, of } => {
                let held = std::mem::take(&mut self.held);
                self.body(kind, &held[..at], found);
                self.held.push_str(&held[at + len..]);
                match of {
                    None => {
                        self.close(kind, Closing::Tag, found);
                        self.place = match kind {
                            SectionKind::Answer => Place::Done,
                            _ => Place::After(Some(kind)),
                        };
                    }
                    Some(next) => {
                        self.close(kind, Closing::Omitted, found);
                        self.open(next, found);
                    }
                }
                true
            }
            Found::Until(at) => {
                let text: String = self.held.drain(..at).collect();
                self.body(kind, &text, found);
                false
            }
        }
    }

    /// Outside sections: the next opening tag, or the closing tag of an answer that was never opened.
    fn before(&mut self, found: &mut dyn FnMut(Piece<'_>)) -> bool {
        let grammar = self.grammar;
        let opening = SectionKind::ALL.into_iter();
        let tags = opening.filter_map(|kind| Some((grammar.opening(kind)?, Some(kind))));
        let tags = tags.chain(grammar.closing(SectionKind::Answer).map(|tag| (tag, None)));
        match first_of(&self.held, tags) {
            Found::Tag { at, len, of } => {
                let held = std::mem::take(&mut self.held);
                self.outside(&held[..at]);
                self.held.push_str(&held[at + len..]);
                match of {
                    Some(kind) => self.open(kind, found),
                    None => {
                        let stray = std::mem::take(&mut self.stray);
                        if !stray.trim().is_empty() {
                            self.open(SectionKind::Answer, found);
                            self.body(SectionKind::Answer, &stray, found);
                            self.close(SectionKind::Answer, Closing::Tag, found);
                            self.place = Place::Done;
                        }
                    }
                }
                true
            }
            Found::Until(at) => {
                let text: String = self.held.drain(..at).collect();
                self.outside(&text);
                false
            }
        }
    }

    /// Outside sections, where answers have no tags: an opening tag, or else the answer.
    fn before_untagged(&mut self, found: &mut dyn FnMut(Piece<'_>)) -> bool {
        let space = self.held.len() - self.held.trim_start().len();
        self.held.drain(..space);
        if self.held.is_empty() {
            return false;
        }
        let Place::After(last) = self.place else {
            return false;
        };
        let kinds = SectionKind::ALL.into_iter();
        for kind in kinds.filter(|kind| last.is_none_or(|last| *kind > last)) {
            let Some(tag) = self.grammar.opening(kind) else {
                continue;
            };
            let there = self.held.len().min(tag.len());
            if begins(self.held.as_bytes(), &tag.as_bytes()[..there]) {
                if there < tag.len() {
                    return false;
                }
                self.held.drain(..tag.len());
                self.open(kind, found);
                return true;
            }
        }
        self.open(SectionKind::Answer, found);
        true
    }

    fn open(&mut self, kind: SectionKind, found: &mut dyn FnMut(Piece<'_>)) {
        if self.sections.iter().any(|before| *before >= kind) {
            self.fault(Fault::Order);
        }
        // A model may open sections without end.
        if self.sections.len() <= SectionKind::ALL.len() {
            self.sections.push(kind);
        }
        self.place = Place::In(kind);
        self.begun = false;
        self.space.clear();
        self.stray.clear();
        self.stray_full = false;
        found(Piece::Opened(kind));
    }

    fn close(&mut self, kind: SectionKind, by: Closing, found: &mut dyn FnMut(Piece<'_>)) {
        self.space.clear();
        found(Piece::Closed(kind, by));
    }

    /// Text of a section, without the white space around it.
    fn body(&mut self, kind: SectionKind, text: &str, found: &mut dyn FnMut(Piece<'_>)) {
        let text = if self.begun { text } else { text.trim_start() };
        let end = text.trim_end().len();
        if end > 0 {
            if !self.space.is_empty() {
                found(Piece::Text(kind, &self.space));
                self.space.clear();
            }
            found(Piece::Text(kind, &text[..end]));
            self.begun = true;
        }
        self.space.push_str(&text[end..]);
    }

    /// Text outside sections.
    fn outside(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.fault(Fault::Stray);
        }
        for c in text.chars() {
            self.stray_full |= self.stray.len() + c.len_utf8() > STRAY_BYTES;
            if self.stray_full {
                break;
            }
            self.stray.push(c);
        }
    }

    fn fault(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

/// What of a text can be told.
enum Found {
    /// The first tag.
    Tag {
        at: usize,
        len: usize,
        of: Option<SectionKind>,
    },
    /// There is none, and none can begin before this byte.
    Until(usize),
}

/// The first of `tags` in `text`. No tag holds another, so that none can be told before one that begins earlier.
fn first_of<'a>(text: &str, tags: impl Iterator<Item = (&'a str, Option<SectionKind>)>) -> Found {
    let bytes = text.as_bytes();
    let mut first: Option<(usize, usize, Option<SectionKind>)> = None;
    let mut until = text.len();
    for (tag, of) in tags {
        let wanted = tag.as_bytes();
        for at in 0..bytes.len() {
            let there = (bytes.len() - at).min(wanted.len());
            if !begins(&bytes[at..], &wanted[..there]) {
                continue;
            }
            if there < wanted.len() {
                until = until.min(at);
            } else if first.is_none_or(|(before, ..)| at < before) {
                first = Some((at, wanted.len(), of));
            }
            break;
        }
    }
    match first {
        Some((at, len, of)) => Found::Tag { at, len, of },
        None => Found::Until(until),
    }
}

/// Whether `text` begins with `tag`, which has no capital letters, in any case of its letters.
fn begins(text: &[u8], tag: &[u8]) -> bool {
    text.get(..tag.len())
        .is_some_and(|text| text.eq_ignore_ascii_case(tag))
}

#[cfg(test)]
mod tests;
