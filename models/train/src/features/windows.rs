//! The keys and values that attention pooling reads: windows of the chosen layers at the check points.

use curt::kv::{KvKind, KvRow};
use curt::{AskOptions, CancelToken, Engine, Error as RuntimeError};

use super::means::features_folder;
use super::{Pass, Prompts, Store};
use crate::dataset::Data;
use crate::error::Result;

/// Windows of keys and values: `[paths, layers, kv_heads, keys and values, window, head_dim]` a question, for each check
/// point.
pub struct Windows {
    /// One for each check point.
    pub stores: Vec<Store>,
    /// Layers, ascending.
    pub layers: Vec<usize>,
    /// KV heads of each layer.
    pub kv_heads: usize,
    /// Elements of one key or value.
    pub head_dim: usize,
    /// Positions of each window.
    pub window: usize,
}

/// Reads the last `window` positions of `layers` when `at_tokens` are cached. A path that has ended by then has zeros.
///
/// Kept in `features/` of the data's folder, as [`super::means`].
///
/// # Errors
/// Those of [`super::means`], and [`curt::Error::Shape`] for a prompt and prefix shorter than the window.
pub fn windows(
    engine: &mut Engine,
    prompts: &Prompts,
    data: &Data,
    at_tokens: &[usize],
    (layers, window): (&[usize], usize),
    cancel: &CancelToken,
    on_pass: &mut dyn FnMut(Pass),
) -> Result<Windows> {
    let geometry = engine.package().graph().geometry();
    let [heads, dim] = [geometry.kv_heads, geometry.head_dim];
    let width = layers.len() * heads * 2 * window * dim;
    let paths = data.settings.paths;
    let digests = data.digests();
    let folder = features_folder(&data.dir)?;
    let mut stores = at_tokens
        .iter()
        .map(|&at| {
            let file = folder.join(format!("windows-{at}.f16"));
            let print = &data.settings.package_fingerprint;
            let meaning = format!("windows {print} {layers:?} {window} {at}");
            Store::open(&file, &meaning, [paths, width], &digests)
        })
        .collect::<Result<Vec<Store>>>()?;
    let of = data.questions.len();
    let ask = AskOptions {
        cancel: cancel.clone(),
        ..AskOptions::default()
    };
    for (number, question) in data.questions.iter().enumerate() {
        on_pass(Pass { done: number, of });
        if stores.iter().all(|s| s.questions() > number) {
            continue;
        }
        if cancel.is_cancelled() {
            return Err(RuntimeError::Cancelled { tokens: 0 }.into());
        }
        let tokens: Vec<&[u32]> = question.paths.iter().map(|p| p.tokens.as_slice()).collect();
        let mut read: Vec<Vec<f32>> = vec![vec![0.0; paths * width]; stores.len()];
        let asked = &prompts.questions[number];
        engine.rebuild(asked, &ask, &tokens, at_tokens, &mut |rebuilt| {
            let Some(place) = at_tokens.iter().position(|&at| at == rebuilt.at_tokens) else {
                return Ok(());
            };
            let kv = rebuilt.kv.host_view(layers)?;
            for (row, &path) in rebuilt.rows.iter().enumerate() {
                let out = &mut read[place][path * width..(path + 1) * width];
                let mut out = out.chunks_exact_mut(window * dim);
                for &layer in layers {
                    let views = [KvKind::Key, KvKind::Value].map(|kind| {
                        let all = kv.row(layer, kind, row)?;
                        let [_, len, _] = all.shape();
                        Ok::<KvRow<'_>, RuntimeError>(all.window(len.wrapping_sub(window), window)?)
                    });
                    let [keys, values] = views;
                    let (keys, values) = (keys?, values?);
                    for head in 0..heads {
                        for view in [&keys, &values] {
                            if let Some(out) = out.next() {
                                copy(view, head, dim, out);
                            }
                        }
                    }
                }
            }
            Ok(())
        })?;
        for (store, values) in stores.iter_mut().zip(&read) {
            if store.questions() == number {
                store.append(&digests[number], values)?;
            }
        }
    }
    on_pass(Pass { done: of, of });
    Ok(Windows {
        stores,
        layers: layers.to_vec(),
        kv_heads: heads,
        head_dim: dim,
        window,
    })
}

/// Copies one head of `view`: `[window, head_dim]`.
fn copy(view: &KvRow<'_>, head: usize, dim: usize, out: &mut [f32]) {
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = view.get(head, i / dim, i % dim).unwrap_or(0.0);
    }
}
