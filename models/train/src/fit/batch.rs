//! Batches: rows of a few questions as tensors.

use candle_core::{Device, Tensor};
use curt::package::Rotary;

use super::loss::Pairs;
use crate::error::Result;
use crate::features::{Table, Windows};

/// Rows of a few questions.
pub struct Batch {
    /// Inputs that come ready, shifted and scaled: `[rows, dense]`.
    pub dense: Tensor,
    /// What attention pooling reads.
    pub window: Option<WindowBatch>,
    /// `[rows]`
    pub labels: Tensor,
    /// Pairs of rows to order.
    pub pairs: Pairs,
}

/// Keys and values of a batch.
pub struct WindowBatch {
    /// `[rows, layers, kv_heads, window, head_dim]`
    pub keys: Tensor,
    /// As the keys.
    pub values: Tensor,
    /// Rotation of the queries to each row's position; `None` where keys are not rotated.
    pub rotation: Option<Rotation>,
}

/// Rotation to each row's position (arXiv 2104.09864, §3.2.2): x · cos + swapped(x) · sin.
pub struct Rotation {
    /// `[rows, 1, 1, 1, head_dim]`; 1 beyond the rotated elements.
    cos: Tensor,
    /// The same, with the sign of each element; 0 beyond.
    sin: Tensor,
    /// Where each element's partner stands: `[head_dim]`.
    partner: Tensor,
}

impl Rotation {
    fn new(rotary: Rotary, head_dim: usize, positions: &[usize]) -> Result<Self> {
        let half = rotary.dims / 2;
        let mut partner: Vec<u32> = (0..head_dim as u32).collect();
        let (mut cos, mut sin) = (
            vec![1.0f32; positions.len() * head_dim],
            vec![0.0f32; positions.len() * head_dim],
        );
        for pair in 0..half {
            let (a, b) = if rotary.interleaved {
                (2 * pair, 2 * pair + 1)
            } else {
                (pair, pair + half)
            };
            (partner[a], partner[b]) = (b as u32, a as u32);
            for (row, &position) in positions.iter().enumerate() {
                let angle = position as f64 * rotary.theta.powf(-(pair as f64) / half as f64);
                let at = row * head_dim;
                cos[at + a] = angle.cos() as f32;
                cos[at + b] = angle.cos() as f32;
                sin[at + a] = -angle.sin() as f32;
                sin[at + b] = angle.sin() as f32;
            }
        }
        let dims = (positions.len(), 1, 1, 1, head_dim);
        Ok(Self {
            cos: Tensor::from_vec(cos, dims, &Device::Cpu)?,
            sin: Tensor::from_vec(sin, dims, &Device::Cpu)?,
            partner: Tensor::from_vec(partner, head_dim, &Device::Cpu)?,
        })
    }

    /// `queries`: `[1, layers, kv_heads, queries, head_dim]`; the result has a first axis of rows.
    ///
    /// # Errors
    /// [`crate::Error::Autodiff`].
    pub fn rotate(&self, queries: &Tensor) -> Result<Tensor> {
        let swapped = queries.index_select(&self.partner, 4)?;
        let turned = queries.broadcast_mul(&self.cos)?;
        Ok((turned + swapped.broadcast_mul(&self.sin)?)?)
    }
}

/// Where attention pooling finds keys and values.
pub struct AttendSource<'a> {
    /// Windows, one store for each of `at_tokens`.
    pub windows: Windows,
    /// Check points of the stores.
    pub at_tokens: Vec<usize>,
    /// The model's rotary embedding.
    pub rotary: Option<Rotary>,
    /// Prompt tokens of each question.
    pub prompts: &'a [Vec<u32>],
}

/// What batches are made of.
pub struct Examples<'a, 'b> {
    /// Rows, labels and inputs that come ready; these shifted and scaled.
    pub table: &'a Table,
    /// For attention pooling.
    pub attend: Option<&'a mut AttendSource<'b>>,
}

impl Examples<'_, '_> {
    /// The rows of `groups`, one after the other.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where windows cannot be read; [`crate::Error::Autodiff`].
    pub fn batch(&mut self, groups: &[usize]) -> Result<Batch> {
        let table = self.table;
        let mut dense = Vec::new();
        let mut labels = Vec::new();
        let mut pairs = Pairs::default();
        for &group in groups {
            let rows = table.groups[group].rows.clone();
            pairs.add(labels.len(), &table.labels[rows.clone()]);
            labels.extend_from_slice(&table.labels[rows.clone()]);
            dense
                .extend_from_slice(&table.values[rows.start * table.width..rows.end * table.width]);
        }
        let rows = labels.len();
        let window = match &mut self.attend {
            None => None,
            Some(source) => Some(source.batch(table, groups)?),
        };
        Ok(Batch {
            dense: Tensor::from_vec(dense, (rows, table.width), &Device::Cpu)?,
            window,
            labels: Tensor::from_vec(labels, rows, &Device::Cpu)?,
            pairs,
        })
    }
}

impl AttendSource<'_> {
    fn batch(&mut self, table: &Table, groups: &[usize]) -> Result<WindowBatch> {
        let w = &mut self.windows;
        let block = w.window * w.head_dim;
        let width = w.layers.len() * w.kv_heads * 2 * block;
        let (mut keys, mut values, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        for &group in groups {
            let group = &table.groups[group];
            let store = self.at_tokens.iter().position(|&at| at == group.at_tokens);
            let store = &mut w.stores[store.unwrap_or(0)];
            let all = store.read(group.question)?;
            for &path in &table.paths[group.rows.clone()] {
                let mine = &all[path * width..(path + 1) * width];
                for pair in mine.chunks_exact(2 * block) {
                    keys.extend_from_slice(&pair[..block]);
                    values.extend_from_slice(&pair[block..]);
                }
                positions.push(self.prompts[group.question].len() + group.at_tokens);
            }
        }
        let rows = positions.len();
        let dims = (rows, w.layers.len(), w.kv_heads, w.window, w.head_dim);
        let rotation = self
            .rotary
            .map(|rotary| Rotation::new(rotary, w.head_dim, &positions))
            .transpose()?;
        Ok(WindowBatch {
            keys: Tensor::from_vec(keys, dims, &Device::Cpu)?,
            values: Tensor::from_vec(values, dims, &Device::Cpu)?,
            rotation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_rotated_as_the_runtime_rotates_them() {
        for interleaved in [false, true] {
            let rotary = Rotary {
                theta: 100.0,
                dims: 4,
                interleaved,
            };
            let query = [0.3f32, -1.2, 0.7, 2.0, 5.0, -6.0];
            let rotation = Rotation::new(rotary, 6, &[17, 203]).unwrap();
            let tensor = Tensor::from_slice(&query, (1, 1, 1, 1, 6), &Device::Cpu).unwrap();
            let rotated = rotation.rotate(&tensor).unwrap();
            let rotated = rotated.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (row, position) in [17, 203].into_iter().enumerate() {
                let mut wanted = query;
                curt::head::rotate(&mut wanted, rotary, position).unwrap();
                for (got, wanted) in rotated[row * 6..].iter().zip(wanted) {
                    // Three roundings of numbers below 3.
                    assert!((got - wanted).abs() <= 8.0 * f32::EPSILON, "{got} {wanted}");
                }
            }
        }
    }
}
