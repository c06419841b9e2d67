//! The loops for Advanced SIMD.

use super::{Chunk, Loops, Scratch, registers};
use crate::lanes::neon::Neon;

pub(super) const LOOPS: &Loops = &Loops {
    attend,
    merge,
    finish,
};

#[target_feature(enable = "neon")]
fn attend(chunk: &Chunk<'_>, scratch: &mut Scratch<'_>, states: &mut [f32]) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::attend(unsafe { Neon::new() }, chunk, scratch, states)
}

#[target_feature(enable = "neon")]
fn merge(states: &mut [f32], others: &[f32], head_dim: usize) {
    // SAFETY: as in `attend`.
    registers::merge(unsafe { Neon::new() }, states, others, head_dim)
}

#[target_feature(enable = "neon")]
fn finish(states: &[f32], head_dim: usize, out: &mut [f32]) {
    // SAFETY: as in `attend`.
    registers::finish(unsafe { Neon::new() }, states, head_dim, out)
}
