//! What a head file says about itself: `models/FORMAT.md` in types.

use serde::{Deserialize, Serialize};

use crate::generate::Sampling;
use crate::package::Rotary;

/// The version of the format that this runtime reads and writes.
pub const VERSION: u32 = 1;

/// Everything a head file says beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadHeader {
    /// Version of the format.
    pub version: u32,
    /// What people call it.
    pub name: String,
    /// The package whose keys, values and tokens it reads.
    pub package: PackageRef,
    /// Check points it was trained at, in generated tokens, ascending.
    pub check_at_tokens: Vec<usize>,
    /// What it reads of the KV cache.
    pub kv: Option<KvInputs>,
    /// What it reads of the prefix's log-probabilities.
    pub logprob: Option<LogprobInputs>,
    /// What it reads of the tokens themselves.
    pub text: Option<TextInputs>,
    /// Hidden units of its network; 0: linear.
    pub hidden: usize,
    /// How the paths were sampled that it was trained on.
    pub sampling: Sampling,
    /// The workload it was trained on.
    pub workload: WorkloadRef,
    /// From its logit to a probability. `None`: scores rank paths, and are no probabilities.
    pub calibration: Option<Calibration>,
    /// How well it ranks.
    pub measured: Measured,
}

/// A package by name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageRef {
    /// Its folder's name.
    pub name: String,
    /// [`crate::Package::fingerprint`].
    pub fingerprint: String,
}

/// A workload by name and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadRef {
    /// Its name.
    pub name: String,
    /// Its digest, in hexadecimal.
    pub digest: String,
}

/// What a head reads of the KV cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvInputs {
    /// Layers, ascending.
    pub layers: Vec<usize>,
    /// KV heads of each layer.
    pub kv_heads: usize,
    /// Elements of one key or value.
    pub head_dim: usize,
    /// How positions become one vector.
    pub pooling: Pooling,
}

impl KvInputs {
    /// Numbers that pooling one row gives: layers × KV heads × spans or queries × head_dim. Saturates.
    pub fn outputs(&self) -> usize {
        [self.kv_heads, self.pooling.vectors(), self.head_dim]
            .into_iter()
            .fold(self.layers.len(), usize::saturating_mul)
    }
}

/// How the values of many positions become one vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of the values over each span. No keys are read.
    Mean {
        /// The spans.
        spans: Vec<Span>,
    },
    /// Attention of learned queries, rotated to the position after the prefix, as an appended token's would be.
    Attend {
        /// Queries for each layer and KV head.
        queries: usize,
        /// Positions attended to: the last of prompt and prefix.
        window: usize,
        /// The model's rotary embedding; `None` where its keys are not rotated.
        rotary: Option<Rotary>,
    },
}

impl Pooling {
    /// Vectors of `head_dim` that one layer's KV head gives.
    pub fn vectors(&self) -> usize {
        match self {
            Pooling::Mean { spans } => spans.len(),
            Pooling::Attend { queries, .. } => *queries,
        }
    }
}

/// Positions to average over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// All generated tokens.
    Prefix,
    /// The last n cached positions.
    Last(usize),
}

/// What a head reads of a prefix's log-probabilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogprobInputs {
    /// The statistics, in order.
    pub statistics: Vec<LogprobStatistic>,
}

/// A number made of the log-probabilities of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogprobStatistic {
    /// Mean of all.
    Mean,
    /// The least.
    Min,
    /// Standard deviation.
    Std,
    /// That of the last token.
    Last,
    /// Mean of the last eight.
    MeanLast8,
    /// The least of the last eight.
    MinLast8,
}

impl LogprobStatistic {
    /// Every statistic.
    pub const ALL: [Self; 6] = [
        Self::Mean,
        Self::Min,
        Self::Std,
        Self::Last,
        Self::MeanLast8,
        Self::MinLast8,
    ];
}

/// What a head reads of the tokens: whether each n-gram of a list occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextInputs {
    /// N-grams looked for in the prefix.
    pub prefix_ngrams: usize,
    /// N-grams looked for in the prompt.
    pub prompt_ngrams: usize,
}

/// Platt's map: probability = 1 / (1 + e^−(slope · logit + offset)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Factor of the logit; above 0, so that the order of paths stays.
    pub slope: f64,
    /// Added to it.
    pub offset: f64,
}

/// How well a head ranked paths that it was not trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Mean over questions of the probability that a right path scores above a wrong one of the same question.
    pub auroc_within_question: f64,
    /// The same over all paths.
    pub auroc: f64,
    /// Mean squared error of the calibrated score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brier: Option<f64>,
    /// Expected calibration error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ece: Option<f64>,
    /// Questions it was measured on.
    pub questions: usize,
    /// Which part of the workload they are of.
    pub part: String,
}

impl HeadHeader {
    /// Inputs of the network from each source: KV, log-probabilities, text. Sums and products that pass what an integer
    /// holds saturate; no head with such sizes is read, written or used.
    pub fn inputs(&self) -> [usize; 3] {
        [
            self.kv.as_ref().map_or(0, KvInputs::outputs),
            self.logprob.as_ref().map_or(0, |l| l.statistics.len()),
            self.text
                .map_or(0, |t| t.prefix_ngrams.saturating_add(t.prompt_ngrams)),
        ]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn header() -> HeadHeader {
        HeadHeader {
            version: VERSION,
            name: "made up".into(),
            package: PackageRef {
                name: "here".into(),
                fingerprint: "00".into(),
            },
            check_at_tokens: vec![12],
            kv: Some(KvInputs {
                layers: vec![0, 3],
                kv_heads: 2,
                head_dim: 4,
                pooling: Pooling::Attend {
                    queries: 3,
                    window: 5,
                    rotary: None,
                },
            }),
            logprob: Some(LogprobInputs {
                statistics: vec![LogprobStatistic::Mean],
            }),
            text: Some(TextInputs {
                prefix_ngrams: 2,
                prompt_ngrams: 1,
            }),
            hidden: 2,
            sampling: Sampling::default(),
            workload: WorkloadRef {
                name: "none".into(),
                digest: "00".into(),
            },
            calibration: None,
            measured: Measured {
                auroc_within_question: 0.75,
                auroc: 0.5,
                brier: None,
                ece: None,
                questions: 3,
                part: "none".into(),
            },
        }
    }
}
