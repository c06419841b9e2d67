//! Means of the cached values of every layer, at each of many prefix lengths, in one pass of decoding.

use std::path::{Path, PathBuf};

use curt::head::{KvInputs, KvPool, Pooling, Span};
use curt::paths::CachedPaths;
use curt::{AskOptions, CancelToken, Engine, Error as RuntimeError};

use super::{Pass, Prompts, Store};
use crate::dataset::{Data, Settings};
use crate::error::{Error, Result};

/// Spans that the search knows: the generated prefix and its end. A prototype found both together as good as learned
/// queries (research: 0.780 against 0.777 on SmolLM2), and the last position alone worse.
pub const SPANS: [Span; 2] = [Span::Prefix, Span::Last(8)];

/// Pools what is cached of a question's paths: means of V of every layer over [`SPANS`],
/// `[paths, layers, kv_heads, spans, head_dim]`.
pub struct MeansPool {
    pool: KvPool,
    /// Layers that it reads.
    layers: Vec<usize>,
    paths: usize,
}

impl MeansPool {
    /// For questions of `paths` paths, answered by the package of `engine`.
    ///
    /// # Errors
    /// [`curt::Error::Package`] for a package of more layers, heads or dimensions than a head may read.
    pub fn new(engine: &Engine, paths: usize) -> curt::Result<Self> {
        let geometry = engine.package().graph().geometry();
        let inputs = KvInputs {
            layers: (0..geometry.layers).collect(),
            kv_heads: geometry.kv_heads,
            head_dim: geometry.head_dim,
            pooling: Pooling::Mean {
                spans: SPANS.to_vec(),
            },
        };
        Ok(Self {
            layers: inputs.layers.clone(),
            pool: KvPool::new(inputs, Vec::new())?,
            paths,
        })
    }

    /// Numbers of one question: zeros, as for paths that have ended.
    pub fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.paths * self.pool.outputs()]
    }

    /// Pools `cached` into `out`, made by [`Self::zeros`].
    ///
    /// # Errors
    /// [`curt::Error::Shape`] for the cache of another package.
    pub fn pool(&mut self, cached: CachedPaths<'_>, out: &mut [f32]) -> curt::Result<()> {
        let width = self.pool.outputs();
        let kv = cached.kv.host_view(&self.layers)?;
        for (row, &path) in cached.rows.iter().enumerate() {
            let out = &mut out[path * width..(path + 1) * width];
            self.pool.pool(kv, row, cached.prompt_tokens, out)?;
        }
        Ok(())
    }

    /// The stores of the means at each of `at_tokens`, in `features/` of the folder `dir` that was collected with
    /// `settings`; `digests` of the questions there.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn stores(
        &self,
        dir: &Path,
        settings: &Settings,
        at_tokens: &[usize],
        digests: &[[u8; 32]],
    ) -> Result<Vec<Store>> {
        let folder = features_folder(dir)?;
        let open = |&at: &usize| {
            let file = folder.join(format!("means-{at}.f16"));
            let meaning = format!("means {} {SPANS:?} {at}", settings.package_fingerprint);
            let shape = [self.paths, self.pool.outputs()];
            Store::open(&file, &meaning, shape, digests)
        };
        at_tokens.iter().map(open).collect()
    }
}

/// The means of a [`MeansPool`] when `at_tokens` are cached, one store for each, of every question of `data`.
///
/// Kept in `features/` of the data's folder. What is there is not made again.
///
/// # Errors
/// What the runtime says, [`curt::Error::Cancelled`] among it; [`Error::Io`].
pub fn means(
    engine: &mut Engine,
    prompts: &Prompts,
    data: &Data,
    at_tokens: &[usize],
    cancel: &CancelToken,
    on_pass: &mut dyn FnMut(Pass),
) -> Result<Vec<Store>> {
    let mut pool = MeansPool::new(engine, data.settings.paths)?;
    let digests = data.digests();
    let mut stores = pool.stores(&data.dir, &data.settings, at_tokens, &digests)?;
    let of = data.questions.len();
    let ask = AskOptions {
        cancel: cancel.clone(),
        ..AskOptions::default()
    };
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
        let mut pooled: Vec<Vec<f32>> = missing.iter().map(|_| pool.zeros()).collect();
        let tokens: Vec<&[u32]> = question.paths.iter().map(|p| p.tokens.as_slice()).collect();
        let asked = &prompts.questions[number];
        engine.rebuild(asked, &ask, &tokens, &wanted, &mut |cached| {
            let place = wanted.iter().position(|&at| at == cached.at_tokens);
            place.map_or(Ok(()), |place| pool.pool(cached, &mut pooled[place]))
        })?;
        for (&store, values) in missing.iter().zip(&pooled) {
            stores[store].append(&digests[number], values)?;
        }
    }
    on_pass(Pass { done: of, of });
    Ok(stores)
}

/// The folder of features in the folder `dir` of data, made where it is not there.
pub(super) fn features_folder(dir: &Path) -> Result<PathBuf> {
    let folder = dir.join("features");
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "the folder cannot be made"))?;
    Ok(folder)
}
