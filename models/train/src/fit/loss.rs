//! The loss: outcomes by soft cross-entropy, and the order of paths within a question.

use candle_core::{Device, Tensor};

use crate::error::Result;

/// Pairs of rows of one question of which the first should score above the second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    /// Row that should be above.
    pub above: Vec<u32>,
    /// Row that should be below.
    pub below: Vec<u32>,
    /// By how much the labels differ, in (0, 1\].
    pub weight: Vec<f32>,
}

impl Pairs {
    /// Adds every pair of `labels`, rows `first..` of one question, whose labels differ.
    pub fn add(&mut self, first: usize, labels: &[f32]) {
        for (i, a) in labels.iter().enumerate() {
            for (j, b) in labels.iter().enumerate() {
                if a > b {
                    self.above.push((first + i) as u32);
                    self.below.push((first + j) as u32);
                    self.weight.push(a - b);
                }
            }
        }
    }
}

/// `outcome_weight` · mean cross-entropy of `logits` and `labels` (both `[rows]`; labels may be rates) + the weighted mean
/// of softplus(below − above) over `pairs`: the negative log-likelihood of each pair's order (Bradley and Terry 1952).
///
/// # Errors
/// [`crate::Error::Autodiff`] where shapes do not fit.
pub fn loss(
    logits: &Tensor,
    labels: &Tensor,
    pairs: &Pairs,
    outcome_weight: f64,
) -> Result<Tensor> {
    let outcome = (softplus(logits)? - logits.mul(labels)?)?.mean_all()?;
    let outcome = (outcome * outcome_weight)?;
    let total: f32 = pairs.weight.iter().sum();
    if total == 0.0 {
        return Ok(outcome);
    }
    let count = pairs.weight.len();
    let rows = |of: &[u32]| Tensor::from_slice(of, count, &Device::Cpu);
    let above = logits.index_select(&rows(&pairs.above)?, 0)?;
    let below = logits.index_select(&rows(&pairs.below)?, 0)?;
    let weight = Tensor::from_slice(&pairs.weight, count, &Device::Cpu)?;
    let order = softplus(&(below - above)?)?.mul(&weight)?.sum_all()?;
    Ok((outcome + (order / f64::from(total))?)?)
}

/// ln(1 + e^x), without overflow.
fn softplus(x: &Tensor) -> Result<Tensor> {
    let tail = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok((x.relu()? + tail)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    /// The same in f64, written out.
    fn plain(z: &[f64], y: &[f64], weight: f64) -> f64 {
        let softplus = |x: f64| (1.0 + x.exp()).ln();
        let outcome: f64 = z.iter().zip(y).map(|(z, y)| softplus(*z) - y * z).sum();
        let (mut order, mut total) = (0.0, 0.0);
        for i in 0..y.len() {
            for j in 0..y.len() {
                if y[i] > y[j] {
                    order += (y[i] - y[j]) * softplus(z[j] - z[i]);
                    total += y[i] - y[j];
                }
            }
        }
        weight * outcome / z.len() as f64 + order / total
    }

    #[test]
    fn value_and_gradient() {
        let (z, y) = ([0.3, -1.2, 2.5, 0.0, -0.7], [1.0, 0.0, 0.25, 0.25, 1.0]);
        let narrow = |x: &[f64]| x.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let logits = Var::from_slice(&narrow(&z), 5, &Device::Cpu).unwrap();
        let labels = Tensor::from_slice(&narrow(&y), 5, &Device::Cpu).unwrap();
        let mut pairs = Pairs::default();
        pairs.add(0, &narrow(&y));
        assert_eq!(pairs.above.len(), 2 * 3 + 2);
        let got = loss(&logits, &labels, &pairs, 0.3).unwrap();
        let wanted = plain(&z, &y, 0.3);
        // About ten roundings of numbers below 3.
        let tolerance = 32.0 * f64::from(f32::EPSILON);
        assert!((f64::from(got.to_scalar::<f32>().unwrap()) - wanted).abs() < tolerance);

        let gradients = got.backward().unwrap();
        let gradient = gradients.get(&logits).unwrap().to_vec1::<f32>().unwrap();
        for i in 0..5 {
            let step = 1e-5;
            let moved = |by: f64| {
                let mut z = z;
                z[i] += by;
                plain(&z, &y, 0.3)
            };
            let wanted = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((f64::from(gradient[i]) - wanted).abs() < tolerance, "{i}");
        }
    }

    #[test]
    fn one_sided_questions_have_no_pairs() {
        let mut pairs = Pairs::default();
        pairs.add(0, &[1.0, 1.0]);
        pairs.add(2, &[0.0, 0.0]);
        assert_eq!(pairs, Pairs::default());
        let logits = Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap();
        let got = loss(&logits, &logits, &pairs, 1.0).unwrap();
        assert_eq!(got.to_scalar::<f32>().unwrap(), 2.0f32.ln());
    }
}
