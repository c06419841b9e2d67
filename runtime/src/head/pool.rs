//! A head's inputs that come from the KV cache.

use std::ops::Range;
use std::path::Path;

use curt_kernels::{Attend, Mean, ShapeError};

use super::{KvInputs, Pooling, Span};
use crate::error::{Error, Result};
use crate::kv::{HostView, KvKind, KvRow};
use crate::package::Rotary;

/// Pools a row's keys and values as a head's file says. Buffers are made once.
#[derive(Debug)]
pub struct KvPool {
    inputs: KvInputs,
    mean: Mean,
    attend: Attend,
    /// As in the file, before rotation: `[layers, kv_heads, queries, head_dim]`.
    queries: Vec<f32>,
    /// Rotated to a position and divided by √head_dim; same shape.
    rotated: Vec<f32>,
    /// Position that `rotated` holds for.
    rotated_to: Option<usize>,
    scratch: Vec<f32>,
}

impl KvPool {
    /// Pools by `inputs`; `queries` as [`super::HeadFile::queries`].
    ///
    /// # Errors
    /// [`Error::Package`] for inputs that no head has, [`Error::Shape`] for queries of another length.
    pub fn new(inputs: KvInputs, queries: Vec<f32>) -> Result<Self> {
        inputs.validate(Path::new("KvPool"))?;
        let (scratch, expected) = match inputs.pooling {
            Pooling::Mean { .. } => (0, 0),
            Pooling::Attend { queries, .. } => (
                Attend::scratch_len(queries, inputs.head_dim),
                inputs.outputs(),
            ),
        };
        same_length(
            "KvPool::new",
            "elements of the queries",
            expected,
            queries.len(),
        )?;
        Ok(Self {
            mean: Mean::best(),
            attend: Attend::best(),
            rotated: queries.clone(),
            queries,
            rotated_to: None,
            scratch: vec![0.0; scratch],
            inputs,
        })
    }

    /// Numbers that one row gives.
    pub fn outputs(&self) -> usize {
        self.inputs.outputs()
    }

    /// Pools `row` of `kv`, whose first `prompt_tokens` positions are the prompt.
    ///
    /// `out`: `[layers, kv_heads, spans or queries, head_dim]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the cache has other heads, or fewer layers or rows, or `out` another length.
    pub fn pool(
        &mut self,
        kv: HostView<'_>,
        row: usize,
        prompt_tokens: usize,
        out: &mut [f32],
    ) -> Result<()> {
        same_length(
            "KvPool::pool",
            "elements of the result",
            self.outputs(),
            out.len(),
        )?;
        let Self { inputs, mean, .. } = self;
        let dim = inputs.head_dim;
        let len = kv.len();
        match &inputs.pooling {
            Pooling::Mean { spans } => {
                let mut out = out.chunks_exact_mut(dim);
                for &layer in &inputs.layers {
                    let values = kv.row(layer, KvKind::Value, row)?;
                    for head in 0..inputs.kv_heads {
                        for span in spans {
                            let Range { start, end } = positions(*span, prompt_tokens, len);
                            let window = values.window(start, end - start)?;
                            if let Some(out) = out.next() {
                                mean.pool(window.segments(), head, out)?;
                            }
                        }
                    }
                }
            }
            Pooling::Attend {
                queries, window, ..
            } => {
                let (queries, window) = (*queries, (*window).min(len));
                self.rotate_to(len)?;
                let inputs = &self.inputs;
                let block = queries * dim;
                let mut asked = self.rotated.chunks_exact(block);
                let mut out = out.chunks_exact_mut(block);
                for &layer in &inputs.layers {
                    let [keys, values] = [KvKind::Key, KvKind::Value].map(|kind| {
                        let all = kv.row(layer, kind, row)?;
                        Ok::<KvRow<'_>, Error>(all.window(len - window, window)?)
                    });
                    let (keys, values) = (keys?, values?);
                    for head in 0..inputs.kv_heads {
                        if let (Some(asked), Some(out)) = (asked.next(), out.next()) {
                            let (keys, values) = (keys.segments(), values.segments());
                            let scratch = &mut self.scratch;
                            self.attend.pool(keys, values, head, asked, scratch, out)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn rotate_to(&mut self, position: usize) -> Result<()> {
        if self.rotated_to == Some(position) {
            return Ok(());
        }
        let Pooling::Attend { rotary, .. } = self.inputs.pooling else {
            return Ok(());
        };
        let dim = self.inputs.head_dim;
        let scale = 1.0 / (dim as f32).sqrt();
        for (query, rotated) in self
            .queries
            .chunks_exact(dim)
            .zip(self.rotated.chunks_exact_mut(dim))
        {
            rotated.copy_from_slice(query);
            if let Some(rotary) = rotary {
                rotate(rotated, rotary, position)?;
            }
            for x in rotated {
                *x *= scale;
            }
        }
        self.rotated_to = Some(position);
        Ok(())
    }
}

/// Rotates one vector to `position`, as the model rotates its queries and keys (arXiv 2104.09864, §3.2.2).
///
/// # Errors
/// [`ShapeError`] where `rotary` rotates more elements than `vector` has.
pub fn rotate(
    vector: &mut [f32],
    rotary: Rotary,
    position: usize,
) -> std::result::Result<(), ShapeError> {
    if rotary.dims > vector.len() {
        return Err(ShapeError {
            op: "rotate",
            what: "elements of the vector (at least)",
            expected: rotary.dims,
            got: vector.len(),
        });
    }
    let half = rotary.dims / 2;
    for pair in 0..half {
        let (a, b) = if rotary.interleaved {
            (2 * pair, 2 * pair + 1)
        } else {
            (pair, pair + half)
        };
        let angle = position as f64 * rotary.theta.powf(-(pair as f64) / half as f64);
        let (sin, cos) = angle.sin_cos();
        let (x, y) = (f64::from(vector[a]), f64::from(vector[b]));
        vector[a] = (x * cos - y * sin) as f32;
        vector[b] = (x * sin + y * cos) as f32;
    }
    Ok(())
}

fn same_length(
    op: &'static str,
    what: &'static str,
    expected: usize,
    got: usize,
) -> std::result::Result<(), ShapeError> {
    match expected == got {
        true => Ok(()),
        false => Err(ShapeError {
            op,
            what,
            expected,
            got,
        }),
    }
}

fn positions(span: Span, prompt_tokens: usize, len: usize) -> Range<usize> {
    match span {
        Span::Prefix => prompt_tokens.min(len)..len,
        Span::Last(n) => len.saturating_sub(n)..len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_depends_on_the_distance_alone() {
        let rotary = Rotary {
            theta: 1e4,
            dims: 4,
            interleaved: false,
        };
        let product = |a: usize, b: usize, interleaved| {
            let rotary = Rotary {
                interleaved,
                ..rotary
            };
            let (mut x, mut y) = ([0.3, -1.2, 0.7, 2.0], [1.1, 0.4, -0.5, 0.9]);
            rotate(&mut x, rotary, a).unwrap();
            rotate(&mut y, rotary, b).unwrap();
            x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>()
        };
        for interleaved in [false, true] {
            let (near, far) = (product(3, 5, interleaved), product(103, 105, interleaved));
            // Four products of numbers below 3, each rounded a few times.
            assert!((near - far).abs() < 32.0 * f32::EPSILON, "{near} {far}");
            assert!((near - product(3, 6, interleaved)).abs() > 0.01);
        }
    }

    #[test]
    fn a_vector_shorter_than_its_rotation_is_refused() {
        let rotary = Rotary {
            theta: 1e4,
            dims: 64,
            interleaved: true,
        };
        let error = rotate(&mut [1.0; 4], rotary, 3).unwrap_err();
        assert_eq!((error.expected, error.got), (64, 4));
    }

    #[test]
    fn spans_end_at_the_last_position() {
        assert_eq!(positions(Span::Prefix, 10, 34), 10..34);
        assert_eq!(positions(Span::Last(8), 10, 34), 26..34);
        assert_eq!(positions(Span::Last(99), 10, 34), 0..34);
        assert_eq!(positions(Span::Prefix, 40, 34), 34..34);
    }
}
