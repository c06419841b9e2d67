//! The interval of one proportion.

use super::{Interval, normal_quantile};

/// Wilson's score interval of a proportion, two-sided at `level` (Wilson 1927, J. Am. Stat. Assoc. 22:209, without
/// continuity correction). `None` for no trials.
pub fn wilson(successes: u64, trials: u64, level: f64) -> Option<Interval> {
    wilson_of_share(successes as f64 / trials as f64, trials, level)
}

/// As [`wilson`], of the share of successes: a mean over units that are partly right has no whole number of them.
pub fn wilson_of_share(share: f64, trials: u64, level: f64) -> Option<Interval> {
    if trials == 0 {
        return None;
    }
    let z = normal_quantile(0.5 + level / 2.0);
    let (p, n) = (share, trials as f64);
    let centre = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    Some(Interval {
        low: ((centre - half) / scale).max(0.0),
        high: ((centre + half) / scale).min(1.0),
    })
}
