//! The retention-ratio rule: how many paths to keep, from what a question may cost.

use serde::{Deserialize, Serialize};

/// Tokens that the rule counts as one.
const UNIT_TOKENS: f64 = 1024.0;

/// Rounds of the fixed point; it contracts (the ratio's exponent of the budget is below 1), and settles in a few.
const ROUNDS: usize = 32;

/// γ⁻¹ = a · C^b · L^c, C the question's tokens over all paths and L the check point, both in 1024 tokens.
///
/// The guideline of STOP (arXiv 2604.16029, §5.1, appendix E) without its last factor, the task's length: one workload
/// has one length, so that it is a part of `a` here and cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Factor.
    pub a: f64,
    /// Exponent of the budget.
    pub b: f64,
    /// Exponent of the check point.
    pub c: f64,
    /// Mean tokens of an unpruned path of the workload.
    pub path_tokens: f64,
    /// Least and largest ratio that the fit has seen: it says nothing beyond them.
    pub ratio_range: [f64; 2],
    /// Points the fit stands on.
    pub points: usize,
}

impl Retention {
    /// The ratio for a budget of `budget_tokens` over all paths and a check at `at_tokens`, within what the fit has seen.
    pub fn ratio(&self, budget_tokens: f64, at_tokens: usize) -> f64 {
        let inverse = self.a
            * (budget_tokens / UNIT_TOKENS).powf(self.b)
            * (at_tokens as f64 / UNIT_TOKENS).powf(self.c);
        let [least, most] = self.ratio_range;
        // Not `clamp`, which panics at a range the wrong way round: the fields are anyone's to set.
        (1.0 / inverse).max(least).min(most)
    }

    /// Whether every number is one that the rule can be: finite, a and the path's tokens above 0, the range within
    /// (0, 1\] and the right way round.
    pub(super) fn is_usable(&self) -> bool {
        let [least, most] = self.ratio_range;
        let above_zero = |x: f64| x > 0.0 && x.is_finite();
        above_zero(self.a)
            && above_zero(self.path_tokens)
            && self.b.is_finite()
            && self.c.is_finite()
            && 0.0 < least
            && least <= most
            && most <= 1.0
    }

    /// Paths to keep of `paths` checked at `at_tokens`: the ratio at the budget that keeping so many takes.
    pub fn keep(&self, paths: usize, at_tokens: usize) -> usize {
        let prefix = at_tokens as f64;
        let rest = (self.path_tokens - prefix).max(0.0);
        let [least, most] = self.ratio_range;
        let mut ratio = (least * most).sqrt();
        for _ in 0..ROUNDS {
            let budget = paths as f64 * (prefix + ratio * rest);
            ratio = self.ratio(budget, at_tokens);
        }
        ((ratio * paths as f64).round() as usize).clamp(1, paths.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_cells_come_out() {
        // Appendix E, Table 14: task length 8,650 tokens, so a = 1.17e4 / (8650/1024)^4.55.
        let rule = Retention {
            a: 1.17e4 / (8650.0f64 / 1024.0).powf(4.55),
            b: 0.46,
            c: 0.40,
            path_tokens: 8650.0,
            ratio_range: [1.0 / 64.0, 1.0],
            points: 0,
        };
        for (prefix, budget, inverse) in [(2048, 140.0, 9.10), (2560, 300.0, 14.13)] {
            let got = 1.0 / rule.ratio(budget * 1024.0, prefix);
            // The table gives two digits after the point, of constants with two and three.
            assert!((got / inverse - 1.0).abs() < 0.01, "{got} for {inverse}");
        }
        // §5.1's own deployment: 158k tokens, check at 2048: about 59 paths and 6 kept.
        assert_eq!(rule.keep(59, 2048), 6);
    }

    #[test]
    fn it_says_nothing_beyond_what_was_fitted() {
        let rule = Retention {
            a: 1e6,
            b: 0.5,
            c: 0.5,
            path_tokens: 100.0,
            ratio_range: [0.125, 0.5],
            points: 9,
        };
        assert_eq!(rule.keep(16, 20), 2);
        assert_eq!(Retention { a: 1e-6, ..rule }.keep(16, 20), 8);
        assert_eq!(rule.keep(1, 20), 1);
        let reversed = Retention {
            ratio_range: [0.5, 0.125],
            ..rule
        };
        assert!((1..=16).contains(&reversed.keep(16, 20)), "no panic");
    }
}
