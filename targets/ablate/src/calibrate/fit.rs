//! Logistic regression on a few features: Newton's method, with a weak ridge that keeps it finite where a feature separates
//! right from wrong.

/// Features, and 1 for the offset.
const TERMS: usize = 4;

/// Steps of Newton's method; it settles in a few.
const STEPS: usize = 50;

/// Weight of the squared weights of standardized features, in items.
const RIDGE: f64 = 1.0;

/// Weights of three features, and the offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logistic {
    /// Of each feature.
    pub weights: [f64; 3],
    /// Added to them.
    pub offset: f64,
}

impl Logistic {
    /// The fit to `rows` of features and whether each was right. Without rows, or where all are right or all wrong, the weights
    /// are 0 and the offset is that of the share that was right, one of each added.
    pub fn fit(rows: &[([f64; 3], bool)]) -> Self {
        let n = rows.len() as f64;
        let right = rows.iter().filter(|(_, right)| *right).count() as f64;
        let constant = Self {
            weights: [0.0; 3],
            offset: ((right + 1.0) / (n - right + 1.0)).ln(),
        };
        if right == 0.0 || right == n {
            return constant;
        }
        let (mut mean, mut scale) = ([0.0; 3], [0.0; 3]);
        for feature in 0..3 {
            mean[feature] = rows.iter().map(|(x, _)| x[feature]).sum::<f64>() / n;
            let square = rows
                .iter()
                .map(|(x, _)| (x[feature] - mean[feature]).powi(2));
            let deviation = (square.sum::<f64>() / n).sqrt();
            scale[feature] = if deviation > 1e-9 {
                1.0 / deviation
            } else {
                0.0
            };
        }
        let terms = |x: &[f64; 3]| {
            let z = |feature: usize| (x[feature] - mean[feature]) * scale[feature];
            [z(0), z(1), z(2), 1.0]
        };
        let mut theta = [0.0, 0.0, 0.0, constant.offset];
        for _ in 0..STEPS {
            let mut gradient = [0.0; TERMS];
            let mut hessian = [[0.0; TERMS]; TERMS];
            for (x, right) in rows {
                let z = terms(x);
                let p = probability(dot(&theta, &z));
                let (d, w) = (p - f64::from(u8::from(*right)), p * (1.0 - p));
                for i in 0..TERMS {
                    gradient[i] += d * z[i];
                    for j in 0..TERMS {
                        hessian[i][j] += w * z[i] * z[j];
                    }
                }
            }
            for i in 0..3 {
                gradient[i] += RIDGE * theta[i];
                hessian[i][i] += RIDGE;
            }
            hessian[3][3] += 1e-9;
            let Some(step) = solve(hessian, gradient) else {
                return constant;
            };
            let largest = step.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            // A full step can overshoot where the curve is flat.
            let share = (2.0 / largest).min(1.0);
            for i in 0..TERMS {
                theta[i] -= share * step[i];
            }
            if largest < 1e-9 {
                break;
            }
        }
        let weights = [0, 1, 2].map(|i| theta[i] * scale[i]);
        let offset = theta[3] - (0..3).map(|i| weights[i] * mean[i]).sum::<f64>();
        let all = weights.iter().chain([&offset]);
        if all.into_iter().all(|x| x.is_finite()) {
            Self { weights, offset }
        } else {
            constant
        }
    }

    /// P(right).
    pub fn probability(&self, x: &[f64; 3]) -> f64 {
        let terms = self.weights.iter().zip(x);
        probability(self.offset + terms.map(|(weight, x)| weight * x).sum::<f64>())
    }
}

fn probability(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

fn dot(a: &[f64; TERMS], b: &[f64; TERMS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The x for which `a` x = `b`, by elimination with the largest pivot; `None` for a singular `a`.
fn solve(mut a: [[f64; TERMS]; TERMS], mut b: [f64; TERMS]) -> Option<[f64; TERMS]> {
    for column in 0..TERMS {
        let pivot =
            (column..TERMS).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs()))?;
        if a[pivot][column].abs() < 1e-12 {
            return None;
        }
        a.swap(column, pivot);
        b.swap(column, pivot);
        let above = a[column];
        for row in column + 1..TERMS {
            let factor = a[row][column] / above[column];
            for (x, y) in a[row].iter_mut().zip(above).skip(column) {
                *x -= factor * y;
            }
            b[row] -= factor * b[column];
        }
    }
    for column in (0..TERMS).rev() {
        let known: f64 = (column + 1..TERMS).map(|j| a[column][j] * b[j]).sum();
        b[column] = (b[column] - known) / a[column][column];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [0, 1), the same every time.
    fn uniform(count: usize) -> impl Iterator<Item = f64> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        })
        .take(count)
    }

    #[test]
    fn what_made_the_answers_right_is_found_again() {
        let truth = Logistic {
            weights: [0.8, -2.0, 0.0],
            offset: 0.5,
        };
        let drawn: Vec<f64> = uniform(80_000).collect();
        let rows: Vec<([f64; 3], bool)> = drawn
            .chunks_exact(4)
            .map(|u| {
                let x = [8.0 * u[0] - 4.0, 2.0 * u[1] - 1.0, 10.0 * u[2]];
                (x, u[3] < truth.probability(&x))
            })
            .collect();
        let fit = Logistic::fit(&rows);
        // Some standard errors of 20,000 items.
        for (got, expected) in fit.weights.iter().zip(truth.weights) {
            assert!((got - expected).abs() < 0.15, "{fit:?}");
        }
        assert!((fit.offset - truth.offset).abs() < 0.2, "{fit:?}");
        let mean = rows.iter().map(|(x, _)| fit.probability(x)).sum::<f64>() / rows.len() as f64;
        let right = rows.iter().filter(|(_, right)| *right).count() as f64 / rows.len() as f64;
        assert!((mean - right).abs() < 1e-3, "{mean} {right}");
    }

    #[test]
    fn what_separates_or_says_nothing_stays_finite() {
        let separated: Vec<_> = (0..40)
            .map(|i| ([f64::from(i), 1.0, 1.0], i >= 20))
            .collect();
        let fit = Logistic::fit(&separated);
        assert!(
            fit.probability(&[39.0, 1.0, 1.0]) > 0.9 && fit.probability(&[0.0, 1.0, 1.0]) < 0.1
        );
        assert!(fit.weights.iter().all(|w| w.is_finite()), "{fit:?}");
        let all_right = Logistic::fit(&[([1.0, 2.0, 3.0], true); 8]);
        assert!((all_right.probability(&[9.0; 3]) - 0.9).abs() < 1e-12);
        assert_eq!(Logistic::fit(&[]).probability(&[0.0; 3]), 0.5);
    }
}
