//! What a head file says about itself: `models/FORMAT.md` in types.

use serde::{Deserialize, Serialize};

use super::Retention;
use crate::error::{Error, Result};
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
    /// The retention-ratio rule, where the data carried one.
    pub retention: Option<Retention>,
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
    /// Inputs of the network from each source: KV, log-probabilities, text. Sizes are those of a header that was
    /// checked, as reading and writing a file do: others may overflow.
    pub fn inputs(&self) -> [usize; 3] {
        [
            self.kv.as_ref().map_or(0, |kv| {
                kv.layers.len() * kv.kv_heads * kv.pooling.vectors() * kv.head_dim
            }),
            self.logprob.as_ref().map_or(0, |l| l.statistics.len()),
            self.text.map_or(0, |t| t.prefix_ngrams + t.prompt_ngrams),
        ]
    }

    /// Bytes of the largest tensor; `None` where they, or a product on the way, pass what an integer holds.
    fn largest_tensor(&self) -> Option<usize> {
        let product = |factors: &[usize]| factors.iter().try_fold(1usize, |x, &y| x.checked_mul(y));
        let of_kv = match &self.kv {
            Some(kv) => {
                let vectors = kv.pooling.vectors();
                product(&[kv.layers.len(), kv.kv_heads, vectors, kv.head_dim])?
            }
            None => 0,
        };
        let of_logprobs = self.logprob.as_ref().map_or(0, |l| l.statistics.len());
        let ngrams = self
            .text
            .map_or([0; 2], |t| [t.prefix_ngrams, t.prompt_ngrams]);
        let [in_prefix, in_prompt] = ngrams;
        let of_text = in_prefix.checked_add(in_prompt)?;
        let inputs = of_kv.checked_add(of_logprobs)?.checked_add(of_text)?;
        let weights = product(&[4, inputs, self.hidden.max(1)])?;
        let listed = product(&[8, in_prefix.max(in_prompt)])?;
        Some(weights.max(listed)).filter(|&bytes| isize::try_from(bytes).is_ok())
    }

    /// Holds the fields against each other.
    pub(super) fn check(&self, file: &std::path::Path) -> Result<()> {
        let refuse = |field: &str, expected: &str, got: String| {
            Err(Error::package(file, field, expected, got))
        };
        if self.version != VERSION {
            return refuse(
                "version",
                &format!("{VERSION}: train the head anew, or use the curt that made it"),
                self.version.to_string(),
            );
        }
        let at = &self.check_at_tokens;
        if at.is_empty() || at[0] == 0 || at.windows(2).any(|w| w[0] >= w[1]) {
            return refuse(
                "check_at_tokens",
                "at least one check point, from 1 token up, ascending",
                format!("{at:?}"),
            );
        }
        if self.largest_tensor().is_none() {
            return refuse(
                "kv, text, hidden",
                "sizes of tensors that memory can hold",
                format!(
                    "{:?}, {:?} and {} hidden units",
                    self.kv, self.text, self.hidden
                ),
            );
        }
        if self.inputs().iter().sum::<usize>() == 0 {
            return refuse("inputs", "at least one", "none".into());
        }
        if let Some(kv) = &self.kv {
            if kv.kv_heads == 0 || kv.head_dim == 0 {
                return refuse(
                    "kv",
                    "at least one KV head, of at least one element",
                    format!("{} heads of {} elements", kv.kv_heads, kv.head_dim),
                );
            }
            if kv.layers.is_empty() || kv.layers.windows(2).any(|w| w[0] >= w[1]) {
                return refuse(
                    "kv.layers",
                    "at least one layer, ascending",
                    format!("{:?}", kv.layers),
                );
            }
            match &kv.pooling {
                Pooling::Mean { spans } if spans.is_empty() || spans.contains(&Span::Last(0)) => {
                    return refuse(
                        "kv.pooling.mean.spans",
                        "at least one span, none of them of 0 positions",
                        format!("{spans:?}"),
                    );
                }
                Pooling::Attend {
                    queries, window, ..
                } if *queries == 0 || *window == 0 => {
                    return refuse(
                        "kv.pooling.attend",
                        "at least one query and one position",
                        format!("{queries} queries, {window} positions"),
                    );
                }
                Pooling::Attend {
                    rotary: Some(r), ..
                } if r.dims % 2 != 0
                    || r.dims > kv.head_dim
                    || !(r.theta > 1.0 && r.theta.is_finite()) =>
                {
                    return refuse(
                        "kv.pooling.attend.rotary",
                        "an even number of dims, at most head_dim, and a base above 1",
                        format!("{r:?}"),
                    );
                }
                _ => {}
            }
        }
        if let Some(c) = self.calibration
            && !(c.slope > 0.0 && c.slope.is_finite() && c.offset.is_finite())
        {
            return refuse(
                "calibration",
                "a slope above 0 and an offset, both finite",
                format!("{c:?}"),
            );
        }
        if let Some(rule) = &self.retention
            && !rule.is_usable()
        {
            return refuse(
                "retention",
                "finite constants, a and path_tokens above 0, and a ratio_range [least, most] with \
                 0 < least <= most <= 1",
                format!("{rule:?}"),
            );
        }
        let m = &self.measured;
        let shares = [Some(m.auroc_within_question), Some(m.auroc), m.brier, m.ece];
        if shares.iter().flatten().any(|x| !(0.0..=1.0).contains(x)) {
            return refuse("measured", "numbers from 0 to 1", format!("{m:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::Path;

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
            retention: None,
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

    fn refusal(header: &HeadHeader) -> String {
        header.check(Path::new("x")).unwrap_err().to_string()
    }

    #[test]
    fn sizes_that_no_memory_holds_are_refused_before_they_are_multiplied() {
        assert!(header().check(Path::new("x")).is_ok());
        let huge = usize::MAX / 2;
        let edits: [fn(&mut HeadHeader, usize); 5] = [
            |h, huge| h.kv.as_mut().unwrap().head_dim = huge,
            |h, huge| h.kv.as_mut().unwrap().kv_heads = huge,
            |h, huge| h.text.as_mut().unwrap().prefix_ngrams = huge,
            |h, huge| h.text.as_mut().unwrap().prompt_ngrams = 2 * huge + 1,
            |h, huge| h.hidden = huge,
        ];
        for (number, edit) in edits.iter().enumerate() {
            let mut header = header();
            edit(&mut header, huge);
            assert!(refusal(&header).contains("memory can hold"), "{number}");
        }
        let mut header = header();
        header.kv.as_mut().unwrap().head_dim = 0;
        assert!(refusal(&header).contains("at least one KV head"));
    }

    #[test]
    fn a_rule_or_a_measure_that_says_nothing_is_refused() {
        let rule = Retention {
            a: 2.0,
            b: 0.4,
            c: -0.3,
            path_tokens: 40.0,
            ratio_range: [0.25, 1.0],
            points: 9,
        };
        let with = |rule| HeadHeader {
            retention: Some(rule),
            ..header()
        };
        assert!(with(rule).check(Path::new("x")).is_ok());
        for wrong in [
            Retention { a: 0.0, ..rule },
            Retention {
                a: f64::NAN,
                ..rule
            },
            Retention {
                b: f64::INFINITY,
                ..rule
            },
            Retention {
                c: f64::NAN,
                ..rule
            },
            Retention {
                path_tokens: 0.0,
                ..rule
            },
            Retention {
                ratio_range: [0.5, 0.25],
                ..rule
            },
            Retention {
                ratio_range: [0.0, 0.5],
                ..rule
            },
            Retention {
                ratio_range: [0.5, 1.5],
                ..rule
            },
            Retention {
                ratio_range: [f64::NAN, 0.5],
                ..rule
            },
        ] {
            assert!(refusal(&with(wrong)).contains("retention"), "{wrong:?}");
        }
        let mut unmeasured = header();
        unmeasured.measured.auroc = f64::NAN;
        assert!(refusal(&unmeasured).contains("measured"));
    }
}
