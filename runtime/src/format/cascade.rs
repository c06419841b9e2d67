//! The cascade's calibration: when an answer of a cheap format is good enough, fitted on a workload for one package.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ReadOut, ResponseFormat, Section, SectionKind};
use crate::error::{Error, Result};
use crate::files;
use crate::package::Package;

/// File of a package that holds its calibration; `models/FORMAT.md` describes it.
pub const CALIBRATION_FILE: &str = "cascade.json";

/// Version of the file.
const VERSION: u32 = 1;

/// What is known of an answer of a cheap format before anybody says whether it is right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// The margin of the last choice, in nats: how much the model would rather have answered than gone on.
    pub margin: f64,
    /// Mean log-probability of the answer's tokens, the one that ends it included.
    pub mean_logprob: f64,
    /// The least of them.
    pub min_logprob: f64,
}

impl Features {
    /// Those of a response whose choices were `read_outs`; `None` where it has no answer.
    pub fn of(read_outs: &[ReadOut], sections: &[Section]) -> Option<Self> {
        let answer = sections.iter().find(|s| s.kind == SectionKind::Answer)?;
        Some(Self {
            margin: read_outs.last()?.margin,
            mean_logprob: answer.mean_logprob?,
            min_logprob: answer.min_logprob?,
        })
    }

    /// Them in order.
    pub fn to_array(self) -> [f64; 3] {
        [self.margin, self.mean_logprob, self.min_logprob]
    }
}

/// A cheap format of the cascade: its confidence is 1 / (1 + e^−(weights · features + offset)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CascadeStage {
    /// Which.
    pub format: ResponseFormat,
    /// Of each feature.
    pub weights: Features,
    /// Added to them.
    pub offset: f64,
    /// The answer is accepted where the confidence is at least this; above 1: never.
    pub threshold: f64,
}

impl CascadeStage {
    /// Estimated P(the answer is right); 0 where that comes to no number.
    pub fn confidence(&self, features: Features) -> f64 {
        let terms = self.weights.to_array().into_iter().zip(features.to_array());
        let logit: f64 = self.offset + terms.map(|(weight, x)| weight * x).sum::<f64>();
        let probability = 1.0 / (1.0 + (-logit).exp());
        if probability.is_nan() {
            0.0
        } else {
            probability
        }
    }
}

/// Tokens that 95 of 100 sections of the workload do not exceed, tags included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// Of perception.
    pub perception: usize,
    /// Of reasoning.
    pub reasoning: usize,
    /// Of the answer.
    pub answer: usize,
}

/// What a calibration is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedPackage {
    /// What people call it.
    pub name: String,
    /// [`Package::fingerprint`].
    pub fingerprint: String,
}

/// What it was fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// Items of its training part.
    pub items: usize,
}

/// What the cascade gave on the items that it was fitted on, each judged by a fit without it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationMeasured {
    /// The accuracy that was asked for, \[0, 1\].
    pub target_accuracy: f64,
    /// Accuracy of the cascade.
    pub accuracy: f64,
    /// Generated tokens of a question, those of answers that were not accepted included.
    pub tokens: f64,
    /// Accuracy where every question is answered in full.
    pub full_accuracy: f64,
    /// Tokens of a question then.
    pub full_tokens: f64,
}

/// A calibration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    version: u32,
    /// The package.
    pub package: CalibratedPackage,
    /// The workload.
    pub workload: Workload,
    /// The formats that are tried before full, the cheapest first; one that does not pay is not here.
    pub stages: Vec<CascadeStage>,
    /// How long sections are.
    pub lengths: Lengths,
    /// What it gave.
    pub measured: CalibrationMeasured,
}

impl Calibration {
    /// A calibration of `package` on `workload`.
    pub fn new(
        package: CalibratedPackage,
        workload: Workload,
        stages: Vec<CascadeStage>,
        lengths: Lengths,
        measured: CalibrationMeasured,
    ) -> Self {
        Self {
            version: VERSION,
            package,
            workload,
            stages,
            lengths,
            measured,
        }
    }

    /// Reads the file of a calibration for `package`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Package`] where it is no calibration or one of another package.
    pub fn open(file: &Path, package: &Package) -> Result<Self> {
        let action = "the calibration cannot be read (`curt calibrate` makes one)";
        let text = files::read_text(file, files::WRITTEN_BYTES, action)?;
        let calibration = Self::parse(file, &text)?;
        let fingerprint = package.fingerprint()?;
        if calibration.package.fingerprint != fingerprint {
            return Err(Error::package(
                file,
                "package.fingerprint",
                format!(
                    "{fingerprint}, that of {} (`curt calibrate` makes a calibration for it)",
                    package.dir().display()
                ),
                format!(
                    "{} ({})",
                    calibration.package.fingerprint, calibration.package.name
                ),
            ));
        }
        Ok(calibration)
    }

    /// The calibration that `text` says, which came from `file`.
    ///
    /// # Errors
    /// [`Error::Package`] where it is none.
    pub fn parse(file: &Path, text: &str) -> Result<Self> {
        let wrong = |field: &str, expected: &str, got: String| {
            Err(Error::package(file, field, expected, got))
        };
        let calibration: Self = match serde_json::from_str(text) {
            Ok(calibration) => calibration,
            Err(e) => {
                let got = e.to_string().replace('`', "\"");
                return wrong("JSON", "a calibration (see models/FORMAT.md)", got);
            }
        };
        if calibration.version != VERSION {
            let got = calibration.version.to_string();
            return wrong("version", &VERSION.to_string(), got);
        }
        let formats: Vec<ResponseFormat> = calibration.stages.iter().map(|s| s.format).collect();
        if formats.windows(2).any(|w| w[0] >= w[1]) || formats.contains(&ResponseFormat::Full) {
            let expected = "direct, perception, or both in this order";
            return wrong("stages", expected, format!("{formats:?}"));
        }
        for stage in &calibration.stages {
            let numbers = stage.weights.to_array().into_iter();
            let mut numbers = numbers.chain([stage.offset, stage.threshold]);
            if let Some(odd) = numbers.find(|x| !x.is_finite()) {
                return wrong("stages", "finite numbers", odd.to_string());
            }
        }
        Ok(calibration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration() -> Calibration {
        let stage = |format| CascadeStage {
            format,
            weights: Features {
                margin: 0.5,
                mean_logprob: 1.0,
                min_logprob: 2.0,
            },
            offset: 1.0,
            threshold: 0.9,
        };
        Calibration::new(
            CalibratedPackage {
                name: "p".into(),
                fingerprint: "f".into(),
            },
            Workload {
                name: "w".into(),
                digest: "d".into(),
                items: 9,
            },
            vec![
                stage(ResponseFormat::Direct),
                stage(ResponseFormat::Perception),
            ],
            Lengths {
                perception: 30,
                reasoning: 60,
                answer: 8,
            },
            CalibrationMeasured {
                target_accuracy: 0.9,
                accuracy: 0.91,
                tokens: 20.0,
                full_accuracy: 0.92,
                full_tokens: 80.0,
            },
        )
    }

    #[test]
    fn what_is_written_reads_back_and_what_cannot_be_is_refused() {
        let read = |c: &Calibration| {
            let text = serde_json::to_string(c).unwrap();
            Calibration::parse(Path::new("f"), &text)
        };
        let whole = calibration();
        assert_eq!(read(&whole).unwrap(), whole);
        let features = Features {
            margin: 2.0,
            mean_logprob: -0.5,
            min_logprob: -0.25,
        };
        let logit: f64 = 1.0 + 1.0 - 0.5 - 0.5;
        let confidence = whole.stages[0].confidence(features);
        assert!((confidence - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-12);
        let refused = |change: &dyn Fn(&mut Calibration), said: &str| {
            let mut other = calibration();
            change(&mut other);
            let error = read(&other).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        };
        refused(&|c| c.version = 2, "version");
        refused(&|c| c.stages.reverse(), "in this order");
        refused(
            &|c| c.stages[1].format = ResponseFormat::Full,
            "in this order",
        );
        // JSON has no number for it.
        refused(&|c| c.stages[0].offset = f64::NAN, "JSON");
    }
}
