//! The stages for AVX2 with FMA and F16C.

use super::registers;
use super::rounded::{self, Rounded};
use super::{GROUP, Queries, Stages, State, Tile, Weights};
use crate::element::{Bf16, Element, F16, F32, I8};
use crate::lanes::avx2::Avx2;
use crate::scales::{self, HeadScales};

pub(super) const STAGES: Stages = Stages {
    name: "avx2",
    scores: [scores::<F32>, scores::<F16>, scores::<Bf16>, scores::<I8>],
    rounded: Some((round, rounded_scores)),
    weigh,
    mix: [mix::<F32>, mix::<F16>, mix::<Bf16>, mix::<I8>],
    multiply,
};

#[target_feature(enable = "avx2,fma,f16c")]
fn scores<E: Element>(keys: &Tile<'_>, queries: &Queries<'_>, logits: &mut Weights) {
    // SAFETY: who calls this function has made sure of its features.
    registers::scores::<_, E>(unsafe { Avx2::new() }, keys, queries, logits)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn weigh(positions: usize, weights: &mut Weights, state: &mut State<'_>) {
    // SAFETY: as `scores`.
    registers::weigh(unsafe { Avx2::new() }, positions, weights, state)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply(products: &mut [f32], numbers: &[f32], first: HeadScales<'_>, second: HeadScales<'_>) {
    scales::multiply(products, numbers, first, second)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn mix<E: Element>(
    values: &Tile<'_>,
    weights: &Weights,
    state: &State<'_>,
    live: usize,
    sums: &mut [f32],
) {
    // SAFETY: as `scores`.
    registers::mix::<_, E>(unsafe { Avx2::new() }, values, weights, state, live, sums)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn round(queries: &Queries<'_>, rows: &mut [i16], steps: &mut [f32; GROUP]) {
    rounded::round::<Avx2>(queries, rows, steps)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn rounded_scores(keys: &Tile<'_>, queries: &Rounded<'_>, logits: &mut Weights) {
    // SAFETY: as `scores`.
    rounded::scores(unsafe { Avx2::new() }, keys, queries, logits)
}
