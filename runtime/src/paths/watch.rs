//! Watch: what can be seen of a launch while it runs.

use serde::Serialize;

use super::{PathId, ReasoningPath};
use crate::kv::KvCache;

/// Sees what happens during a launch, and changes nothing.
pub trait Watch {
    /// A path's text goes on.
    fn text(&mut self, _path: PathId, _text: &str) {}

    /// A path has taken a token.
    fn token(&mut self, _path: PathId, _token: u32) {}

    /// So many tokens of each path are cached as [`super::Launch::show_kv_at`] names.
    fn cached(&mut self, _paths: CachedPaths<'_>) {}

    /// A check is over.
    fn checked(&mut self, _check: &CheckTaken, _paths: &[ReasoningPath]) {}
}

/// Nobody looks.
impl Watch for () {}

/// The cache when `at_tokens` tokens of each path are in it.
#[derive(Clone, Copy)]
pub struct CachedPaths<'a> {
    /// Positions of the prompt, before those of the paths.
    pub prompt_tokens: usize,
    /// Generated tokens cached of each path.
    pub at_tokens: usize,
    /// The path of each row. Those that have no more tokens than this, or were dropped before, have left.
    pub rows: &'a [PathId],
    /// Keys and values.
    pub kv: &'a KvCache,
}

impl std::fmt::Debug for CachedPaths<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedPaths")
            .field("prompt_tokens", &self.prompt_tokens)
            .field("at_tokens", &self.at_tokens)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// What a check took and did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckTaken {
    /// Which check, from 0.
    pub check: usize,
    /// Generated tokens of each path that it saw.
    pub at_tokens: usize,
    /// Paths that it scored.
    pub scored: usize,
    /// Of these, those that went on.
    pub kept: usize,
    /// What it scored them by.
    pub signal: String,
    /// Whether its scores are probabilities that a path is right.
    pub calibrated: bool,
    /// Scoring, in milliseconds.
    pub score_ms: f64,
    /// Moving kept rows together and giving back the memory of the others, in milliseconds.
    pub compact_ms: f64,
    /// Bytes of KV cache given back.
    pub released_bytes: u64,
}
