//! McNemar's test of paired yes-or-no outcomes.

use statrs::distribution::{Binomial, DiscreteCDF};

/// Two-sided p of the exact McNemar test: `gained` pairs went from wrong to right, `lost` from right to wrong. Under the
/// null hypothesis either is Binomial(gained + lost, ½); without any such pair p is 1.
pub fn mcnemar_exact(gained: u64, lost: u64) -> f64 {
    let discordant = gained + lost;
    match Binomial::new(0.5, discordant) {
        Ok(binomial) if discordant > 0 => (2.0 * binomial.cdf(gained.min(lost))).min(1.0),
        _ => 1.0,
    }
}
