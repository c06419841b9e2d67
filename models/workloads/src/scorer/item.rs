//! One question with its answer.

use std::borrow::Cow;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::Scorer;

/// One question of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its name: no other item of the workload has it, in either part.
    pub id: String,
    /// What must not stand in both parts, such as the operation and its operands: items of one group are one question
    /// in different words. Without it, the item is a group of its own.
    pub group: Option<String>,
    /// The question, without its choices.
    pub question: String,
    /// The image it is about.
    pub image: Option<PathBuf>,
    /// The answers to choose from; empty for an open question.
    pub choices: Vec<String>,
    /// The right answer, or several that are right. Never empty.
    pub answer: Vec<String>,
    /// How it is graded, where that differs from the workload's own scorer.
    pub scorer: Option<Scorer>,
}

impl Item {
    /// What the model is asked: the question, and below it the choices with a letter each.
    pub fn asked(&self) -> Cow<'_, str> {
        if self.choices.is_empty() {
            return Cow::Borrowed(&self.question);
        }
        let mut text = self.question.clone();
        for (letter, choice) in ('A'..='Z').zip(&self.choices) {
            text.push_str(&format!("\n{letter}. {choice}"));
        }
        Cow::Owned(text)
    }

    /// The seed that this item's paths are drawn with in a run of `seed`. Items draw independently of each other, whatever
    /// stands before them in the workload: with one seed for all, path 3 would draw the same numbers at every question.
    pub fn seed(&self, seed: u64) -> u64 {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(self.id.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        u64::from_le_bytes(first)
    }

    /// What counts as one independent question: the group, or the item itself.
    pub fn unit(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.id)
    }
}
