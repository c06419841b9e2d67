//! Rebuild: the cache of paths whose tokens are known, as it stood while they were drawn.

use super::launch::validate_ascending;
use super::{CachedPaths, Ending, Known, Launch, PathId, Watch, launch};
use crate::error::{Error, Result};
use crate::generate::{Decoder, Sampling};
use crate::session::CancelToken;

/// Launches `paths` with every token forced, from `prompt` cached in row 0: keys and values equal those of the live run bit
/// for bit, where rows do not depend on their batch.
///
/// `visit` sees the cache at each of `at_tokens`, ascending. A path leaves with its last token, which no live run caches.
///
/// # Errors
/// [`Error::Option`] for lengths that do not ascend from 1 up, those of [`launch`] and of `visit`.
pub fn rebuild(
    decoder: &mut Decoder,
    prompt: &[u32],
    paths: &[&[u32]],
    at_tokens: &[usize],
    visit: &mut dyn FnMut(CachedPaths<'_>) -> Result<()>,
) -> Result<()> {
    validate_ascending("at_tokens", at_tokens)?;
    // Its own: where `visit` fails, it ends this launch and no other.
    let cancel = &CancelToken::new();
    // Of a path of one token nothing is ever cached, and after the last length nobody looks.
    let last = at_tokens.last().copied().unwrap_or(0);
    let numbers: Vec<PathId> = (0..paths.len()).filter(|&p| paths[p].len() > 1).collect();
    let known: Vec<&[u32]> = numbers
        .iter()
        .map(|&p| &paths[p][..paths[p].len().min(last.saturating_add(1))])
        .collect();
    let longest = known.iter().map(|path| path.len()).max().unwrap_or(0);
    if longest < 2 {
        return Ok(());
    }
    let launched = Launch {
        paths: known.len(),
        prompt,
        sampling: Sampling::default(),
        seed: 0,
        max_tokens: longest,
        context_tokens: prompt.len() + longest,
        eos_ids: &[],
        reading: None,
        checks: &[],
        show_kv_at: at_tokens,
        ending: Ending::default(),
        cancel,
    };
    let mut visitor = Visitor {
        numbers: &numbers,
        rows: Vec::with_capacity(known.len()),
        visit,
        cancel,
        failed: None,
    };
    let launched = launch(decoder, &launched, &mut Known(&known), &mut visitor)?;
    match visitor.failed {
        Some(error) => Err(error),
        None => launched.whole().map(|_| ()),
    }
}

/// Hands the cache on under the numbers that the caller knows, and ends the launch where the caller fails.
struct Visitor<'a> {
    numbers: &'a [PathId],
    rows: Vec<PathId>,
    visit: &'a mut dyn FnMut(CachedPaths<'_>) -> Result<()>,
    cancel: &'a CancelToken,
    failed: Option<Error>,
}

impl Watch for Visitor<'_> {
    fn cached(&mut self, paths: CachedPaths<'_>) {
        self.rows.clear();
        self.rows
            .extend(paths.rows.iter().map(|&row| self.numbers[row]));
        let paths = CachedPaths {
            rows: &self.rows,
            ..paths
        };
        if let Err(error) = (self.visit)(paths) {
            self.failed = Some(error);
            self.cancel.cancel();
        }
    }
}
