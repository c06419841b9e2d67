//! The loops for Advanced SIMD.

use super::{Loops, registers};
use crate::element::{Bf16, Element, F16, F32, I8};
use crate::lanes::neon::Neon;

pub(super) const LOOPS: Loops = [
    add_rows::<F32>,
    add_rows::<F16>,
    add_rows::<Bf16>,
    add_rows::<I8>,
];

#[target_feature(enable = "neon")]
fn add_rows<E: Element>(values: &[u8], sums: &mut [f32]) {
    // SAFETY: who calls this function has made sure of its features.
    registers::add_rows::<_, E>(unsafe { Neon::<false>::new() }, values, sums)
}
