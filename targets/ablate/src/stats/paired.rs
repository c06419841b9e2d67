//! The difference of two paired proportions.

use super::{Interval, normal_quantile};

/// Paired yes-or-no outcomes, counted by what changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairedCounts {
    /// Wrong before, right after.
    pub gained: u64,
    /// Right before, wrong after.
    pub lost: u64,
    /// Pairs in all.
    pub pairs: u64,
}

/// Tango's score interval of the paired difference (gained − lost) / pairs, each end leaving out `tail` (Tango 1998,
/// Stat. Med. 17:891). Unlike a bootstrap it does not shrink to a point where no pair, or hardly one, differs. `None` for
/// no pairs.
pub fn score_interval(counts: PairedCounts, tail: f64) -> Option<Interval> {
    let PairedCounts {
        gained,
        lost,
        pairs,
    } = counts;
    if pairs == 0 {
        return None;
    }
    let z = normal_quantile(1.0 - tail);
    let observed = (gained as f64 - lost as f64) / pairs as f64;
    let statistic = |difference: f64| score(gained as f64, lost as f64, pairs as f64, difference);
    // The statistic falls as the assumed difference grows.
    Some(Interval {
        low: crossing(-1.0, observed, |difference| statistic(difference) - z),
        high: crossing(observed, 1.0, |difference| statistic(difference) + z),
    })
}

/// The score statistic of an assumed difference: standard normal where that is the true one.
fn score(gained: f64, lost: f64, pairs: f64, difference: f64) -> f64 {
    // Maximum likelihood of the probability of a loss, given the difference: root of 2n·x² + b·x + c.
    let b = -gained - lost + (2.0 * pairs - gained + lost) * difference;
    let c = -lost * difference * (1.0 - difference);
    let loss = ((b * b - 8.0 * pairs * c).max(0.0).sqrt() - b) / (4.0 * pairs);
    let variance = pairs * (2.0 * loss + difference * (1.0 - difference));
    let distance = gained - lost - pairs * difference;
    if variance <= 0.0 {
        return if distance == 0.0 {
            0.0
        } else {
            distance.signum() * f64::INFINITY
        };
    }
    distance / variance.sqrt()
}

/// Where a falling `f` crosses 0 between `low` and `high`, by bisection to the last bit; an end where it does not.
fn crossing(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    // 2^-60 of an interval of at most 2 is below the spacing of doubles there.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if f(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}
