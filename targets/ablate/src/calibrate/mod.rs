//! The cascade's calibration: every item of the training part is answered in each format, then it is found when a cheap answer
//! is as good as a dear one.
//!
//! Confidences that thresholds are chosen by are of fits without the item's group (cross-fitting), so that what is promised is
//! not what was learnt by heart.

mod choose;
mod fit;
mod observe;

use std::sync::Arc;

use curt::format::{
    CalibratedPackage, Calibration, CalibrationMeasured, CalibrationWorkload, CascadeStage,
    Features, Lengths, ResponseFormat,
};
use sha2::{Digest, Sha256};

pub use choose::{Choice, Confidences};
pub use observe::{Observation, observe};

use crate::error::{Error, Result};
use fit::Logistic;

/// Parts that items are dealt to; each is judged by a fit to the others.
const FOLDS: u64 = 5;

/// Fewest items that anything is fitted to.
const FEWEST_ITEMS: usize = 50;

/// What a format gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Whether its answer is right.
    pub correct: bool,
    /// Tokens of its response.
    pub tokens: usize,
    /// What its confidence is made of; `None` of no answer.
    pub features: Option<Features>,
}

/// An item in every format.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What must not be on both sides of a fit.
    pub unit: String,
    /// Answered directly.
    pub direct: Tried,
    /// Answered after a perception.
    pub perception: Tried,
    /// Of its tokens, those that full does not go on from.
    pub perception_discarded: usize,
    /// Answered in full, from the same perception.
    pub full: Tried,
    /// Tokens of perception, reasoning and answer.
    pub lengths: [usize; 3],
}

/// What accuracy is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// This one, \[0, 1\].
    Accuracy(f64),
    /// So much less than in full, \[0, 1\].
    Drop(f64),
}

/// A calibration, and what there was to choose from.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// To be stored.
    pub calibration: Calibration,
    /// What was chosen.
    pub chosen: Choice,
    /// Every choice that no other beats, the fewest tokens first.
    pub frontier: Vec<Choice>,
    /// Accuracy in direct, perception and full, always.
    pub accuracy: [f64; 3],
    /// Tokens then.
    pub tokens: [f64; 3],
    /// Whether the target is reached.
    pub reached: bool,
}

/// A calibration that accepts nothing, so that every format is tried.
pub fn trying_all(package: &CalibratedPackage) -> Arc<Calibration> {
    let stage = |format| CascadeStage {
        format,
        weights: Features {
            margin: 0.0,
            mean_logprob: 0.0,
            min_logprob: 0.0,
        },
        offset: 0.0,
        threshold: 2.0,
    };
    let workload = CalibrationWorkload {
        name: String::new(),
        digest: String::new(),
        items: 0,
    };
    let lengths = Lengths {
        perception: 0,
        reasoning: 0,
        answer: 0,
    };
    let measured = CalibrationMeasured {
        target_accuracy: 0.0,
        accuracy: 0.0,
        tokens: 0.0,
        full_accuracy: 0.0,
        full_tokens: 0.0,
    };
    let stages = vec![
        stage(ResponseFormat::Direct),
        stage(ResponseFormat::Perception),
    ];
    Arc::new(Calibration::new(
        package.clone(),
        workload,
        stages,
        lengths,
        measured,
    ))
}

/// Fits a calibration to what was observed.
///
/// # Errors
/// [`Error::Option`] for too few items.
pub fn calibrate(
    observed: &[Observed],
    target: Target,
    package: CalibratedPackage,
    workload: CalibrationWorkload,
) -> Result<Calibrated> {
    if observed.len() < FEWEST_ITEMS {
        return Err(Error::option(
            "--workload",
            format!("at least {FEWEST_ITEMS} items that were answered, in the training part"),
            observed.len(),
        ));
    }
    let fold = |item: &Observed| {
        let digest = Sha256::digest(item.unit.as_bytes());
        u64::from(digest[0]) % FOLDS
    };
    let fits = |without: Option<u64>| {
        let kept = observed.iter().filter(|item| without != Some(fold(item)));
        let kept: Vec<&Observed> = kept.collect();
        [direct as fn(&Observed) -> &Tried, perception].map(|of| {
            let rows = kept.iter().map(|item| of(item));
            let rows = rows.filter_map(|t| Some((t.features?.to_array(), t.correct)));
            Logistic::fit(&rows.collect::<Vec<_>>())
        })
    };
    let by_fold: Vec<[Logistic; 2]> = (0..FOLDS).map(|fold| fits(Some(fold))).collect();
    let confidence = |fit: &Logistic, tried: &Tried| {
        // What has no answer is never accepted.
        let features = tried.features.map(Features::to_array);
        features.map_or(f64::NEG_INFINITY, |x| fit.probability(&x))
    };
    let items: Vec<(Observed, Confidences)> = observed
        .iter()
        .map(|item| {
            let [of_direct, of_perception] = &by_fold[fold(item) as usize];
            let p = [
                confidence(of_direct, &item.direct),
                confidence(of_perception, &item.perception),
            ];
            (item.clone(), p)
        })
        .collect();
    let mean = |value: &dyn Fn(&Observed) -> f64| {
        observed.iter().map(value).sum::<f64>() / observed.len() as f64
    };
    let formats = [direct as fn(&Observed) -> &Tried, perception, full];
    let accuracy = formats.map(|of| mean(&|item| f64::from(u8::from(of(item).correct))));
    let tokens = formats.map(|of| mean(&|item| of(item).tokens as f64));
    let wanted = match target {
        Target::Accuracy(accuracy) => accuracy,
        Target::Drop(drop) => accuracy[2] - drop,
    };
    let frontier = choose::frontier(&items);
    let Some(chosen) = choose::at(&frontier, wanted) else {
        return Err(Error::option("--workload", "items", "none"));
    };
    let whole = fits(None);
    let kinds = [ResponseFormat::Direct, ResponseFormat::Perception];
    let stages = kinds
        .into_iter()
        .zip(whole)
        .zip(chosen.thresholds)
        .filter(|(_, threshold)| threshold.is_finite())
        .map(|((format, fit), threshold)| CascadeStage {
            format,
            weights: Features {
                margin: fit.weights[0],
                mean_logprob: fit.weights[1],
                min_logprob: fit.weights[2],
            },
            offset: fit.offset,
            threshold,
        })
        .collect();
    let length = |section: usize| {
        let mut all: Vec<usize> = observed.iter().map(|item| item.lengths[section]).collect();
        all.sort_unstable();
        all[(all.len() * 95).div_ceil(100) - 1]
    };
    let measured = CalibrationMeasured {
        target_accuracy: wanted,
        accuracy: chosen.accuracy,
        tokens: chosen.tokens,
        full_accuracy: accuracy[2],
        full_tokens: tokens[2],
    };
    let lengths = Lengths {
        perception: length(0),
        reasoning: length(1),
        answer: length(2),
    };
    Ok(Calibrated {
        calibration: Calibration::new(package, workload, stages, lengths, measured),
        reached: chosen.accuracy >= wanted,
        chosen,
        frontier,
        accuracy,
        tokens,
    })
}

fn direct(item: &Observed) -> &Tried {
    &item.direct
}

fn perception(item: &Observed) -> &Tried {
    &item.perception
}

fn full(item: &Observed) -> &Tried {
    &item.full
}
