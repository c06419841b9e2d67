//! Caps of sections.

/// Most tokens of each section, tags included; `None`: the package's own, or curt's (192, 512, 32). An answer without tags
/// has no cap of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SectionCaps {
    /// Of perception.
    pub perception: Option<usize>,
    /// Of reasoning.
    pub reasoning: Option<usize>,
    /// Of the answer.
    pub answer: Option<usize>,
}

impl SectionCaps {
    /// Whether nothing is said.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The fields that set them, in the order of sections.
    pub(super) fn fields(self) -> [(&'static str, Option<usize>); 3] {
        [
            ("perception_tokens", self.perception),
            ("reasoning_tokens", self.reasoning),
            ("answer_tokens", self.answer),
        ]
    }
}
