//! The constants of the retention-ratio rule (stop.md §5; arXiv 2604.16029 §5.1), from replays.
//!
//! γ⁻¹ = a · C^b · L^c: the best ratio at a budget of C tokens over all paths and a check at L. For each budget and check
//! point every ratio is replayed with as many paths as the budget buys, N = C / (L + γ (T − L)), T the mean length of a
//! path; the ratio whose votes are right most often is a point of the fit. Not so where the budget buys more paths than
//! were collected at any of the ratios: how many there are would then decide which ratio is best.

use std::collections::BTreeSet;

use curt::head::Retention;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use crate::data::Data;
use crate::error::Result;
use crate::measure::{below, mean};
use crate::replays::{Scores, outcome};

/// Tokens that the rule counts as one.
const UNIT_TOKENS: f64 = 1024.0;

/// Ratios replayed, each the half of √2 of the next: finer than votes of a few hundred questions can tell apart.
const RATIOS: [f64; 9] = [
    0.0625,
    0.0884,
    0.125,
    0.1768,
    0.25,
    0.3536,
    0.5,
    std::f64::consts::FRAC_1_SQRT_2,
    1.0,
];

/// Fewest paths that a vote is worth pruning for.
const FEWEST_PATHS: f64 = 3.0;

/// Check points and budgets that the fit needs of each: three tell a slope from noise.
const NEEDED: usize = 3;

/// Points that the fit needs: two for each of its constants.
const NEEDED_POINTS: usize = 6;

/// Draws of N of the collected paths for each question.
const DRAWS: usize = 4;

/// A replayed budget and check point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Tokens over all paths.
    pub budget_tokens: f64,
    /// The check point.
    pub at_tokens: usize,
    /// Ratios that the budget buys at least three and at most all collected paths for, and how often the vote was right.
    pub votes: Vec<(f64, f64)>,
    /// The best of them by a parabola through their logarithms; `None` where it, or the ratio whose vote was best, lies at
    /// an end of what was tried.
    pub best: Option<f64>,
    /// Whether a ratio could not be tried because the budget buys more paths than were collected. Not a point of the fit.
    pub capped: bool,
}

/// A fit, or what is missing for one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetentionFit {
    /// The rule; `None` with a reason.
    pub rule: Option<Retention>,
    /// Why there is none.
    pub missing: Option<String>,
    /// What was replayed.
    pub points: Vec<Point>,
}

/// Fits the rule from scores at several check points, over the questions `of`.
///
/// # Errors
/// Those of [`curt::paths::replay`].
pub fn fit_retention(
    data: &Data,
    of: &[usize],
    scores: &[(usize, &Scores)],
    seed: u64,
) -> Result<RetentionFit> {
    let path_tokens = data.path_tokens();
    let all = data.settings.paths as f64 * path_tokens;
    let mut points = Vec::new();
    for &(at_tokens, scores) in scores {
        for share in [0.2, 0.3, 0.4, 0.5, 0.6] {
            points.push(replayed(
                data,
                of,
                (at_tokens, scores),
                share * all,
                path_tokens,
                seed,
            )?);
        }
    }
    let fitted = fit_points(&points, path_tokens);
    Ok(RetentionFit {
        rule: fitted.as_ref().ok().copied(),
        missing: fitted.err(),
        points,
    })
}

/// The rule through the best ratios of `points`, or what is missing for it.
fn fit_points(points: &[Point], path_tokens: f64) -> std::result::Result<Retention, String> {
    let capped = points.iter().filter(|p| p.capped).count();
    let tried = points.iter().filter(|p| !p.capped);
    let usable: Vec<(&Point, f64)> = tried.filter_map(|p| Some((p, p.best?))).collect();
    let distinct = |of: fn(&Point) -> u64| {
        let values: BTreeSet<u64> = usable.iter().map(|(p, _)| of(p)).collect();
        values.len()
    };
    let checks = distinct(|p| p.at_tokens as u64);
    let budgets = distinct(|p| p.budget_tokens as u64);
    if checks < NEEDED || budgets < NEEDED || usable.len() < NEEDED_POINTS {
        return Err(format!(
            "expected at least {NEEDED_POINTS} replays at {NEEDED} check points and {NEEDED} budgets whose best ratio lies \
             inside those tried, got {} at {checks} and {budgets}; of the {} replays {capped} could not try every ratio for \
             want of paths, and {} were best at an end or had no peak: collect more paths of each question, or more \
             questions",
            usable.len(),
            points.len(),
            points.len() - capped - usable.len(),
        ));
    }
    let rows: Vec<([f64; 3], f64)> = usable
        .iter()
        .map(|(p, best)| {
            let budget = (p.budget_tokens / UNIT_TOKENS).ln();
            let check = (p.at_tokens as f64 / UNIT_TOKENS).ln();
            ([1.0, budget, check], -best.ln())
        })
        .collect();
    let Some([log_a, b, c]) = least_squares(&rows) else {
        return Err(
            "expected budgets and check points that vary apart, got ones that do not: collect more paths of each question"
                .into(),
        );
    };
    if !(b > 0.0 && b < 1.0) {
        return Err(format!(
            "expected a ratio that falls as the budget grows, and more slowly than it (an exponent above 0 and below 1), \
             got {b:.2}: collect more questions"
        ));
    }
    let a = log_a.exp();
    if !(a > 0.0 && a.is_finite() && c.is_finite()) {
        return Err(format!(
            "expected constants that are numbers, got a = {a} and c = {c}: collect more questions"
        ));
    }
    let ratios = usable.iter().map(|(_, best)| *best);
    let range = ratios.fold([f64::MAX, 0.0f64], |[lo, hi], r| [lo.min(r), hi.max(r)]);
    Ok(Retention {
        a,
        b,
        c,
        path_tokens,
        ratio_range: range,
        points: usable.len(),
    })
}

fn replayed(
    data: &Data,
    of: &[usize],
    (at_tokens, scores): (usize, &Scores),
    budget_tokens: f64,
    path_tokens: f64,
    seed: u64,
) -> Result<Point> {
    let prefix = at_tokens as f64;
    let (mut votes, mut capped) = (Vec::new(), false);
    for ratio in RATIOS {
        let paths = budget_tokens / (prefix + ratio * (path_tokens - prefix).max(0.0));
        if paths > data.settings.paths as f64 + 0.5 {
            capped = true;
            continue;
        }
        if paths < FEWEST_PATHS {
            continue;
        }
        let paths = paths.round() as usize;
        let keep = ((ratio * paths as f64).round() as usize).max(1);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut right = Vec::new();
        for &q in of {
            for _ in 0..DRAWS {
                let drawn = draw(&mut random, data.settings.paths, paths);
                let question = &data.questions[q];
                let outcome = outcome(question, &drawn, &scores[q], Some((at_tokens, keep)))?;
                right.push(f64::from(u8::from(outcome.vote_right)));
            }
        }
        votes.push((ratio, mean(right)));
    }
    Ok(Point {
        budget_tokens,
        at_tokens,
        best: peak(&votes),
        votes,
        capped,
    })
}

/// `count` of `of` numbers, ascending: the same random numbers for every ratio, so that ratios are compared on like draws.
fn draw(random: &mut ChaCha8Rng, of: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..of).collect();
    for i in (1..of).rev() {
        all.swap(i, below(random, i + 1));
    }
    all.truncate(count);
    all.sort_unstable();
    all
}

/// The best ratio of `votes`: where their parabola is highest. `None` unless it peaks inside what was tried, and the best
/// vote itself lies inside too, above those of both ends.
fn peak(votes: &[(f64, f64)]) -> Option<f64> {
    let best = votes.iter().map(|v| v.1).fold(f64::MIN, f64::max);
    let inside = votes.first()?.1 < best && votes.last()?.1 < best;
    inside.then(|| vertex(votes)).flatten()
}

/// Where a parabola through (log ratio, votes) is highest; `None` where it opens upwards or peaks outside.
fn vertex(votes: &[(f64, f64)]) -> Option<f64> {
    let rows: Vec<([f64; 3], f64)> = votes
        .iter()
        .map(|(ratio, right)| {
            let x = ratio.ln();
            ([1.0, x, x * x], *right)
        })
        .collect();
    let [_, linear, square] = least_squares(&rows)?;
    let x = -linear / (2.0 * square);
    let (first, last) = (votes.first()?.0.ln(), votes.last()?.0.ln());
    (square < 0.0 && x > first && x < last).then(|| x.exp())
}

/// Least squares by the normal equations, three unknowns; `None` where they are not determined.
fn least_squares(rows: &[([f64; 3], f64)]) -> Option<[f64; 3]> {
    let mut m = [[0.0; 4]; 3];
    for (x, y) in rows {
        for i in 0..3 {
            for j in 0..3 {
                m[i][j] += x[i] * x[j];
            }
            m[i][3] += x[i] * y;
        }
    }
    for i in 0..3 {
        let pivot = (i..3).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs()))?;
        m.swap(i, pivot);
        // Relative to the size of the sums: collinear columns leave only rounding.
        if m[i][i].abs() < 1e-9 * rows.len() as f64 {
            return None;
        }
        for j in 0..3 {
            if j != i {
                let factor = m[j][i] / m[i][i];
                let pivot = m[i];
                for (to, from) in m[j].iter_mut().zip(pivot).skip(i) {
                    *to -= factor * from;
                }
            }
        }
    }
    Some([m[0][3] / m[0][0], m[1][3] / m[1][1], m[2][3] / m[2][2]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{made_up, path};

    #[test]
    fn least_squares_finds_what_made_the_rows() {
        let rows: Vec<([f64; 3], f64)> = (0..12)
            .map(|i| {
                let (x, y) = (f64::from(i % 4), f64::from(i / 4));
                ([1.0, x, y], 0.5 - 2.0 * x + 3.0 * y)
            })
            .collect();
        let got = least_squares(&rows).unwrap();
        for (got, wanted) in got.iter().zip([0.5, -2.0, 3.0]) {
            assert!((got - wanted).abs() < 1e-12, "{got}");
        }
        let flat: Vec<([f64; 3], f64)> = (0..9).map(|i| ([1.0, f64::from(i), 2.0], 1.0)).collect();
        assert_eq!(least_squares(&flat), None);
    }

    #[test]
    fn a_peak_inside_is_found_and_one_outside_is_not() {
        let votes = |peak: f64| -> Vec<(f64, f64)> {
            let height = |r: f64| 0.8 - 0.05 * (r.ln() - peak.ln()).powi(2);
            RATIOS.iter().map(|&r| (r, height(r))).collect()
        };
        assert!((vertex(&votes(0.2)).unwrap() - 0.2).abs() < 1e-9);
        assert_eq!(vertex(&votes(2.0)), None);
        assert_eq!(vertex(&[(0.5, 0.1), (1.0, 0.2)]), None);
    }

    #[test]
    fn the_best_vote_itself_must_lie_inside() {
        // The parabola peaks inside, the best vote is at the least ratio: its best may lie below.
        let votes = [
            (0.25, 0.80),
            (0.35, 0.76),
            (0.5, 0.79),
            (0.7, 0.74),
            (1.0, 0.5),
        ];
        assert!(vertex(&votes).is_some());
        assert_eq!(peak(&votes), None);
        let mut inside = votes;
        inside[1].1 = 0.81;
        assert_eq!(peak(&inside), vertex(&inside));
        inside[0].1 = 0.81;
        assert_eq!(peak(&inside), None, "as good as an end");
        assert_eq!(peak(&[]), None);
    }

    /// Points whose votes are highest where γ⁻¹ = a · C^b · L^c says.
    fn points(a: f64, b: f64, c: f64) -> Vec<Point> {
        let mut points = Vec::new();
        for at_tokens in [16, 24, 32, 40] {
            for budget_tokens in [200.0, 300.0, 400.0, 600.0] {
                let budget: f64 = budget_tokens / UNIT_TOKENS;
                let inverse = a * budget.powf(b) * (at_tokens as f64 / UNIT_TOKENS).powf(c);
                let off = |r: f64| r.ln() + inverse.ln();
                let votes: Vec<(f64, f64)> = RATIOS
                    .iter()
                    .map(|&r| (r, 0.8 - 0.05 * off(r).powi(2)))
                    .collect();
                points.push(Point {
                    budget_tokens,
                    at_tokens,
                    best: peak(&votes),
                    votes,
                    capped: false,
                });
            }
        }
        points
    }

    #[test]
    fn the_rule_that_made_the_votes_is_found() {
        let (a, b, c) = (20.0, 0.46, 0.4);
        let mut made = points(a, b, c);
        assert!(made.iter().all(|p| p.best.is_some()));
        // What paths that were not collected made of it is left out.
        made[3].capped = true;
        made[3].best = Some(0.9);
        let rule = fit_points(&made, 60.0).unwrap();
        // Parabolas and the rule are met exactly, but for the rounding of two systems of three equations.
        for (got, wanted) in [(rule.a / a, 1.0), (rule.b, b), (rule.c, c)] {
            assert!((got - wanted).abs() < 1e-6, "{rule:?}");
        }
        assert_eq!((rule.points, rule.path_tokens), (15, 60.0));
        let inverse = a * (300.0 / UNIT_TOKENS).powf(b) * (24.0 / UNIT_TOKENS).powf(c);
        assert!((rule.ratio(300.0, 24) * inverse - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_rule_that_the_points_do_not_carry_is_refused_with_the_reason() {
        let refused = |points: &[Point], wanted: &str| {
            let missing = fit_points(points, 60.0).unwrap_err();
            assert!(
                missing.contains(wanted),
                "expected {wanted:?} in {missing:?}"
            );
        };
        refused(&points(1.5, -0.3, -0.2), "exponent above 0 and below 1");
        refused(&points(24.0, 1.2, 0.1), "exponent above 0 and below 1");
        let mut few = points(20.0, 0.46, 0.4);
        few.iter_mut().for_each(|p| p.capped |= p.at_tokens > 24);
        refused(&few, "got 8 at 2 and 4");
        refused(&few, "8 could not try every ratio for want of paths");
        // One budget for each check point: three constants through three points.
        let all = points(20.0, 0.46, 0.4);
        let diagonal: Vec<Point> = (0..3).map(|i| all[5 * i].clone()).collect();
        refused(&diagonal, "got 3 at 3 and 3");
    }

    #[test]
    fn data_that_cannot_carry_it_is_refused_with_what_is_missing() {
        let data = made_up(&["a", "b"], |q, p| path(q, p, vec![1; 40], p == 0));
        let scores: Scores = vec![vec![Some(0.5); 4]; 2];
        let fit = fit_retention(&data, &[0, 1], &[(4, &scores), (8, &scores)], 0).unwrap();
        assert_eq!(fit.rule, None);
        assert!(fit.missing.unwrap().contains("3 check points"), "says what");
        assert_eq!(fit.points.len(), 10);
        // Four paths of 40 tokens: at a check at 4, 32 tokens buy more than four at the least ratio, and so do more.
        assert!(fit.points[..5].iter().all(|p| p.capped));
        let one = replayed(&data, &[0, 1], (30, &scores), 96.0, 40.0, 0).unwrap();
        assert!(!one.capped && !one.votes.is_empty());
    }
}
