//! What a response may look like, as text: tags, their order, and how long a section may be.

use super::{ResponseFormat, SectionKind};
use crate::package::{FormatsFile, Package, SectionTags};

/// Tags of packages that say nothing else: those of AVR's released code.
const ASSUMED: [(&str, &str); 3] = [
    ("<perception>", "</perception>"),
    ("<reasoning>", "</reasoning>"),
    ("<answer>", "</answer>"),
];

/// Tags of reasoning models, one token each in their vocabularies; what follows them is the answer.
const THINKING: (&str, &str) = ("<think>", "</think>");

/// Where tags come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The package says that its model was trained to write them.
    Package,
    /// The vocabulary has the tags of reasoning models.
    Thinking,
    /// Nobody says that the model knows them.
    Assumed,
}

/// The tags of each section, and what stands between sections. Matching ignores the case of ASCII letters and the white
/// space around tags; forcing writes them as they are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grammar {
    /// By kind; an answer without tags is what follows the other sections.
    tags: [Option<SectionTags>; 3],
    /// As each is matched: opening and closing tag, without white space around, in lower case.
    matched: [Option<[String; 2]>; 3],
    between: String,
    origin: Origin,
}

impl Grammar {
    /// The grammar of `package`: its own, that of reasoning models where the vocabulary has their tags, or that of AVR.
    pub fn of(package: &Package) -> Self {
        if let Some(file) = package.formats() {
            return Self::of_file(file);
        }
        let codec = package.text();
        let one_token = |tag: &str| matches!(codec.encode(tag).as_deref(), Ok([id]) if codec.token(*id).as_deref() == Some(tag));
        if one_token(THINKING.0) && one_token(THINKING.1) {
            Self::thinking()
        } else {
            Self::assumed()
        }
    }

    /// The grammar of a package's own file.
    pub fn of_file(file: &FormatsFile) -> Self {
        let tags = [&file.perception, &file.reasoning, &file.answer].map(Clone::clone);
        Self::new(tags, &file.between, Origin::Package)
    }

    /// `<think>…</think>`, and then the answer.
    pub fn thinking() -> Self {
        let tags = SectionTags::new(THINKING.0, THINKING.1);
        Self::new([None, Some(tags), None], "\n\n", Origin::Thinking)
    }

    /// `<perception>…</perception><reasoning>…</reasoning><answer>…</answer>`.
    pub fn assumed() -> Self {
        let tags = ASSUMED.map(|(open, close)| Some(SectionTags::new(open, close)));
        Self::new(tags, "\n", Origin::Assumed)
    }

    fn new(tags: [Option<SectionTags>; 3], between: &str, origin: Origin) -> Self {
        let matched = tags.each_ref().map(|tags| {
            let tags = tags.as_ref()?;
            Some([&tags.open, &tags.close].map(|tag| tag.trim().to_ascii_lowercase()))
        });
        Self {
            tags,
            matched,
            between: between.into(),
            origin,
        }
    }

    /// Where its tags come from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The tags of a section as they are written, where it has any.
    pub fn tags(&self, kind: SectionKind) -> Option<&SectionTags> {
        self.tags[kind as usize].as_ref()
    }

    /// White space between two sections, as it is written.
    pub fn between(&self) -> &str {
        &self.between
    }

    /// Whether answers have tags.
    pub fn tags_answers(&self) -> bool {
        self.tags(SectionKind::Answer).is_some()
    }

    /// Whether a response can have this section.
    pub fn has(&self, kind: SectionKind) -> bool {
        kind == SectionKind::Answer || self.tags(kind).is_some()
    }

    /// The sections of a format, in order; `None` for a format that this grammar does not have.
    pub fn sections(&self, format: ResponseFormat) -> Option<&'static [SectionKind]> {
        use SectionKind::{Answer, Perception, Reasoning};
        match (format, self.has(Perception), self.has(Reasoning)) {
            (ResponseFormat::Direct, _, _) => Some(&[Answer]),
            (ResponseFormat::Perception, true, _) => Some(&[Perception, Answer]),
            (ResponseFormat::Full, true, true) => Some(&[Perception, Reasoning, Answer]),
            (ResponseFormat::Full, false, true) => Some(&[Reasoning, Answer]),
            _ => None,
        }
    }

    /// The format that has exactly these sections, in this order.
    pub fn format(&self, sections: &[SectionKind]) -> Option<ResponseFormat> {
        let is = |format: &ResponseFormat| self.sections(*format) == Some(sections);
        ResponseFormat::ALL.into_iter().find(is)
    }

    /// A section's opening tag, as it is matched.
    pub(super) fn opening(&self, kind: SectionKind) -> Option<&str> {
        self.matched[kind as usize]
            .as_ref()
            .map(|[open, _]| open.as_str())
    }

    /// A section's closing tag, as it is matched.
    pub(super) fn closing(&self, kind: SectionKind) -> Option<&str> {
        self.matched[kind as usize]
            .as_ref()
            .map(|[_, close]| close.as_str())
    }
}
