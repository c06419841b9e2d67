//! How well scores rank: AUROC within questions and overall, what the kept are worth, and paired intervals.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Resamples of an interval.
const RESAMPLES: usize = 2000;

/// The probability that a right path scores above a wrong one, ties by half; NaN where a score is NaN. `None` where all
/// are right or all wrong.
pub fn auroc(scores: &[f64], right: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let positives = right.iter().filter(|&&r| r).count();
    let negatives = right.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    if scores.iter().any(|s| s.is_nan()) {
        return Some(f64::NAN);
    }
    let (mut pairs, mut below, mut at) = (0.0, 0.0, 0);
    while at < order.len() {
        let tied: Vec<usize> = order[at..]
            .iter()
            .copied()
            .take_while(|&i| scores[i] == scores[order[at]])
            .collect();
        let ups = tied.iter().filter(|&&i| right[i]).count() as f64;
        let downs = tied.len() as f64 - ups;
        pairs += ups * (below + 0.5 * downs);
        below += downs;
        at += tied.len();
    }
    Some(pairs / (positives as f64 * negatives as f64))
}

/// Mean of what is there; NaN of nothing.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values
        .into_iter()
        .fold((0.0, 0), |(sum, count), x| (sum + x, count + 1));
    sum / f64::from(count)
}

/// A paired comparison: mean difference and its 95 % interval over resampled questions.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Paired {
    /// Mean of `a − b`.
    pub difference: f64,
    /// 2.5 % and 97.5 % points of the resampled mean.
    pub interval: [f64; 2],
    /// Questions that both say something of.
    pub questions: usize,
}

impl Paired {
    /// Compares question by question; those where either is `None` are left out.
    pub fn of(a: &[Option<f64>], b: &[Option<f64>], seed: u64) -> Self {
        let differences: Vec<f64> = a
            .iter()
            .zip(b)
            .filter_map(|(a, b)| Some((*a)? - (*b)?))
            .collect();
        let n = differences.len();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|_| mean((0..n).map(|_| differences[below(&mut random, n)])))
            .collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| means[((share * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
        Self {
            difference: mean(differences.iter().copied()),
            interval: [at(0.025), at(0.975)],
            questions: n,
        }
    }

    /// Whether `a` is better beyond what resampling explains.
    pub fn is_above(&self) -> bool {
        self.interval[0] > 0.0
    }
}

/// A number below `n` (above 0), each as probable as 53 random bits make them.
pub(crate) fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    let uniform = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    ((uniform * n as f64) as usize).min(n.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pairs, counted.
    fn plain(scores: &[f64], right: &[bool]) -> f64 {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for i in (0..right.len()).filter(|&i| right[i]) {
            for j in (0..right.len()).filter(|&j| !right[j]) {
                pairs += 1.0;
                sum += match scores[i].total_cmp(&scores[j]) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        sum / pairs
    }

    #[test]
    fn auroc_counts_pairs() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for n in 2..40 {
            let scores: Vec<f64> = (0..n).map(|_| below(&mut random, 7) as f64).collect();
            let right: Vec<bool> = (0..n)
                .map(|i| i == 0 || below(&mut random, 3) == 1 && i > 1)
                .collect();
            let got = auroc(&scores, &right).unwrap();
            // Sums of halves are exact; one division each.
            assert_eq!(got, plain(&scores, &right));
        }
        assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(auroc(&[1.0, 2.0], &[false, true]), Some(1.0));
        assert!(auroc(&[f64::NAN, 2.0], &[false, true]).unwrap().is_nan());
    }

    #[test]
    fn a_difference_is_told_from_none() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let noise: Vec<f64> = (0..400)
            .map(|_| below(&mut random, 1000) as f64 / 1e3)
            .collect();
        let a: Vec<Option<f64>> = noise.iter().map(|x| Some(x + 0.01)).collect();
        let b: Vec<Option<f64>> = noise.iter().map(|x| Some(*x)).collect();
        let shuffled: Vec<Option<f64>> = noise.iter().rev().map(|x| Some(*x)).collect();
        assert!(Paired::of(&a, &b, 0).is_above());
        assert!(!Paired::of(&b, &a, 0).is_above());
        assert!(!Paired::of(&b, &shuffled, 0).is_above());
        let mut holes = a.clone();
        holes[..399].fill(None);
        assert_eq!(Paired::of(&holes, &b, 0).questions, 1);
    }
}
