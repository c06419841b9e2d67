//! What is measured: keys, values and queries of a size, in memory as the runtime keeps them.

use anyhow::{Context, Result};
use curt_kernels::{Attend, Dtype, Isa, KvScales, KvView, Mean};
use half::{bf16, f16};
use memmap2::MmapMut;
use serde::Serialize;

/// Scale of int8.
const INT8_SCALE: f32 = 1.0 / 127.0;

/// √head_dim times the largest element of a query.
const QUERY_NORM: f64 = 4.0;

/// The pooling of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Queries attend to the keys and pool the values.
    Attend,
    /// Means of the values; no keys are read.
    Mean,
}

/// Sizes of one check.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Shape {
    pub layers: usize,
    pub paths: usize,
    pub kv_heads: usize,
    /// Positions.
    pub window: usize,
    pub head_dim: usize,
    /// Queries of each layer and KV head.
    pub queries: usize,
}

impl Shape {
    /// Heads of all layers and paths.
    pub fn heads(&self) -> usize {
        self.layers * self.paths * self.kv_heads
    }

    /// Elements of all keys, and of all values.
    pub fn elements(&self) -> usize {
        self.heads() * self.window * self.head_dim
    }
}

/// Keys and values in the dtype, queries in f32.
pub struct Problem {
    pub shape: Shape,
    pub dtype: Dtype,
    pub pooling: Pooling,
    /// `[layers, paths, kv_heads, window, head_dim]`; nothing where no keys are read.
    keys: Option<MmapMut>,
    /// `[layers, paths, kv_heads, window, head_dim]`
    values: MmapMut,
    /// `[layers, kv_heads, queries, head_dim]`, divided by √head_dim.
    pub queries: Vec<f32>,
}

impl Problem {
    /// Numbers that look random and are the same at every run.
    pub fn new(shape: Shape, dtype: Dtype, pooling: Pooling) -> Result<Self> {
        let mut numbers = Numbers(7);
        let mut memory = || -> Result<MmapMut> {
            let mut bytes = pages(shape.elements() * dtype.bytes())?;
            fill(&mut bytes, dtype, &mut numbers);
            Ok(bytes)
        };
        let keys = match pooling {
            Pooling::Attend => Some(memory()?),
            Pooling::Mean => None,
        };
        let values = memory()?;
        let count = shape.layers * shape.kv_heads * shape.queries * shape.head_dim;
        let scale = QUERY_NORM as f32 / (shape.head_dim as f32).sqrt();
        let queries = (0..count).map(|_| numbers.next() * scale).collect();
        Ok(Self {
            shape,
            dtype,
            pooling,
            keys,
            values,
            queries,
        })
    }

    pub fn keys(&self) -> &[u8] {
        self.keys.as_deref().unwrap_or(&[])
    }

    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// Bytes that the pooling reads.
    pub fn bytes(&self) -> usize {
        self.keys().len() + self.values().len()
    }

    /// What an integer stands for: 1 but for int8.
    pub fn scale(&self) -> f32 {
        match self.dtype {
            Dtype::I8 => INT8_SCALE,
            _ => 1.0,
        }
    }

    /// Elements of the result: `[layers, paths, kv_heads, queries or 1, head_dim]`.
    pub fn results(&self) -> usize {
        let rows = match self.pooling {
            Pooling::Attend => self.shape.queries,
            Pooling::Mean => 1,
        };
        self.shape.heads() * rows * self.shape.head_dim
    }

    /// Multiplications and additions, in pairs.
    pub fn multiplications(&self) -> usize {
        match self.pooling {
            Pooling::Attend => self.shape.elements() * self.shape.queries * 2,
            Pooling::Mean => 0,
        }
    }

    /// The queries of head `head` of all layers, paths and KV heads.
    pub fn queries_of(&self, head: usize) -> &[f32] {
        let Shape {
            paths, kv_heads, ..
        } = self.shape;
        let len = self.shape.queries * self.shape.head_dim;
        let row = head / (paths * kv_heads) * kv_heads + head % kv_heads;
        &self.queries[row * len..(row + 1) * len]
    }

    /// Keys or values of one layer and path: `[kv_heads, window, head_dim]`.
    fn view<'a>(&self, bytes: &'a [u8], row: usize) -> Result<KvView<'a>> {
        let Shape {
            kv_heads,
            window,
            head_dim,
            ..
        } = self.shape;
        let head = window * head_dim;
        let start = row * kv_heads * head * self.dtype.bytes();
        let shape = [kv_heads, window, head_dim];
        let view = KvView::new(&bytes[start..], self.dtype, shape, head)?;
        Ok(match self.dtype {
            Dtype::I8 => view.with_scales(KvScales::PerTensor(INT8_SCALE))?,
            _ => view,
        })
    }

    /// Runs curt's kernels over all heads.
    pub fn pool(&self, isa: Isa, scratch: &mut Vec<f32>, out: &mut [f32]) -> Result<()> {
        let missing = || format!("no {} variant on this processor", isa.name());
        let (attend, mean) = (
            Attend::new(isa).with_context(missing)?,
            Mean::new(isa).with_context(missing)?,
        );
        let Shape {
            kv_heads,
            head_dim,
            queries,
            ..
        } = self.shape;
        scratch.resize(Attend::scratch_len(queries, head_dim), 0.0);
        let len = self.results() / self.shape.heads();
        for (row, out) in out.chunks_exact_mut(kv_heads * len).enumerate() {
            let values = self.view(&self.values, row)?;
            for (head, out) in out.chunks_exact_mut(len).enumerate() {
                match self.pooling {
                    Pooling::Attend => {
                        let keys = self.view(self.keys(), row)?;
                        let queries = self.queries_of(row * kv_heads + head);
                        attend.pool(&[keys], &[values], head, queries, scratch, out)?;
                    }
                    Pooling::Mean => mean.pool(&[values], head, out)?,
                }
            }
        }
        Ok(())
    }

    /// The result of one head of all, by plain loops in f64.
    pub fn reference(&self, head: usize) -> Result<Vec<f64>> {
        let Shape {
            kv_heads,
            window,
            head_dim,
            ..
        } = self.shape;
        let (row, head_of_row) = (head / kv_heads, head % kv_heads);
        let values = self.view(&self.values, row)?;
        let element =
            |view: &KvView<'_>, s, d| f64::from(view.get(head_of_row, s, d).unwrap_or(f32::NAN));
        let weighted_mean = |weights: &[f64]| -> Vec<f64> {
            let total: f64 = weights.iter().sum();
            let sum = |d| -> f64 {
                (0..window)
                    .map(|s| weights[s] * element(&values, s, d))
                    .sum()
            };
            (0..head_dim).map(|d| sum(d) / total).collect()
        };
        if self.pooling == Pooling::Mean {
            return Ok(weighted_mean(&vec![1.0; window]));
        }
        let keys = self.view(self.keys(), row)?;
        let mut out = Vec::new();
        for query in self.queries_of(head).chunks(head_dim) {
            let logit = |s| -> f64 {
                let terms = query.iter().enumerate();
                terms
                    .map(|(d, &q)| element(&keys, s, d) * f64::from(q))
                    .sum()
            };
            let logits: Vec<f64> = (0..window).map(logit).collect();
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = logits.iter().map(|l| (l - max).exp()).collect();
            out.extend(weighted_mean(&weights));
        }
        Ok(out)
    }
}

/// Anonymous memory, in huge pages where the system gives them, as `curt::kv` has it.
fn pages(bytes: usize) -> Result<MmapMut> {
    let map = MmapMut::map_anon(bytes.max(1))
        .with_context(|| format!("mapping {bytes} bytes: ask for less"))?;
    #[cfg(target_os = "linux")]
    {
        // Advice: a kernel without huge pages refuses it, and nothing is lost.
        let _ = map.advise(memmap2::Advice::HugePage);
    }
    Ok(map)
}

fn fill(bytes: &mut [u8], dtype: Dtype, numbers: &mut Numbers) {
    for element in bytes.chunks_exact_mut(dtype.bytes()) {
        let x = numbers.next();
        match dtype {
            Dtype::F32 => element.copy_from_slice(&x.to_le_bytes()),
            Dtype::F16 => element.copy_from_slice(&f16::from_f32(x).to_le_bytes()),
            Dtype::Bf16 => element.copy_from_slice(&bf16::from_f32(x).to_le_bytes()),
            Dtype::I8 => element[0] = (x / INT8_SCALE).round() as i8 as u8,
        }
    }
}

/// A linear congruential generator (Knuth's MMIX), uniform in [−1, 1).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
