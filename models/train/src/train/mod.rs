//! Training: from a folder of paths to head files and what was found on the way.

mod found;
mod head;
mod parts;

use std::collections::BTreeMap;

use curt::head::HeadFile;
use curt::package::KeyRotation;
use curt::{CancelToken, Engine};
use curt_workload::Workload;
use serde::Serialize;

use crate::controls::{Kinds, TextChoice};
use crate::dataset::{Data, PATHS_FILE, SETTINGS_FILE, TRAIN_PART, validate_check_points};
use crate::error::{Error, Result};
use crate::features::{KvColumns, Pass, SPANS, means, prompts, windows};
use crate::fit::{AttendSource, FitOptions};
use crate::report::{HeadReport, Report};
use crate::search::{CheckPoint, LayerSet, Search, default_grid, path_tokens};
use crate::study::Study;
use parts::Parts;

/// Fewest questions of which some paths are right and some wrong that training takes.
const LEAST_MIXED: usize = 20;

/// Queries of attention pooling for each layer and KV head. A prototype found 4 and 1 alike (0.777, 0.779 on SmolLM2).
const QUERIES: usize = 4;

/// Positions that attention pooling reads: the prototype's.
const WINDOW: usize = 48;

/// How the cache becomes inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolingKind {
    /// Means of V over spans.
    Mean,
    /// Learned queries.
    Attend,
}

/// What to train.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The head's name.
    pub name: String,
    /// What it reads.
    pub kinds: Kinds,
    /// Check points that one head is trained at; empty: found.
    pub check_at: Vec<usize>,
    /// Layers read; empty: found.
    pub layers: Vec<usize>,
    /// How the cache is pooled; `None`: both are tried, and means are taken where no difference is found.
    pub pooling: Option<PoolingKind>,
    /// Share of all paths' tokens that the search may spend.
    pub budget_share: f64,
    /// How networks are fitted; its seed is the next field.
    pub fit: FitOptions,
    /// Decides splits, first weights, batches and dropout.
    pub seed: u64,
    /// Stops between questions while keys and values are rebuilt.
    pub cancel: CancelToken,
}

/// What happens while heads are trained.
#[derive(Debug)]
pub enum Event<'a> {
    /// Keys and values are rebuilt.
    Rebuilding(Pass),
    /// A check point was compared.
    CheckPoint(&'a CheckPoint),
    /// A set of layers was compared.
    Layers(&'a LayerSet),
    /// A text control was compared.
    Text(&'a TextChoice),
    /// A head was fitted.
    Head(&'a HeadReport),
}

/// Heads and report.
pub struct Trained {
    /// The head asked for, then the controls, in the order of the report.
    pub heads: Vec<HeadFile>,
    /// What was found.
    pub report: Report,
}

/// Whoever listens to events. `Send`: training runs on a thread of its own.
pub type Listener<'a> = dyn FnMut(Event<'_>) + Send + 'a;

/// Trains the head that `options` ask for on `data`, and its controls.
///
/// One core, apart from the rebuilding of keys and values. The same data, options and machine give the same heads.
///
/// # Errors
/// [`Error::Data`] where package or workload are not those of the data, or it is of the held-out part,
/// [`Error::TooLittle`] for too few questions in all or at a check point, [`Error::Option`] for check points or layers
/// that are not there, [`Error::Fit`] for a head that no number comes out of, and what runtime and training say.
pub fn train(
    engine: &mut Engine,
    workload: &Workload,
    data: &Data,
    options: &TrainOptions,
    on_event: &mut Listener<'_>,
) -> Result<Trained> {
    validate_origin(engine, workload, data)?;
    validate_enough(data)?;
    let parts = Parts::deal(data, options.seed);
    let grid = if options.check_at.is_empty() {
        parts.with_enough(data, default_grid(path_tokens(data, &parts.fitted)))?
    } else {
        validate_check_points(&options.check_at)?;
        for &at in &options.check_at {
            parts.validate_enough(data, at)?;
        }
        options.check_at.clone()
    };
    let prompts = prompts(engine, workload, data)?;
    let mut stores = BTreeMap::new();
    if options.kinds.kv {
        let cancel = &options.cancel;
        let mut on_pass = |p| on_event(Event::Rebuilding(p));
        let rebuilt = means(engine, &prompts, data, &grid, cancel, &mut on_pass)?;
        stores.extend(grid.iter().copied().zip(rebuilt));
    }
    let geometry = engine.package().graph().geometry();
    // One thread, and with it the same order of sums each time.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|e| Error::option("threads", "a thread for training", e))?;
    let study = Study::new(data, parts.fitted.clone(), options.seed);
    let mut trainer = Trainer {
        data,
        options,
        parts,
        columns: KvColumns {
            layers: (0..geometry.layers).collect(),
            spans: (0..SPANS.len()).collect(),
            kv_heads: geometry.kv_heads,
            head_dim: geometry.head_dim,
        },
        bytes_per_value: geometry.dtype.bytes(),
        search: Search {
            data,
            prompts: &prompts.tokens,
            stores: &mut stores,
            study: &study,
            fit: FitOptions {
                seed: options.seed,
                ..options.fit
            },
        },
    };
    let found = pool.install(|| trainer.find(&grid, on_event))?;
    let mut attend = None;
    if options.kinds.kv && options.pooling != Some(PoolingKind::Mean) {
        let rotary = match engine.package().key_rotation()? {
            KeyRotation::None => None,
            KeyRotation::Described(rotary) => Some(rotary),
            KeyRotation::Unknown { why } => {
                return Err(Error::Rotation {
                    package: engine.package().dir().into(),
                    why,
                });
            }
        };
        let shortest = prompts.tokens.iter().map(Vec::len).min().unwrap_or(0);
        let first = found.at.first().copied().unwrap_or(0);
        let window = WINDOW.min(shortest + first);
        let cancel = &options.cancel;
        let mut on_pass = |p| on_event(Event::Rebuilding(p));
        let which = (found.layers.as_slice(), window);
        attend = Some(AttendSource {
            windows: windows(
                engine,
                &prompts,
                data,
                &found.at,
                which,
                cancel,
                &mut on_pass,
            )?,
            at_tokens: found.at.clone(),
            rotary,
            prompts: &prompts.tokens,
        });
    }
    pool.install(|| trainer.finish(found, attend, on_event))
}

/// What training works with.
struct Trainer<'a> {
    data: &'a Data,
    options: &'a TrainOptions,
    parts: Parts,
    /// All layers and spans.
    columns: KvColumns,
    bytes_per_value: usize,
    search: Search<'a>,
}

fn validate_origin(engine: &Engine, workload: &Workload, data: &Data) -> Result<()> {
    let recorded = &data.settings;
    if recorded.part != TRAIN_PART {
        return Err(Error::data(
            &data.dir.join(SETTINGS_FILE),
            "part",
            format!(
                "{TRAIN_PART}: a head that learned from the part that it is judged by would be judged too well; collect \
                 with `part` train"
            ),
            &recorded.part,
        ));
    }
    let fingerprint = engine.package().fingerprint()?;
    for (field, recorded, here) in [
        (
            "package_fingerprint",
            &recorded.package_fingerprint,
            fingerprint.as_str(),
        ),
        (
            "workload_digest",
            &recorded.workload_digest,
            workload.digest(),
        ),
    ] {
        if recorded != here {
            let expected =
                format!("{here}, of the one named: name the one that was collected with");
            let file = data.dir.join(SETTINGS_FILE);
            return Err(Error::data(&file, field, expected, recorded));
        }
    }
    Ok(())
}

fn validate_enough(data: &Data) -> Result<()> {
    let mixed = data.questions.iter().filter(|q| {
        let right = q.paths.iter().filter(|p| p.correct).count();
        0 < right && right < q.paths.len()
    });
    let got = mixed.count();
    if got >= LEAST_MIXED {
        return Ok(());
    }
    Err(Error::TooLittle {
        file: data.dir.join(PATHS_FILE),
        what: "questions with right and with wrong paths".into(),
        needed: LEAST_MIXED,
        got,
    })
}
