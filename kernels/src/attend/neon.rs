//! The stages for Advanced SIMD: plain, with dot products of bytes, and with matrix products of them.
//!
//! Half-precision arithmetic (FEAT_FP16, FEAT_FHM) has no variant. f16 becomes f32 in one instruction without it, shared by
//! the queries; its products with sums in f32 take queries in f16, whose rounding moves a logit by a part in 2,048, or twice
//! the instructions for queries in two parts.

use super::neon_i8mm;
use super::registers;
use super::rounded::{self, Rounded};
use super::{GROUP, Queries, Stages, State, Tile, Weights};
use crate::element::{Bf16, Element, F16, F32, I8};
use crate::lanes::neon::Neon;
use crate::scales::{self, HeadScales};

pub(super) const STAGES: Stages = Stages {
    name: "neon",
    scores: [scores::<F32>, scores::<F16>, scores::<Bf16>, scores::<I8>],
    rounded: None,
    weigh,
    mix: [mix::<F32>, mix::<F16>, mix::<Bf16>, mix::<I8>],
    multiply,
};

pub(super) const STAGES_DOTPROD: Stages = Stages {
    name: "neon+dotprod",
    scores: [scores::<F32>, scores::<F16>, scores::<Bf16>, scores::<I8>],
    rounded: Some((round, rounded_scores)),
    weigh,
    mix: [mix::<F32>, mix::<F16>, mix::<Bf16>, mix::<I8>],
    multiply,
};

pub(super) const STAGES_I8MM: Stages = Stages {
    name: "neon+i8mm",
    scores: [scores::<F32>, scores::<F16>, scores::<Bf16>, scores::<I8>],
    rounded: Some((neon_i8mm::round, neon_i8mm::scores)),
    weigh,
    mix: [mix::<F32>, mix::<F16>, mix::<Bf16>, mix::<I8>],
    multiply,
};

#[target_feature(enable = "neon")]
fn scores<E: Element>(keys: &Tile<'_>, queries: &Queries<'_>, logits: &mut Weights) {
    // SAFETY: who calls this function has made sure of its features.
    registers::scores::<_, E>(unsafe { Neon::<false>::new() }, keys, queries, logits)
}

#[target_feature(enable = "neon")]
fn weigh(positions: usize, weights: &mut Weights, state: &mut State<'_>) {
    // SAFETY: as `scores`.
    registers::weigh(unsafe { Neon::<false>::new() }, positions, weights, state)
}

#[target_feature(enable = "neon")]
fn multiply(products: &mut [f32], numbers: &[f32], first: HeadScales<'_>, second: HeadScales<'_>) {
    scales::multiply(products, numbers, first, second)
}

#[target_feature(enable = "neon")]
fn mix<E: Element>(
    values: &Tile<'_>,
    weights: &Weights,
    state: &State<'_>,
    live: usize,
    sums: &mut [f32],
) {
    // SAFETY: as `scores`.
    registers::mix::<_, E>(
        unsafe { Neon::<false>::new() },
        values,
        weights,
        state,
        live,
        sums,
    )
}

#[target_feature(enable = "neon,dotprod")]
fn round(queries: &Queries<'_>, rows: &mut [i16], steps: &mut [f32; GROUP]) {
    rounded::round::<Neon<true>>(queries, rows, steps)
}

#[target_feature(enable = "neon,dotprod")]
fn rounded_scores(keys: &Tile<'_>, queries: &Rounded<'_>, logits: &mut Weights) {
    // SAFETY: as `scores`.
    rounded::scores(unsafe { Neon::<true>::new() }, keys, queries, logits)
}
