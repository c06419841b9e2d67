//! The loops for AVX2 with FMA and F16C.

use super::{Layer, registers};
use crate::lanes::avx2::Avx2;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn apply(layer: &Layer<'_>, out: &mut [f32]) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::apply(unsafe { Avx2::new() }, layer, out)
}
