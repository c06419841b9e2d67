//! The loops for AVX-512.

use super::{Chunk, Loops, Scratch, registers};
use crate::element::{Bf16, Element, F16, F32, I8, PerDtype};
use crate::lanes::avx512::Avx512;

pub(super) const LOOPS: &Loops = &Loops {
    stage: PerDtype {
        f32: stage::<F32>,
        f16: stage::<F16>,
        bf16: stage::<Bf16>,
        int8: stage::<I8>,
    },
    attend,
    merge,
    finish,
};

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn stage<E: Element>(chunk: &Chunk<'_>, scratch: &mut Scratch<'_>) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::stage::<_, E>(unsafe { Avx512::new() }, chunk, scratch)
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn attend(chunk: &Chunk<'_>, scratch: &mut Scratch<'_>, states: &mut [f32]) {
    // SAFETY: as in `stage`.
    registers::attend(unsafe { Avx512::new() }, chunk, scratch, states)
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn merge(states: &mut [f32], others: &[f32], head_dim: usize) {
    // SAFETY: as in `stage`.
    registers::merge(unsafe { Avx512::new() }, states, others, head_dim)
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn finish(states: &[f32], head_dim: usize, out: &mut [f32]) {
    // SAFETY: as in `stage`.
    registers::finish(unsafe { Avx512::new() }, states, head_dim, out)
}
