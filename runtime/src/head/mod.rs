//! The KV stop head: scores a path from what the model has cached of it.
//!
//! After STOP (arXiv 2604.16029, §3.2), which runs learned tokens through the model with an adapter. Here the cached keys
//! and values themselves are pooled where they lie, by means or by learned queries, and a small network turns what comes
//! out, with a few statistics of the prefix's log-probabilities, into one logit. Controls that read only
//! log-probabilities, or only the tokens, are files of the same format.

mod file;
mod find;
mod header;
mod inputs;
mod pool;
mod validate;

use std::path::Path;

use curt_kernels::{Dense, ShapeError};

pub use file::{HeadFile, UNIGRAM};
pub use find::{DEFAULT_HEAD, find_head, head_files};
pub use header::{
    Calibration, HeadHeader, KvInputs, LogprobInputs, LogprobStatistic, Measured, PackageRef,
    Pooling, Span, TextInputs, VERSION, WorkloadRef,
};
pub use inputs::{logprob_statistic, ngram_indicators};
pub use pool::{KvPool, rotate};

use crate::error::{Error, Result};
use crate::kv::{HostView, KvCache};
use crate::package::{KeyRotation, Package, Rotary};

/// A head that is ready to score. Its parts fit each other; that they fit a package, [`Self::open`] makes sure of.
///
/// ```
/// use curt::Package;
/// use curt::head::{StopHead, find_head};
///
/// let package = Package::open("../models/packages/reasoner".as_ref())?;
/// let head = StopHead::open(&find_head("kv", package.dir())?, &package)?;
/// assert_eq!(head.header().package.fingerprint, package.fingerprint()?);
/// # Ok::<(), curt::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StopHead {
    file: HeadFile,
    dense: Dense,
}

/// A path as a head sees it at a check.
#[derive(Debug, Clone, Copy)]
pub struct PathPrefix<'a> {
    /// Its row in the cache.
    pub row: usize,
    /// Its generated tokens.
    pub tokens: &'a [u32],
    /// Their log-probabilities under the model itself.
    pub logprobs: &'a [f32],
}

/// What a head works in: buffers for up to as many paths as they were made for, by [`StopHead::buffers`].
#[derive(Debug)]
pub struct HeadBuffers {
    pool: Option<KvPool>,
    /// `[paths, inputs]`
    inputs: Vec<f32>,
    /// `[paths, hidden]`
    hidden: Vec<f32>,
    /// `[paths]`
    logits: Vec<f32>,
}

impl StopHead {
    /// Reads `file` and makes sure that it is of `package`.
    ///
    /// # Errors
    /// Those of [`HeadFile::read`], and [`Error::Package`] for a head of another package.
    pub fn open(file: &Path, package: &Package) -> Result<Self> {
        let head = HeadFile::read(file)?;
        let header = &head.header;
        let fingerprint = package.fingerprint()?;
        if header.package.fingerprint != fingerprint {
            return Err(Error::package(
                file,
                "package.fingerprint",
                format!(
                    "{fingerprint}, of {}: train a head for it with `curt collect` and `curt train-head`",
                    package.dir().display()
                ),
                format!("{}, of {}", header.package.fingerprint, header.package.name),
            ));
        }
        if let Some(kv) = &header.kv {
            let geometry = package.graph().geometry();
            for (field, expected, got) in [
                ("kv.kv_heads", geometry.kv_heads, kv.kv_heads),
                ("kv.head_dim", geometry.head_dim, kv.head_dim),
            ] {
                if expected != got {
                    return Err(Error::package(file, field, expected, got));
                }
            }
            if let Some(&last) = kv.layers.last()
                && last >= geometry.layers
            {
                let expected = format!("layers below {}", geometry.layers);
                return Err(Error::package(file, "kv.layers", expected, last));
            }
            if let Pooling::Attend { rotary, .. } = kv.pooling {
                fits_rotation(file, rotary, &package.key_rotation()?)?;
            }
        }
        Ok(Self::of(head))
    }

    /// A head in memory, of no package: scoring the cache of another is an error at best.
    ///
    /// # Errors
    /// [`Error::Package`] for what [`HeadFile::read`] would refuse of a file.
    pub fn new(file: HeadFile) -> Result<Self> {
        file.validate(Path::new(&file.header.name))?;
        Ok(Self::of(file))
    }

    /// A head of a validated file.
    fn of(file: HeadFile) -> Self {
        Self {
            file,
            dense: Dense::best(),
        }
    }

    /// What the file says about itself.
    pub fn header(&self) -> &HeadHeader {
        &self.file.header
    }

    /// Buffers to score up to `paths` paths at once.
    ///
    /// # Errors
    /// [`Error::Option`] for more paths than memory has buffers for.
    pub fn buffers(&self, paths: usize) -> Result<HeadBuffers> {
        let file = &self.file;
        let pool = file.header.kv.as_ref();
        let pool = pool.map(|kv| KvPool::new(kv.clone(), file.queries.clone()));
        let zeros = |each: usize| {
            let mut numbers: Vec<f32> = Vec::new();
            let count = paths.checked_mul(each).filter(|&count| {
                // Asked first: a vector that cannot grow ends the process.
                numbers.try_reserve_exact(count).is_ok()
            });
            let count = count.ok_or_else(|| {
                let expected = format!("so few that memory holds {each} numbers for each");
                Error::option("paths", expected, paths)
            })?;
            numbers.resize(count, 0.0);
            Ok::<_, Error>(numbers)
        };
        Ok(HeadBuffers {
            pool: pool.transpose()?,
            inputs: zeros(file.shift.len())?,
            hidden: zeros(file.header.hidden)?,
            logits: zeros(1)?,
        })
    }

    /// Scores `paths`, which continue `prompt`, from their rows in `kv`: `scores[i]` of `paths[i]`, in \[0, 1\].
    ///
    /// # Errors
    /// [`Error::Check`] where a score is no number; [`Error::Shape`] where cache or buffers do not fit. No score is
    /// written then.
    pub fn score(
        &self,
        kv: &KvCache,
        prompt: &[u32],
        paths: &[PathPrefix<'_>],
        buffers: &mut HeadBuffers,
        scores: &mut Vec<f64>,
    ) -> Result<()> {
        let file = &self.file;
        let width = file.shift.len();
        let held = buffers.logits.len();
        for (what, expected, got, fits) in [
            ("paths (at most)", held, paths.len(), paths.len() <= held),
            (
                "inputs in buffers of this head",
                held * width,
                buffers.inputs.len(),
                buffers.inputs.len() == held * width,
            ),
            (
                "hidden units in buffers of this head",
                held * file.header.hidden,
                buffers.hidden.len(),
                buffers.hidden.len() == held * file.header.hidden,
            ),
        ] {
            if !fits {
                return Err(Error::Shape(ShapeError {
                    op: "StopHead::score",
                    what,
                    expected,
                    got,
                }));
            }
        }
        let read = file.header.kv.as_ref();
        let kv = read
            .map(|inputs| kv.host_view(&inputs.layers))
            .transpose()?;
        for (path, inputs) in paths.iter().zip(buffers.inputs.chunks_exact_mut(width)) {
            self.fill(kv, prompt, path, &mut buffers.pool, inputs)?;
        }
        let rows = paths.len();
        let logits = &mut buffers.logits[..rows];
        let (weights, bias) = (&file.output.0, &file.output.1);
        let inputs = &buffers.inputs[..rows * width];
        if file.header.hidden == 0 {
            self.dense.apply(weights, bias, inputs, rows, logits)?;
        } else {
            let hidden = &mut buffers.hidden[..rows * file.header.hidden];
            let (first, first_bias) = (&file.hidden.0, &file.hidden.1);
            self.dense.apply(first, first_bias, inputs, rows, hidden)?;
            for x in hidden.iter_mut() {
                *x = silu(*x);
            }
            self.dense.apply(weights, bias, hidden, rows, logits)?;
        }
        if let Some((path, logit)) = paths.iter().zip(&*logits).find(|(_, z)| !z.is_finite()) {
            return Err(Error::Check {
                head: file.header.name.clone(),
                row: path.row,
                tokens: path.tokens.len(),
                score: f64::from(*logit),
            });
        }
        scores.clear();
        scores.extend(logits.iter().map(|&z| self.probability(z)));
        Ok(())
    }

    /// The network's inputs for one path, shifted and scaled: `[inputs]`.
    fn fill(
        &self,
        kv: Option<HostView<'_>>,
        prompt: &[u32],
        path: &PathPrefix<'_>,
        pool: &mut Option<KvPool>,
        inputs: &mut [f32],
    ) -> Result<()> {
        let file = &self.file;
        let [of_kv, of_logprobs, _] = file.header.inputs();
        let (pooled, rest) = inputs.split_at_mut(of_kv);
        let (statistics, rest) = rest.split_at_mut(of_logprobs);
        let (in_prefix, in_prompt) = rest.split_at_mut(file.prefix_ngrams.len());
        if let (Some(pool), Some(kv)) = (pool, kv) {
            pool.pool(kv, path.row, prompt.len(), pooled)?;
        }
        if let Some(logprob) = &file.header.logprob {
            for (slot, &statistic) in statistics.iter_mut().zip(&logprob.statistics) {
                *slot = logprob_statistic(statistic, path.logprobs);
            }
        }
        ngram_indicators(&file.prefix_ngrams, path.tokens, in_prefix);
        ngram_indicators(&file.prompt_ngrams, prompt, in_prompt);
        for ((x, shift), scale) in inputs.iter_mut().zip(&file.shift).zip(&file.scale) {
            *x = (*x - shift) * scale;
        }
        Ok(())
    }

    fn probability(&self, logit: f32) -> f64 {
        let z = f64::from(logit);
        let z = match self.file.header.calibration {
            Some(c) => c.slope * z + c.offset,
            None => z,
        };
        1.0 / (1.0 + (-z).exp())
    }
}

/// Queries that are not turned as the model turns its keys would score at random.
fn fits_rotation(file: &Path, of_head: Option<Rotary>, of_package: &KeyRotation) -> Result<()> {
    let field = "kv.pooling.attend.rotary";
    let show = |rotary: Option<Rotary>| match rotary {
        Some(rotary) => format!("{rotary:?}"),
        None => "no rotation".into(),
    };
    let expected = match of_package {
        KeyRotation::None => None,
        KeyRotation::Described(rotary) => Some(*rotary),
        KeyRotation::Unknown { why } => {
            return Err(Error::package(
                file,
                field,
                format!(
                    "a package whose rotary embedding is known, and here {why}: train a head of means with \
                     `curt train-head --pooling mean`"
                ),
                show(of_head),
            ));
        }
    };
    if of_head != expected {
        let expected = format!("{}, as the package", show(expected));
        return Err(Error::package(file, field, expected, show(of_head)));
    }
    Ok(())
}

fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}
