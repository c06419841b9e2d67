//! How well the checks of a sample tell right paths from wrong ones.

use super::{SampleCheck, SampledPath};

/// Fills in how well each check of a sample told right paths from wrong ones.
pub fn rank(checks: &mut [SampleCheck], paths: &[SampledPath]) {
    for (index, check) in checks.iter_mut().enumerate() {
        let scored = |right: bool| {
            paths
                .iter()
                .filter(move |path| path.correct == right)
                .filter_map(move |path| path.scores.get(index).copied().flatten())
        };
        check.pairs = 0;
        check.concordant = 0.0;
        for right in scored(true) {
            for wrong in scored(false) {
                check.pairs += 1;
                check.concordant += match right.total_cmp(&wrong) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
    }
}
