//! Kinds of answers: which of them are the same.

use serde::{Deserialize, Serialize};

use super::composed::composed;
use super::loose::loose;
use super::{Number, choice, number, words};

/// What kind of thing an answer is.
///
/// In a prompt file: `answer_kind = "number"`, or `answer_kind = { choice = ["red", "blue"] }`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// The same text is the same answer, white space apart, however its characters are [`composed`](super::composed).
    #[default]
    Text,
    /// As [`Self::Text`], and neither capitals count nor what stands around it: quotes, emphasis, a full stop. Signs that can
    /// be part of it do: `n!` is not `n`.
    IgnoreCase,
    /// The same number is the same answer, however it is written: 18, $18.00, 1.8e1. A tolerance grades answers and does not
    /// join them: it would make 1 and 3 the same by way of 2.
    Number,
    /// The letter of a choice, with or without what it stands for: B, (b), "B. two".
    Letter,
    /// One of these choices, by its letter or in full.
    Choice(Vec<String>),
}

/// An answer as it was found, and as equal answers are all written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAnswer {
    text: String,
    canonical: String,
}

impl FoundAnswer {
    /// As it was found, with single spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The form that it shares with every answer that is the same.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Whether both say the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl AnswerKind {
    /// The one form of all answers that are the same as `text`: two answers are the same where these are equal. A text that
    /// is none of this kind stands for itself.
    pub fn canonical(&self, text: &str) -> String {
        let text = composed(text);
        let text = text.as_ref();
        let read = match self {
            AnswerKind::Text => None,
            AnswerKind::IgnoreCase => Some(loose(text)),
            AnswerKind::Number => Number::read(text).map(|n| n.to_string()),
            AnswerKind::Letter => choice::letter(text).map(String::from),
            AnswerKind::Choice(choices) => choice(text, choices).map(|i| format!("choice {i}")),
        };
        // What could not be read must not look like what was.
        let marked = |text: String| match self {
            AnswerKind::Number | AnswerKind::Letter | AnswerKind::Choice(_) => format!("\"{text}"),
            _ => text,
        };
        read.unwrap_or_else(|| marked(words(text)))
    }

    /// An answer of this kind.
    pub fn found(&self, text: &str) -> FoundAnswer {
        FoundAnswer {
            canonical: self.canonical(text),
            text: words(text),
        }
    }

    /// Whether `text` says an answer of this kind.
    pub(super) fn reads(&self, text: &str) -> bool {
        match self {
            AnswerKind::Text | AnswerKind::IgnoreCase => true,
            AnswerKind::Number => number(text).is_some(),
            AnswerKind::Letter => choice::letter(text).is_some(),
            AnswerKind::Choice(choices) => choice(text, choices).is_some(),
        }
    }
}
