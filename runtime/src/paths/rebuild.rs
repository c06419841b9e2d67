//! Rebuild: the cache of paths whose tokens are known, as it stood while they were drawn.

use super::{CachedPaths, PathId};
use crate::error::Result;
use crate::generate::Decoder;
use crate::session::CancelToken;

/// Feeds `paths` to the decoder in lockstep, from the prompt cached in row 0, each path leaving at its last token, as in
/// [`super::launch`]: keys and values equal those of the live run bit for bit, where rows do not depend on their batch.
///
/// `visit` sees the cache at each of `at_tokens`, ascending.
///
/// # Errors
/// Those of [`Decoder::step`] and of `visit`.
pub fn rebuild(
    decoder: &mut Decoder,
    paths: &[&[u32]],
    at_tokens: &[usize],
    cancel: &CancelToken,
    visit: &mut dyn FnMut(CachedPaths<'_>) -> Result<()>,
) -> Result<()> {
    let prompt_tokens = decoder.kv().len();
    decoder.fork(paths.len(), cancel)?;
    let mut rows: Vec<PathId> = (0..paths.len()).collect();
    let (mut kept, mut order) = (Vec::new(), Vec::new());
    let mut feed = Vec::new();
    let last = at_tokens.last().copied().unwrap_or(0);
    for tokens in 1..=last {
        kept.clear();
        kept.extend((0..rows.len()).filter(|&row| paths[rows[row]].len() > tokens));
        if kept.is_empty() {
            break;
        }
        if kept.len() < rows.len() {
            decoder.keep_rows(&kept, &mut order)?;
            rows = order.iter().map(|&row| rows[row]).collect();
        }
        feed.clear();
        feed.extend(rows.iter().map(|&path| paths[path][tokens - 1]));
        decoder.step(&feed, cancel)?;
        if at_tokens.contains(&tokens) {
            visit(CachedPaths {
                prompt_tokens,
                at_tokens: tokens,
                rows: &rows,
                kv: decoder.kv(),
            })?;
        }
    }
    Ok(())
}
