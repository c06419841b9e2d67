//! What a sample says: intervals, paired comparisons, and how many items a question needs.
//!
//! Distributions come from `statrs`; every figure is held to SciPy and statsmodels on the cases in
//! `tests/cases/statistics.json`. A figure that the sample does not define is `None`, never 0 and never NaN.

mod bootstrap;
mod holm;
mod mcnemar;
mod paired;
mod power;
mod proportion;
mod quantile;
mod sign_flip;

pub use bootstrap::{Resampling, UnitTotal};
pub use holm::holm;
pub use mcnemar::mcnemar_exact;
pub use paired::{PairedCounts, score_interval};
pub use power::{Design, smallest_drop, units_needed};
pub use proportion::{wilson, wilson_of_share};
pub use quantile::quantile;
pub use sign_flip::sign_flip_exact;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// An interval, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The standard normal distribution's quantile of `probability`, in (0, 1).
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}
