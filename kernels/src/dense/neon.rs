//! The loops for Advanced SIMD.

use super::{Layer, registers};
use crate::lanes::neon::Neon;

#[target_feature(enable = "neon")]
pub(super) fn apply(layer: &Layer<'_>, out: &mut [f32]) {
    // SAFETY: who calls this function has made sure of its features.
    registers::apply(unsafe { Neon::<false>::new() }, layer, out)
}
