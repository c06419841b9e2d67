//! The loops for Advanced SIMD.

use super::{Loops, registers};
use crate::element::{Bf16, Element, F16, F32, I8};
use crate::lanes::neon::Neon;

pub(super) const LOOPS: &Loops = &Loops {
    f32: add_rows::<F32>,
    f16: add_rows::<F16>,
    bf16: add_rows::<Bf16>,
    int8: add_rows::<I8>,
};

#[target_feature(enable = "neon")]
fn add_rows<E: Element>(values: &[u8], sums: &mut [f32]) {
    // SAFETY: the features enabled on this function are those that the value proves.
    registers::add_rows::<_, E>(unsafe { Neon::new() }, values, sums)
}
