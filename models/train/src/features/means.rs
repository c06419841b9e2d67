//! Means of the cached values of every layer, at each of many prefix lengths, in one pass of decoding.

use std::path::PathBuf;

use curt::head::{KvInputs, KvPool, Pooling, Span};
use curt::{CancelToken, Engine, Error as RuntimeError};

use super::{Pass, Store};
use crate::data::Data;
use crate::error::{Error, Result};

/// Spans that the search knows: the generated prefix and its end. A prototype found both together as good as learned
/// queries (research: 0.780 against 0.777 on SmolLM2), and the last position alone worse.
pub const SPANS: [Span; 2] = [Span::Prefix, Span::Last(8)];

/// Means of V of every layer over [`SPANS`] when `at_tokens` are cached, one store for each:
/// `[paths, layers, kv_heads, spans, head_dim]` a question, zeros for a path that has ended by then.
///
/// Kept in `features/` of the data's folder. What is there is not made again.
///
/// # Errors
/// What the runtime says, [`curt::Error::Cancelled`] among it; [`Error::Io`].
pub fn means(
    engine: &mut Engine,
    prompts: &[Vec<u32>],
    data: &Data,
    at_tokens: &[usize],
    cancel: &CancelToken,
    on_pass: &mut dyn FnMut(Pass),
) -> Result<Vec<Store>> {
    let geometry = engine.package().graph().geometry();
    let inputs = KvInputs {
        layers: (0..geometry.layers).collect(),
        kv_heads: geometry.kv_heads,
        head_dim: geometry.head_dim,
        pooling: Pooling::Mean {
            spans: SPANS.to_vec(),
        },
    };
    let mut pool = KvPool::new(inputs, Vec::new());
    let width = pool.outputs();
    let paths = data.settings.paths;
    let digests: Vec<[u8; 32]> = data.questions.iter().map(|q| q.digest()).collect();
    let folder = features_folder(data)?;
    let mut stores = at_tokens
        .iter()
        .map(|&at| {
            let file = folder.join(format!("means-{at}.f16"));
            let meaning = format!("means {} {SPANS:?} {at}", data.settings.package_fingerprint);
            Store::open(&file, &meaning, [paths, width], &digests)
        })
        .collect::<Result<Vec<Store>>>()?;
    let of = data.questions.len();
    for (number, question) in data.questions.iter().enumerate() {
        on_pass(Pass { done: number, of });
        let missing: Vec<usize> = (0..stores.len())
            .filter(|&s| stores[s].questions() <= number)
            .collect();
        if missing.is_empty() {
            continue;
        }
        if cancel.is_cancelled() {
            return Err(RuntimeError::Cancelled { tokens: 0 }.into());
        }
        let wanted: Vec<usize> = missing.iter().map(|&s| at_tokens[s]).collect();
        let mut pooled: Vec<Vec<f32>> = vec![vec![0.0; paths * width]; missing.len()];
        let tokens: Vec<&[u32]> = question.paths.iter().map(|p| p.tokens.as_slice()).collect();
        let prompt = &prompts[number];
        engine.rebuild(prompt, &tokens, &wanted, &mut |rebuilt| {
            let Some(place) = wanted.iter().position(|&at| at == rebuilt.at_tokens) else {
                return Ok(());
            };
            for (row, &path) in rebuilt.rows.iter().enumerate() {
                let out = &mut pooled[place][path * width..(path + 1) * width];
                pool.pool(rebuilt.kv, row, prompt.len(), out)?;
            }
            Ok(())
        })?;
        for (&store, values) in missing.iter().zip(&pooled) {
            stores[store].append(&digests[number], values)?;
        }
    }
    on_pass(Pass { done: of, of });
    Ok(stores)
}

/// The folder of features, made where it is not there.
pub(super) fn features_folder(data: &Data) -> Result<PathBuf> {
    let folder = data.dir.join("features");
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "the folder cannot be made"))?;
    Ok(folder)
}
