//! The loops for AVX-512.

use super::{Chunk, Loops, Scratch, registers};
use crate::lanes::avx512::Avx512;

pub(super) const LOOPS: &Loops = &Loops {
    attend,
    merge,
    finish,
};

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn attend(chunk: &Chunk<'_>, scratch: &mut Scratch<'_>, states: &mut [f32]) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::attend(unsafe { Avx512::new() }, chunk, scratch, states)
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn merge(states: &mut [f32], others: &[f32], head_dim: usize) {
    // SAFETY: as in `attend`.
    registers::merge(unsafe { Avx512::new() }, states, others, head_dim)
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn finish(states: &[f32], head_dim: usize, out: &mut [f32]) {
    // SAFETY: as in `attend`.
    registers::finish(unsafe { Avx512::new() }, states, head_dim, out)
}
