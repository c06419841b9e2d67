//! What curt is measured against: an ndarray version, the memory and the multipliers of the machine.

use curt_kernels::{Dtype, Isa};
use half::slice::HalfFloatSliceExt;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut1, ArrayViewMut2};

use super::problem::{Pooling, Problem};

/// The pooling with ndarray, one head after another, everything allocated beforehand. Other dtypes are converted to
/// f32 first, a head at a time: `dot` takes no others.
pub struct Ndarray {
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[queries, window]`
    weights: Array2<f32>,
}

impl Ndarray {
    pub fn new(problem: &Problem) -> Self {
        let shape = &problem.shape;
        let head = match problem.dtype {
            Dtype::F32 => 0,
            _ => shape.window * shape.head_dim,
        };
        Self {
            keys: vec![0.0; head],
            values: vec![0.0; head],
            weights: Array2::zeros((shape.queries, shape.window)),
        }
    }

    pub fn pool(&mut self, problem: &Problem, out: &mut [f32]) {
        let shape = &problem.shape;
        let size = shape.window * shape.head_dim * problem.dtype.bytes();
        let dims = (shape.window, shape.head_dim);
        let rows = out.len() / shape.heads() / shape.head_dim;
        for (head, out) in out.chunks_exact_mut(rows * shape.head_dim).enumerate() {
            let values = &problem.values()[head * size..(head + 1) * size];
            let values = as_f32(problem, values, &mut self.values);
            let values = view(dims, values);
            if problem.pooling == Pooling::Mean {
                let factor = 1.0 / shape.window as f32;
                let mut out = ArrayViewMut1::from(out);
                out.fill(0.0);
                for row in values.rows() {
                    out += &row;
                }
                out *= factor;
                continue;
            }
            let keys = &problem.keys()[head * size..(head + 1) * size];
            let keys = view(dims, as_f32(problem, keys, &mut self.keys));
            let queries = view((rows, shape.head_dim), problem.queries_of(head));
            general_mat_mul(1.0, &queries, &keys.t(), 0.0, &mut self.weights);
            for mut row in self.weights.rows_mut() {
                let max = row.fold(f32::NEG_INFINITY, |max, &x| max.max(x));
                row.mapv_inplace(|x| (x - max).exp());
                let normalise = 1.0 / row.sum();
                row *= normalise;
            }
            let mut out = ArrayViewMut2::from_shape((rows, shape.head_dim), out)
                .expect("the result has a row for each query");
            general_mat_mul(1.0, &self.weights, &values, 0.0, &mut out);
        }
    }
}

fn view(shape: (usize, usize), elements: &[f32]) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape(shape, elements).expect("the slice has the elements of its shape")
}

fn as_f32<'a>(problem: &Problem, bytes: &'a [u8], converted: &'a mut [f32]) -> &'a [f32] {
    // SAFETY: any bytes are numbers of these types. The memory is page-aligned and a head a multiple of its elements'
    // size, so that nothing lies before or behind.
    unsafe {
        match problem.dtype {
            Dtype::F32 => return bytes.align_to().1,
            Dtype::F16 => bytes
                .align_to::<half::f16>()
                .1
                .convert_to_f32_slice(converted),
            Dtype::Bf16 => bytes
                .align_to::<half::bf16>()
                .1
                .convert_to_f32_slice(converted),
            Dtype::I8 => {
                let scale = problem.scale();
                for (x, &byte) in converted.iter_mut().zip(bytes) {
                    *x = f32::from(byte as i8) * scale;
                }
            }
        }
    }
    converted
}

/// Registers that a sum is spread over, so that one load does not wait for the addition before: what is written in plain
/// loops, the compiler may keep in memory.
const READERS: usize = 8;

/// A sum of all bytes, as 64-bit integers, with the widest registers: nothing but reading.
pub fn read(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: seen to be there.
            return unsafe { read_avx512(bytes) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: seen to be there.
            return unsafe { read_avx2(bytes) };
        }
    }
    // What is left over is too little to matter, here and there.
    let mut sums = [0u64; 2 * READERS];
    for chunk in bytes.as_chunks::<{ 16 * READERS }>().0 {
        for (sum, word) in sums.iter_mut().zip(chunk.as_chunks().0) {
            *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn read_avx512(bytes: &[u8]) -> u64 {
    use std::arch::x86_64::*;
    let mut sums = [_mm512_setzero_si512(); READERS];
    for chunk in bytes.as_chunks::<{ 64 * READERS }>().0 {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the chunk is READERS registers.
            let word = unsafe { _mm512_loadu_si512(chunk.as_ptr().add(64 * i).cast()) };
            *sum = _mm512_add_epi64(*sum, word);
        }
    }
    let all = sums
        .into_iter()
        .fold(_mm512_setzero_si512(), |a, b| _mm512_add_epi64(a, b));
    _mm512_reduce_add_epi64(all) as u64
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn read_avx2(bytes: &[u8]) -> u64 {
    use std::arch::x86_64::*;
    let mut sums = [_mm256_setzero_si256(); READERS];
    for chunk in bytes.as_chunks::<{ 32 * READERS }>().0 {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the chunk is READERS registers.
            let word = unsafe { _mm256_loadu_si256(chunk.as_ptr().add(32 * i).cast()) };
            *sum = _mm256_add_epi64(*sum, word);
        }
    }
    let all = sums
        .into_iter()
        .fold(_mm256_setzero_si256(), |a, b| _mm256_add_epi64(a, b));
    let mut lanes = [0u64; 4];
    // SAFETY: four lanes of 64 bits.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), all) };
    lanes.into_iter().fold(0, u64::wrapping_add)
}

/// Multiply-and-adds of one call of [`multiply`].
pub const MULTIPLICATIONS: usize = REGISTERS * 16 * 20_000;

/// Independent sums, in registers: more than the multipliers take at once, and no more than any processor has.
const REGISTERS: usize = 12;

/// Multiplies and adds f32 in registers with the instructions of `isa`: nothing but the multipliers.
pub fn multiply(isa: Isa, factor: f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        if isa == Isa::Avx512 && isa.is_available() {
            // SAFETY: seen to be there.
            return unsafe { multiply_avx512(factor) };
        }
        if isa == Isa::Avx2 && isa.is_available() {
            // SAFETY: seen to be there.
            return unsafe { multiply_fma(factor) };
        }
    }
    let mut sums = [1.0f32; REGISTERS * 4];
    for _ in 0..MULTIPLICATIONS / (REGISTERS * 4) {
        for sum in &mut sums {
            // Without the feature, a fused one is a call of the mathematics library; Neon always has it.
            *sum = match isa {
                Isa::Neon => sum.mul_add(factor, 1.0),
                _ => *sum * factor + 1.0,
            };
        }
    }
    sums.into_iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn multiply_avx512(factor: f32) -> f32 {
    use std::arch::x86_64::*;
    let (factor, one) = (_mm512_set1_ps(factor), _mm512_set1_ps(1.0));
    let mut sums = [one; REGISTERS];
    for _ in 0..MULTIPLICATIONS / (REGISTERS * 16) {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, one);
        }
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_fma(factor: f32) -> f32 {
    use std::arch::x86_64::*;
    let (factor, one) = (_mm256_set1_ps(factor), _mm256_set1_ps(1.0));
    let mut sums = [one; REGISTERS];
    for _ in 0..MULTIPLICATIONS / (REGISTERS * 8) {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, one);
        }
    }
    sums.into_iter().map(|sum| _mm256_cvtss_f32(sum)).sum()
}
