//! The randomisation test of paired differences.

/// Two-sided p of the sign-flip test: had the two arms' results of a unit been exchangeable, each of `differences` could
/// as well have had the other sign. The share of all 2ⁿ patterns of signs whose total is at least as far from 0 as the one
/// seen, by convolution, so that nothing is drawn; 1 where no unit differs. Where each difference is −1, 0 or 1 this is
/// the exact McNemar test.
pub fn sign_flip_exact(differences: &[i64]) -> f64 {
    let total: i64 = differences.iter().sum();
    let sizes = || differences.iter().map(|d| d.unsigned_abs() as usize);
    let largest: usize = sizes().sum();
    // Probability of each sum of the differences whose sign is positive.
    let mut positive = vec![0.0; largest + 1];
    positive[0] = 1.0;
    let mut reached = 0;
    for size in sizes().filter(|&size| size > 0) {
        reached += size;
        for sum in (0..=reached).rev() {
            let with = if sum >= size {
                positive[sum - size]
            } else {
                0.0
            };
            positive[sum] = 0.5 * (positive[sum] + with);
        }
    }
    let as_far = |sum: usize| (2 * sum).abs_diff(largest) as u64 >= total.unsigned_abs();
    let p: f64 = positive
        .iter()
        .enumerate()
        .filter(|&(sum, _)| as_far(sum))
        .map(|(_, probability)| probability)
        .sum();
    p.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mcnemar_exact;

    /// Every pattern of signs, one by one.
    fn enumerated(differences: &[i64]) -> f64 {
        let seen = differences.iter().sum::<i64>().abs();
        let patterns = 1u32 << differences.len();
        let as_far = (0..patterns)
            .filter(|pattern| {
                let total: i64 = differences
                    .iter()
                    .enumerate()
                    .map(|(i, d)| if pattern >> i & 1 == 1 { -d } else { *d })
                    .sum();
                total.abs() >= seen
            })
            .count();
        as_far as f64 / f64::from(patterns)
    }

    #[test]
    fn it_is_the_share_of_all_patterns_of_signs() {
        let cases: [&[i64]; 6] = [
            &[3, -1, 2, 0, 1, 4, -2],
            &[5, 5, 5, -1, 0, 0, 2, 2, -3, 1, 1, 1],
            &[-4, -4, -4, -4],
            &[1, -1, 2, -2],
            &[7],
            &[0, 0],
        ];
        for case in cases {
            let (got, expected) = (sign_flip_exact(case), enumerated(case));
            // Sums of halves: a rounding apart.
            assert!(
                (got - expected).abs() < 1e-12,
                "{got} for {expected}: {case:?}"
            );
        }
        assert_eq!(sign_flip_exact(&[]), 1.0);
    }

    #[test]
    fn of_single_items_it_is_mcnemars() {
        for (gained, lost) in [(0, 0), (3, 3), (9, 2), (150, 101), (1, 40)] {
            let mut differences = vec![1; gained];
            differences.extend(vec![-1; lost]);
            let (got, expected) = (
                sign_flip_exact(&differences),
                mcnemar_exact(gained as u64, lost as u64),
            );
            assert!((got - expected).abs() < 1e-9, "{got} for {expected}");
        }
    }

    #[test]
    fn groups_that_move_as_one_are_no_evidence_each() {
        // Twelve items gained, all in two groups.
        assert!(mcnemar_exact(12, 0) < 0.001);
        assert_eq!(sign_flip_exact(&[6, 6]), 0.5);
    }
}
