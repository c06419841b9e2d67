//! The dumbest loops, in f64: what every variant is compared with; and buffers to run both on.
//!
//! Each result comes with the error that f32 arithmetic may make of it. U is the unit roundoff of f32: an operation
//! changes its result by at most one part in 2²⁴, so k of them in a row by k·U, whatever their order.
#![allow(dead_code, reason = "each test program uses a part")]

use curt_kernels::{Dtype, KvScales, KvView};
use half::{bf16, f16};

/// Unit roundoff of f32.
pub const U: f64 = 1.0 / (1u64 << 24) as f64;

/// Units in the last place that a variant's 2^x may be off by: `EXP2_MAX_ULP` of the kernels' own sweep in src/attend.
const EXP2_MAX_ULP: f64 = 1.0;

/// Units that a variant's e^x may be off by, in U: 1 unit in the last place is at most 2 U, and the subtraction before
/// it rounds an exponent of at most 87 by 87 U.
const EXP: f64 = 2.0 * EXP2_MAX_ULP + 87.0;

/// Below this distance from the largest logit a weight is 0.
const LEAST: f64 = -87.0;

/// The cases to run. Under an emulator, which takes many times as long, `CURT_KERNEL_CASES=few` is set.
pub fn cases<T>(all: &'static [T], few: &'static [T]) -> &'static [T] {
    if few_cases() { few } else { all }
}

/// Whether there is to be little of everything.
pub fn few_cases() -> bool {
    std::env::var("CURT_KERNEL_CASES").is_ok_and(|cases| cases == "few")
}

pub const DTYPES: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::I8];

/// A number, and how far an f32 computation of it may be away.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub value: f64,
    pub bound: f64,
}

impl Expected {
    /// Whether `got` is the value: NaN for NaN, the same infinity, the same zero where both are zero, or within the
    /// bound, which an ordinary value must have.
    pub fn admits(self, got: f32) -> bool {
        if self.value.is_nan() {
            return got.is_nan();
        }
        if self.value.is_infinite() {
            return f64::from(got) == self.value;
        }
        assert!(
            self.bound.is_finite(),
            "{self:?} would admit every number there is"
        );
        let zeros = self.value == 0.0 && got == 0.0;
        (f64::from(got) - self.value).abs() <= self.bound
            && (!zeros || self.value.is_sign_negative() == got.is_sign_negative())
    }
}

/// Fails with the first element that is not as expected.
pub fn assert_admits(expected: &[Expected], got: &[f32], case: &dyn std::fmt::Debug) {
    assert_eq!(expected.len(), got.len(), "{case:?}");
    for (at, (want, &got)) in expected.iter().zip(got).enumerate() {
        assert!(
            want.admits(got),
            "{case:?}: element {at} is {got}, expected {want:?}"
        );
    }
}

/// `out[m] = Σ_s softmax_s(queries[m]·keys[s]) values[s]`, as `Attend::pool` defines it.
pub fn attend(keys: &[Vec<f64>], values: &[Vec<f64>], query: &[f32]) -> Vec<Expected> {
    let head_dim = query.len();
    let zero = Expected {
        value: 0.0,
        bound: 0.0,
    };
    if keys.is_empty() {
        return vec![zero; head_dim];
    }
    let terms = |key: &Vec<f64>| -> Vec<f64> {
        let products = key.iter().zip(query);
        products.map(|(k, &q)| k * f64::from(q)).collect()
    };
    let logits: Vec<f64> = keys.iter().map(|k| terms(k).iter().sum()).collect();
    // Each product, its scaling before, and each addition round once.
    let roundings = (head_dim + 2) as f64 * U;
    // A logit of −∞ is exact, and one of NaN or +∞ leaves nothing to bound.
    let logit_bound = keys
        .iter()
        .zip(&logits)
        .filter(|(_, logit)| logit.is_finite())
        .map(|(k, _)| terms(k).iter().map(|t| t.abs()).sum::<f64>() * roundings)
        .fold(0.0, f64::max);
    let broken = logits.iter().any(|l| l.is_nan() || *l == f64::INFINITY)
        || logits.iter().all(|l| *l == f64::NEG_INFINITY);
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits
        .iter()
        .map(|l| {
            if l - max < LEAST {
                0.0
            } else {
                (l - max).exp()
            }
        })
        .collect();
    let total: f64 = weights.iter().sum();
    // A weight: its exponential, and rescaling once in each tile. A sum of n: n additions, n products. The division.
    let steps = weights.len() as f64;
    let relative = (2.0 * logit_bound).exp_m1() + (2.0 * EXP + 4.0 * steps + 8.0) * U;
    (0..head_dim)
        .map(|d| {
            let products = weights.iter().zip(values).map(|(w, v)| w * v[d]);
            // From +0: `sum` would start at −0.
            let sum = products.fold(0.0, |sum, x| sum + x);
            let size: f64 = weights
                .iter()
                .zip(values)
                .map(|(w, v)| w * v[d].abs())
                .sum();
            Expected {
                value: if broken { f64::NAN } else { sum / total },
                // Weights at the edge of being 0 may be 0 or e⁻⁸⁷; results below f32's normal numbers lose digits.
                bound: size / total * relative
                    + values.iter().map(|v| v[d].abs()).sum::<f64>() * LEAST.exp() * 2.0
                    + f64::from(f32::MIN_POSITIVE),
            }
        })
        .collect()
}

/// Mean over positions.
pub fn mean(values: &[Vec<f64>], head_dim: usize) -> Vec<Expected> {
    let n = values.len() as f64;
    (0..head_dim)
        .map(|d| {
            let sum: f64 = values.iter().fold(0.0, |sum, v| sum + v[d]);
            let size: f64 = values.iter().map(|v| v[d].abs()).sum();
            if values.is_empty() {
                return Expected {
                    value: 0.0,
                    bound: 0.0,
                };
            }
            Expected {
                value: sum / n,
                // The additions, the division and the scale.
                bound: size / n * (n + 2.0) * U + f64::from(f32::MIN_POSITIVE),
            }
        })
        .collect()
}

/// `[rows, outputs]`
pub fn dense(weights: &[f32], bias: &[f32], input: &[f32], rows: usize) -> Vec<Expected> {
    let inputs = input.len() / rows.max(1);
    let mut out = Vec::new();
    for r in 0..rows {
        for (o, &bias) in bias.iter().enumerate() {
            let terms = (0..inputs)
                .map(|i| f64::from(weights[o * inputs + i]) * f64::from(input[r * inputs + i]));
            let sum = terms.clone().fold(0.0, |sum, t| sum + t);
            let size = terms.map(f64::abs).sum::<f64>() + f64::from(bias.abs());
            out.push(Expected {
                value: sum + f64::from(bias),
                bound: size * (inputs + 2) as f64 * U + f64::from(f32::MIN_POSITIVE),
            });
        }
    }
    out
}

/// Numbers that look random and are the same at every run (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [−1, 1).
    pub fn next(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn take(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.next() * scale).collect()
    }
}

/// Scales as a test owns them.
#[derive(Debug, Clone)]
pub enum Scales {
    None,
    PerTensor(f32),
    PerChannel(Vec<f32>),
}

/// A KV buffer in bytes, and what its elements stand for.
#[derive(Debug, Clone)]
pub struct Buffer {
    pub dtype: Dtype,
    /// `[kv_heads, len, head_dim]`
    pub shape: [usize; 3],
    head_stride: usize,
    /// Bytes before the first element, so that nothing is aligned.
    offset: usize,
    bytes: Vec<u8>,
    scales: Scales,
}

impl Buffer {
    /// Rounds `elements`, `[kv_heads, len, head_dim]`, to `dtype`. Between heads lie `slack` NaN (−128 in int8).
    ///
    /// int8 takes each element divided by its scale, and rounds it to the nearest integer.
    pub fn new(
        dtype: Dtype,
        shape: [usize; 3],
        slack: usize,
        offset: usize,
        scales: Scales,
        elements: &[f32],
    ) -> Self {
        let [kv_heads, len, head_dim] = shape;
        let head = len * head_dim;
        assert_eq!(elements.len(), kv_heads * head);
        let mut bytes = vec![0xff; offset];
        for h in 0..kv_heads {
            for i in 0..head + slack {
                let x = if i < head {
                    elements[h * head + i]
                } else {
                    f32::NAN
                };
                match dtype {
                    Dtype::F32 => bytes.extend(x.to_le_bytes()),
                    Dtype::F16 => bytes.extend(f16::from_f32(x).to_le_bytes()),
                    Dtype::Bf16 => bytes.extend(bf16::from_f32(x).to_le_bytes()),
                    Dtype::I8 if i >= head => bytes.push(0x80),
                    Dtype::I8 => {
                        let scale = match &scales {
                            Scales::None => 1.0,
                            Scales::PerTensor(scale) => *scale,
                            Scales::PerChannel(each) => each[h * head_dim + i % head_dim],
                        };
                        bytes.push((x / scale).round() as i8 as u8);
                    }
                }
            }
        }
        Self {
            dtype,
            shape,
            head_stride: head + slack,
            offset,
            bytes,
            scales,
        }
    }

    pub fn view(&self) -> KvView<'_> {
        let bytes = &self.bytes[self.offset..];
        let view = KvView::new(bytes, self.dtype, self.shape, self.head_stride).unwrap();
        match &self.scales {
            Scales::None => view,
            Scales::PerTensor(scale) => view.with_scales(KvScales::PerTensor(*scale)).unwrap(),
            Scales::PerChannel(each) => view.with_scales(KvScales::PerChannel(each)).unwrap(),
        }
    }

    /// `[len][head_dim]` of one head, from position `start` on.
    pub fn rows(&self, head: usize, start: usize) -> Vec<Vec<f64>> {
        let [_, len, head_dim] = self.shape;
        (start..len)
            .map(|s| (0..head_dim).map(|d| self.element(head, s, d)).collect())
            .collect()
    }

    fn scale(&self, head: usize, dim: usize) -> f64 {
        match &self.scales {
            Scales::None => 1.0,
            Scales::PerTensor(scale) => f64::from(*scale),
            Scales::PerChannel(each) => f64::from(each[head * self.shape[2] + dim]),
        }
    }

    fn element(&self, head: usize, position: usize, dim: usize) -> f64 {
        let index = head * self.head_stride + position * self.shape[2] + dim;
        let at = self.offset + index * self.dtype.bytes();
        let b = &self.bytes[at..at + self.dtype.bytes()];
        match self.dtype {
            Dtype::F32 => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Dtype::F16 => f16::from_le_bytes([b[0], b[1]]).to_f64(),
            Dtype::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f64(),
            Dtype::I8 => f64::from(b[0] as i8) * self.scale(head, dim),
        }
    }
}
