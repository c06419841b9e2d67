//! Fit: gradient descent on batches of questions, early stopping on the order within questions.

mod batch;
mod loss;
mod network;

use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub use batch::{AttendSource, Batch, Examples};
pub use loss::{Pairs, loss};
pub use network::{AttendShape, Dropout, Network, Shape, Weights};

use crate::error::{Error, Result};
use crate::features::Table;
use crate::measure::{auroc, below, mean};

/// How a network is fitted.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct FitOptions {
    /// Hidden units; 0: linear.
    pub hidden: usize,
    /// Steps of descent.
    pub steps: usize,
    /// Questions of each step.
    pub questions: usize,
    /// Largest step size: reached after a twentieth of the steps, then falling along a cosine.
    pub learning_rate: f64,
    /// Decoupled weight decay (arXiv 1711.05101).
    pub weight_decay: f64,
    /// Share of inputs set to zero in each step.
    pub input_dropout: f64,
    /// Share of hidden units set to zero in each step.
    pub hidden_dropout: f64,
    /// Weight of the outcomes' cross-entropy beside the order of pairs.
    pub outcome_weight: f64,
    /// Share that the running average of the weights keeps at each step; the average is what is used.
    pub average: f64,
    /// Decides first weights, batches and dropout.
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            hidden: 64,
            steps: 400,
            questions: 8,
            learning_rate: 1e-3,
            weight_decay: 0.1,
            input_dropout: 0.3,
            hidden_dropout: 0.3,
            outcome_weight: 0.3,
            average: 0.98,
            seed: 0,
        }
    }
}

/// Steps of descent between two measurements on the questions to stop by.
const LOOK_EVERY: usize = 20;

/// Questions scored at once outside of training.
const SCORED_AT_ONCE: usize = 64;

/// A fitted network.
pub struct Fitted {
    /// The network; its weights are the running average at the best look.
    pub network: Network,
    /// Step of the best look.
    pub step: usize,
}

/// Fits a network of `shape` to the groups `train` of `examples`. With `stopping`, the weights are those of the look
/// that ordered these groups best; without, or where no group of it has right and wrong paths, the last.
///
/// Shift and scale of what attention pools are those of the first queries on the first training groups.
///
/// # Errors
/// [`Error::Fit`] where `train` is empty, [`Error::Autodiff`], and those of [`Examples::batch`].
pub fn fit(
    examples: &mut Examples<'_, '_>,
    train: &[usize],
    stopping: &[usize],
    shape: Shape,
    options: &FitOptions,
) -> Result<Fitted> {
    if train.is_empty() {
        return Err(Error::Fit {
            what: "fitting a network".into(),
            expected: "at least one question to fit to".into(),
            got: "none".into(),
        });
    }
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut network = Network::new(shape, &mut random)?;
    if shape.attend.is_some() {
        scale_pooled(&mut network, examples, train)?;
    }
    let mut optimizer = AdamW::new(
        network.vars().to_vec(),
        ParamsAdamW {
            lr: options.learning_rate,
            weight_decay: options.weight_decay,
            ..ParamsAdamW::default()
        },
    )?;
    let mut dropout = Dropout {
        input_share: options.input_dropout,
        hidden_share: options.hidden_dropout,
        random: ChaCha8Rng::seed_from_u64(options.seed ^ u64::MAX),
    };
    let mut average = network.weights()?;
    let mut best: Option<(f64, Weights, usize)> = None;
    let mut deck: Vec<usize> = Vec::new();
    for step in 0..options.steps {
        optimizer.set_learning_rate(options.learning_rate * schedule(step, options.steps));
        let groups: Vec<usize> = (0..options.questions)
            .map(|_| {
                if deck.is_empty() {
                    deck = train.to_vec();
                }
                deck.swap_remove(below(&mut random, deck.len()))
            })
            .collect();
        let batch = examples.batch(&groups)?;
        let logits = network.logits(&batch, Some(&mut dropout))?;
        let value = loss(&logits, &batch.labels, &batch.pairs, options.outcome_weight)?;
        optimizer.backward_step(&value)?;
        // Early on the average follows the weights closely, so that it is not of the first, random ones.
        let keep = options
            .average
            .min((1.0 + step as f64) / (10.0 + step as f64));
        blend(&mut average, &network.weights()?, keep);
        let last = step + 1 == options.steps;
        if !stopping.is_empty() && ((step + 1) % LOOK_EVERY == 0 || last) {
            let averaged = network.with_weights(&average)?;
            let scores = score(&averaged, examples, stopping)?;
            let ranked = within(examples.table, stopping, &scores);
            let ranked = mean(ranked.into_iter().flatten());
            // NaN where no question has right and wrong paths, or a network that no number came out of.
            if ranked.is_finite() && best.as_ref().is_none_or(|(b, _, _)| ranked > *b) {
                best = Some((ranked, average.clone(), step + 1));
            }
        }
    }
    let (weights, step) = match best {
        Some((_, weights, step)) => (weights, step),
        None => (average, options.steps),
    };
    Ok(Fitted {
        network: network.with_weights(&weights)?,
        step,
    })
}

/// Logits of the rows of `groups`, one after the other.
///
/// # Errors
/// As [`fit`].
pub fn score(
    network: &Network,
    examples: &mut Examples<'_, '_>,
    groups: &[usize],
) -> Result<Vec<f64>> {
    let mut scores = Vec::new();
    for some in groups.chunks(SCORED_AT_ONCE) {
        let batch = examples.batch(some)?;
        let logits = network.logits(&batch, None)?.detach().to_vec1::<f32>()?;
        scores.extend(logits.into_iter().map(f64::from));
    }
    Ok(scores)
}

/// AUROC within each of `groups`, whose rows' scores follow each other; `None` where all paths came out the same.
pub fn within(table: &Table, groups: &[usize], scores: &[f64]) -> Vec<Option<f64>> {
    let mut at = 0;
    groups
        .iter()
        .map(|&group| {
            let rows = table.groups[group].rows.clone();
            let mine = &scores[at..at + rows.len()];
            at += rows.len();
            auroc(mine, &table.right[rows])
        })
        .collect()
}

fn scale_pooled(
    network: &mut Network,
    examples: &mut Examples<'_, '_>,
    train: &[usize],
) -> Result<()> {
    let first = &train[..train.len().min(SCORED_AT_ONCE)];
    let batch = examples.batch(first)?;
    let Some(pooled) = network.pooled(&batch)? else {
        return Ok(());
    };
    let rows = pooled.detach().to_vec2::<f32>()?;
    let width = rows.first().map_or(0, Vec::len);
    let (shift, scale) = crate::scaling::of_rows(rows.iter().map(Vec::as_slice), width);
    network.scale_pooled(&shift, &scale)
}

/// Share of the largest step size at `step` of `steps`.
fn schedule(step: usize, steps: usize) -> f64 {
    let rise = (20.0 * (step + 1) as f64 / steps as f64).min(1.0);
    let fall = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
    rise * (fall + 0.02)
}

fn blend(average: &mut Weights, now: &Weights, keep: f64) {
    let keep = keep as f32;
    for (average, now) in average.0.iter_mut().flatten().zip(now.0.iter().flatten()) {
        *average = keep * *average + (1.0 - keep) * now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Group;

    /// Questions of two paths each, the right one of which has the larger input; those from `mixed` on have none right.
    fn table(questions: usize, mixed: usize) -> Table {
        let rows = 0..2 * questions;
        let right: Vec<bool> = rows.clone().map(|r| r % 2 == 0 && r / 2 < mixed).collect();
        let value = |r: usize| if r.is_multiple_of(2) { 1.0 } else { -1.0 } + r as f32 / 64.0;
        Table {
            width: 1,
            values: rows.clone().map(value).collect(),
            labels: right.iter().map(|&r| f32::from(u8::from(r))).collect(),
            right,
            paths: rows.map(|r| r % 2).collect(),
            groups: (0..questions)
                .map(|question| Group {
                    question,
                    at_tokens: 8,
                    rows: 2 * question..2 * question + 2,
                })
                .collect(),
        }
    }

    fn fitted(table: &Table, train: &[usize], stopping: &[usize]) -> Result<Fitted> {
        let mut examples = Examples {
            table,
            attend: None,
        };
        let shape = Shape {
            attend: None,
            dense: 1,
            hidden: 0,
        };
        let options = FitOptions {
            hidden: 0,
            steps: 60,
            learning_rate: 0.05,
            ..FitOptions::default()
        };
        fit(&mut examples, train, stopping, shape, &options)
    }

    #[test]
    fn looks_that_say_nothing_do_not_stop_it() {
        let table = table(12, 8);
        let train: Vec<usize> = (0..8).collect();
        let blind = fitted(&table, &train, &[8, 9, 10, 11]).unwrap();
        assert_eq!(blind.step, 60, "the last, not the first look");
        let mut examples = Examples {
            table: &table,
            attend: None,
        };
        let scores = score(&blind.network, &mut examples, &train).unwrap();
        assert!(scores.iter().all(|s| s.is_finite()));
        let ranked = within(&table, &train, &scores);
        assert_eq!(ranked, [Some(1.0); 8]);
    }

    #[test]
    fn nothing_to_fit_to_is_an_error() {
        let error = fitted(&table(4, 4), &[], &[0, 1]).err().unwrap();
        assert!(matches!(error, Error::Fit { .. }), "{error}");
    }
}
