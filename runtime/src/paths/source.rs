//! Where a path's next token comes from.

use super::{FinishReason, PathId};
use crate::error::Result;

/// How a path comes to its next token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The sampler draws it from the model's logits.
    Drawn,
    /// The sampler draws it from logits that [`TokenSource::mask`] has seen.
    Masked,
    /// It is this one, whatever the logits.
    Forced(u32),
    /// It is this one, and the path ends with it.
    Last(u32),
    /// It is this one, and the model need not be asked before: where one path runs, it is fed in one step with the token
    /// before it. The log-probability of a token that the model was not asked for is 0.
    Spanned(u32),
}

/// Where a path's answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerPlace<'a> {
    /// The answer pattern finds it in the path's text.
    Text,
    /// The answer pattern finds it in this part of the text.
    Within(&'a str),
    /// It is this; a blank one is none.
    Is(&'a str),
}

/// Says for each path and step where the next token comes from.
pub trait TokenSource {
    /// How `path` comes to its next token, after `tokens`, its own so far.
    fn next(&mut self, path: PathId, tokens: &[u32]) -> Next;

    /// Sets the logits of tokens that `path` must not take to −∞. Called where [`Self::next`] said [`Next::Masked`]; log-
    /// probabilities stay those of the model itself.
    fn mask(&mut self, _path: PathId, _tokens: &[u32], _logits: &mut [f32]) {}

    /// `path` has taken the last of `tokens`, its own so far, whose log-probability this is. Why it ends with that, where it
    /// does.
    ///
    /// # Errors
    /// Those of the tokenizer, where it reads texts.
    fn taken(
        &mut self,
        _path: PathId,
        _tokens: &[u32],
        _logprob: f32,
    ) -> Result<Option<FinishReason>> {
        Ok(None)
    }

    /// `path` has come to its own end. Where its answer stands.
    ///
    /// # Errors
    /// Those of the tokenizer, where it reads texts.
    fn ended(&mut self, _path: PathId, _finish: FinishReason) -> Result<AnswerPlace<'_>> {
        Ok(AnswerPlace::Text)
    }
}

/// Every token is drawn.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllDrawn;

impl TokenSource for AllDrawn {
    fn next(&mut self, _path: PathId, _tokens: &[u32]) -> Next {
        Next::Drawn
    }
}

/// Every token of every path is known: path i takes those of the i-th list, which holds at least one, and ends.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a>(pub &'a [&'a [u32]]);

impl TokenSource for Known<'_> {
    fn next(&mut self, path: PathId, tokens: &[u32]) -> Next {
        match self.0[path][tokens.len()..] {
            [last] => Next::Last(last),
            [next, ..] => Next::Forced(next),
            // A path ends with its last token.
            [] => Next::Drawn,
        }
    }
}
