//! The network of a head in the autodiff library (candle): pooling by learned queries, a hidden layer, one logit.

use candle_core::{D, Device, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::batch::Batch;
use crate::error::Result;

/// Standard deviation of the first queries, before the division by √head_dim; as the prototype's.
const QUERY_SCALE: f64 = 0.5;

/// Shape of attention pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttendShape {
    /// Layers read.
    pub layers: usize,
    /// KV heads of each.
    pub kv_heads: usize,
    /// Queries of each.
    pub queries: usize,
    /// Elements of one key or value.
    pub head_dim: usize,
}

impl AttendShape {
    /// Numbers that pooling gives.
    pub fn outputs(self) -> usize {
        self.layers * self.kv_heads * self.queries * self.head_dim
    }
}

/// Shape of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Attention pooling before everything else.
    pub attend: Option<AttendShape>,
    /// Inputs that come ready.
    pub dense: usize,
    /// Hidden units; 0: linear.
    pub hidden: usize,
}

impl Shape {
    /// All inputs of the first layer.
    pub fn inputs(&self) -> usize {
        self.attend.map_or(0, AttendShape::outputs) + self.dense
    }
}

/// What is learned: queries, hidden weight and bias, output weight and bias; those that the shape lacks are absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights(pub Vec<Vec<f32>>);

/// A network whose weights can be learned.
pub struct Network {
    shape: Shape,
    vars: Vec<Var>,
    /// Shift and scale of the pooled inputs, `[1, outputs]` each: they change with the queries, so that it is done here.
    pooled_shift_scale: Option<(Tensor, Tensor)>,
}

impl Network {
    /// Random queries; weights of variance 1 / inputs; an output of zero.
    ///
    /// # Errors
    /// [`crate::Error::Autodiff`].
    pub fn new(shape: Shape, random: &mut ChaCha8Rng) -> Result<Self> {
        let mut vars = Vec::new();
        let mut var = |dims: &[usize], scale: f64| -> Result<()> {
            let count = dims.iter().product();
            let values: Vec<f32> = (0..count)
                .map(|_| (scale * normal(random)) as f32)
                .collect();
            vars.push(Var::from_tensor(&Tensor::from_vec(
                values,
                dims,
                &Device::Cpu,
            )?)?);
            Ok(())
        };
        if let Some(a) = shape.attend {
            let dims = [1, a.layers, a.kv_heads, a.queries, a.head_dim];
            var(&dims, QUERY_SCALE)?;
        }
        let mut last = shape.inputs();
        if shape.hidden > 0 {
            var(&[shape.hidden, last], 1.0 / (last as f64).sqrt())?;
            var(&[shape.hidden], 0.0)?;
            last = shape.hidden;
        }
        // Half the usual: the first steps move a small logit faster than they undo a wrong one.
        var(&[1, last], 0.5 / (last as f64).sqrt())?;
        var(&[1], 0.0)?;
        Ok(Self {
            shape,
            vars,
            pooled_shift_scale: None,
        })
    }

    /// A network with `weights`.
    ///
    /// # Errors
    /// [`crate::Error::Autodiff`] where they do not fit.
    pub fn with_weights(&self, weights: &Weights) -> Result<Self> {
        let vars = self
            .vars
            .iter()
            .zip(&weights.0)
            .map(|(var, values)| {
                let tensor = Tensor::from_slice(values, var.dims(), &Device::Cpu)?;
                Ok(Var::from_tensor(&tensor)?)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            shape: self.shape,
            vars,
            pooled_shift_scale: self.pooled_shift_scale.clone(),
        })
    }

    /// What the optimiser moves.
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }

    /// A copy of the weights.
    ///
    /// # Errors
    /// [`crate::Error::Autodiff`].
    pub fn weights(&self) -> Result<Weights> {
        let copy = |var: &Var| Ok(var.as_tensor().detach().flatten_all()?.to_vec1::<f32>()?);
        Ok(Weights(self.vars.iter().map(copy).collect::<Result<_>>()?))
    }

    /// Shift and scale of the pooled inputs, `[outputs]` each.
    ///
    /// # Errors
    /// [`crate::Error::Autodiff`].
    pub fn scale_pooled(&mut self, shift: &[f32], scale: &[f32]) -> Result<()> {
        let row = |values: &[f32]| Tensor::from_slice(values, (1, values.len()), &Device::Cpu);
        self.pooled_shift_scale = Some((row(shift)?, row(scale)?));
        Ok(())
    }

    /// Shift and scale of the pooled inputs, `[outputs]` each; empty without attention.
    ///
    /// # Errors
    /// [`crate::Error::Autodiff`].
    pub fn pooled_scaling(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        match &self.pooled_shift_scale {
            None => Ok(Default::default()),
            Some((shift, scale)) => Ok((
                shift.flatten_all()?.to_vec1::<f32>()?,
                scale.flatten_all()?.to_vec1::<f32>()?,
            )),
        }
    }

    /// What the queries pool, before shift and scale: `[rows, outputs]`. `None` without attention.
    ///
    /// # Errors
    /// [`crate::Error::Autodiff`].
    pub fn pooled(&self, batch: &Batch) -> Result<Option<Tensor>> {
        let (Some(a), Some(window)) = (self.shape.attend, &batch.window) else {
            return Ok(None);
        };
        let rows = window.keys.dims()[0];
        let queries = self.vars[0].as_tensor();
        let queries = match &window.rotation {
            None => queries.broadcast_as((rows, a.layers, a.kv_heads, a.queries, a.head_dim))?,
            Some(rotation) => rotation.rotate(queries)?,
        };
        let queries = (queries / (a.head_dim as f64).sqrt())?.contiguous()?;
        // One axis of blocks: the library multiplies matrices along at most two axes beside theirs.
        let blocks = rows * a.layers * a.kv_heads;
        let block = |x: &Tensor| x.reshape((blocks, (), a.head_dim));
        let (keys, values) = (block(&window.keys)?, block(&window.values)?);
        let logits = block(&queries)?.matmul(&keys.t()?)?;
        let shares = candle_nn::ops::softmax(&logits, D::Minus1)?;
        let pooled = shares.matmul(&values)?;
        Ok(Some(pooled.reshape((rows, a.outputs()))?))
    }

    /// Logits of the batch's rows: `[rows]`. `dropout`: masks for inputs and hidden units.
    ///
    /// # Errors
    /// [`crate::Error::Autodiff`] where the batch does not fit.
    pub fn logits(&self, batch: &Batch, dropout: Option<&mut Dropout>) -> Result<Tensor> {
        let mut dropout = dropout;
        let mut x = match self.pooled(batch)? {
            None => batch.dense.clone(),
            Some(mut pooled) => {
                if let Some((shift, scale)) = &self.pooled_shift_scale {
                    pooled = pooled.broadcast_sub(shift)?.broadcast_mul(scale)?;
                }
                Tensor::cat(&[&pooled, &batch.dense], 1)?
            }
        };
        if let Some(dropout) = &mut dropout {
            x = dropout.inputs(&x)?;
        }
        let mut layers = &self.vars[usize::from(self.shape.attend.is_some())..];
        if self.shape.hidden > 0 {
            x = x.matmul(&layers[0].t()?)?.broadcast_add(&layers[1])?;
            x = x.silu()?;
            if let Some(dropout) = &mut dropout {
                x = dropout.hidden(&x)?;
            }
            layers = &layers[2..];
        }
        Ok(x.matmul(&layers[0].t()?)?
            .broadcast_add(&layers[1])?
            .squeeze(1)?)
    }
}

/// Dropout with its own random numbers: the library's cannot be seeded on the CPU.
pub struct Dropout {
    /// Share of inputs set to zero.
    pub input_share: f64,
    /// Share of hidden units set to zero.
    pub hidden_share: f64,
    /// Where the masks come from.
    pub random: ChaCha8Rng,
}

impl Dropout {
    fn inputs(&mut self, x: &Tensor) -> Result<Tensor> {
        self.mask(x, self.input_share)
    }

    fn hidden(&mut self, x: &Tensor) -> Result<Tensor> {
        self.mask(x, self.hidden_share)
    }

    fn mask(&mut self, x: &Tensor, share: f64) -> Result<Tensor> {
        if share == 0.0 {
            return Ok(x.clone());
        }
        let below = (share * f64::from(u32::MAX)) as u32;
        let kept = (1.0 / (1.0 - share)) as f32;
        let mask: Vec<f32> = (0..x.elem_count())
            .map(|_| {
                if self.random.next_u32() < below {
                    0.0
                } else {
                    kept
                }
            })
            .collect();
        Ok(x.mul(&Tensor::from_vec(mask, x.dims(), &Device::Cpu)?)?)
    }
}

/// A normal number (Box and Muller 1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let mut uniform = || ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (a, b) = (uniform(), uniform());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}
