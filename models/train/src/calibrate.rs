//! From logits to probabilities: Platt's map, and how far its probabilities are off.

use curt::head::Calibration;

/// Steps of Newton's method; it settles in a few.
const STEPS: usize = 50;

/// Bins of the expected calibration error, as in its usual definition (arXiv 1706.04599: 15, of equal width).
const BINS: usize = 15;

/// The most likely slope and offset (Platt 1999). His targets, a little inside 0 and 1, keep them finite where a threshold
/// separates right from wrong. `None` where all paths are right or all wrong, or the best slope is not above 0.
pub fn platt(logits: &[f64], right: &[bool]) -> Option<Calibration> {
    let positives = right.iter().filter(|&&r| r).count() as f64;
    let negatives = right.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let target = |r: bool| {
        if r {
            (positives + 1.0) / (positives + 2.0)
        } else {
            1.0 / (negatives + 2.0)
        }
    };
    let (mut slope, mut offset) = (1.0, (positives / negatives).ln());
    let loss = |slope: f64, offset: f64| {
        let terms = logits.iter().zip(right).map(|(&z, &r)| {
            let x = slope * z + offset;
            x.max(0.0) - target(r) * x + (-x.abs()).exp().ln_1p()
        });
        terms.sum::<f64>()
    };
    for _ in 0..STEPS {
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for (&z, &r) in logits.iter().zip(right) {
            let p = probability(slope * z + offset);
            let (d, w) = (p - target(r), p * (1.0 - p));
            g = [g[0] + d * z, g[1] + d];
            h = [h[0] + w * z * z, h[1] + w * z, h[2] + w];
        }
        let ridge = 1e-9 * (h[0] + h[2]);
        let determinant = (h[0] + ridge) * (h[2] + ridge) - h[1] * h[1];
        let step = [
            ((h[2] + ridge) * g[0] - h[1] * g[1]) / determinant,
            ((h[0] + ridge) * g[1] - h[1] * g[0]) / determinant,
        ];
        // Halved until it goes down: far from the optimum a full Newton step can overshoot.
        let before = loss(slope, offset);
        let mut share = 1.0;
        while share > 1e-6 && loss(slope - share * step[0], offset - share * step[1]) > before {
            share *= 0.5;
        }
        if share <= 1e-6 {
            break;
        }
        slope -= share * step[0];
        offset -= share * step[1];
    }
    (slope > 0.0 && slope.is_finite() && offset.is_finite())
        .then_some(Calibration { slope, offset })
}

/// The calibrated probability of a logit.
pub fn calibrated(logit: f64, calibration: Calibration) -> f64 {
    probability(calibration.slope * logit + calibration.offset)
}

/// Mean squared error of probabilities.
pub fn brier(probabilities: &[f64], right: &[bool]) -> f64 {
    crate::measure::mean(probabilities.iter().zip(right).map(|(p, &r)| {
        let error = p - f64::from(u8::from(r));
        error * error
    }))
}

/// Expected calibration error: mean distance of confidence and accuracy over 15 bins of equal width, weighted by size.
pub fn expected_calibration_error(probabilities: &[f64], right: &[bool]) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    for (&p, &r) in probabilities.iter().zip(right) {
        let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + p, bin.1 + f64::from(u8::from(r)));
    }
    let off: f64 = bins.iter().map(|(p, r)| (p - r).abs()).sum();
    off / probabilities.len() as f64
}

fn probability(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::below;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    /// Logits on a grid and outcomes drawn with probability sigmoid(1.7 z − 0.6).
    fn drawn(n: usize) -> (Vec<f64>, Vec<bool>) {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let logits: Vec<f64> = (0..n).map(|i| (i % 61) as f64 / 10.0 - 3.0).collect();
        let right = logits
            .iter()
            .map(|z| {
                (below(&mut random, 1 << 20) as f64 / f64::from(1 << 20))
                    < probability(1.7 * z - 0.6)
            })
            .collect();
        (logits, right)
    }

    #[test]
    fn the_map_that_made_the_outcomes_is_found() {
        let (logits, right) = drawn(40_000);
        let found = platt(&logits, &right).unwrap();
        // Four standard errors: the information of 40,000 draws gives about 0.02 for either.
        assert!((found.slope - 1.7).abs() < 0.08, "{found:?}");
        assert!((found.offset + 0.6).abs() < 0.08, "{found:?}");
        let p: Vec<f64> = logits.iter().map(|&z| calibrated(z, found)).collect();
        assert!(expected_calibration_error(&p, &right) < 0.02);
        let overconfident: Vec<f64> = logits.iter().map(|&z| probability(6.0 * z)).collect();
        assert!(expected_calibration_error(&overconfident, &right) > 0.05);
        assert!(brier(&p, &right) < brier(&overconfident, &right));
    }

    #[test]
    fn separated_or_turned_around_or_one_sided() {
        let separated = platt(&[-1.0, -0.5, 0.5, 1.0], &[false, false, true, true]).unwrap();
        assert!(separated.slope.is_finite() && separated.slope > 1.0);
        assert_eq!(platt(&[-1.0, 1.0], &[true, false]), None);
        assert_eq!(platt(&[-1.0, 1.0], &[true, true]), None);
    }

    #[test]
    fn perfect_and_worst() {
        assert_eq!(brier(&[1.0, 0.0], &[true, false]), 0.0);
        assert_eq!(expected_calibration_error(&[1.0, 0.0], &[true, false]), 0.0);
        assert_eq!(expected_calibration_error(&[1.0, 0.0], &[false, true]), 1.0);
    }
}
