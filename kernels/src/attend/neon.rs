//! The stages for Advanced SIMD.

use super::registers;
use super::{Queries, Stages, State, Tile, Weights};
use crate::element::{Bf16, Element, F16, F32, I8, PerDtype};
use crate::lanes::neon::Neon;

pub(super) const STAGES: &Stages = &Stages {
    logits: PerDtype {
        f32: logits::<F32>,
        f16: logits::<F16>,
        bf16: logits::<Bf16>,
        int8: logits::<I8>,
    },
    softmax,
    weighted_sums: PerDtype {
        f32: weighted_sums::<F32>,
        f16: weighted_sums::<F16>,
        bf16: weighted_sums::<Bf16>,
        int8: weighted_sums::<I8>,
    },
};

#[target_feature(enable = "neon")]
fn logits<E: Element>(keys: &Tile<'_>, queries: &Queries<'_>, logits: &mut Weights) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::logits::<_, E>(unsafe { Neon::new() }, keys, queries, logits)
}

#[target_feature(enable = "neon")]
fn softmax(positions: usize, weights: &mut Weights, state: &mut State<'_>) {
    // SAFETY: as in `logits`.
    registers::softmax(unsafe { Neon::new() }, positions, weights, state)
}

#[target_feature(enable = "neon")]
fn weighted_sums<E: Element>(
    values: &Tile<'_>,
    weights: &Weights,
    state: &State<'_>,
    live: usize,
    sums: &mut [f32],
) {
    // SAFETY: as in `logits`.
    registers::weighted_sums::<_, E>(unsafe { Neon::new() }, values, weights, state, live, sums)
}
