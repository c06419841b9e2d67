//! The loops for AVX2 with FMA and F16C.

use super::{Chunk, Loops, Scratch, registers};
use crate::lanes::avx2::Avx2;

pub(super) const LOOPS: &Loops = &Loops {
    attend,
    merge,
    finish,
};

#[target_feature(enable = "avx2,fma,f16c")]
fn attend(chunk: &Chunk<'_>, scratch: &mut Scratch<'_>, states: &mut [f32]) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::attend(unsafe { Avx2::new() }, chunk, scratch, states)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn merge(states: &mut [f32], others: &[f32], head_dim: usize) {
    // SAFETY: as in `attend`.
    registers::merge(unsafe { Avx2::new() }, states, others, head_dim)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn finish(states: &[f32], head_dim: usize, out: &mut [f32]) {
    // SAFETY: as in `attend`.
    registers::finish(unsafe { Avx2::new() }, states, head_dim, out)
}
