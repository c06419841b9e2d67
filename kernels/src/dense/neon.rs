//! The loops for Advanced SIMD.

use super::{Layer, registers};
use crate::lanes::neon::Neon;

#[target_feature(enable = "neon")]
pub(super) fn apply(layer: &Layer<'_>, out: &mut [f32]) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::apply(unsafe { Neon::new() }, layer, out)
}
