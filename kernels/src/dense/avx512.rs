//! The loops for AVX-512.

use super::{Layer, registers};
use crate::lanes::avx512::Avx512;

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn apply(layer: &Layer<'_>, out: &mut [f32]) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::apply(unsafe { Avx512::new() }, layer, out)
}
